package soft

import "unsafe"

// granuleOfHost is the smallest page of the guest, which mapped memory must be
// aligned to on the host: atomic accesses and code pages rely on it.
const granuleOfHost = 4096

// address is where mem is on the host.
func address(mem []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(mem))) }
