package file

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// image makes a file of n bytes that are not zero, and opens it.
func image(t testing.TB, n int) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, bytes.Repeat([]byte{0xa5}, n), 0o600); err != nil {
		t.Fatal(err)
	}
	return open(t, path), path
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func read(t *testing.T, f *File, off, n int64) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"a directory": dir, "nothing": filepath.Join(dir, "none"), "a device": "/dev/null"} {
		if f, err := Open(path, true); err == nil {
			t.Errorf("%s was opened as an image", name)
			_ = f.Close()
		}
	}
}

func TestPolicyNames(t *testing.T) {
	for _, p := range []Policy{Host, Barrier, Full} {
		if got, err := ParsePolicy(p.String()); got != p || err != nil {
			t.Errorf("%v reads back as %v, %v", p, got, err)
		}
	}
	if _, err := ParsePolicy("none"); err == nil {
		t.Error(`policy "none" was accepted`)
	}
}

func TestReadAndWriteStayWithinTheImage(t *testing.T) {
	f, _ := image(t, 8192)
	if n, err := f.ReadAt(make([]byte, 100), 8142); n != 50 || err != io.EOF {
		t.Errorf("reading over the end: %d, %v, want 50 and EOF", n, err)
	}
	for _, off := range []int64{8192 - 99, 8192, 1 << 62, -1} {
		if _, err := f.WriteAt(make([]byte, 100), off); err == nil {
			t.Errorf("100 bytes were written at %d of 8192", off)
		}
		if _, err := f.WritevAt([][]byte{make([]byte, 50), make([]byte, 50)}, off); err == nil {
			t.Errorf("two buffers were written at %d of 8192", off)
		}
	}
	if st, _ := f.f.Stat(); st.Size() != 8192 {
		t.Errorf("the file has %d bytes now", st.Size())
	}
}

func TestVectorsEqualOneBuffer(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	f, _ := image(t, 64<<10)
	want := make([]byte, 32<<10)
	for i := range want {
		want[i] = byte(rnd.Uint32())
	}
	for _, most := range []int{1, 7, 600, 40000} { // 1 makes more buffers than one call takes
		cut := func(b []byte) (bufs [][]byte) {
			for len(b) > 0 {
				n := min(len(b), 1+rnd.IntN(most))
				bufs = append(bufs, b[:n])
				b = b[n:]
			}
			return bufs
		}
		if n, err := f.WritevAt(cut(want), 1000); n != len(want) || err != nil {
			t.Fatalf("write in pieces of %d: %d, %v", most, n, err)
		}
		got := make([]byte, len(want))
		if n, err := f.ReadvAt(cut(got), 1000); n != len(got) || err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read in pieces of %d: %d, %v, equal %v", most, n, err, bytes.Equal(got, want))
		}
	}
	if n, err := f.ReadvAt([][]byte{make([]byte, 10), make([]byte, 10)}, 64<<10-15); n != 15 || err != io.EOF {
		t.Errorf("reading over the end: %d, %v, want 15 and EOF", n, err)
	}
}

func TestZeroTouchesNothingElse(t *testing.T) {
	for _, hole := range []bool{false, true} {
		for _, r := range [][2]int64{{0, 16384}, {4096, 4096}, {1, 100}, {100, 8192}, {4000, 200}, {8192, 0}, {16383, 1}} {
			f, _ := image(t, 16384)
			if err := f.Zero(r[0], r[1], hole); err != nil {
				t.Fatal(err)
			}
			want := bytes.Repeat([]byte{0xa5}, 16384)
			clear(want[r[0] : r[0]+r[1]])
			if !bytes.Equal(read(t, f, 0, 16384), want) {
				t.Errorf("zeroing %d bytes at %d (hole %v) gave other bytes", r[1], r[0], hole)
			}
		}
	}
}

func TestPunchIsAlignedInward(t *testing.T) {
	f, _ := image(t, 16384)
	if err := f.Punch(100, 16384-200); err != nil {
		t.Fatal(err)
	}
	b := read(t, f, 0, 16384)
	for _, at := range []int{0, 4095, 12288, 16383} {
		if b[at] != 0xa5 {
			t.Errorf("byte %d outside the whole blocks is %#x", at, b[at])
		}
	}
	if err := f.Punch(0, 16385); err == nil {
		t.Error("a hole over the end was made")
	}
}

func TestPunchGivesSpaceBack(t *testing.T) {
	f, _ := image(t, 4<<20)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Allocated()
	if err := f.Punch(0, 4<<20); err != nil {
		t.Fatal(err)
	}
	if f.coarse.Load() {
		t.Skip("this file system has no holes")
	}
	if after, _ := f.Allocated(); after > before-(3<<20) {
		t.Errorf("%d bytes are allocated after punching, %d before", after, before)
	}
}

func TestGrowAndPreallocate(t *testing.T) {
	f, _ := image(t, 4096)
	if err := f.Grow(1 << 20); err != nil || f.Size() != 1<<20 {
		t.Fatalf("grow: %v, size %d", err, f.Size())
	}
	if err := f.Grow(4096); err == nil {
		t.Error("the image shrank")
	}
	err := f.Preallocate(0, 1<<20)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this file system cannot preallocate")
	}
	if n, _ := f.Allocated(); err != nil || n < 1<<20 || f.Size() != 1<<20 {
		t.Errorf("preallocate: %v, %d bytes allocated, size %d", err, n, f.Size())
	}
	if b := read(t, f, 4096, 4096); !bytes.Equal(b, make([]byte, 4096)) {
		t.Error("preallocated space reads as something")
	}
}

func TestLocks(t *testing.T) {
	tests := []struct {
		name          string
		first, second bool // exclusive
		want          error
	}{
		{"two readers", false, false, nil},
		{"reader after writer", true, false, ErrLocked},
		{"writer after reader", false, true, ErrLocked},
		{"two writers", true, true, ErrLocked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, path := image(t, 512)
			b := open(t, path)
			if err := a.Lock(tt.first); err != nil {
				t.Fatal(err)
			}
			if err := b.Lock(tt.second); !errors.Is(err, tt.want) {
				t.Errorf("second lock: %v, want %v", err, tt.want)
			}
			_ = a.Close()
			if err := b.Lock(true); err != nil {
				t.Errorf("lock after the first was closed: %v", err)
			}
		})
	}
}

func TestCloneHasTheSameBytesAndHoles(t *testing.T) {
	for name, clone := range map[string]func(*File, string) error{"clone": (*File).Clone, "copy": (*File).copyTo} {
		t.Run(name, func(t *testing.T) {
			f, path := image(t, 8192)
			if err := f.Grow(64 << 20); err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("far away"), 32<<20); err != nil {
				t.Fatal(err)
			}
			if err := clone(f, path); err == nil {
				t.Error("an existing file was overwritten")
			}
			if err := clone(f, path+".2"); err != nil {
				t.Fatal(err)
			}
			c := open(t, path+".2")
			if c.Size() != 64<<20 || !bytes.Equal(read(t, c, 0, 12288), read(t, f, 0, 12288)) ||
				string(read(t, c, 32<<20, 8)) != "far away" {
				t.Error("the clone differs")
			}
			if n, _ := c.Allocated(); n > 8<<20 {
				t.Errorf("the clone of 12 KiB of data takes %d bytes", n)
			}
		})
	}
}

// On a volume that lacks a way to flush another one is taken; see docs/mac.md.
func TestEveryPolicyFlushes(t *testing.T) {
	for _, p := range []Policy{Host, Barrier, Full} {
		f, _ := image(t, 8192)
		if err := f.SyncAs(p); err != nil {
			t.Errorf("%v: %v", p, err)
		}
	}
}

func TestSyncFailsForEverAfterItFailedOnce(t *testing.T) {
	f, _ := image(t, 512)
	good := f.fd
	f.fd = -1
	if err := f.Sync(); err == nil || errors.Is(err, ErrSyncLost) {
		t.Errorf("sync of a bad descriptor: %v", err)
	}
	f.fd = good
	if err := f.SyncAs(Full); !errors.Is(err, ErrSyncLost) {
		t.Errorf("sync after a failed one: %v, want %v", err, ErrSyncLost)
	}
}

func TestNoAllocationPerRequest(t *testing.T) {
	f, _ := image(t, 1<<20)
	bufs := make([][]byte, 32)
	for i := range bufs {
		bufs[i] = make([]byte, 4096)
	}
	n := testing.AllocsPerRun(100, func() {
		_, e1 := f.ReadAt(bufs[0], 0)
		_, e2 := f.WriteAt(bufs[0], 0)
		_, e3 := f.ReadvAt(bufs, 0)
		_, e4 := f.WritevAt(bufs, 0)
		if e1 != nil || e2 != nil || e3 != nil || e4 != nil {
			t.Fatal(e1, e2, e3, e4)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations per read, write and both with vectors, want 0", n)
	}
}
