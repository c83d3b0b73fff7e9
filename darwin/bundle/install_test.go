package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A place is a user's home in which scripts/install works; the app's arcbox writes down how it was called.
type place struct {
	t    *testing.T
	root string
}

func newPlace(t *testing.T) *place {
	p := &place{t, t.TempDir()}
	put(t, p.path("ArcBox.app/Contents/MacOS/arcbox"), []byte("#!/bin/sh\necho \"$@\" >>"+p.path("calls")+"\n"))
	put(t, p.path("ArcBox.app/Contents/Resources/new"), nil)
	return p
}

func (p *place) path(name string) string { return filepath.Join(p.root, name) }

func (p *place) install(args ...string) (string, error) {
	cmd := exec.Command("scripts/install", args...)
	cmd.Env = append(os.Environ(), "HOME="+p.root, "APPDIR="+p.path("Apps"), "BINDIR="+p.path("bin"), "BUNDLE="+p.path("ArcBox.app"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (p *place) calls() string {
	data, _ := os.ReadFile(p.path("calls"))
	return string(data)
}

func TestInstallAndRemove(t *testing.T) {
	p := newPlace(t)
	put(t, p.path("Apps/ArcBox.app/Contents/Resources/old"), nil)
	for range 2 { // the second replaces the first
		if out, err := p.install(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if to, err := os.Readlink(p.path("bin/arcbox")); err != nil || to != p.path("Apps/ArcBox.app/Contents/MacOS/arcbox") {
		t.Errorf("the link leads to %s, %v", to, err)
	}
	if _, err := os.Stat(p.path("Apps/ArcBox.app/Contents/Resources/old")); err == nil {
		t.Error("something of the old app is left")
	}
	if out, err := p.install("--remove"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := p.calls(); got != "version\nagent install\nversion\nagent install\nagent uninstall\n" {
		t.Errorf("arcbox was called %q", got)
	}
	for _, name := range []string{"bin/arcbox", "Apps/ArcBox.app"} {
		if _, err := os.Lstat(p.path(name)); err == nil {
			t.Errorf("%s is left", name)
		}
	}
	if out, err := p.install("--remove"); err != nil {
		t.Errorf("removing nothing: %v: %s", err, out)
	}
}

func TestInstallLeavesAnothersProgram(t *testing.T) {
	p := newPlace(t)
	put(t, p.path("bin/arcbox"), []byte("mine"))
	if out, err := p.install(); err == nil || !strings.Contains(out, "another program's") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := p.install("--remove"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if data, err := os.ReadFile(p.path("bin/arcbox")); err != nil || string(data) != "mine" {
		t.Errorf("it is %q, %v now", data, err)
	}
	if err := os.Remove(p.path("bin/arcbox")); err != nil {
		t.Fatal(err)
	}
	put(t, p.path("ArcBox.app/Contents/MacOS/arcbox"), []byte("\xcf\xfa\xed\xfe")) // for another system
	if out, err := p.install(); err == nil || !strings.Contains(out, "does not run it") {
		t.Errorf("a program for another system: %v: %s", err, out)
	}
	if _, err := os.Stat(p.path("Apps")); err == nil {
		t.Error("it was installed all the same")
	}
	if err := os.RemoveAll(p.path("ArcBox.app")); err != nil {
		t.Fatal(err)
	}
	if out, err := p.install(); err == nil || !strings.Contains(out, "make bundle") {
		t.Errorf("without an app: %v: %s", err, out)
	}
}
