package main

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"howett.net/plist"
)

// sealPath is where a bundle's seal is, in Contents.
const sealPath = "_CodeSignature/CodeResources"

// A seal is what CodeResources says: the digest of each file, and by which rules they were chosen.
type seal struct {
	Files  map[string][]byte `plist:"files"`  // SHA-1, of Resources; what systems before OS X 10.9 read
	Files2 map[string]sealed `plist:"files2"` // everything but the main program and what rules2 leaves out
	Rules  map[string]any    `plist:"rules"`
	Rules2 map[string]any    `plist:"rules2"`
}

// A sealed is one file: a program by the digest of its signature, anything else by its own.
type sealed struct {
	Hash        []byte `plist:"hash,omitempty"`
	Hash2       []byte `plist:"hash2,omitempty"`
	CDHash      []byte `plist:"cdhash,omitempty"`
	Requirement string `plist:"requirement,omitempty"`
}

type rule = map[string]any

// The rules that codesign itself writes for a bundle with Contents.
var (
	rules1 = map[string]any{
		`^Resources/`:                            true,
		`^Resources/.*\.lproj/`:                  rule{"optional": true, "weight": 1000.0},
		`^Resources/.*\.lproj/locversion.plist$`: rule{"omit": true, "weight": 1100.0},
		`^Resources/Base\.lproj/`:                rule{"weight": 1010.0},
		`^version.plist$`:                        true,
	}
	rules2 = map[string]any{
		`.*\.dSYM($|/)`:      rule{"weight": 11.0},
		`^(.*/)?\.DS_Store$`: rule{"omit": true, "weight": 2000.0},
		`^(Frameworks|SharedFrameworks|PlugIns|Plug-ins|XPCServices|Helpers|MacOS|Library/(Automator|Spotlight|LoginItems))/`: rule{"nested": true, "weight": 10.0},
		`^.*`:                                    true,
		`^Info\.plist$`:                          rule{"omit": true, "weight": 20.0},
		`^PkgInfo$`:                              rule{"omit": true, "weight": 20.0},
		`^Resources/`:                            rule{"weight": 20.0},
		`^Resources/.*\.lproj/`:                  rule{"optional": true, "weight": 1000.0},
		`^Resources/.*\.lproj/locversion.plist$`: rule{"omit": true, "weight": 1100.0},
		`^Resources/Base\.lproj/`:                rule{"weight": 1010.0},
		`^[^/]+$`:                                rule{"nested": true, "weight": 10.0},
		`^embedded\.provisionprofile$`:           rule{"weight": 20.0},
		`^version\.plist$`:                       rule{"weight": 20.0},
	}
)

// sealOf seals what is in a bundle's Contents; its programs but the main one are signed.
func sealOf(contents string) ([]byte, error) {
	s := seal{map[string][]byte{}, map[string]sealed{}, rules1, rules2}
	err := filepath.WalkDir(contents, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(contents, path)
		if err != nil {
			return err
		}
		switch {
		case !d.Type().IsRegular():
			return fmt.Errorf("cannot seal %s: it is no regular file", name)
		case name == "Info.plist", name == sealPath, name == "MacOS/"+mainProgram:
			return nil // the main program's signature covers them
		case name == "CodeResources":
			return nil // the ticket of a notarized bundle, which comes after the seal
		}
		one, err := sealFile(path, name)
		if err != nil {
			return err
		}
		s.Files2[name] = one
		if strings.HasPrefix(name, "Resources/") {
			s.Files[name] = one.Hash
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return plist.MarshalIndent(s, plist.XMLFormat, "\t")
}

func sealFile(path, name string) (sealed, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return sealed{}, err
	}
	if strings.HasPrefix(name, "MacOS/") {
		sig, err := readSignature(data)
		if err != nil {
			return sealed{}, fmt.Errorf("cannot seal %s: %w", name, err)
		}
		return sealed{CDHash: sig.cdHash(), Requirement: fmt.Sprintf(`cdhash H"%x"`, sig.cdHash())}, nil
	}
	h1, h2 := sha1.Sum(data), sha256.Sum256(data)
	return sealed{Hash: h1[:], Hash2: h2[:]}, nil
}
