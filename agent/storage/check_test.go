package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// extHead is what an ext4 begins with, of so many blocks of 4 KiB.
func extHead(blocks uint64) []byte {
	b := make([]byte, superblocks)
	le := binary.LittleEndian
	sb := b[1024:]
	le.PutUint32(sb[0x4:], uint32(blocks))
	le.PutUint32(sb[0x18:], 2)
	le.PutUint16(sb[0x38:], 0xEF53)
	le.PutUint32(sb[0x60:], 0x80)
	le.PutUint32(sb[0x150:], uint32(blocks>>32))
	return b
}

func btrfsHead(size uint64) []byte {
	b := make([]byte, superblocks)
	copy(b[64<<10+0x40:], "_BHRfS_M")
	binary.LittleEndian.PutUint64(b[64<<10+0xc9+8:], size)
	return b
}

func xfsHead(block uint32, blocks uint64) []byte {
	b := make([]byte, superblocks)
	copy(b, "XFSB")
	binary.BigEndian.PutUint32(b[4:], block)
	binary.BigEndian.PutUint64(b[8:], blocks)
	return b
}

func TestFileSystem(t *testing.T) {
	tests := []struct {
		name string
		head []byte
		kind string
		size int64
	}{
		{"nothing", nil, "", 0},
		{"zeroes", make([]byte, superblocks), "", 0},
		{"ext4", extHead(1 << 20), "ext4", 4 << 30},
		{"ext4 of 8 TiB and more", extHead(1 << 33), "ext4", 32 << 40},
		{"ext4 cut off in its superblock", extHead(1)[:1500], "", 0},
		{"ext4 of more than there can be", extHead(math.MaxUint64), "ext4", math.MaxInt64},
		{"btrfs", btrfsHead(8 << 40), "btrfs", 8 << 40},
		{"btrfs of more than there can be", btrfsHead(math.MaxUint64), "btrfs", math.MaxInt64},
		{"xfs", xfsHead(4096, 1000), "xfs", 4096000},
		{"xfs of more than there can be", xfsHead(math.MaxUint32, math.MaxUint64), "xfs", math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if kind, size := fileSystem(tt.head); kind != tt.kind || size != tt.size {
				t.Errorf("%q of %d bytes, want %q of %d", kind, size, tt.kind, tt.size)
			}
		})
	}
}

// What mkfs writes is a second opinion on where the fields are.
func TestFileSystemThatMkfsMade(t *testing.T) {
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "i")
	closed(t, Spec{Path: path, Size: 128 * mib})
	if out, err := exec.Command("mkfs.ext4", "-q", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r, err := Check(context.Background(), path, true)
	if err != nil || r.FileSystem != "ext4" || r.FileSystemSize != 128*mib || len(r.Problems) != 0 {
		t.Errorf("check of a new ext4: %+v, %v", r, err)
	}
}

func FuzzFileSystem(f *testing.F) {
	f.Add(extHead(5))
	f.Add(btrfsHead(5))
	f.Add(xfsHead(5, 5))
	f.Fuzz(func(t *testing.T, head []byte) {
		if kind, size := fileSystem(head); size < 0 || (kind == "" && size != 0) {
			t.Errorf("%q of %d bytes", kind, size)
		}
	})
}

func TestCheck(t *testing.T) {
	tests := []struct {
		name    string
		content []byte
		size    int64
		mode    os.FileMode
		problem string // in the only problem, "" for none
		note    string
	}{
		{"an empty image", nil, mib, 0o600, "", "no file system"},
		{"a whole one", extHead(256), mib, 0o600, "", ""},
		{"one whose end is missing", extHead(257), mib, 0o600, "its end is missing", ""},
		{"one cut off within a sector", extHead(256), mib + 100, 0o600, "no whole number of sectors", ""},
		{"one that all may read", extHead(256), mib, 0o644, "", "chmod 600"},
		{"one shorter than a superblock", nil, 512, 0o600, "", "no file system"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "i")
			if err := os.WriteFile(path, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, tt.size); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			r, err := Check(context.Background(), path, true)
			if err != nil {
				t.Fatal(err)
			}
			problems, notes := strings.Join(r.Problems, "\n"), strings.Join(r.Notes, "\n")
			if (tt.problem == "") != (len(r.Problems) == 0) || len(r.Problems) > 1 || !strings.Contains(problems, tt.problem) {
				t.Errorf("problems %q, want one with %q", problems, tt.problem)
			}
			if !strings.Contains(notes, tt.note) {
				t.Errorf("notes %q, want %q in them", notes, tt.note)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the check changed the image")
			}
		})
	}
}

func TestCheckSaysWhatIsAround(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "i")
	ensure(t, Spec{Path: path, Size: MinSize})
	if err := os.WriteFile(filepath.Join(dir, tempPrefix+"1"+tempSuffix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Check(context.Background(), path, false)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(r.Notes, "\n")
	for _, want := range []string{"a machine is using the image", "1 unfinished images"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q do not say %q", notes, want)
		}
	}
	if _, err := Check(context.Background(), filepath.Join(dir, "none"), false); err == nil {
		t.Error("an image that is not there was checked")
	}
}
