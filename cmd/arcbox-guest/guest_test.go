//go:build linux

package main

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"syscall"
	"testing"
)

func TestOutcome(t *testing.T) {
	tests := []struct {
		name   string
		status syscall.WaitStatus // as wait(2) encodes it
		want   string
	}{
		{"success", 0, "ended with status 0"},
		{"failure", 3 << 8, "ended with status 3"},
		{"killed", 9, "was killed by signal 9 (killed)"},
		{"killed with a core", 0x80 | 11, "was killed by signal 11 (segmentation fault)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := outcome(tt.status); got != tt.want {
				t.Errorf("outcome(%#x) = %q, want %q", uint32(tt.status), got, tt.want)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	got := attributes(map[string]string{"B": "2", "A": "1 x"})
	if want := append(slices.Clone(environment), "A=1 x", "B=2"); !reflect.DeepEqual(got.Env, want) {
		t.Errorf("environment is %q, want %q", got.Env, want)
	}
	if slices.Contains(environment, "A=1 x") || !got.Sys.Setsid || got.Sys.Setctty {
		t.Error("a program changes the next one's environment, or has no session of its own")
	}
}

func TestBytesPerInode(t *testing.T) {
	for size, want := range map[int64]int64{16 << 20: 16384, 64 << 30: 16384, 64<<30 + 1: 65536, 2 << 40: 65536, 8 << 40: 262144} {
		if got := bytesPerInode(size); got != want {
			t.Errorf("a disk of %d bytes gets an inode for every %d bytes, want %d", size, got, want)
		}
	}
}

func TestFileSystemSize(t *testing.T) {
	tests := []struct {
		name             string
		size, room, want int64
	}{
		{"the host has not said", 8 << 40, 0, 8 << 40},
		{"a disk that is larger than the host", 8 << 40, 1 << 40, 1280 << 30},
		{"a disk that is a little larger", 9 << 30, 8 << 30, 9 << 30},
		{"a disk that the host can keep", 64 << 30, 1 << 40, 64 << 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fileSystemSize(tt.size, tt.room); got != tt.want {
				t.Errorf("fileSystemSize(%d, %d) = %d, want %d", tt.size, tt.room, got, tt.want)
			}
		})
	}
}

func TestOutgrown(t *testing.T) {
	for have, want := range map[int64]bool{0: true, 640 << 30: true, 1200 << 30: false, 1280 << 30: false, 8 << 40: false} {
		if got := outgrown(have, 1280<<30); got != want {
			t.Errorf("a file system of %d bytes has been outgrown: %v, want %v", have, got, want)
		}
	}
}

func TestMounted(t *testing.T) {
	for dir, want := range map[string]bool{"/proc": true, t.TempDir(): false, "/nowhere": false} {
		if got := mounted(dir); got != want {
			t.Errorf("mounted(%q) = %v, want %v", dir, got, want)
		}
	}
}

func TestOpenDiskRefuses(t *testing.T) {
	if _, err := openDisk(t.TempDir() + "/vdb"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a disk that is not there gives %v, want not exist", err)
	}
}
