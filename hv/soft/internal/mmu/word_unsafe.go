package mmu

import "unsafe"

// word gives the host address of the aligned 8 bytes at pa, nil if they cannot
// be read, and whether the guest may write them. pa is rounded down.
func (m *Memory) word(pa uint64) (p *uint64, writable bool) {
	pa &^= 7
	s := m.Find(pa)
	if s == nil || s.Prot&Read == 0 {
		return nil, false
	}
	return (*uint64)(unsafe.Pointer(&s.Mem[pa-s.Base])), s.Prot&Write != 0
}
