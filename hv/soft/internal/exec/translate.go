package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

// translations remembers what the TLBs hold beyond their entries, so that
// invalidating can be narrow.
type translations struct {
	gens    [2]uint64 // generation of code look-ups by EL
	lastGen uint64
	filled  [2]fills // by EL
	// el1Local: EL1's table holds entries of the lower half or of one ASID.
	el1Local bool
	// el1LocalCode is the same of code that EL1 executed.
	el1LocalCode bool
	// big2M and big1G are hashed sets of the blocks of which pages are cached:
	// TLBI of one address in a block drops them all.
	// The lower half of the addresses, where TLBI is frequent, has its own.
	big2M, big1G [2]markSet
	// codePages holds, by EL and a hash of the virtual page, the generation in
	// which code was last fetched from it.
	codePages [2][codePageMarks]uint64
}

const codePageMarks = 4096

// fills remembers which entries of a TLB were filled since it was last empty: a
// context switch mostly finds a few, and clearing all would take the
// host's whole first-level cache.
type fills struct {
	n     int // may exceed len(entry): then only the number is known
	entry [128]uint16
}

func (f *fills) add(entry uint64) {
	if f.n < len(f.entry) {
		f.entry[f.n] = uint16(entry)
	}
	f.n++
}

// newGen makes every code look-up of an EL stale.
func (c *Core) newGen(el uint8) {
	c.trans.lastGen++
	c.trans.gens[el] = c.trans.lastGen
	c.gen = c.trans.gens[c.el]
}

func (c *Core) flushTLB(el uint8) {
	f := &c.trans.filled[el]
	if f.n == 0 {
		return
	}
	c.stats.Flushes++
	if f.n > len(f.entry) {
		c.tlbs[el].Flush()
	} else {
		for _, k := range f.entry[:f.n] {
			c.tlbs[el][k].Rd, c.tlbs[el][k].Wr = cpu.NoPage, cpu.NoPage
		}
	}
	f.n = 0
}

// flushAll drops every translation.
func (c *Core) flushAll() {
	c.flushTLB(0)
	c.flushTLB(1)
	t := &c.trans
	t.el1Local, t.el1LocalCode = false, false
	t.big2M, t.big1G = [2]markSet{}, [2]markSet{}
	c.newGen(0)
	c.newGen(1)
}

// flushLocal drops what belongs to the current ASID and to the lower half.
func (c *Core) flushLocal() {
	c.flushTLB(0)
	c.newGen(0)
	t := &c.trans
	if t.el1Local {
		c.flushTLB(1)
		t.el1Local = false
	}
	if t.el1LocalCode {
		c.newGen(1)
		t.el1LocalCode = false
	}
}

// A markSet is a hashed set of numbers: it may hold what was not put in.
type markSet [64]uint64

func (s *markSet) bit(n uint64) (word *uint64, bit uint64) {
	h := n * 0x9e3779b97f4a7c15 >> 52 // 12 bits
	return &s[h>>6], 1 << (h & 63)
}

func (s *markSet) add(n uint64) {
	w, b := s.bit(n)
	*w |= b
}

func (s *markSet) has(n uint64) bool {
	w, b := s.bit(n)
	return *w&b != 0
}

// half is 0 for addresses that TTBR0 translates and 1 for TTBR1's.
func half(va uint64) uint64 { return va >> 55 & 1 }

// flushVA drops the translations of the page at va, for all ASIDs.
func (c *Core) flushVA(va uint64) {
	va = uint64(int64(va<<8) >> 8) // as entries are marked: without a tag
	if c.trans.big2M[half(va)].has(va>>21) || c.trans.big1G[half(va)].has(va>>30) {
		c.flushAll()
		return
	}
	c.tlbs[0].Drop(va)
	c.tlbs[1].Drop(va)
	for el, gen := range c.trans.gens {
		if el == 1 && half(va) == 0 && !c.trans.el1LocalCode {
			continue // EL1 runs no code there
		}
		if c.trans.codePages[el][va>>12%codePageMarks] == gen {
			c.newGen(uint8(el))
		}
	}
}

// walk translates with the current registers.
func (c *Core) walk(va uint64, acc mmu.Access) (mmu.Result, mmu.Fault) {
	return c.regs.Walk(c.mem, va, acc)
}

// fill puts a translation into a table. host is the host address of va. Device
// memory stays out, for its alignment faults, and so does page zero, whose tag
// means an empty entry.
func (c *Core) fill(tlb *cpu.TLB, va uint64, host uint64, r mmu.Result, writable bool) {
	page := va &^ 0xfff
	el := uint8(1)
	if tlb == c.UserTLB {
		el = 0
	}
	if c.tells(hv.TraceMMU) {
		c.tellMMU(el, va, r, false)
	}
	if r.Device || page == 0 || c.debug.watches(page) || c.host.watches(c.regs.Untag(page)) {
		return
	}
	c.stats.DataFills++
	t := &c.trans
	t.filled[el].add(cpu.TLBIndex(va))
	c.noteBig(va, r)
	if el == 1 && (!r.Global || va>>55&1 == 0) {
		t.el1Local = true
	}
	e := &tlb[cpu.TLBIndex(va)]
	e.Rd, e.Wr, e.Off = cpu.NoPage, cpu.NoPage, host-va
	if r.Read {
		e.Rd = page
	}
	if r.Write && writable {
		e.Wr = page
	}
}

// noteBig remembers a page that comes from a larger block.
func (c *Core) noteBig(va uint64, r mmu.Result) {
	va = uint64(int64(va<<8) >> 8)
	switch {
	case r.Shift >= 30:
		c.trans.big1G[half(va)].add(va >> 30)
	case r.Shift >= 21:
		c.trans.big2M[half(va)].add(va >> 21)
	}
}
