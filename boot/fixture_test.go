package boot

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		installForEver(dir)
	}
	goleak.VerifyTestMain(m)
}

// kernel is a small arm64 Image; mark makes its bytes differ.
func kernel(mark byte) []byte {
	b := bytes.Repeat([]byte{mark}, 96<<10)
	clear(b[:64])
	binary.LittleEndian.PutUint32(b, 0x14000010)            // b +0x40
	binary.LittleEndian.PutUint64(b[0x10:], uint64(len(b))) // image_size
	binary.LittleEndian.PutUint32(b[0x38:], 0x644d5241)     // "ARM\x64"
	return b
}

// A published asset: its files, manifest among them.
type published map[string][]byte

// publish makes an asset of a kernel and an initrd.
func publish(t testing.TB, flavour, version string, mark byte) published {
	t.Helper()
	p := published{KernelName: kernel(mark), InitrdName: bytes.Repeat([]byte{mark, 0}, 10000)}
	p.describe(t, flavour, version)
	return p
}

// describe writes the manifest and a signature of the trusted key.
func (p published) describe(t testing.TB, flavour, version string) {
	t.Helper()
	delete(p, ManifestName)
	delete(p, SignatureName)
	m := Manifest{Schema: Schema, Flavour: flavour, KernelVersion: version, Cmdline: "console=hvc0"}
	for name, b := range p {
		sum := sha256.Sum256(b)
		m.Files = append(m.Files, File{name, int64(len(b)), hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(m.Files, func(a, b File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	raw, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	trusted, _ := testKeys()
	p[ManifestName], p[SignatureName] = raw, Sign(trusted, raw)
}

// directory puts the files into a new directory.
func (p published) directory(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range p {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func (p published) source(t testing.TB) *Directory {
	t.Helper()
	d, err := NewDirectory(p.directory(t))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newLibrary(t testing.TB) *Library {
	return OpenLibrary(filepath.Join(t.TempDir(), "home", "boot"), filepath.Join(t.TempDir(), "shared", "boot"))
}

// fetch brings an asset into the library and fails the test if it cannot.
func fetch(t testing.TB, l *Library, src Source) (a *Asset, fresh bool) {
	t.Helper()
	var f Fetch
	a, fresh, err := f.From(context.Background(), l, src)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(context.Background(), nil); err != nil {
		t.Fatalf("fetched %s: %v", a.ID, err)
	}
	return a, fresh
}

// list gives the library's IDs, and fails the test for a damaged asset.
func list(t testing.TB, l *Library) (ids []string) {
	t.Helper()
	all, err := l.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if err := a.Verify(context.Background(), nil); err != nil {
			t.Errorf("%s: %v", a.ID, err)
		}
		ids = append(ids, a.ID)
	}
	return ids
}

// leftovers are the names below tmp and partial of a store.
func leftovers(t testing.TB, s *Store) (names []string) {
	t.Helper()
	for _, d := range []string{tmpDir, partialDir} {
		entries, err := os.ReadDir(s.path(d))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, d+"/"+e.Name())
		}
	}
	return names
}
