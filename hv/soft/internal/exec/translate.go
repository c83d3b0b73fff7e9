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
	filled  [2]bool // the TLB of that EL is not empty
	// el1Local: EL1's table holds entries of the lower half or of one ASID.
	el1Local bool
	// el1LocalCode is the same of code that EL1 executed.
	el1LocalCode bool
	// big2M and big1G are hashed sets of the blocks of which pages are cached:
	// TLBI of one address in a block drops them all.
	big2M, big1G [64]uint64
	// codePages holds, by EL and a hash of the virtual page, the generation in
	// which code was last fetched from it.
	codePages [2][codePageMarks]uint64
}

const codePageMarks = 4096

// newGen makes every code look-up of an EL stale.
func (c *Core) newGen(el uint8) {
	c.trans.lastGen++
	c.trans.gens[el] = c.trans.lastGen
	c.gen = c.trans.gens[c.el]
}

func (c *Core) flushTLB(el uint8) {
	if c.trans.filled[el] {
		c.stats.Flushes++
		c.tlbs[el].Flush()
		c.trans.filled[el] = false
	}
}

// flushAll drops every translation.
func (c *Core) flushAll() {
	c.tlbs[0].Flush()
	c.tlbs[1].Flush()
	t := &c.trans
	t.filled = [2]bool{}
	t.el1Local, t.el1LocalCode = false, false
	t.big2M, t.big1G = [64]uint64{}, [64]uint64{}
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

func hashBit(set *[64]uint64, n uint64) (word *uint64, bit uint64) {
	h := n * 0x9e3779b97f4a7c15 >> 52 // 12 bits
	return &set[h>>6], 1 << (h & 63)
}

func marked(set *[64]uint64, n uint64) bool {
	w, b := hashBit(set, n)
	return *w&b != 0
}

// flushVA drops the translations of the page at va, for all ASIDs.
func (c *Core) flushVA(va uint64) {
	va = uint64(int64(va<<8) >> 8) // as entries are marked: without a tag
	if marked(&c.trans.big2M, va>>21) || marked(&c.trans.big1G, va>>30) {
		c.flushAll()
		return
	}
	c.tlbs[0].Drop(va)
	c.tlbs[1].Drop(va)
	for el, gen := range c.trans.gens {
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
	t.filled[el] = true
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
		w, b := hashBit(&c.trans.big1G, va>>30)
		*w |= b
	case r.Shift >= 21:
		w, b := hashBit(&c.trans.big2M, va>>21)
		*w |= b
	}
}
