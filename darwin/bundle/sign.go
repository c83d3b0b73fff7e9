package main

import (
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	gosign "github.com/blacktop/go-macho/pkg/codesign"
	"github.com/blacktop/go-macho/pkg/codesign/types"
	"howett.net/plist"
)

// adHoc signs without an identity, on any system, what a linker has signed: all linkers for Apple silicon do.
type adHoc struct{}

func (adHoc) program(path string, p program) error { return adHocSign(path, p, nil, nil) }

func (adHoc) bundle(root string, main program) error {
	contents := filepath.Join(root, "Contents")
	info, err := os.ReadFile(filepath.Join(contents, "Info.plist"))
	if err != nil {
		return err
	}
	seal, err := sealOf(contents)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(contents, sealPath), seal, 0o644); err != nil {
		return err
	}
	return adHocSign(filepath.Join(contents, "MacOS", main.name), main, info, seal)
}

// adHocSign replaces the signature of the Mach-O at path. info and seal are what a bundle's main program covers.
func adHocSign(path string, p program, info, seal []byte) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	c := &config{gosign.Config{ID: p.id, Flags: types.ADHOC, IsMain: true, InfoPlist: info}}
	c.InitSlotHashes()
	if seal != nil {
		sum := sha256.Sum256(seal)
		c.SlotHashes.ResourceDir = sum[:]
	}
	if p.entitlements != "" {
		if c.Entitlements, err = os.ReadFile(p.entitlements); err != nil {
			return err
		}
		if c.EntitlementsDER, err = derEntitlements(c.Entitlements); err != nil {
			return err
		}
	}
	signed, err := c.place(file)
	if err != nil {
		return err
	}
	tmp := path + ".signed"
	if err := os.WriteFile(tmp, signed, 0o755); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// derEntitlements says entitlements that are true in the form that macOS 12 and later read first:
// [APPLICATION 16] { INTEGER 1, [CONTEXT 16] { SEQUENCE { UTF8String, BOOLEAN }... } }, sorted by name.
func derEntitlements(xml []byte) ([]byte, error) {
	var all map[string]bool
	if _, err := plist.Unmarshal(xml, &all); err != nil {
		return nil, fmt.Errorf("cannot read entitlements: %w", err)
	}
	var items []byte
	for _, name := range slices.Sorted(maps.Keys(all)) {
		item, err := asn1.Marshal(struct {
			Name  string `asn1:"utf8"`
			Value bool
		}{name, all[name]})
		if err != nil {
			return nil, err
		}
		items = append(items, item...)
	}
	version, err := asn1.Marshal(1)
	if err != nil {
		return nil, err
	}
	dict, err := asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 16, IsCompound: true, Bytes: items})
	if err != nil {
		return nil, err
	}
	return asn1.Marshal(asn1.RawValue{Class: asn1.ClassApplication, Tag: 16, IsCompound: true, Bytes: append(version, dict...)})
}

// codesign has Apple's tool sign. An identity gets the hardened runtime and a timestamp, which notarization wants.
type codesign struct{ identity string }

func (c codesign) program(path string, p program) error { return c.sign(path, p) }

func (c codesign) bundle(root string, main program) error { return c.sign(root, main) }

func (c codesign) sign(path string, p program) error {
	args := []string{"--force", "--sign", c.identity, "--identifier", p.id}
	if c.identity != "-" {
		args = append(args, "--options", "runtime", "--timestamp")
	}
	if p.entitlements != "" {
		args = append(args, "--entitlements", p.entitlements)
	}
	out, err := exec.Command("codesign", append(args, path)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("codesign: %w\n%s", err, out)
	}
	return nil
}
