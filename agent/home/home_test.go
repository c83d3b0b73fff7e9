package home

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindPrefersTheVariable(t *testing.T) {
	t.Setenv(Env, "relative/dir")
	h, err := Find()
	if err != nil || !filepath.IsAbs(h.Root()) || !strings.HasSuffix(h.Root(), "relative/dir") {
		t.Errorf("%q, %v: want an absolute path that ends in relative/dir", h.Root(), err)
	}
	t.Setenv(Env, "")
	t.Setenv("HOME", "/somebody")
	if h, err = Find(); err != nil || h.Root() != "/somebody/.arcbox" {
		t.Errorf("%q, %v: want /somebody/.arcbox", h.Root(), err)
	}
	t.Setenv("HOME", "")
	if _, err = Find(); err == nil || !strings.Contains(err.Error(), Env) {
		t.Errorf("without a home directory: %v, want advice to set %s", err, Env)
	}
}

func TestSocketsCanBeBoundWhateverTheHome(t *testing.T) {
	for _, n := range []int{1, 60, 90, 200, 2000} {
		t.Setenv(Env, filepath.Join(t.TempDir(), strings.Repeat("d/", n/2)+"home"))
		h, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		path, err := h.Socket("arcboxd.sock")
		if err != nil {
			t.Errorf("home of %d bytes: %v", len(h.Root()), err)
			continue
		}
		again, _ := h.Socket("arcboxd.sock")
		l, err := net.Listen("unix", path)
		if err != nil || len(path) > maxSocket || again != path {
			t.Errorf("home of %d bytes: socket %s (%d bytes), then %s: %v", len(h.Root()), path, len(path), again, err)
			continue
		}
		l.Close()
		if dir := filepath.Dir(path); dir != h.Run() {
			os.Remove(dir)
		}
	}
}

func TestTwoHomesHaveTwoSockets(t *testing.T) {
	long := strings.Repeat("x", 100)
	a, err := Home{"/" + long + "/a"}.Socket("s")
	b, err2 := Home{"/" + long + "/b"}.Socket("s")
	if err != nil || err2 != nil || a == b {
		t.Errorf("%q (%v) and %q (%v): want two paths", a, err, b, err2)
	}
	os.Remove(filepath.Dir(a))
	os.Remove(filepath.Dir(b))
}

func TestSocketDirectoriesAreTheUsersAlone(t *testing.T) {
	h := Home{t.TempDir()}
	if err := os.Mkdir(h.Run(), 0o777); err != nil {
		t.Fatal(err)
	}
	os.Chmod(h.Run(), 0o777)
	if _, err := h.Socket("s"); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(h.Run()); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode().Perm())
	}
	os.Remove(h.Run())
	if err := os.Symlink("/tmp", h.Run()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Socket("s"); err == nil {
		t.Error("a link in the directory's place was followed")
	}
}

func TestNamesThatFitNowhere(t *testing.T) {
	if _, err := (Home{"/h"}).Socket(strings.Repeat("n", 104)); err == nil {
		t.Error("a name of 104 bytes was taken")
	}
}

func TestTheServiceIsNamedAfterTheHome(t *testing.T) {
	user := t.TempDir()
	t.Setenv("HOME", user)
	names := map[string]bool{}
	for _, root := range []string{filepath.Join(user, ".arcbox"), filepath.Join(user, "other"), "/elsewhere"} {
		t.Setenv(Env, root)
		h, err := Find()
		if err != nil {
			t.Fatal(err)
		}
		name := h.Service()
		if names[name] || (name == service) != (root == filepath.Join(user, ".arcbox")) {
			t.Errorf("the service of %s is %s", root, name)
		}
		names[name] = true
	}
}
