package exec

import "unsafe"

// room keeps aligned's memory off the stack, which moves.
var room [3]uint64

// aligned gives two words aligned to 16 bytes.
func aligned() *[2]uint64 {
	k := uintptr(unsafe.Pointer(&room)) / 8 % 2
	return (*[2]uint64)(room[k : k+2])
}

func pointer(p *[2]uint64) unsafe.Pointer { return unsafe.Pointer(p) }
