//go:build linux

package file

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vectors are arrays for the kernel to read: unix.Preadv makes a new one each time.
var vectors = sync.Pool{New: func() any { return new([maxVector]unix.Iovec) }}

func preadv(fd int, bufs [][]byte, off int64) (int, error) {
	return transfer(unix.SYS_PREADV, fd, bufs, off)
}

func pwritev(fd int, bufs [][]byte, off int64) (int, error) {
	return transfer(unix.SYS_PWRITEV, fd, bufs, off)
}

// transfer makes one call with at most maxVector buffers.
func transfer(call uintptr, fd int, bufs [][]byte, off int64) (int, error) {
	v := vectors.Get().(*[maxVector]unix.Iovec)
	n := 0
	for _, b := range bufs[:min(len(bufs), maxVector)] {
		if len(b) > 0 {
			v[n].Base = &b[0]
			v[n].SetLen(len(b))
			n++
		}
	}
	// The offset is in one word on the 64-bit systems that we run on.
	got, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(v)), uintptr(n), uintptr(off), 0, 0)
	clear(v[:n])
	vectors.Put(v)
	if errno != 0 {
		return 0, errno
	}
	return int(got), nil
}
