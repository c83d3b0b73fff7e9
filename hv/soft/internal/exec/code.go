package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

const (
	maxBlock  = 64 // instructions; part of the counting rule, see package doc
	jumpSize  = 8192
	jumpMask  = jumpSize - 1
	fetchSize = 256
	spAlign   = 15
	pageSize  = 4096
)

// A Block is a run of instructions that is entered only at its start. Behind lead
// lie its operations (the loop steps before it looks, which spares a jump; what is at
// lead belongs to another block or to none): one for each instruction, but for the
// end: a compare and branch may be one, and a block that was cut has one more.
// A Block fills one cache line of the host. A code generator will add its
// entry point here.
type Block struct {
	lead   *isa.Op
	n      int64 // instructions
	pc     uint64
	next   [2]*Block // successors in the same page: taken, not taken
	key    uint64    // pc and context
	other  *Block    // of the same place in the page, with another key
	spMask uint8     // SP bits that must be clear on entry: spAlign or 0
	stale  bool      // its page was invalidated: chain nothing to or from it
}

// end is the address behind the block.
func (b *Block) end() uint64 { return b.pc + uint64(b.n)*4 }

// after is how many instructions of b come after i.
func (b *Block) after(i *isa.Op) int64 { return b.n - int64(b.index(i)) - 1 }

// jump is an entry of the jump cache.
type jump struct {
	pc, gen uint64
	b       *Block
}

// fetched remembers where code at a virtual page comes from.
type fetched struct {
	page, gen uint64
	code      *codePage
}

// context is what decoding depends on, in the two bits that an address leaves.
func (c *Core) context() uint64 {
	k := uint64(c.el)
	if c.fp {
		k |= 2
	}
	return k
}

// find gives the block at PC. If it cannot be fetched, find returns nil and
// c.pend is the exception or exit.
func (c *Core) find() *Block {
	if u := c.regs.Untag(c.PC); u != c.PC {
		c.PC = u
	}
	c.tidy()
	if c.stopsAt(c.PC) {
		return nil
	}
	page := c.fetch(c.PC)
	if page == nil {
		return nil
	}
	key := c.PC | c.context()
	b := page.block(key)
	if b == nil {
		b = c.compile(page, key)
	}
	page.used = c.code.round
	c.jumps[c.PC>>2&jumpMask] = jump{c.PC, c.gen, b}
	return b
}

// compile builds and keeps the block at PC.
func (c *Core) compile(page *codePage, key uint64) *Block {
	draft, ops := c.build(page, c.PC, maxBlock)
	draft.key = key
	c.stats.Blocks++
	return c.code.keep(page, draft, ops)
}

// fetch gives the page that holds the code at pc, or nil and c.pend.
func (c *Core) fetch(pc uint64) *codePage {
	if pc&3 != 0 {
		c.raise(arm64.ESR(arm64.ECPCAlign, 0), pc)
		return nil
	}
	f := &c.code.fetch[pc>>12%fetchSize]
	if f.page != pc&^0xfff || f.gen != c.gen {
		code := c.translateFetch(pc)
		if code == nil {
			return nil
		}
		*f = fetched{pc &^ 0xfff, c.gen, code}
	}
	return f.code
}

func (c *Core) translateFetch(pc uint64) *codePage {
	c.stats.CodeFills++
	r, f := c.walk(pc, mmu.Access{Exec: true, User: c.el == 0})
	if f.Failed {
		c.fetchFault(pc, f)
		return nil
	}
	if c.el == 1 && (pc>>55&1 == 0 || !r.Global) {
		c.trans.el1LocalCode = true
	}
	c.trans.codePages[c.el][pc>>12%codePageMarks] = c.gen
	c.noteBig(pc, r)
	if c.tells(hv.TraceMMU) {
		c.tellMMU(c.el, pc, r, true)
	}
	pa := r.PA &^ 0xfff
	if code := c.code.pages[pa]; code != nil {
		return code
	}
	words := c.codeWords(pa)
	if words == nil {
		c.exitFault(arm64.ECInstrAbortEL0, pc, r.PA)
		return nil
	}
	c.machine.markCode(pa)
	return c.code.add(pa, words)
}

// fetchFault raises the abort of a fetch at pc.
func (c *Core) fetchFault(pc uint64, f mmu.Fault) {
	if f.Denied {
		c.exitDenied(pc, f.PA)
		return
	}
	ec := uint64(arm64.ECInstrAbort)
	if c.el == 0 {
		ec = arm64.ECInstrAbortEL0
	}
	c.raise(arm64.ESR(ec, uint64(f.FSC)), pc)
}

// build decodes at most limit instructions at pc. The operations of the block that it makes are behind ops[0], until it
// builds the next.
func (c *Core) build(page *codePage, pc uint64, limit int) (b Block, ops []isa.Op) {
	ops = c.code.draft[:1]
	b.pc = pc
	spChecked := c.checksSP()
	spMoved := false
	for at := pc; ; at += 4 {
		if int(b.n) == limit || at&^0xfff != pc&^0xfff || b.n > 0 && c.host.breaks[at] {
			ops = append(ops, isa.Op{Code: isa.OpCUT, Imm: at})
			break
		}
		op := c.lower(isa.Decode(loadWord(page.words, at), at))
		attr := isa.AttrOf(op.Code)
		if spChecked && attr&isa.Base != 0 && op.Rn == cpu.SP {
			if spMoved {
				ops = append(ops, isa.Op{Code: isa.OpCUT, Imm: at})
				break
			}
			b.spMask = spAlign
		}
		spMoved = spMoved || movesSP(&op, attr)
		ops = append(ops, op)
		b.n++
		if attr&isa.Ends != 0 {
			break
		}
	}
	return b, fuse(ops)
}

// checksSP says whether SCTLR_EL1.SA or SA0 asks for a stack pointer that is
// aligned to 16 bytes when it is the base of an access.
func (c *Core) checksSP() bool {
	if c.el == 0 {
		return c.regs.SCTLR&sctlrSA0 != 0
	}
	return c.regs.SCTLR&sctlrSA != 0
}

// movesSP says whether op may make an aligned SP unaligned.
func movesSP(op *isa.Op, attr isa.Attr) bool {
	switch {
	case attr&isa.Base != 0:
		return op.Rn == cpu.SP && (op.Imm&spAlign != 0 || op.Code == isa.OpVLD || op.Code == isa.OpVST)
	case op.Rd != cpu.SP || attr&isa.FP != 0:
		return false
	}
	return op.Code != isa.OpADDI64 || op.Rn != cpu.SP || op.Imm&spAlign != 0
}

// fuse joins a comparison and the conditional branch that ends the block.
func fuse(ops []isa.Op) []isa.Op {
	k := len(ops) - 2
	if k < 1 || ops[k+1].Code != isa.OpBCOND {
		return ops
	}
	code, ok := isa.Fused(ops[k].Code, ops[k+1].Cond)
	if !ok {
		return ops
	}
	ops[k].Code, ops[k].Imm2 = code, ops[k+1].Imm
	return ops[:k+1]
}

// chain links b to the block at PC if both are in the same page, and returns
// that; nil means to go by way of the jump cache.
func (c *Core) chain(b *Block, slot int) *Block {
	if (c.PC^b.pc)>>12 != 0 || b.stale {
		return nil
	}
	round := c.code.round
	var next *Block
	if q := &c.jumps[c.PC>>2&jumpMask]; q.pc == c.PC && q.gen == c.gen {
		next = q.b
	} else if next = c.find(); next == nil {
		c.pend = pending{} // raised again when the block is looked up
		return nil
	}
	if c.code.round == round { // or b may have been dropped, and its room be another's
		b.next[slot] = next
	}
	return next
}
