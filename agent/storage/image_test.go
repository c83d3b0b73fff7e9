package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

const mib = 1 << 20

// dense is a file system without holes.
func dense(string) (bool, error) { return false, nil }

func ensure(t *testing.T, s Spec) *Image {
	t.Helper()
	img, err := Ensure(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = img.Close() })
	return img
}

// closed makes an image and closes it again.
func closed(t *testing.T, s Spec) {
	t.Helper()
	if err := ensure(t, s).Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEnsure(t *testing.T) {
	tests := []struct {
		name      string
		have, ask int64 // have 0: there is none
		want      int64
		note      string
		fails     string
	}{
		{"a new one is 8 TiB", 0, 0, 8 << 40, "", ""},
		{"a new one of a size", 0, 32 * mib, 32 * mib, "", ""},
		{"one that is there stays", 32 * mib, 0, 32 * mib, "", ""},
		{"one that is there already", 32 * mib, 32 * mib, 32 * mib, "", ""},
		{"it grows", 32 * mib, 48 * mib, 48 * mib, "", ""},
		{"it never shrinks", 48 * mib, 32 * mib, 48 * mib, "never shrinks", ""},
		{"half a sector", 0, 32*mib + 256, 0, "", "multiple of 512"},
		{"too small", 0, mib, 0, "", "from 16 MiB on"},
		{"a size below zero", 0, -512, 0, "", "cannot make"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "data", DefaultName)
			if tt.have != 0 {
				closed(t, Spec{Path: path, Size: tt.have})
			}
			img, err := Ensure(Spec{Path: path, Size: tt.ask})
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("size %d: %v, want an error with %q", tt.ask, err, tt.fails)
				}
				if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
					t.Errorf("the refused image left %v", left)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if st, _ := os.Stat(path); st.Size() != tt.want || img.Size() != tt.want || st.Mode().Perm() != 0o600 {
				t.Errorf("size %d: image of %d, file of %d, mode %v, want %d", tt.ask, img.Size(), st.Size(), st.Mode(), tt.want)
			}
			if got := strings.Join(img.Notes, "\n"); !strings.Contains(got, tt.note) || (tt.note == "" && got != "") {
				t.Errorf("notes %q, want %q in them", got, tt.note)
			}
		})
	}
}

func TestImageLargerThanAnyFile(t *testing.T) {
	dir := t.TempDir()
	img, err := Ensure(Spec{Path: filepath.Join(dir, "i"), Size: 1<<63 - 512, Reserve: -1})
	if err == nil {
		_ = img.Close()
		t.Skip("this file system has files of that size")
	}
	if !strings.Contains(err.Error(), "say a smaller one") {
		t.Errorf("%v, want advice", err)
	}
	if all, _ := os.ReadDir(dir); len(all) != 0 {
		t.Errorf("files left: %v", all)
	}
}

func TestNewImageTakesItsReserveOnly(t *testing.T) {
	for reserve, most := range map[int64]int64{-1: mib, 0: DefaultReserve + mib, 8 * mib: 9 * mib} {
		img := ensure(t, Spec{Path: filepath.Join(t.TempDir(), "i"), Reserve: reserve})
		n, err := img.Allocated()
		if err != nil || n > most {
			t.Errorf("reserve %d: %d bytes are taken (%v), want at most %d", reserve, n, err, most)
		}
		if reserve > 0 && n < reserve {
			t.Errorf("reserve %d: only %d bytes are taken", reserve, n)
		}
	}
}

func TestNothingIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "i")
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := create(Spec{Path: path, Size: MinSize}, holes); !errors.Is(err, fs.ErrExist) {
		t.Errorf("making an image where there is a file: %v, want %v", err, fs.ErrExist)
	}
	if b, _ := os.ReadFile(path); string(b) != "somebody's" {
		t.Errorf("the file holds %q now", b)
	}
	if all, _ := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("files left: %v", all)
	}
}

func TestExtend(t *testing.T) {
	img := ensure(t, Spec{Path: filepath.Join(t.TempDir(), "i"), Size: MinSize})
	if err := img.Extend(Spec{Path: img.Path, Size: MinSize - 512}); err == nil || img.Size() != MinSize {
		t.Errorf("a size below the smallest: %v, size %d", err, img.Size())
	}
	if err := img.Extend(Spec{Path: img.Path, Size: 2 * MinSize}); err != nil || img.Size() != 2*MinSize {
		t.Errorf("extending: %v, size %d", err, img.Size())
	}
	if err := img.Extend(Spec{Path: img.Path, Size: MinSize}); !errors.Is(err, ErrShrink) || img.Size() != 2*MinSize {
		t.Errorf("shrinking: %v, size %d, want %v", err, img.Size(), ErrShrink)
	}
}

func TestFileSystemWithoutHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	if _, err := create(Spec{Path: path}, dense); !errors.Is(err, ErrDense) {
		t.Errorf("8 TiB that would all be written: %v, want %v", err, ErrDense)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the refused image is there")
	}
	img, err := create(Spec{Path: path, Size: MinSize, Dense: true}, dense)
	if err != nil {
		t.Fatalf("with consent: %v", err)
	}
	_ = img.Close()
}

func TestHolesAreFoundByTrying(t *testing.T) {
	dir := t.TempDir()
	sparse, err := holes(dir)
	if err != nil {
		t.Fatal(err)
	}
	// A long file says the same of this directory.
	f, err := os.Create(filepath.Join(dir, "long"))
	if err != nil {
		t.Fatal(err)
	}
	img, err := file.New(f)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if err := errors.Join(img.Grow(64*mib), img.Sync()); err != nil {
		t.Fatal(err)
	}
	if n, _ := img.Allocated(); sparse != (n < 32*mib) {
		t.Errorf("holes: %v, but 64 MiB of zeroes take %d bytes", sparse, n)
	}
	if left, _ := leftovers(dir); len(left) != 0 {
		t.Errorf("trying left %v", left)
	}
	if _, err := holes(filepath.Join(dir, "none")); err == nil {
		t.Error("a directory that is not there was tried")
	}
}

func TestReserveBound(t *testing.T) {
	const gib = 1 << 30
	tests := []struct {
		name                       string
		wanted, free, growth, want int64
	}{
		{"the default", 0, 1000 * gib, 8 << 40, DefaultReserve},
		{"none", -1, 1000 * gib, 8 << 40, 0},
		{"what is wanted", 10 * gib, 1000 * gib, 8 << 40, 10 * gib},
		{"more than 64 GiB", 1 << 40, 1000 * gib, 8 << 40, 64 * gib},
		{"a share of what is free", 64 * gib, 80 * gib, 8 << 40, 10 * gib},
		{"a full disk", 64 * gib, 0, 8 << 40, 0},
		{"a small image", 0, 1000 * gib, MinSize, MinSize},
		{"no growth", 10 * gib, 1000 * gib, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := reserveBound(tt.wanted, tt.free, tt.growth); got != tt.want {
				t.Errorf("%d wanted, %d free, growth %d: %d, want %d", tt.wanted, tt.free, tt.growth, got, tt.want)
			}
		})
	}
}

// A fakeSpace notes where space is taken.
type fakeSpace struct {
	size, free, off, n int64
	freeErr, err       error
}

func (f *fakeSpace) Size() int64          { return f.size }
func (f *fakeSpace) Free() (int64, error) { return f.free, f.freeErr }
func (f *fakeSpace) Preallocate(off, n int64) error {
	f.off, f.n = off, n
	return f.err
}

func TestReserveIsBehindTheEndAndNeverFails(t *testing.T) {
	bad := errors.New("no")
	tests := []struct {
		name  string
		space fakeSpace
		n     int64
		note  bool
	}{
		{"there is space", fakeSpace{size: MinSize, free: 1 << 40}, 4096, false},
		{"the file system cannot", fakeSpace{size: MinSize, free: 1 << 40, err: errors.ErrUnsupported}, 4096, false},
		{"the disk is full", fakeSpace{size: MinSize, free: 1 << 40, err: bad}, 4096, true},
		{"nobody knows what is free", fakeSpace{size: MinSize, freeErr: bad}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img := new(Image)
			img.reserve(&tt.space, Spec{Reserve: 4096}, MinSize)
			if tt.space.n != tt.n || (tt.n != 0 && tt.space.off != MinSize) || (len(img.Notes) != 0) != tt.note {
				t.Errorf("%d bytes taken at %d, notes %q", tt.space.n, tt.space.off, img.Notes)
			}
		})
	}
}

func TestUsageAndCompact(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "i")
	img := ensure(t, Spec{Path: path, Size: 64 * mib, Reserve: -1})
	junk := make([]byte, mib)
	for i := range junk {
		junk[i] = byte(i) | 1
	}
	zeroes := make([]byte, 4*mib)
	write := func(b []byte, off int64) {
		if _, err := img.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
	}
	write(junk, 0)
	write(zeroes, mib)        // 4 MiB that are worth a hole
	write(junk, 5*mib)        // up to 6 MiB
	write(zeroes[:8192], mib) // again
	write(junk, 32*mib)
	write(zeroes[:16<<10], 32*mib+4096) // too short to be worth one
	if err := img.Sync(); err != nil {
		t.Fatal(err)
	}
	if !img.HasHoles() {
		t.Skip("this file system has no holes")
	}
	u, err := Measure(ctx, path, false)
	if err != nil || u.Virtual != 64*mib || u.Data != 7*mib || u.Allocated < 7*mib || u.Reclaimable != -1 || u.Free <= 0 {
		t.Errorf("usage %+v, %v; want 7 MiB of data in 64", u, err)
	}
	if u, err := Measure(ctx, path, true); err != nil || u.Reclaimable != 4*mib {
		t.Errorf("usage %+v, %v; want 4 MiB reclaimable", u, err)
	}
	if _, err := Compact(ctx, path, nil); !errors.Is(err, file.ErrLocked) {
		t.Errorf("compacting an image in use: %v, want %v", err, file.ErrLocked)
	}
	_ = img.Close()
	if freed, err := Compact(ctx, path, nil); err != nil || freed != 4*mib {
		t.Errorf("compact: %d bytes, %v; want 4 MiB", freed, err)
	}
	if freed, err := Compact(ctx, path, nil); err != nil || freed != 0 {
		t.Errorf("compacting again: %d bytes, %v", freed, err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for off, want := range map[int]string{0: string(junk), mib: string(zeroes), 5 * mib: string(junk), 32 * mib: string(junk[:4096]),
		32*mib + 4096: string(zeroes[:16<<10]), 32*mib + 20<<10: string(junk[20<<10:])} {
		if string(b[off:off+len(want)]) != want {
			t.Errorf("%d bytes at %d are others after compacting", len(want), off)
		}
	}
}

func TestCompactHasAGuestTrim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	img := ensure(t, Spec{Path: path, Size: 64 * mib, Reserve: -1})
	if _, err := img.WriteAt([]byte(strings.Repeat("x", 8*mib)), 0); err != nil {
		t.Fatal(err)
	}
	if err := img.Sync(); err != nil {
		t.Fatal(err)
	}
	freed, err := Compact(context.Background(), path, func(context.Context) error { return img.Punch(0, 6*mib) })
	if err != nil || (img.HasHoles() && freed != 6*mib) {
		t.Errorf("the guest trimmed 6 MiB: %d bytes, %v", freed, err)
	}
	broken := errors.New("the guest does not answer")
	if _, err := Compact(context.Background(), path, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("the guest failed: %v", err)
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "i")
	img := ensure(t, Spec{Path: path, Size: 64 * mib, Reserve: -1})
	if _, err := img.WriteAt([]byte("data"), 0); err != nil {
		t.Fatal(err)
	}
	_ = img.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compact(ctx, path, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("compact: %v", err)
	}
	if _, err := Measure(ctx, path, true); !errors.Is(err, context.Canceled) {
		t.Errorf("measure: %v", err)
	}
	if _, err := Check(ctx, path, true); !errors.Is(err, context.Canceled) {
		t.Errorf("check: %v", err)
	}
}
