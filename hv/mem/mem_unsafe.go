package mem

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The accessors take a slice and an offset, and check the bounds as Go does.
// sync/atomic has no 16-bit operations, so those use the aligned 32-bit
// word around the value: a Region starts at a multiple of 4 and its memory
// on a page, so that word is within the region too.

// word is the aligned 32-bit word that holds the 16-bit value at b[off], and how far
// the value is shifted in it.
func word(b []byte, off int) (w *uint32, shift uint) {
	_ = b[off+1]
	p := unsafe.Pointer(&b[off])
	low := uintptr(p) & 2
	return (*uint32)(unsafe.Add(p, -int(low))), uint(low) * 8
}

// Load16 reads the value at b[off], which is aligned to 2 bytes.
func Load16(b []byte, off int) uint16 {
	w, shift := word(b, off)
	return uint16(atomic.LoadUint32(w) >> shift)
}

// storeTries bounds Store16 against a guest that keeps writing to the other
// half of the word. A correct one never writes there.
const storeTries = 128

// Store16 writes the value at b[off], which is aligned to 2 bytes, and leaves
// its neighbour alone. When the neighbour changes all the time it gives up
// atomicity, never the value.
func Store16(b []byte, off int, v uint16) {
	w, shift := word(b, off)
	mask := uint32(0xffff) << shift
	for range storeTries {
		old := atomic.LoadUint32(w)
		if atomic.CompareAndSwapUint32(w, old, old&^mask|uint32(v)<<shift) {
			return
		}
	}
	atomic.AndUint32(w, ^mask)
	atomic.OrUint32(w, uint32(v)<<shift)
}

// Load32 reads the value at b[off], which is aligned to 4 bytes.
func Load32(b []byte, off int) uint32 {
	_ = b[off+3]
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[off])))
}

// Store32 writes the value at b[off], which is aligned to 4 bytes.
func Store32(b []byte, off int, v uint32) {
	_ = b[off+3]
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[off])), v)
}

// Load64 reads the value at b[off], which is aligned to 8 bytes.
func Load64(b []byte, off int) uint64 {
	_ = b[off+7]
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&b[off])))
}

// Aligned says whether the host address of b is a multiple of n, a power of two.
func Aligned(b []byte, n uintptr) bool {
	return uintptr(unsafe.Pointer(unsafe.SliceData(b)))&(n-1) == 0
}

// pad is how many bytes of b precede its first page boundary.
func pad(b []byte, page uint64) uint64 {
	a := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	return -a & (page - 1)
}

// Renew puts fresh zero pages in the place of b, whole pages of a RAM's, and so
// gives what was there back to the host. Nothing may use b meanwhile: an engine
// has it unmapped, and maps it again afterwards.
func Renew(b []byte) error {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)),
		unix.PROT_READ|unix.PROT_WRITE, mapFlags|unix.MAP_FIXED)
	return err
}
