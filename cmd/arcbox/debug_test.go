package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestSpans(t *testing.T) {
	tests := []struct {
		text      string
		base      int
		low, high uint64
		ok        bool
	}{
		{"", 16, 0, 0, true},
		{"10-20", 16, 0x10, 0x20, true},
		{"0xffff000000000000-", 16, 0xffff_0000_0000_0000, 0, true},
		{"-20", 10, 0, 20, true},
		{"7-7", 10, 7, 7, true},
		{"7-7", 16, 0, 0, false},
		{"20-10", 10, 0, 0, false},
		{"10", 10, 0, 0, false},
		{"a-b", 10, 0, 0, false},
		{"1-2-3", 10, 0, 0, false},
	}
	for _, tt := range tests {
		low, high, ok := parseSpan(tt.text, tt.base)
		if ok != tt.ok || ok && (low != tt.low || high != tt.high) {
			t.Errorf("%q in base %d: %#x to %#x, %v", tt.text, tt.base, low, high, ok)
		}
	}
}

func TestGdbSocketIsTheUsersAlone(t *testing.T) {
	d := debugFlags{gdb: filepath.Join(t.TempDir(), "gdb")}
	f, err := d.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := os.Stat(d.gdb)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	if _, err := (&debugFlags{gdb: d.gdb}).listen(); err == nil {
		t.Error("two listen on one socket")
	}
	d.close()
	if _, err := os.Stat(d.gdb); err == nil {
		t.Error("the socket stays")
	}
}

func TestStaleGdbSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gdb")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	d := debugFlags{gdb: path}
	f, err := d.listen()
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	d.close()
}

func TestGdbPortIsOnTheLoopback(t *testing.T) {
	d := debugFlags{gdb: "localhost:0"}
	f, err := d.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
		t.Errorf("gdb is served at %v", a)
	}
}
