package storage

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// Capacity is what the host's file system with dir in it holds all in all, in bytes, and so what no image in it can
// exceed. It is rounded up to a power of two: some file systems share their space with others, and say something else each
// time. 0 means that it cannot be told.
func Capacity(dir string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return roundUp(times(st.Blocks, uint64(st.Bsize)))
}

// roundUp gives the power of two that n fits in; 0 for 0, and for what none of an int64 is large enough for.
func roundUp(n int64) int64 {
	if n <= 0 || n > 1<<62 {
		return 0
	}
	return 1 << bits.Len64(uint64(n)-1)
}
