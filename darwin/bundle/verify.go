package main

import (
	"bytes"
	"crypto/sha256"
	"debug/macho"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"howett.net/plist"
)

// Magic numbers and slots of a signature, all big-endian: <kern/cs_blobs.h> of xnu.
const (
	lcCodeSignature   = 0x1d // the last command
	lcBuildVersion    = 0x32
	magicSuperBlob    = 0xfade0cc0
	magicDirectory    = 0xfade0c02
	slotDirectory     = 0
	slotInfo          = 1
	slotRequirements  = 2
	slotResources     = 3
	slotEntitlements  = 5
	slotDER           = 7
	flagAdHoc         = 2
	hashSHA256        = 2
	directoryFixed    = 44 // bytes of a directory before its optional fields
	maxSpecialSlots   = 16
	smallestPageShift = 12
	largestPageShift  = 14
)

// A signature is what a Mach-O says of itself.
type signature struct {
	code      []byte // that is covered: the file up to the signature
	directory []byte
	blobs     map[uint32][]byte // by slot, heads included

	id              string
	flags           uint32
	pages           [][]byte          // digests
	special         map[uint32][]byte // digests, by slot
	pageSize, limit int

	oldest uint32 // macOS that starts it, as its load command says: major<<16 | minor<<8
}

// cdHash is the digest by which a signature is known: the first 20 bytes.
func (s *signature) cdHash() []byte {
	sum := sha256.Sum256(s.directory)
	return sum[:20]
}

// readSignature reads the signature of a thin 64-bit Mach-O. Nothing of it is believed: see check.
func readSignature(file []byte) (*signature, error) {
	f, err := macho.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var oldest uint32
	for _, l := range f.Loads {
		raw := l.Raw()
		if len(raw) >= 16 && f.ByteOrder.Uint32(raw) == lcBuildVersion {
			oldest = f.ByteOrder.Uint32(raw[12:])
		}
		if len(raw) < 16 || f.ByteOrder.Uint32(raw) != lcCodeSignature {
			continue
		}
		off, n := int64(f.ByteOrder.Uint32(raw[8:])), int64(f.ByteOrder.Uint32(raw[12:]))
		if off+n > int64(len(file)) {
			return nil, errors.New("the signature is beyond the file's end")
		}
		s := &signature{code: file[:off], blobs: map[uint32][]byte{}, special: map[uint32][]byte{}, oldest: oldest}
		if err := s.readBlobs(file[off : off+n]); err != nil {
			return nil, err
		}
		return s, s.readDirectory()
	}
	return nil, errors.New("it is not signed")
}

// readBlobs reads the table of blobs.
func (s *signature) readBlobs(b []byte) error {
	be := binary.BigEndian
	if len(b) < 12 || be.Uint32(b) != magicSuperBlob || int64(be.Uint32(b[4:])) > int64(len(b)) {
		return errors.New("the signature is none")
	}
	b = b[:be.Uint32(b[4:])]
	count := int64(be.Uint32(b[8:]))
	if 12+8*count > int64(len(b)) {
		return errors.New("the signature's table is cut off")
	}
	for i := range count {
		slot, off := be.Uint32(b[12+8*i:]), int64(be.Uint32(b[16+8*i:]))
		if off+8 > int64(len(b)) || off+int64(be.Uint32(b[off+4:])) > int64(len(b)) || be.Uint32(b[off+4:]) < 8 {
			return fmt.Errorf("part %d of the signature is cut off", slot)
		}
		s.blobs[slot] = b[off : off+int64(be.Uint32(b[off+4:]))]
	}
	return nil
}

// readDirectory reads the code directory.
func (s *signature) readDirectory() error {
	be := binary.BigEndian
	d := s.blobs[slotDirectory]
	if len(d) < directoryFixed || be.Uint32(d) != magicDirectory {
		return errors.New("the signature has no code directory")
	}
	s.directory, s.flags = d, be.Uint32(d[12:])
	hashes, ident, nSpecial, nPages := int64(be.Uint32(d[16:])), int64(be.Uint32(d[20:])), int64(be.Uint32(d[24:])), int64(be.Uint32(d[28:]))
	s.limit = int(be.Uint32(d[32:]))
	size, kind, shift := int64(d[36]), d[37], d[39]
	switch {
	case kind != hashSHA256 || size != sha256.Size:
		return fmt.Errorf("digests of kind %d and %d bytes are not ours", kind, size)
	case shift < smallestPageShift || shift > largestPageShift:
		return fmt.Errorf("pages of 1<<%d bytes are not ours", shift)
	case nSpecial > maxSpecialSlots || hashes < nSpecial*size || hashes+nPages*size > int64(len(d)):
		return errors.New("the code directory's digests are cut off")
	case ident >= int64(len(d)) || bytes.IndexByte(d[ident:], 0) < 0:
		return errors.New("the code directory's identifier is cut off")
	}
	s.pageSize = 1 << shift
	s.id = string(d[ident : ident+int64(bytes.IndexByte(d[ident:], 0))])
	for i := range nPages {
		s.pages = append(s.pages, d[hashes+i*size:][:size])
	}
	for i := int64(1); i <= nSpecial; i++ {
		s.special[uint32(i)] = d[hashes-i*size:][:size]
	}
	return nil
}

var noDigest = make([]byte, sha256.Size)

// check holds the digests against what they are of: every page, and every part that came with the signature. external are
// parts in other files.
func (s *signature) check(external map[uint32][]byte) error {
	if s.limit != len(s.code) || len(s.pages) != (s.limit+s.pageSize-1)/s.pageSize {
		return fmt.Errorf("%d digests of pages for %d bytes of %d", len(s.pages), s.limit, len(s.code))
	}
	for i, want := range s.pages {
		page := s.code[i*s.pageSize : min((i+1)*s.pageSize, s.limit)]
		if sum := sha256.Sum256(page); !bytes.Equal(sum[:], want) {
			return fmt.Errorf("page %d is another one than was signed", i)
		}
	}
	for slot := uint32(1); slot <= maxSpecialSlots; slot++ {
		part, ok := external[slot]
		if !ok {
			part, ok = s.blobs[slot]
		}
		want := s.special[slot]
		signed := want != nil && !bytes.Equal(want, noDigest)
		sum := sha256.Sum256(part)
		switch {
		case slot == slotRequirements && !signed: // an empty set, which an ad-hoc signature need not cover
		case ok != signed:
			return fmt.Errorf("part %d is there: %v, and signed: %v", slot, ok, signed)
		case ok && !bytes.Equal(sum[:], want):
			return fmt.Errorf("part %d is another one than was signed", slot)
		}
	}
	return nil
}

// entitlements are those of the XML part; nil for none.
func (s *signature) entitlements() (map[string]any, error) {
	b := s.blobs[slotEntitlements]
	if b == nil {
		return nil, nil
	}
	var all map[string]any
	_, err := plist.Unmarshal(b[8:], &all)
	return all, err
}

// verify reads every signature of the bundle at root, and what they seal.
func verify(root string) error {
	contents := filepath.Join(root, "Contents")
	info, err := os.ReadFile(filepath.Join(contents, "Info.plist"))
	if err != nil {
		return err
	}
	sealed, err := os.ReadFile(filepath.Join(contents, sealPath))
	if err != nil {
		return err
	}
	oldest := map[string]uint32{} // system that starts a program
	for _, p := range programs {
		var external map[uint32][]byte
		if p.name == mainProgram {
			external = map[uint32][]byte{slotInfo: info, slotResources: sealed}
		}
		if oldest[p.name], err = verifyProgram(filepath.Join(contents, "MacOS", p.name), p, external); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if err := verifySeal(contents, sealed); err != nil {
		return err
	}
	return verifySystems(info, oldest)
}

// verifySystems holds what programs need against what Info.plist promises.
func verifySystems(info []byte, oldest map[string]uint32) error {
	promised, err := oldestSystem(info)
	if err != nil {
		return err
	}
	for name, needs := range oldest {
		if needs == 0 || needs > promised {
			return fmt.Errorf("%s: macOS %d.%d does not start it: it is for %d.%d and later", name, promised>>16, promised>>8&255, needs>>16, needs>>8&255)
		}
	}
	return nil
}

// oldestSystem is the version of macOS that Info.plist wants, as a load command says it.
func oldestSystem(info []byte) (uint32, error) {
	var want struct {
		Version string `plist:"LSMinimumSystemVersion"`
	}
	if _, err := plist.Unmarshal(info, &want); err != nil {
		return 0, fmt.Errorf("cannot read Info.plist: %w", err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(want.Version, "%d.%d", &major, &minor); err != nil || minor > 255 {
		return 0, fmt.Errorf("Info.plist wants macOS %q", want.Version)
	}
	return major<<16 | minor<<8, nil
}

// verifyProgram is one program with the entitlements that it shall have and no others; oldest is the first system that starts it.
func verifyProgram(path string, p program, external map[uint32][]byte) (oldest uint32, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	s, err := readSignature(data)
	if err != nil {
		return 0, err
	}
	if err := s.check(external); err != nil {
		return 0, err
	}
	if s.id != p.id {
		return 0, fmt.Errorf("it is signed as %s, not %s", s.id, p.id)
	}
	has, err := s.entitlements()
	if err != nil {
		return 0, err
	}
	want := map[string]any{}
	if p.entitlements != "" {
		text, err := os.ReadFile(p.entitlements)
		if err != nil {
			return 0, err
		}
		if _, err := plist.Unmarshal(text, &want); err != nil {
			return 0, err
		}
	}
	if fmt.Sprint(has) != fmt.Sprint(want) && len(has)+len(want) > 0 {
		return 0, fmt.Errorf("its entitlements are %v, not %v", has, want)
	}
	if len(has) > 0 && s.blobs[slotDER] == nil {
		return 0, errors.New("its entitlements lack the form that macOS 12 reads")
	}
	return s.oldest, nil
}

// verifySeal holds the seal against the files, in both directions.
func verifySeal(contents string, data []byte) error {
	var has, is seal
	if _, err := plist.Unmarshal(data, &has); err != nil {
		return fmt.Errorf("cannot read the seal: %w", err)
	}
	again, err := sealOf(contents)
	if err != nil {
		return err
	}
	if _, err := plist.Unmarshal(again, &is); err != nil {
		return err
	}
	for name, want := range has.Files2 {
		if got, ok := is.Files2[name]; !ok || !bytes.Equal(want.Hash2, got.Hash2) || !bytes.Equal(want.CDHash, got.CDHash) {
			return fmt.Errorf("%s is missing, or another one than was sealed", name)
		}
	}
	for name := range is.Files2 {
		if _, ok := has.Files2[name]; !ok {
			return fmt.Errorf("%s is not sealed", name)
		}
	}
	return nil
}
