package storage

import (
	"math"
	"path/filepath"
	"testing"
)

func TestCapacityOfAFileSystem(t *testing.T) {
	dir := t.TempDir()
	if n := Capacity(dir); n < 1<<20 || n&(n-1) != 0 {
		t.Errorf("the host holds %d bytes, want a power of two from 1 MiB", n)
	}
	if n := Capacity(filepath.Join(dir, "not there")); n != 0 {
		t.Errorf("what is not there holds %d bytes", n)
	}
}

func TestRoundUp(t *testing.T) {
	for n, want := range map[int64]int64{0: 0, 1: 1, 3: 4, 1 << 40: 1 << 40, 1<<40 + 1: 2 << 40, 1 << 62: 1 << 62, math.MaxInt64: 0} {
		if got := roundUp(n); got != want {
			t.Errorf("roundUp(%d) = %d, want %d", n, got, want)
		}
	}
}
