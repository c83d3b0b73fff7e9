package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write makes a file with what is above it.
func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func TestATreeIsUnpackedAsItWasPacked(t *testing.T) {
	src, dst := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	write(t, filepath.Join(src, "a"), "hello", 0o640)
	write(t, filepath.Join(src, "sub/b"), "", 0o755)
	os.Symlink("../a", filepath.Join(src, "sub/link"))
	then := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	os.Chtimes(filepath.Join(src, "a"), then, then)
	os.Chmod(filepath.Join(src, "sub"), 0o500)
	t.Cleanup(func() { os.Chmod(filepath.Join(src, "sub"), 0o700); os.Chmod(filepath.Join(dst, "tree/sub"), 0o700) })
	var archive bytes.Buffer
	if err := packTree(&archive, src, false); err != nil {
		t.Fatal(err)
	}
	copied, err := unpackTree(bytes.NewReader(archive.Bytes()), "tree", dst, false)
	if err != nil {
		t.Fatal(err)
	}
	if copied.Files != 3 || copied.Bytes != 5 {
		t.Errorf("copied %+v, want 3 files and 5 bytes", copied)
	}
	got, err := os.ReadFile(filepath.Join(dst, "tree/sub/link"))
	if err != nil || string(got) != "hello" {
		t.Errorf("through the link: %q, %v", got, err)
	}
	if info, err := os.Stat(filepath.Join(dst, "tree/a")); err != nil || info.Mode() != 0o640 || !info.ModTime().Equal(then) {
		t.Errorf("a is %v, %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(dst, "tree/sub")); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("sub is %v, %v", info, err)
	}
	// A name that is not there becomes the copy's own, and a second copy replaces the first.
	for range 2 {
		if _, err := unpackTree(bytes.NewReader(archive.Bytes()), "tree", filepath.Join(dst, "other"), false); err != nil && os.Getuid() == 0 {
			t.Fatal(err)
		}
		os.Rename(filepath.Join(dst, "other"), filepath.Join(dst, "was-other"))
		os.Chmod(filepath.Join(dst, "was-other/sub"), 0o700)
		os.RemoveAll(filepath.Join(dst, "was-other"))
	}
}

// entries is an archive of headers whose regular files all hold "evil".
func entries(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		h.Mode = 0o777
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, "evil")
		}
	}
	w.Close()
	return &b
}

func TestAGuestCannotWriteElsewhere(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "precious")
	write(t, outside, "good", 0o600)
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	dir := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name} }
	tests := []struct {
		name    string
		archive []tar.Header
		foreign bool // refused by name, else by the directory that holds it
	}{
		{"another top", []tar.Header{file("other")}, true},
		{"up and away", []tar.Header{file("top/../../x")}, true},
		{"an absolute path", []tar.Header{file(outside)}, true},
		{"through a link", []tar.Header{dir("top"), link("top/l", filepath.Dir(outside)), file("top/l/precious")}, false},
		{"through the top", []tar.Header{link("top", filepath.Dir(outside)), file("top/precious")}, false},
		{"a hard link to elsewhere", []tar.Header{{Typeflag: tar.TypeLink, Name: "top", Linkname: outside}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := unpackTree(entries(t, tt.archive...), "top", t.TempDir(), false)
			if err == nil || errors.Is(err, errForeign) != tt.foreign {
				t.Errorf("the error is %v", err)
			}
			if got, _ := os.ReadFile(outside); string(got) != "good" {
				t.Fatalf("the file outside holds %q", got)
			}
		})
	}
	// A link in the place of a file is replaced, not written through.
	home := t.TempDir()
	os.Symlink(outside, filepath.Join(home, "top"))
	if _, err := unpackTree(entries(t, file("top")), "top", home, false); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "good" {
		t.Errorf("the file outside holds %q", got)
	}
}

func FuzzUnpackTree(f *testing.F) {
	f.Add(entries(f, tar.Header{Typeflag: tar.TypeDir, Name: "top"}, tar.Header{Typeflag: tar.TypeReg, Name: "top/a"}).Bytes(), "top")
	f.Add(entries(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "top", Linkname: ".."}, tar.Header{Typeflag: tar.TypeReg, Name: "top/a"}).Bytes(), "top")
	f.Fuzz(func(t *testing.T, archive []byte, top string) {
		base := t.TempDir()
		inside := filepath.Join(base, "in")
		os.Mkdir(inside, 0o755)
		unpackTree(bytes.NewReader(archive), top, inside, true)
		if all, _ := os.ReadDir(base); len(all) != 1 {
			t.Fatalf("beside the directory there are %v", all)
		}
	})
}

func TestPlaces(t *testing.T) {
	tests := []struct {
		word string
		want place
		ok   bool
	}{
		{"file", place{path: "file"}, true},
		{"./a:b", place{path: "./a:b"}, true},
		{"/x/a:/b", place{path: "/x/a:/b"}, true},
		{"work:/etc", place{"work", true, "/etc"}, true},
		{":/etc", place{"", true, "/etc"}, true},
		{"work:etc", place{}, false},
		{"", place{}, false},
	}
	for _, tt := range tests {
		got, err := parsePlace(tt.word)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q is %+v, %v; want %+v", tt.word, got, err, tt.want)
		}
	}
}
