package debian

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// object is a minimal arm64 object file: three sections, of which .modinfo
// holds fields.
func object(t testing.TB, fields ...string) []byte {
	t.Helper()
	info, names := strings.Join(fields, "\x00")+"\x00", "\x00.modinfo\x00.shstrtab\x00"
	const header, section = 64, 64
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_AARCH64), Version: 1,
		Shoff: uint64(header + len(info) + len(names)), Ehsize: header, Shentsize: section, Shnum: 3, Shstrndx: 2}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, []byte(info), []byte(names), elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: header, Size: uint64(len(info))},
		elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: uint64(header + len(info)), Size: uint64(len(names))}} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func TestMerged(t *testing.T) {
	for name, want := range map[string]string{
		"./bin/busybox":      "usr/bin/busybox",
		"/lib/ld.so":         "usr/lib/ld.so",
		"./usr/sbin/fstrim":  "usr/sbin/fstrim",
		"./etc/mke2fs.conf":  "etc/mke2fs.conf",
		"./library/x":        "library/x",
		"../../etc/passwd":   "etc/passwd",
		"./sbin/../../x":     "x",
		"./boot/vmlinuz-6.1": "boot/vmlinuz-6.1",
	} {
		if got := merged(name); got != want {
			t.Errorf("merged(%q) = %q, want %q", name, got, want)
		}
	}
}

// archive is a tar of the entries.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write(bytes.Repeat([]byte("x"), int(h.Size)))
	}
	w.Close()
	return b.Bytes()
}

func TestAddTar(t *testing.T) {
	b := archive(t,
		tar.Header{Name: "./bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		tar.Header{Name: "./bin/su", Typeflag: tar.TypeReg, Mode: 0o4755, Size: 2},
		tar.Header{Name: "./bin/sh", Typeflag: tar.TypeSymlink, Linkname: "su"},
		tar.Header{Name: "./doc/x", Typeflag: tar.TypeReg, Mode: 0o644, Size: 2})
	got := tree{}
	err := got.addTar(bytes.NewReader(b), func(name string) bool { return !strings.HasPrefix(name, "doc") })
	want := tree{"usr/bin/su": {mode: 0o755, data: []byte("xx")}, "usr/bin/sh": {mode: fs.ModeSymlink | 0o777, link: "su"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("addTar gives %v, %v; want %v", got, err, want)
	}
	if err := (tree{}).addTar(bytes.NewReader(b[:1025]), func(string) bool { return true }); err == nil {
		t.Error("half an archive is taken")
	}
}

func FuzzAddTar(f *testing.F) {
	f.Add(archive(f, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 3}, tar.Header{Name: "b", Typeflag: tar.TypeSymlink, Linkname: "/a"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := tree{}
		got.addTar(bytes.NewReader(b), func(string) bool { return len(b) < 1<<16 })
		for name := range got {
			if !fs.ValidPath(name) {
				t.Errorf("the archive puts a file at %q", name)
			}
		}
	})
}

func TestResolve(t *testing.T) {
	link := func(to string) node { return node{mode: fs.ModeSymlink | 0o777, link: to} }
	files := tree{
		"usr/sbin/mkfs.ext4": link("mke2fs"), "usr/sbin/mke2fs": {mode: 0o755},
		"usr/lib/ld.so": link("/lib/aarch64/ld.so"), "usr/lib/aarch64/ld.so": link("../aarch64/ld-2.so"), "usr/lib/aarch64/ld-2.so": {mode: 0o755},
		"a": link("b"), "b": link("a"), "gone": link("nowhere"), "out": link("../../../usr/sbin/mke2fs"),
	}
	tests := []struct {
		name, path string
		want       []string // nil for an error
	}{
		{"a file", "usr/sbin/mke2fs", []string{"usr/sbin/mke2fs"}},
		{"a relative link", "usr/sbin/mkfs.ext4", []string{"usr/sbin/mkfs.ext4", "usr/sbin/mke2fs"}},
		{"links into the merged /usr", "usr/lib/ld.so", []string{"usr/lib/ld.so", "usr/lib/aarch64/ld.so", "usr/lib/aarch64/ld-2.so"}},
		{"a link above the root stays in it", "out", []string{"out", "usr/sbin/mke2fs"}},
		{"a circle", "a", nil},
		{"a dangling link", "gone", nil},
		{"nothing", "x", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := files.resolve(tt.path); (err != nil) != (tt.want == nil) || err == nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("resolve(%q) = %v, %v; want %v", tt.path, got, err, tt.want)
			}
		})
	}
}

func TestRootTreeWantsWholePackages(t *testing.T) {
	files := tree{}
	for _, program := range rootPrograms {
		files[program] = node{mode: 0o755, data: []byte("#!/bin/sh\n")}
	}
	files["etc/mke2fs.conf"] = node{mode: 0o644}
	if _, err := rootTree(files, []byte("init"), nil); err == nil || !strings.Contains(err.Error(), "busybox has no") {
		t.Errorf("a busybox without applets: %v, want an error that names one", err)
	}
	var strs bytes.Buffer
	for _, name := range append(applets, sbinApplets...) {
		strs.WriteString("\x00" + name)
	}
	strs.WriteByte(0)
	files["usr/bin/busybox"] = node{mode: 0o755, data: strs.Bytes()}
	modules := []module{{"usr/lib/modules/1/kernel/a/one.ko", []byte("1")}, {"usr/lib/modules/1/kernel/two.ko", []byte("2")}}
	root, err := rootTree(files, []byte("init"), map[string][]module{btrfsList: modules})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(root["usr/lib/arcbox/modules/btrfs"].data), "/usr/lib/arcbox/modules/one.ko\n/usr/lib/arcbox/modules/two.ko\n"; got != want {
		t.Errorf("the modules for a Btrfs are %q, want %q", got, want)
	}
	if string(root["usr/lib/arcbox/modules/two.ko"].data) != "2" {
		t.Error("a module of the list is missing")
	}
	if string(root["usr/sbin/arcbox-guest"].data) != "init" || root["usr/bin/sh"].link != "/usr/bin/busybox" || root["usr/sbin"].mode != fs.ModeDir|0o755 {
		t.Error("init, the shell or a directory is missing")
	}
	delete(files, "usr/sbin/fstrim")
	if _, err := rootTree(files, nil, nil); err == nil || !strings.Contains(err.Error(), "fstrim") {
		t.Errorf("a missing program: %v, want an error that names it", err)
	}
}

func TestSameTreeSameImage(t *testing.T) {
	if _, err := exec.LookPath("mkfs.erofs"); err != nil && os.Getenv("CI") == "" {
		t.Skip("no mkfs.erofs on this machine")
	}
	files := tree{"usr/bin/a": {mode: 0o755, data: bytes.Repeat([]byte("a"), 10000)}, "etc/b": {mode: 0o600, data: []byte("b")},
		"bin": {mode: fs.ModeSymlink | 0o777, link: "usr/bin"}}
	files.addDirs()
	var images [2][]byte
	for i := range images {
		image := filepath.Join(t.TempDir(), "root.erofs")
		if err := makeEROFS(t.Context(), files, rootUUID, image); err != nil {
			t.Fatal(err)
		}
		var err error
		if images[i], err = os.ReadFile(image); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(images[0], images[1]) {
		t.Error("two images of one tree differ")
	}
	if magic := binary.LittleEndian.Uint32(images[0][1024:]); magic != 0xE0F5E1E2 {
		t.Errorf("the image's magic is %#x, not EROFS's", magic)
	}
}
