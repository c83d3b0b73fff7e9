package superblock

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// sparse is a disk of zeroes with a few bytes written over it.
type sparse struct {
	size int64
	at   int64
	text string
}

func (s sparse) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 || off+int64(len(b)) > s.size {
		return 0, io.EOF
	}
	clear(b)
	for i := range s.text {
		if j := s.at + int64(i) - off; j >= 0 && j < int64(len(b)) {
			b[j] = s.text[i]
		}
	}
	return len(b), nil
}

func TestIdentify(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name string
		disk sparse
		want Kind
	}{
		{"nothing written", sparse{size: gib}, Blank},
		{"8 TiB of nothing", sparse{size: 8 << 40}, Blank},
		{"smallest disk", sparse{size: MinSize}, Blank},
		{"too small a disk", sparse{size: MinSize - 512}, Unknown},
		{"no disk at all", sparse{}, Unknown},
		{"ext4", sparse{gib, 1024 + 56, "\x53\xef"}, Ext4},
		{"ext4 on a small disk", sparse{1 << 20, 1024 + 56, "\x53\xef"}, Ext4},
		{"btrfs", sparse{gib, 65536 + 64, "_BHRfS_M"}, Btrfs},
		{"partition table", sparse{gib, 510, "\x55\xaa"}, Unknown},
		{"XFS", sparse{gib, 0, "XFSB"}, Unknown},
		{"LUKS", sparse{gib, 0, "LUKS\xba\xbe"}, Unknown},
		{"LVM", sparse{gib, 512, "LABELONE"}, Unknown},
		{"swap", sparse{gib, 4086, "SWAPSPACE2"}, Unknown},
		{"EROFS", sparse{gib, 1024, "\xe2\xe1\xf5\xe0"}, Unknown},
		{"ISO 9660", sparse{gib, 32769, "CD001"}, Unknown},
		{"last byte of the first MiB", sparse{gib, 1<<20 - 1, "x"}, Unknown},
		{"backup GPT", sparse{gib, gib - 512, "EFI PART"}, Unknown},
		{"md 0.90", sparse{gib, gib - 65536, "\xfc\x4e\x2b\xa9"}, Unknown},
		{"first byte of the tail", sparse{gib, gib - 512<<10, "x"}, Unknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Identify(tt.disk, tt.disk.size)
			if err != nil || got != tt.want {
				t.Errorf("Identify = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestIdentifyReadError(t *testing.T) {
	// The disk ends before the size it is said to have.
	if got, err := Identify(sparse{size: MinSize}, 2*MinSize); got != Unknown || !errors.Is(err, io.EOF) {
		t.Errorf("Identify = %q, %v; want unknown and the cause", got, err)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add([]byte("XFSB"), int64(MinSize))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		got, err := Identify(bytes.NewReader(b), size)
		if got == Blank && (err != nil || len(bytes.Trim(b[:min(len(b), headSize)], "\x00")) > 0) {
			t.Errorf("%d bytes that are not zero are blank (%v)", len(b), err)
		}
	})
}

func TestEROFS(t *testing.T) {
	head := make([]byte, 2048)
	copy(head[1024:], []byte{0xe2, 0xe1, 0xf5, 0xe0})
	for i := range 16 {
		head[1024+48+i] = byte(i)
	}
	if uuid, ok := EROFS(bytes.NewReader(head)); !ok || uuid != [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} {
		t.Errorf("an EROFS has the UUID %x, %v", uuid, ok)
	}
	for name, disk := range map[string][]byte{"zeroes": make([]byte, 2048), "too short": head[:1080], "nothing": nil} {
		if _, ok := EROFS(bytes.NewReader(disk)); ok {
			t.Errorf("%s is an EROFS", name)
		}
	}
}
