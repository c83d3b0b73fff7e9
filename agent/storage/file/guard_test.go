package file

import (
	"errors"
	"syscall"
	"testing"
)

func TestGuardKeepsTheHostsSpace(t *testing.T) {
	f, _ := image(t, 64<<10)
	if err := f.Grow(1 << 30); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	hole := int64(512 << 20)
	takes := map[string]func() error{
		"a write":              func() error { _, err := f.WriteAt(b, hole); return err },
		"a write of buffers":   func() error { _, err := f.WritevAt([][]byte{b, b}, hole); return err },
		"zeroes that are kept": func() error { return f.Zero(hole, 64<<10, false) },
		"a write over the end of the data": func() error {
			_, err := f.WriteAt(make([]byte, 8192), 60<<10)
			return err
		},
	}
	f.SetGuard(1 << 60) // more than any disk has
	for name, take := range takes {
		if err := take(); !errors.Is(err, ErrGuard) || !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s into a hole: %v, want %v", name, err, ErrGuard)
		}
	}
	if n, _ := f.Allocated(); n > 1<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	needsNone := map[string]func() error{
		"a write over data":   func() error { _, err := f.WriteAt(b, 8192); return err },
		"a hole":              func() error { return f.Punch(0, 4096) },
		"zeroes without data": func() error { return f.Zero(4096, 4096, true) },
		"a flush":             f.Sync,
	}
	for name, do := range needsNone {
		if err := do(); err != nil {
			t.Errorf("%s needs no space: %v", name, err)
		}
	}
	f.SetGuard(0)
	for name, take := range takes {
		if err := take(); err != nil {
			t.Errorf("%s without a guard: %v", name, err)
		}
	}
}

func TestGuardLooksAgainWhenItsCreditIsUsed(t *testing.T) {
	f, _ := image(t, 1<<20)
	f.SetGuard(1) // met by every disk that a test can run on
	b := make([]byte, 4096)
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
	credit := f.guard.credit.Load()
	if credit <= 0 || credit > maxCredit {
		t.Fatalf("credit of %d bytes after a look", credit)
	}
	f.guard.keep.Store(1 << 60) // as if the space had gone
	if err := f.Grow(2 * maxCredit); err != nil {
		t.Fatal(err)
	}
	for off := int64(1 << 20); ; off += 1 << 20 {
		_, err := f.WriteAt(make([]byte, 1<<20), off)
		if errors.Is(err, ErrGuard) {
			break
		}
		if err != nil || off > credit+(4<<20) {
			t.Fatalf("%d bytes were written on a credit of %d: %v", off, credit, err)
		}
	}
}
