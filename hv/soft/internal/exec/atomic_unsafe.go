package exec

import (
	"sync/atomic"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

// monitor is the local exclusive monitor: what LDXR read and where. A store
// exclusive succeeds if memory still holds that value; that something else was
// there in between is not noticed.
type monitor struct {
	host uintptr
	size uint64 // bytes in all; 0 is the open state
	val  [2]uint64
}

func compareAndSwap(p unsafe.Pointer, n, old, new uint64) bool {
	switch n {
	case 1:
		return cas8((*uint8)(p), uint8(old), uint8(new))
	case 2:
		return cas16((*uint16)(p), uint16(old), uint16(new))
	case 4:
		return atomic.CompareAndSwapUint32((*uint32)(p), uint32(old), uint32(new))
	}
	return atomic.CompareAndSwapUint64((*uint64)(p), old, new)
}

// loadExclusive is LDXR, LDAXR, LDXP and LDAXP. A pair is one access of twice
// the size, but is read in two: that is enough, for only the success of the
// store makes the read atomic.
func (c *Core) loadExclusive(i *isa.Op) bool {
	n := uint64(1) << i.Sh
	total := n
	if i.Cond&isa.ExclusivePair != 0 {
		total *= 2
	}
	p, ok := c.at(c.X[i.Rn], total, c.ordered(total, false))
	if !ok {
		return false
	}
	c.monitor = monitor{host: uintptr(p), size: total}
	switch {
	case total == 16:
		c.monitor.val = [2]uint64{atomic.LoadUint64((*uint64)(p)), atomic.LoadUint64((*uint64)(unsafe.Add(p, 8)))}
		c.X[i.Rd], c.X[i.Ra] = c.monitor.val[0], c.monitor.val[1]
	case total > n:
		v := atomic.LoadUint64((*uint64)(p))
		c.monitor.val[0] = v
		c.X[i.Rd], c.X[i.Ra] = uint64(uint32(v)), v>>32
	default:
		c.monitor.val[0] = peek(p, n)
		c.X[i.Rd] = c.monitor.val[0]
	}
	acquire()
	return true
}

// storeExclusive is STXR, STLXR, STXP and STLXP.
func (c *Core) storeExclusive(i *isa.Op) bool {
	n := uint64(1) << i.Sh
	total, v := n, c.X[i.Rd]
	pair := i.Cond&isa.ExclusivePair != 0
	if pair {
		total *= 2
	}
	p, ok := c.at(c.X[i.Rn], total, c.ordered(total, true))
	if !ok {
		return false
	}
	m := c.monitor
	c.monitor.size = 0
	done := m.size == total && m.host == uintptr(p) && !c.faults.failStore()
	switch {
	case !done:
	case total == 16:
		done = cas128((*[2]uint64)(p), m.val, [2]uint64{v, c.X[i.Ra]})
	case pair:
		done = compareAndSwap(p, 8, m.val[0], uint64(uint32(v))|c.X[i.Ra]<<32)
	default:
		done = compareAndSwap(p, n, m.val[0], v)
	}
	c.X[i.Rm] = 1
	if done {
		c.X[i.Rm] = 0
	}
	return true
}

// readWrite gives the host address for an atomic operation on n bytes. A fault
// that a load would also have is reported as one of a load.
func (c *Core) readWrite(va, n uint64) (unsafe.Pointer, bool) {
	if _, ok := c.at(va, n, c.ordered(n, false)); !ok {
		return nil, false
	}
	return c.at(va, n, c.ordered(n, true))
}

// atomicOp is LDADD and its like, and SWP.
func (c *Core) atomicOp(i *isa.Op) bool {
	n := uint64(1) << i.Sh
	p, ok := c.readWrite(c.X[i.Rn], n)
	if !ok {
		return false
	}
	operand := c.X[i.Rm]
	for {
		old := peek(p, n)
		if compareAndSwap(p, n, old, combine(i.Cond, old, operand, 64-8*uint(n))) {
			c.X[i.Rd] = old
			return true
		}
	}
}

// combine computes what an atomic operation stores; values have 64-unused bits.
func combine(op uint8, old, v uint64, unused uint) uint64 {
	// Shifting the values up keeps order and sign of smaller sizes.
	a, b := old<<unused, v<<unused
	switch op {
	case isa.LSEAdd:
		return old + v
	case isa.LSEClr:
		return old &^ v
	case isa.LSEEor:
		return old ^ v
	case isa.LSESet:
		return old | v
	case isa.LSESMax:
		a = uint64(max(int64(a), int64(b)))
	case isa.LSESMin:
		a = uint64(min(int64(a), int64(b)))
	case isa.LSEUMax:
		a = max(a, b)
	case isa.LSEUMin:
		a = min(a, b)
	default: // LSESwap
		return v
	}
	return a >> unused
}

// compareAndSwap is CAS.
func (c *Core) compareAndSwap(i *isa.Op) bool {
	n := uint64(1) << i.Sh
	p, ok := c.readWrite(c.X[i.Rn], n)
	if !ok {
		return false
	}
	want := c.X[i.Ra] & (^uint64(0) >> (64 - 8*n))
	for {
		old := peek(p, n)
		if old != want || compareAndSwap(p, n, want, c.X[i.Rd]) {
			fence()
			c.X[i.Rm] = old
			return true
		}
	}
}

// compareAndSwapPair is CASP; register 31 of a pair is XZR.
func (c *Core) compareAndSwapPair(i *isa.Op) bool {
	n := uint64(1) << i.Sh
	p, ok := c.readWrite(c.X[i.Rn], 2*n)
	if !ok {
		return false
	}
	lo, hi := isa.W(uint32(i.Rm)), isa.W(uint32(i.Rm)+1)
	want := [2]uint64{c.X[i.Rm], c.X[isa.ZR(uint32(i.Rm)+1)]}
	next := [2]uint64{c.X[i.Rd], c.X[isa.ZR(uint32(i.Rd)+1)]}
	if n == 4 {
		old := swapHalves((*uint64)(p), uint64(uint32(want[0]))|want[1]<<32, uint64(uint32(next[0]))|next[1]<<32)
		c.X[lo], c.X[hi] = uint64(uint32(old)), old>>32
		return true
	}
	for {
		old := [2]uint64{atomic.LoadUint64((*uint64)(p)), atomic.LoadUint64((*uint64)(unsafe.Add(p, 8)))}
		new := next
		if old != want {
			new = old // writing it back proves that both halves were read together
		}
		if cas128((*[2]uint64)(p), old, new) {
			c.X[lo], c.X[hi] = old[0], old[1]
			return true
		}
	}
}

// swapHalves compares and swaps 64 bits and returns what was there.
func swapHalves(p *uint64, want, next uint64) uint64 {
	for {
		old := atomic.LoadUint64(p)
		if old != want || atomic.CompareAndSwapUint64(p, want, next) {
			return old
		}
	}
}
