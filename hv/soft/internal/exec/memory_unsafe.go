package exec

import (
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

// This file is the way of every access that the loop's fast path does not
// hit. All functions return false with c.pend filled in when the access did
// not happen; then it has changed nothing.

// hostPtr makes a pointer to guest memory, which is outside Go's heap.
func hostPtr(host uint64) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), host) }

// dataAbort raises a data abort at va.
func (c *Core) dataAbort(va uint64, iss uint64, write bool) {
	ec := uint64(arm64.ECDataAbort)
	if c.el == 0 {
		ec = arm64.ECDataAbortEL0
	}
	if write {
		iss |= arm64.ISSWnR
	}
	c.raise(arm64.ESR(ec, iss), va)
}

// want says what an access is.
type want struct {
	tlb   *cpu.TLB
	write bool
	align uint64 // fault unless va is a multiple; 1 for none
	unit  uint64 // what Device memory wants va to be a multiple of; 0 for the whole access
	iss   uint64 // added to the syndrome
	value uint64 // what a store that leaves as MMIO writes
	block uint64 // of DC ZVA: how far into the block its address lies, which FAR_EL1 holds
	// normal: fault on Device memory, whatever the address.
	normal bool
}

// at gives the host address of the n bytes at va, which lie in one page.
func (c *Core) at(va, n uint64, w want) (unsafe.Pointer, bool) {
	if va&(w.align-1) != 0 {
		c.dataAbort(va, arm64.FSCAlignment|w.iss, w.write)
		return nil, false
	}
	e := &w.tlb[cpu.TLBIndex(va)]
	if tag := va &^ 0xfff; !w.write && e.Rd == tag || w.write && e.Wr == tag {
		return hostPtr(e.Off + va), true
	}
	if c.debug.watched(va, n, w.write) {
		c.watchpoint(va, w.write)
		return nil, false
	}
	if c.stopsAccess(va, n, w.write) {
		return nil, false
	}
	r, f := c.walk(va, mmu.Access{Write: w.write, User: w.tlb == c.UserTLB})
	if f.Failed {
		if f.Denied {
			c.exitDenied(va, f.PA)
		} else {
			c.dataAbort(va+w.block, uint64(f.FSC)|w.iss, w.write)
		}
		return nil, false
	}
	unit := w.unit
	if unit == 0 {
		unit = n
	}
	if r.Device && (w.normal || va&(unit-1) != 0) {
		c.dataAbort(va+w.block, arm64.FSCAlignment|w.iss, w.write)
		return nil, false
	}
	return c.backed(va, n, r, w)
}

// backed looks the translation up in the memory map.
func (c *Core) backed(va, n uint64, r mmu.Result, w want) (unsafe.Pointer, bool) {
	s := c.mem.Find(r.PA)
	switch {
	case s == nil, !w.write && s.Prot&mmu.Read == 0:
		c.exitMMIO(va, r.PA, n, w.write, w.value)
		return nil, false
	case w.write && s.Prot&mmu.Write == 0:
		c.exitDenied(va, r.PA)
		return nil, false
	}
	p := unsafe.Pointer(&s.Mem[r.PA-s.Base])
	r.Read = r.Read && s.Prot&mmu.Read != 0
	c.fill(w.tlb, va, uint64(uintptr(p)), r, s.Prot&mmu.Write != 0)
	return p, true
}

// plain is how an ordinary access of n bytes is checked: SCTLR_EL1.A asks for
// alignment.
func (c *Core) plain(tlb *cpu.TLB, n uint64, write bool) want {
	w := want{tlb: tlb, write: write, align: 1}
	if c.regs.SCTLR&sctlrA != 0 {
		w.align = n
	}
	return w
}

// span is memory that may lie in two pages.
type span struct {
	a, b unsafe.Pointer
	n    uint64 // bytes at a
}

// spanAt translates the n bytes at va, n at most a page.
func (c *Core) spanAt(va, n uint64, w want) (s span, ok bool) {
	s.n = min(n, pageSize-va&(pageSize-1))
	if s.n == n {
		s.a, ok = c.at(va, n, w)
		return s, ok
	}
	if va&(w.align-1) != 0 {
		c.dataAbort(va, arm64.FSCAlignment|w.iss, w.write)
		return s, false
	}
	w.align = 1
	if s.a, ok = c.at(va, s.n, w); !ok {
		return s, false
	}
	s.b, ok = c.at(va+s.n, n-s.n, w)
	return s, ok
}

func (s span) get(buf []byte) {
	k := copy(buf, unsafe.Slice((*byte)(s.a), s.n))
	if k < len(buf) {
		copy(buf[k:], unsafe.Slice((*byte)(s.b), len(buf)-k))
	}
}

func (s span) put(buf []byte) {
	k := copy(unsafe.Slice((*byte)(s.a), s.n), buf)
	if k < len(buf) {
		copy(unsafe.Slice((*byte)(s.b), len(buf)-k), buf[k:])
	}
}

// peek and poke access n bytes, 1, 2, 4 or 8, in one go where they are aligned.
func peek(p unsafe.Pointer, n uint64) uint64 {
	switch n {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

func poke(p unsafe.Pointer, n, v uint64) {
	switch n {
	case 1:
		*(*uint8)(p) = uint8(v)
	case 2:
		*(*uint16)(p) = uint16(v)
	case 4:
		*(*uint32)(p) = uint32(v)
	default:
		*(*uint64)(p) = v
	}
}

//go:noinline
func (c *Core) load(va, n uint64) (uint64, bool) { return c.loadFrom(va, n, c.TLB) }

//go:noinline
func (c *Core) loadUser(va, n uint64) (uint64, bool) { return c.loadFrom(va, n, c.UserTLB) }

//go:noinline
func (c *Core) store(va, v, n uint64) bool { return c.storeTo(va, v, n, c.TLB) }

//go:noinline
func (c *Core) storeUser(va, v, n uint64) bool { return c.storeTo(va, v, n, c.UserTLB) }

func (c *Core) loadFrom(va, n uint64, tlb *cpu.TLB) (uint64, bool) {
	s, ok := c.spanAt(va, n, c.plain(tlb, n, false))
	if !ok {
		return 0, false
	}
	if s.n == n {
		return peek(s.a, n), true
	}
	return peekBytes(s, n), true
}

func peekBytes(s span, n uint64) (v uint64) {
	var buf [8]byte
	s.get(buf[:n])
	for k := range n {
		v |= uint64(buf[k]) << (8 * k)
	}
	return v
}

func (c *Core) storeTo(va, v, n uint64, tlb *cpu.TLB) bool {
	w := c.plain(tlb, n, true)
	w.value = v
	s, ok := c.spanAt(va, n, w)
	if !ok {
		return false
	}
	if s.n == n {
		poke(s.a, n, v)
		return true
	}
	var buf [8]byte
	for k := range n {
		buf[k] = byte(v >> (8 * k))
	}
	s.put(buf[:n])
	return true
}

// loadPair loads two units of n bytes.
//
//go:noinline
func (c *Core) loadPair(va, n uint64) (x, y uint64, ok bool) {
	if x, ok = c.loadFrom(va, n, c.TLB); !ok {
		return 0, 0, false
	}
	y, ok = c.loadFrom(va+n, n, c.TLB)
	return x, y, ok
}

// storePair stores two units of n bytes, or nothing.
//
//go:noinline
func (c *Core) storePair(va, x, y, n uint64) bool {
	return c.storeable(va, 2*n, n) && c.storeTo(va, x, n, c.TLB) && c.storeTo(va+n, y, n, c.TLB)
}

// storeable checks that n bytes, in units of unit bytes, can be stored.
func (c *Core) storeable(va, n, unit uint64) bool {
	_, ok := c.spanAt(va, n, want{tlb: c.TLB, write: true, align: 1, unit: unit})
	return ok
}

// ordered is how accesses that must be aligned are checked.
func (c *Core) ordered(n uint64, write bool) want {
	return want{tlb: c.TLB, write: write, align: n}
}

//go:noinline
func (c *Core) loadAcquire(va, n uint64) (uint64, bool) {
	p, ok := c.at(va, n, c.ordered(n, false))
	if !ok {
		return 0, false
	}
	return peek(p, n), true
}

//go:noinline
func (c *Core) storeRelease(va, v, n uint64) bool {
	w := c.ordered(n, true)
	w.value = v
	p, ok := c.at(va, n, w)
	if !ok {
		return false
	}
	release()
	poke(p, n, v)
	fence()
	return true
}

// zeroBlock is DC ZVA: it zeroes the aligned 64 bytes (DCZID_EL0.BS) around
// the address in i.Rd. On Device memory it is an alignment fault (Arm ARM,
// DC ZVA).
func (c *Core) zeroBlock(i *isa.Op) bool {
	va := c.X[i.Rd]
	if c.el == 0 && c.regs.SCTLR&sctlrDZE == 0 {
		c.trapSys(sysDCZVA, i.Rd, false)
		return false
	}
	p, ok := c.at(va&^63, 64, want{tlb: c.TLB, write: true, align: 1, block: va & 63, normal: true})
	if !ok {
		return false
	}
	*(*[64]byte)(p) = [64]byte{}
	return true
}
