package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

const (
	maxBlock   = 64       // instructions; part of the counting rule, see package doc
	maxRoom    = 64 << 20 // bytes of decoded code that a core keeps at most
	sweepRoom  = 2 << 20  // bytes of code that are decoded before what is out of use is dropped
	jumpSize   = 8192
	jumpMask   = jumpSize - 1
	fetchSize  = 256
	spAlign    = 15
	pageSize   = 4096
	codeMapLen = 1 << 20 // bits

	codeMapSize = codeMapLen / 64
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

// A codePage is the decoded code of one physical page. Blocks are found by their
// address and context: decoding bakes in the addresses of branches, and depends on
// what the EL may do.
type codePage struct {
	pa    uint64
	words *[pageSize / 4]uint32 // in guest memory
	table []*Block              // by a hash of the address, a power of two
	n     int                   // blocks
	chunk []isa.Op              // room for the operations of the next blocks, behind one that is taken
	room  int                   // bytes that all this takes, about
	used  uint64                // the last round of sweeping in which code was looked up here
}

// block gives the block of a key, or nil.
func (p *codePage) block(key uint64) *Block {
	if len(p.table) == 0 {
		return nil
	}
	b := p.table[key>>2%uint64(len(p.table))]
	for b != nil && b.key != key {
		b = b.other
	}
	return b
}

func (p *codePage) add(b *Block) {
	if p.n++; p.n > len(p.table) {
		p.widen()
	}
	place := &p.table[b.key>>2%uint64(len(p.table))]
	b.other, *place = *place, b
}

// widen doubles the table.
func (p *codePage) widen() {
	old := p.table
	p.table = make([]*Block, max(8, 2*len(old)))
	p.room += 8 * (len(p.table) - len(old))
	for _, b := range old {
		for b != nil {
			next := b.other
			place := &p.table[b.key>>2%uint64(len(p.table))]
			b.other, *place = *place, b
			b = next
		}
	}
}

// A page takes room for chunkSize operations at once, 2 KiB, or firstChunk while it has few. blockRoom and pageRoom
// are what a block and a page take beside, in bytes.
const (
	chunkSize  = 2048 / 24
	firstChunk = 512 / 24
	blockRoom  = 64
	pageRoom   = 144
)

// keep makes b of the operations behind ops[0], which is none.
func (p *codePage) keep(b *Block, ops []isa.Op) {
	if len(p.chunk) < len(ops) {
		p.chunk = make([]isa.Op, max(len(ops), min(chunkSize, firstChunk+2*p.n)))
		p.room += 24 * len(p.chunk)
	}
	b.lead = &p.chunk[0]
	copy(p.chunk[1:], ops[1:])
	p.chunk = p.chunk[len(ops)-1:]
	p.room += blockRoom
}

// A codeCache is what a core has decoded. From time to time it drops the pages of which nothing was looked up since
// the last time: a kernel that has booted never runs most of what it has run until then.
type codeCache struct {
	pages map[uint64]*codePage // by physical address
	fetch [fetchSize]fetched
	draft [maxBlock + 2]isa.Op // the block being built; on the stack it would escape
	room  int                  // bytes that the pages take, about
	fresh int                  // of them, since the last sweep
	round uint64               // of sweeping
}

// grown counts what a page has taken since it took before.
func (k *codeCache) grown(p *codePage, before int) {
	k.room += p.room - before
	k.fresh += p.room - before
}

// sweep drops the pages that are out of use. All the others have to be looked up again, by which it knows next time.
func (c *Core) sweep() {
	k := &c.code
	for pa, page := range k.pages {
		if page.used != k.round {
			delete(k.pages, pa)
			k.room -= page.room
			page.forget()
		}
	}
	k.round++
	k.fresh = 0
	c.forgetPlaces()
}

// forgetPlaces makes all look-ups stale, and lets go of what they found.
func (c *Core) forgetPlaces() {
	clear(c.code.fetch[:])
	clear(c.jumps[:])
	c.newGen(0)
	c.newGen(1)
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
	if c.code.fresh > sweepRoom {
		c.sweep()
	}
	if c.code.room > maxRoom {
		c.dropAllCode()
	}
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
	before := page.room
	b, ops := c.build(page, c.PC, maxBlock)
	b.key = key
	page.keep(b, ops)
	page.add(b)
	c.code.grown(page, before)
	c.stats.Blocks++
	return b
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
	code := &codePage{pa: pa, words: words, room: pageRoom}
	c.code.pages[pa] = code
	c.code.grown(code, 0)
	return code
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
func (c *Core) build(page *codePage, pc uint64, limit int) (b *Block, ops []isa.Op) {
	ops = c.code.draft[:1]
	b = &Block{pc: pc}
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
	var next *Block
	if q := &c.jumps[c.PC>>2&jumpMask]; q.pc == c.PC && q.gen == c.gen {
		next = q.b
	} else if next = c.find(); next == nil {
		c.pend = pending{} // raised again when the block is looked up
		return nil
	}
	if !b.stale && !next.stale {
		b.next[slot] = next
	}
	return next
}

// dropCode forgets the decoded code of a physical page.
func (c *Core) dropCode(pa uint64) {
	page := c.code.pages[pa&^0xfff]
	if page == nil {
		return
	}
	delete(c.code.pages, page.pa)
	c.code.room -= page.room
	page.forget()
	c.newGen(0)
	c.newGen(1)
}

// forget unchains the blocks of a page.
func (p *codePage) forget() {
	for _, b := range p.table {
		for ; b != nil; b = b.other {
			b.stale = true
			b.next = [2]*Block{}
		}
	}
}

// dropCodeIn forgets the decoded code of some ranges.
func (c *Core) dropCodeIn(ranges []span64) {
	for pa := range c.code.pages {
		for _, s := range ranges {
			if pa-s.base < s.n {
				c.dropCode(pa)
				break
			}
		}
	}
}

// dropAllCode forgets all decoded code.
func (c *Core) dropAllCode() {
	for _, page := range c.code.pages {
		page.forget()
	}
	c.code.pages, c.code.room, c.code.fresh = map[uint64]*codePage{}, 0, 0
	c.forgetPlaces()
}

func codeBit(pa uint64) (word, bit uint64) {
	h := pa >> 12 % codeMapLen
	return h / 64, 1 << (h % 64)
}

// markCode notes that some core decodes code of the page. It comes before
// the code is read: whoever changes the code and then finds no mark knows that
// the reader will see the change.
func (m *Machine) markCode(pa uint64) {
	word, bit := codeBit(pa)
	m.hasCode[word].Or(bit)
}

// mayHaveCode says whether any core may hold decoded code of the page.
func (m *Machine) mayHaveCode(pa uint64) bool {
	word, bit := codeBit(pa)
	fence()
	return m.hasCode[word].Load()&bit != 0
}
