package exec

import (
	gc "runtime/debug"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

const (
	maxRoom    = 64 << 20  // bytes of decoded code that a core keeps at most
	sweepRoom  = 512 << 10 // bytes of code that are decoded before what is out of use is dropped
	spareRoom  = 4 << 20   // bytes of it that nobody uses, at most, when they are more than those in use
	codeMapLen = 1 << 20   // bits

	codeMapSize = codeMapLen / 64
)

// A page is dropped when for some sweeps nothing was looked up in it. That is more of them while a guest uses much code by
// turns: when in a sweep's time more than a tenth went into decoding what had been dropped, of which ten bytes take as
// long as five instructions. It grows slowly, as a guest that starts does so for a moment.
const (
	leastSweeps = 3
	mostSweeps  = 11
	slowness    = 16      // sweeps that tell so, for one more
	goneLen     = 1 << 17 // bits
	goneSize    = goneLen / 64
	goneSweeps  = 64 // after which it is forgotten what was dropped
)

// Decoded code lies in pieces of two sizes, which a page takes as it needs them and gives back when it is dropped. On
// the heap, code that goes would leave gaps among code that stays, which took more room than the code.
type (
	opsPiece   [2048 / 24]isa.Op // 2 KiB; a block's operations lie in one
	blockPiece [8]Block          // 512 bytes
)

// What pieces and the rest of a page take, in bytes.
const (
	opsRoom   = 24 * len(opsPiece{})
	blockRoom = 64 * len(blockPiece{})
	pageRoom  = 240
)

// A store has the pieces of one size that no page has.
type store[T any] struct{ free []*T }

// slabPieces is how many pieces are made at once: whole pages of the host, which go back to it together.
const slabPieces = 32

func (s *store[T]) take() *T {
	if len(s.free) == 0 {
		slab := make([]T, slabPieces)
		for k := range slab {
			s.free = append(s.free, &slab[k])
		}
	}
	last := len(s.free) - 1
	piece := s.free[last]
	s.free = s.free[:last]
	return piece
}

func (s *store[T]) put(pieces []*T) { s.free = append(s.free, pieces...) }

// A codePage is the decoded code of one physical page. Blocks are found by their
// address and context: decoding bakes in the addresses of branches, and depends on
// what the EL may do.
type codePage struct {
	pa      uint64
	words   *[pageSize / 4]uint32 // in guest memory
	table   []*Block              // by a hash of the address, a power of two
	n       int                   // blocks
	ops     []*opsPiece           // its pieces
	blocks  []*blockPiece
	again   bool     // it was dropped before
	opsLeft []isa.Op // room for the operations of the next blocks, behind one that is taken
	room    int      // bytes that all this takes, about
	used    uint64   // the last round of sweeping in which code was looked up here
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

// list makes a block one that can be found.
func (p *codePage) list(b *Block) {
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

// forget unchains the blocks of a page. They lead to no other then: the one that is executing keeps none of them.
func (p *codePage) forget() {
	for _, b := range p.table {
		for b != nil {
			other := b.other
			b.stale, b.next, b.other = true, [2]*Block{}, nil
			b = other
		}
	}
}

// A codeCache is what a core has decoded. From time to time it drops the pages of which nothing was looked up for some
// time: a kernel that has booted never runs most of what it has run until then.
//
// What is dropped in the middle of a block stays as it is until the block has ended: only decoding takes pieces, and
// that comes after it.
type codeCache struct {
	pages  map[uint64]*codePage // by physical address
	fetch  [fetchSize]fetched
	draft  [maxBlock + 2]isa.Op // the block being built; on the stack it would escape
	ops    store[opsPiece]
	blocks store[blockPiece]
	room   int    // bytes that the pages take, about
	round  uint64 // of sweeping

	// Since the last sweep:
	began uint64 // the instructions until then
	fresh int    // bytes that were decoded
	again int    // bytes of them in pages that had been dropped

	strain int              // how many sweeps told that code is dropped too soon
	gone   [goneSize]uint64 // bitmap by page hash: what was dropped
}

// add makes the page at pa one that is known.
func (k *codeCache) add(pa uint64, words *[pageSize / 4]uint32) *codePage {
	word, bit := pageBit(pa, goneLen)
	p := &codePage{pa: pa, words: words, room: pageRoom, used: k.round, again: k.gone[word]&bit != 0}
	k.pages[pa] = p
	k.grown(p, 0)
	return p
}

// keep makes the block draft, of the operations behind ops[0], which is none, one of the page's.
func (k *codeCache) keep(p *codePage, draft Block, ops []isa.Op) *Block {
	before := p.room
	if len(p.opsLeft) < len(ops) {
		piece := k.ops.take()
		p.ops, p.opsLeft = append(p.ops, piece), piece[:]
		p.room += opsRoom
	}
	if p.n%len(blockPiece{}) == 0 {
		p.blocks = append(p.blocks, k.blocks.take())
		p.room += blockRoom
	}
	b := &p.blocks[len(p.blocks)-1][p.n%len(blockPiece{})]
	*b = draft
	b.lead = &p.opsLeft[0]
	copy(p.opsLeft[1:], ops[1:])
	p.opsLeft = p.opsLeft[len(ops)-1:]
	p.list(b)
	k.grown(p, before)
	return b
}

// grown counts what a page has taken since it took before.
func (k *codeCache) grown(p *codePage, before int) {
	k.room += p.room - before
	k.fresh += p.room - before
	if p.again {
		k.again += p.room - before
	}
}

// drop makes a page one that is not known.
func (k *codeCache) drop(p *codePage) {
	delete(k.pages, p.pa)
	k.room -= p.room
	p.forget()
	k.ops.put(p.ops)
	k.blocks.put(p.blocks)
}

// tidy drops code when there is much of it. No block must be executing.
func (c *Core) tidy() {
	if c.code.fresh > sweepRoom {
		c.sweep()
	}
	if c.code.room > maxRoom {
		c.dropAllCode()
	}
}

// sweep drops the pages that are out of use. All the others have to be looked up again, by which it knows next time.
func (c *Core) sweep() {
	k := &c.code
	k.judge(c.count - k.began)
	k.round++
	k.began, k.fresh, k.again = c.count, 0, 0
	last := k.round - uint64(leastSweeps+k.strain/slowness)
	for _, page := range k.pages {
		if int64(page.used-last) <= 0 {
			word, bit := pageBit(page.pa, goneLen)
			k.gone[word] |= bit
			k.drop(page)
		}
	}
	if k.spare() > max(spareRoom, k.room) {
		c.releaseAllCode()
		return
	}
	c.forgetPlaces()
}

// judge says whether code was dropped too soon, by what the core did in the time of so many instructions.
func (k *codeCache) judge(instructions uint64) {
	if uint64(5*k.again) > instructions {
		k.strain = min(k.strain+1, (mostSweeps-leastSweeps)*slowness)
	} else {
		k.strain = max(k.strain-1, 0)
	}
	if k.round%goneSweeps == 0 {
		clear(k.gone[:])
	}
}

// spare is how many bytes of room no page has.
func (k *codeCache) spare() int { return opsRoom*len(k.ops.free) + blockRoom*len(k.blocks.free) }

// forgetPlaces makes all look-ups stale, and lets go of what they found.
func (c *Core) forgetPlaces() {
	clear(c.code.fetch[:])
	clear(c.jumps[:])
	c.newGen(0)
	c.newGen(1)
}

// dropCode forgets the decoded code of a physical page.
func (c *Core) dropCode(pa uint64) {
	page := c.code.pages[pa&^0xfff]
	if page == nil {
		return
	}
	c.code.drop(page)
	c.newGen(0)
	c.newGen(1)
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
	k := &c.code
	for _, page := range k.pages {
		k.drop(page)
	}
	k.round++ // nothing that was found before may be chained
	k.began, k.fresh, k.again = c.count, 0, 0
	c.forgetPlaces()
}

// releaseAllCode forgets all decoded code and gives its room back to the host. That is all or nothing: what Go gives back
// is whole pages, and code that is spread over all of them keeps as much.
func (c *Core) releaseAllCode() {
	c.dropAllCode()
	c.code.ops.free, c.code.blocks.free = nil, nil
	gc.FreeOSMemory()
}

// pageBit is where a bitmap by page hash, of so many bits, has the page at pa.
func pageBit(pa, bits uint64) (word, bit uint64) {
	h := pa >> 12 % bits
	return h / 64, 1 << (h % 64)
}

// markCode notes that some core decodes code of the page. It comes before
// the code is read: whoever changes the code and then finds no mark knows that
// the reader will see the change.
func (m *Machine) markCode(pa uint64) {
	word, bit := pageBit(pa, codeMapLen)
	m.hasCode[word].Or(bit)
}

// mayHaveCode says whether any core may hold decoded code of the page.
func (m *Machine) mayHaveCode(pa uint64) bool {
	word, bit := pageBit(pa, codeMapLen)
	fence()
	return m.hasCode[word].Load()&bit != 0
}
