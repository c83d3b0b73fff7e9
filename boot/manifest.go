package boot

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Names in an asset's directory that do not depend on its manifest.
const (
	ManifestName  = "manifest.json"
	SignatureName = "manifest.sig"
)

// Names of the files that a machine looks for. Every asset has a kernel.
const (
	KernelName = "Image"
	InitrdName = "initrd"
	RootName   = "root.erofs"
	// EmulatorName is a disk with what runs x86-64 programs, for machines that want to.
	EmulatorName = "x86-64.erofs"
	// DockerName is a disk with what runs containers.
	DockerName = "docker.erofs"
)

// The flavours: Debian's cloud kernel, and our own configuration.
const (
	FlavourDebian = "debian"
	FlavourArcBox = "arcbox"
)

// Schema is the version of the manifest that this program writes and reads.
const Schema = 1

// Bounds of a manifest.
const (
	MaxManifest  = 64 << 10 // bytes as written
	maxFiles     = 16
	maxFileSize  = 8 << 30
	maxPackages  = 512
	maxShortText = 64 // bytes of a version, a flavour or a file name
)

// A Manifest says what an asset is. A parsed one has been checked.
type Manifest struct {
	Schema        int    `json:"schema"`
	Flavour       string `json:"flavour"`        // FlavourDebian or FlavourArcBox
	KernelVersion string `json:"kernel_version"` // as uname -r shows it
	Cmdline       string `json:"cmdline"`        // kernel command line, see Cmdline
	Files         []File `json:"files"`          // sorted by name, KernelName among them
	// Key names what the asset was built from; a build of the same key need not
	// be made again. Packages are the distribution's files that went into it,
	// each with its SHA-256. Both are empty where the maker says nothing.
	Key      string            `json:"key,omitempty"`
	Packages map[string]string `json:"packages,omitempty"`
}

// A File is one file of an asset.
type File struct {
	Name   string `json:"name"`   // a plain name, no path
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // 64 lower case hexadecimal digits
}

// File gives the file called name.
func (m *Manifest) File(name string) (File, bool) {
	for _, f := range m.Files {
		if f.Name == name {
			return f, true
		}
	}
	return File{}, false
}

// Size is the bytes of all files.
func (m *Manifest) Size() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

// Encode checks m and gives the bytes that are stored and signed.
func (m *Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot write the manifest: %w", err)
	}
	return append(b, '\n'), nil
}

// ParseManifest reads and checks a manifest. It may come from anywhere.
func ParseManifest(b []byte) (*Manifest, error) {
	if len(b) > MaxManifest {
		return nil, fmt.Errorf("cannot read the manifest: it has more than %d bytes", MaxManifest)
	}
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields() // a new field is a new schema
	if err := d.Decode(&m); err != nil {
		return nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("cannot read the manifest: something follows it")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return &m, nil
}

var (
	// plainName cannot leave a directory or hide in one.
	plainName = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z._+-]*$`)
	version   = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~_-]*$`)
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func (m *Manifest) check() error {
	switch {
	case m.Schema != Schema:
		return fmt.Errorf("cannot use the manifest: its schema is %d, this program knows %d; use the program that goes with it", m.Schema, Schema)
	case m.Flavour != FlavourDebian && m.Flavour != FlavourArcBox:
		return fmt.Errorf("cannot use the manifest: %q is no flavour", m.Flavour)
	case len(m.KernelVersion) > maxShortText || !version.MatchString(m.KernelVersion):
		return fmt.Errorf("cannot use the manifest: %q is no kernel version", m.KernelVersion)
	case len(m.Key) > maxShortText || m.Key != "" && !plainName.MatchString(m.Key):
		return fmt.Errorf("cannot use the manifest: %q is no key", m.Key)
	case len(m.Packages) > maxPackages:
		return fmt.Errorf("cannot use the manifest: it names %d packages", len(m.Packages))
	}
	if _, err := Cmdline(m.Cmdline, "", 0); err != nil {
		return fmt.Errorf("cannot use the manifest: %w", err)
	}
	return m.checkFiles()
}

func (m *Manifest) checkFiles() error {
	if len(m.Files) > maxFiles {
		return fmt.Errorf("cannot use the manifest: it names %d files", len(m.Files))
	}
	for i, f := range m.Files {
		switch {
		case len(f.Name) > maxShortText || !plainName.MatchString(f.Name) || isReserved(f.Name):
			return fmt.Errorf("cannot use the manifest: %q is no file name", f.Name)
		case i > 0 && m.Files[i-1].Name >= f.Name:
			return fmt.Errorf("cannot use the manifest: file %q is twice in it or not in order", f.Name)
		case f.Size <= 0 || f.Size > maxFileSize:
			return fmt.Errorf("cannot use the manifest: file %q has %d bytes", f.Name, f.Size)
		case !hexDigest.MatchString(f.SHA256):
			return fmt.Errorf("cannot use the manifest: file %q has no SHA-256 digest", f.Name)
		}
	}
	if _, ok := m.File(KernelName); !ok {
		return fmt.Errorf("cannot use the manifest: it names no kernel (%s)", KernelName)
	}
	return nil
}

// isReserved tells whether a file of an asset would hide one of ours. Case does
// not matter on APFS.
func isReserved(name string) bool {
	return strings.EqualFold(name, ManifestName) || strings.EqualFold(name, SignatureName)
}

// idDigits is how much of the manifest's digest is in an ID: 48 bits. They tell
// assets apart; what vouches for the bytes is the manifest itself.
const idDigits = 12

// assetID names the asset of a manifest, given what was parsed and its bytes.
func assetID(m *Manifest, raw []byte) string {
	sum := sha256.Sum256(raw)
	return m.KernelVersion + "-" + hex.EncodeToString(sum[:])[:idDigits]
}

// signatureDomain goes before the manifest in what is signed, so that the
// signature of something else never fits.
const signatureDomain = "arcbox boot manifest 1\n"

// Sign gives the contents of SignatureName: the ed25519 signature of the
// manifest's bytes in base64.
func Sign(key ed25519.PrivateKey, raw []byte) []byte {
	sig := ed25519.Sign(key, append([]byte(signatureDomain), raw...))
	return []byte(base64.StdEncoding.EncodeToString(sig) + "\n")
}

// ErrSignature: a manifest is not signed by a key that is trusted.
var ErrSignature = errors.New("no trusted key signed the manifest")

// checkSignature checks sig, the contents of SignatureName, against the keys.
func checkSignature(keys []ed25519.PublicKey, raw, sig []byte) error {
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(sig)))
	if err != nil || len(b) != ed25519.SignatureSize {
		return fmt.Errorf("cannot read the signature: %w", ErrSignature)
	}
	msg := append([]byte(signatureDomain), raw...)
	for _, k := range keys {
		if ed25519.Verify(k, msg, b) {
			return nil
		}
	}
	return fmt.Errorf("cannot trust the manifest: %w", ErrSignature)
}

// ParseKey reads an ed25519 public key in base64.
func ParseKey(s string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("cannot use %q as a key: it is not %d bytes in base64", s, ed25519.PublicKeySize)
	}
	return b, nil
}
