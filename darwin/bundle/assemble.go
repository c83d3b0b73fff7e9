package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"howett.net/plist"

	"github.com/arcboxlabs/arcbox-go/launchd"
)

// options are what a bundle is made of.
type options struct {
	out, programs, assets, version, build, identity string
	own                                             bool
}

const (
	mainProgram = "arcboxd"
	bundleID    = "com.arcboxlabs.ArcBox"
	agentLabel  = "com.arcboxlabs.arcboxd"
	guest       = "arcbox-guest"
)

// A program is one of Contents/MacOS.
type program struct {
	name         string
	id           string // of its signature
	entitlements string // a file beside the module's go.mod; "" for none
}

// programs are all; the main one is signed last, as its signature seals the others.
var programs = []program{
	{"arcbox", "com.arcboxlabs.arcbox", ""},
	{"arcbox-vm", "com.arcboxlabs.arcbox-vm", "entitlements.plist"},
	{"arcbox-net", "com.arcboxlabs.arcbox-net", ""},
	{"arcbox-routed", "com.arcboxlabs.arcbox-routed", ""},
	{mainProgram, bundleID, ""},
}

// A signer signs a program, and with it a bundle.
type signer interface {
	// program signs the Mach-O at path.
	program(path string, p program) error
	// bundle signs the bundle at root, whose other programs are signed.
	bundle(root string, main program) error
}

var versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+$`)

// assemble makes the bundle at o.out, or leaves what is there.
func assemble(o *options, s signer) (err error) {
	if !versionForm.MatchString(o.version) {
		return fmt.Errorf("cannot use the version %q: a Mac wants three numbers, as 1.2.3", o.version)
	}
	tmp := o.out + ".tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o755)); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fill(o, filepath.Join(tmp, "Contents")); err != nil {
		return err
	}
	for _, p := range programs {
		sign := func() error { return s.program(filepath.Join(tmp, "Contents/MacOS", p.name), p) }
		if p.name == mainProgram {
			sign = func() error { return s.bundle(tmp, p) }
		}
		if err := sign(); err != nil {
			return fmt.Errorf("cannot sign %s: %w", p.name, err)
		}
	}
	if err := os.RemoveAll(o.out); err != nil {
		return err
	}
	return os.Rename(tmp, o.out)
}

// fill lays out what is in the bundle, without signatures.
func fill(o *options, contents string) error {
	info, err := infoPlist(o)
	if err != nil {
		return err
	}
	agent, err := launchd.BundlePlist(agentLabel, "Contents/MacOS/"+mainProgram, launchd.Agent{
		Args: []string{"--takeover"}, OpenFiles: 10240, MachServices: []string{agentLabel}, Bundle: bundleID,
	})
	if err != nil {
		return err
	}
	files := map[string][]byte{"Info.plist": info, "Library/LaunchAgents/" + agentLabel + ".plist": agent}
	for name, data := range files {
		if err := write(filepath.Join(contents, name), data, 0o644); err != nil {
			return err
		}
	}
	for _, p := range programs {
		if err := copyFile(filepath.Join(o.programs, p.name), filepath.Join(contents, "MacOS", p.name), 0o755); err != nil {
			return err
		}
	}
	if err := copyFile(filepath.Join(o.programs, guest), filepath.Join(contents, "Resources", guest), 0o755); err != nil {
		return err
	}
	if o.assets == "" {
		return nil
	}
	return copyTree(filepath.Join(o.assets, "assets"), filepath.Join(contents, "Resources/boot/assets"))
}

// infoPlist is the module's Info.plist with the versions of this build.
func infoPlist(o *options) ([]byte, error) {
	data, err := os.ReadFile("Info.plist")
	if err != nil {
		return nil, err
	}
	var info map[string]any
	if _, err := plist.Unmarshal(data, &info); err != nil {
		return nil, fmt.Errorf("cannot read Info.plist: %w", err)
	}
	info["CFBundleShortVersionString"], info["CFBundleVersion"] = o.version, o.build
	return plist.MarshalIndent(info, plist.XMLFormat, "\t")
}

func write(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, mode)
}

func copyFile(from, to string, mode fs.FileMode) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return write(to, data, mode)
}

// copyTree copies directories and regular files; there is nothing else in a store of assets that is to be shipped.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return copyFile(path, filepath.Join(to, rel), 0o644)
	})
}
