package exec

import "unsafe"

// pointer gives a test's words the type of guest memory. Go aligns them to 16
// bytes only by luck of the size class, which 16-byte objects have.
func pointer(p *[2]uint64) unsafe.Pointer { return unsafe.Pointer(p) }
