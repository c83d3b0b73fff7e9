package mem

import "golang.org/x/sys/unix"

// NORESERVE: a guest may be given more memory than the host has free, since
// most of it is never touched or comes back through the balloon.
const mapFlags = unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_NORESERVE

// release drops whole pages; the mapping stays and reads as zeroes.
func release(b []byte) error { return unix.Madvise(b, unix.MADV_DONTNEED) }

// adviseHuge asks for huge pages: a booting guest touches its memory for the first
// time all over, and a fault for each 4 KiB was a fifth of the time to init. It is
// a hint, which a kernel without them refuses.
func adviseHuge(b []byte) { _ = unix.Madvise(b, unix.MADV_HUGEPAGE) }
