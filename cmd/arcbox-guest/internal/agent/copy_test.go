//go:build linux

package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// archive makes a tar archive of headers; a regular file has its name as content.
func archive(headers ...tar.Header) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(h.Name))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		h.Uid, h.Gid = os.Getuid(), os.Getgid()
		if err := w.WriteHeader(&h); err != nil {
			continue // it cannot be in an archive
		}
		if h.Typeflag == tar.TypeReg {
			io.WriteString(w, h.Name)
		}
	}
	w.Close()
	return b.Bytes()
}

func file(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
func dir(name string) tar.Header  { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
func link(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// tree is what a directory holds, line by line.
func tree(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		switch d.Type() {
		case fs.ModeSymlink:
			to, _ := os.Readlink(path)
			fmt.Fprintf(&b, "%s -> %s\n", rel, to)
		case fs.ModeDir:
			fmt.Fprintf(&b, "%s/\n", rel)
		default:
			text, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "%s=%s\n", rel, text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The directory "in" is where things go; "out" beside it must never change.
func TestUnpackStaysInside(t *testing.T) {
	tests := []struct {
		name    string
		archive []byte
		want    string // of in; "" for refused, with nothing outside changed
	}{
		{"a file", archive(file("a")), "a=a\n"},
		{"a tree", archive(dir("a"), file("a/b"), dir("a/c/"), file("a/c/d"), link("a/l", "c/d")), "a/\na/b=a/b\na/c/\na/c/d=a/c/d\na/l -> c/d\n"},
		{"a hard link", archive(dir("a"), file("a/b"), hardlink("a/c", "a/b")), "a/\na/b=a/b\na/c=a/b\n"},
		{"a link to anywhere is only a link", archive(link("a", "/etc/passwd")), "a -> /etc/passwd\n"},
		{"a later entry replaces a file", archive(dir("a"), file("a/b"), link("a/b", "x"), file("a/b")), "a/\na/b=a/b\n"},
		{"a dot before", archive(dir("./a"), file("./a/b")), "a/\na/b=./a/b\n"},
		{"dots", archive(file("../out/x")), ""},
		{"dots inside", archive(dir("a"), file("a/../../out/x")), ""},
		{"an absolute name", archive(file("/tmp/arcbox-escaped")), ""},
		{"through a link outside", archive(dir("a"), link("a/l", "../../out"), file("a/l/x")), ""},
		{"through an absolute link", archive(dir("a"), link("a/l", "/tmp"), file("a/l/arcbox-escaped")), ""},
		{"through a link to what was there", archive(dir("a"), link("a/l", "../there"), file("a/l/x")), ""},
		{"through the top-level link", archive(link("a", "../out"), file("a/x")), ""},
		{"a link as a directory", archive(dir("a"), link("a/l", "../../out"), dir("a/l"), file("a/l/x")), ""},
		{"a hard link outside", archive(hardlink("a", "../out/kept")), ""},
		{"a hard link through a link", archive(dir("a"), link("a/l", "../../out"), hardlink("a/x", "a/l/kept")), ""},
		{"a hard link to another top", archive(dir("a"), hardlink("a/x", "there/kept")), ""},
		{"a hard link to itself", archive(dir("a"), file("a/b"), hardlink("a/b", "a/b")), ""},
		{"two tops", archive(file("a"), file("b")), ""},
		{"no directory before its file", archive(file("a/b")), ""},
		{"only a dot", archive(dir(".")), ""},
		{"a device", archive(tar.Header{Typeflag: tar.TypeChar, Name: "a", Devmajor: 1, Devminor: 3}), ""},
		{"a pipe", archive(tar.Header{Typeflag: tar.TypeFifo, Name: "a"}), ""},
		{"nothing", archive(), ""},
		{"no archive", []byte(strings.Repeat("no archive ", 100)), ""},
		{"cut off", archive(file("a"))[:512], ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			in, out := filepath.Join(root, "in"), filepath.Join(root, "out")
			for _, d := range []string{filepath.Join(in, "there"), out} {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(d, "kept"), []byte("kept"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			_, err := unpack(bytes.NewReader(tt.archive), in, "")
			got := tree(t, in)
			if (err != nil) != (tt.want == "") || tt.want != "" && got != tt.want+"there/\nthere/kept=kept\n" {
				t.Errorf("%v, and there is\n%s", err, got)
			}
			if !strings.HasSuffix(got, "there/\nthere/kept=kept\n") || tree(t, out) != "kept=kept\n" {
				t.Errorf("something else has changed:\n%s%s", got, tree(t, out))
			}
			if _, err := os.Stat("/tmp/arcbox-escaped"); err == nil {
				os.Remove("/tmp/arcbox-escaped")
				t.Error("a file was written outside")
			}
		})
	}
}

// headers makes an archive of lines: "dir a", "file a/b", "link a/l ../x", "hard a/c a/b". Fuzzing the bytes of an
// archive would find its checksums.
func headers(script string) (list []tar.Header) {
	for line := range strings.Lines(script) {
		word := append(strings.Split(strings.TrimSuffix(line, "\n"), " "), "", "")
		for _, w := range word {
			if strings.IndexByte(w, 0) >= 0 {
				return list
			}
		}
		switch word[0] {
		case "dir":
			list = append(list, dir(word[1]))
		case "file":
			list = append(list, file(word[1]))
		case "link":
			list = append(list, link(word[1], word[2]))
		case "hard":
			list = append(list, hardlink(word[1], word[2]))
		}
	}
	return list
}

func FuzzUnpack(f *testing.F) {
	f.Add("dir a\nlink a/l ../../out\nfile a/l/x\n", "")
	f.Add("dir a\nfile a/b\nhard a/c a/b\nlink a/d a\nfile a/d/kept", "name")
	f.Fuzz(func(t *testing.T, script, name string) {
		archive := archive(headers(script)...)
		if name != "" && (!fs.ValidPath(name) || strings.Contains(name, "/") || name == ".") {
			name = "name" // destination gives no other
		}
		root := t.TempDir()
		in, out := filepath.Join(root, "in"), filepath.Join(root, "out")
		for _, d := range []string{in, out} {
			if err := os.Mkdir(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(out, "kept"), []byte("kept"), 0o600); err != nil {
			t.Fatal(err)
		}
		unpack(io.LimitReader(bytes.NewReader(archive), 1<<20), in, name)
		info, err := os.Stat(filepath.Join(out, "kept"))
		if err != nil || info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Nlink != 1 || tree(t, out) != "kept=kept\n" {
			t.Error("something outside has changed")
		}
		if entries, err := os.ReadDir(in); err != nil || len(entries) > 1 {
			t.Errorf("there are %d top-level entries", len(entries))
		}
		os.Chmod(in, 0o700)
	})
}

// copyIn and copyOut are the two methods with bytes for streams.
func (h *host) copyIn(path string, archive []byte) (*guestapi.CopyInResp, error) {
	req := &guestapi.CopyInReq{Path: path}
	s, ref := req.Open()
	req.Data = ref
	go func() {
		s.Write(archive)
		s.CloseWrite()
	}()
	defer s.Close()
	return ipc.Call(h.ctx, h.Conn, guestapi.CopyIn, req)
}

func (h *host) copyOut(path string, follow bool) ([]byte, *guestapi.CopyOutResp, error) {
	req := &guestapi.CopyOutReq{Path: path, Follow: follow}
	s, ref := req.Open()
	req.Data = ref
	text := said(s)
	resp, err := ipc.Call(h.ctx, h.Conn, guestapi.CopyOut, req)
	defer s.Close()
	return []byte(<-text), resp, err
}

func TestCopyThereAndBack(t *testing.T) {
	h := serve(t, nil)
	from, to := t.TempDir(), t.TempDir()
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	h.sh(t, "cd "+from+" && mkdir -p d/e d/locked && echo one > d/one && head -c 3000000 /dev/urandom > d/e/big && ln -s one d/link && ln d/one d/twin && "+
		"touch d/locked/f && chmod 4751 d/one && chmod 555 d/locked && mkfifo d/pipe && truncate -s 20M d/holes")
	if os.Getuid() == 0 {
		h.sh(t, "chown 12:34 "+from+"/d/e/big")
	}
	for _, name := range []string{"d/e/big", "d/locked", "d"} {
		if err := os.Chtimes(filepath.Join(from, name), when, when); err != nil {
			t.Fatal(err)
		}
	}
	data, resp, err := h.copyOut(from+"/d", false)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Files != 9 || resp.Skipped != 1 || resp.Bytes < 20<<20+3000000 {
		t.Errorf("copied out: %+v", resp)
	}
	for _, tt := range []struct{ path, at string }{{to, to + "/d"}, {to + "/new", to + "/new"}, {to + "/new/", to + "/new/d"}} {
		back, err := h.copyIn(tt.path, data)
		if err != nil {
			t.Fatal(err)
		}
		if back.Files != resp.Files || back.Bytes < resp.Bytes {
			t.Errorf("copied in: %+v", back)
		}
		look := "cd %s && find . ! -type p ! -path './d*' | sort | xargs stat -c '%%n %%a %%u %%g %%h %%F' && cat one && cksum < e/big && cksum < holes && stat -c %%Y e/big locked . && readlink link"
		want, got := h.sh(t, fmt.Sprintf(look, from+"/d")), h.sh(t, fmt.Sprintf(look, tt.at))
		if tt.path == to+"/new" { // it is of another size below
			want, got = strings.ReplaceAll(want, " directory", ""), strings.ReplaceAll(got, " directory", "")
		}
		if got != want {
			t.Errorf("to %s: there is\n%s\nwant\n%s", tt.path, got, want)
		}
	}
}

func TestCopyFile(t *testing.T) {
	h := serve(t, nil)
	root := t.TempDir()
	h.sh(t, "cd "+root+" && mkdir dir && echo old > old && ln -s old link && ln -s dir dirlink && ln -s nowhere broken")
	in := archive(file("name"))
	tests := []struct {
		to, at string // at is where it arrives; "" for refused
	}{
		{"new", "new"}, {"dir", "dir/name"}, {"dir/", "dir/name"}, {"dirlink", "dir/name"}, {"old", "old"}, {"link", "old"}, {"none/", ""}, {"none/x", ""}, {"old/x", ""}, {"broken", "broken"},
	}
	for _, tt := range tests {
		_, err := h.copyIn(root+"/"+tt.to, in)
		var e *ipc.Error
		if tt.at == "" {
			if !errors.As(err, &e) || e.Code != guestapi.NotFound {
				t.Errorf("to %s: %v, want not-found", tt.to, err)
			}
			continue
		}
		if got, _ := os.ReadFile(filepath.Join(root, tt.at)); err != nil || string(got) != "name" {
			t.Errorf("to %s: %v, and %s holds %q", tt.to, err, tt.at, got)
		}
	}
	if got, err := os.Readlink(root + "/link"); err != nil || got != "old" {
		t.Errorf("a link was replaced: %q, %v", got, err)
	}
	for _, tt := range []struct {
		from   string
		follow bool
		want   byte
		name   string
	}{{"link", false, tar.TypeSymlink, "link"}, {"link", true, tar.TypeReg, "link"}, {"dirlink", false, tar.TypeSymlink, "dirlink"}, {"dirlink", true, tar.TypeDir, "dirlink/"}} {
		data, _, err := h.copyOut(root+"/"+tt.from, tt.follow)
		first, e := tar.NewReader(bytes.NewReader(data)).Next()
		if err != nil || e != nil || first.Typeflag != tt.want || first.Name != tt.name {
			t.Errorf("%s, followed %v: %v, %v, %+v", tt.from, tt.follow, err, e, first)
		}
	}
	for path, code := range map[string]ipc.Code{"/": ipc.BadRequest, "": ipc.BadRequest, root + "/none": guestapi.NotFound, root + "/old/x": guestapi.NotFound} {
		_, _, err := h.copyOut(path, false)
		var e *ipc.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("copying %q: %v, want %s", path, err, code)
		}
	}
}

func TestCopyEndsWithItsCaller(t *testing.T) {
	h := serve(t, nil)
	root := t.TempDir()
	h.sh(t, "truncate -s 1G "+root+"/big")
	ctx, cancel := context.WithCancel(h.ctx)
	req := &guestapi.CopyOutReq{Path: root + "/big"}
	s, ref := req.Open()
	req.Data = ref
	go func() {
		io.ReadFull(s, make([]byte, 1<<20))
		cancel()
	}()
	if _, err := ipc.Call(ctx, h.Conn, guestapi.CopyOut, req); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
	ctx, cancel = context.WithCancel(h.ctx)
	in := &guestapi.CopyInReq{Path: root}
	s, ref = in.Open()
	in.Data = ref
	go func() {
		s.Write(archive(file("a"))[:600]) // and then nothing
		cancel()
	}()
	if _, err := ipc.Call(ctx, h.Conn, guestapi.CopyIn, in); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
}

func TestACopyThatDoesNotFit(t *testing.T) {
	asRoot(t)
	h := serve(t, nil)
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	defer syscall.Unmount(small, syscall.MNT_DETACH)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 1 << 20, Mode: 0o644})
	w.Write(make([]byte, 1<<20))
	w.Close()
	var e *ipc.Error
	if _, err := h.copyIn(small, b.Bytes()); !errors.As(err, &e) || e.Code != guestapi.NoSpace {
		t.Errorf("a full disk: %v", err)
	}
}
