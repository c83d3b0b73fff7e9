package balloon

import (
	"encoding/binary"
	"slices"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// pages are the pages in the balloon.
type pages struct {
	*Device
	space virtio.Memory
	unit  uint64 // what can be returned to the host, in bytes: at most 64 pages
	// in has a bit for each page, 64 to an entry, by page number / 64. Only pages of guest
	// memory are in it, so it is no larger than that.
	in map[uint64]uint64
	// pending are the host pages that are wholly in the balloon and not returned yet,
	// by guest physical address. With MUST_TELL_HOST the guest asks for them before it
	// uses them again.
	pending []uint64
}

// drain serves what is in q: chains of page numbers, each given to do. With now the host has
// the pages back before the guest hears that the balloon has them.
func (p *pages) drain(q *virtio.Queue, do func(pfn uint64), now bool) error {
	var b [1024]byte
	for {
		c, err := q.Take()
		if c == nil || err != nil {
			return err
		}
		for {
			n, _ := c.Read(b[:])
			for at := b[:n]; len(at) >= 4; at = at[4:] {
				do(uint64(binary.LittleEndian.Uint32(at)))
			}
			if n < len(b) {
				break
			}
		}
		if now {
			p.giveBack()
		}
		c.Finish(0)
	}
}

// add puts a page into the balloon. One that is no memory, or is in it, is passed over.
func (p *pages) add(pfn uint64) {
	bit := uint64(1) << (pfn % 64)
	if _, err := p.space.Slice(pfn*PageSize, PageSize); err != nil || p.in[pfn/64]&bit != 0 {
		return
	}
	p.in[pfn/64] |= bit
	block := pfn * PageSize &^ (p.unit - 1)
	if p.whole(block) {
		p.pending = append(p.pending, block)
	}
	if uint64(len(p.pending))*p.unit >= batch {
		p.giveBack()
	}
}

// remove takes a page out of the balloon.
func (p *pages) remove(pfn uint64) {
	if left := p.in[pfn/64] &^ (1 << (pfn % 64)); left != 0 {
		p.in[pfn/64] = left
	} else {
		delete(p.in, pfn/64)
	}
}

// whole says whether all pages of the block, one unit, are in the balloon.
func (p *pages) whole(block uint64) bool {
	pfn := block / PageSize
	mask := (uint64(1)<<(p.unit/PageSize) - 1) << (pfn % 64)
	return p.in[pfn/64]&mask == mask
}

// giveBack returns what is pending, without what was taken out of the balloon again.
func (p *pages) giveBack() {
	still := slices.DeleteFunc(p.pending, func(block uint64) bool { return !p.whole(block) })
	slices.Sort(still)
	runs(slices.Compact(still), p.unit, func(gpa, n uint64) {
		got, err := p.space.Return(gpa, n)
		if err != nil {
			p.failed.Add(1)
		}
		p.inflated.Add(got)
	})
	p.pending = p.pending[:0]
}

// runs joins neighbouring blocks of size bytes, which are sorted, and calls f for each run.
func runs(blocks []uint64, size uint64, f func(gpa, n uint64)) {
	for i := 0; i < len(blocks); {
		j := i + 1
		for j < len(blocks) && blocks[j] == blocks[i]+uint64(j-i)*size {
			j++
		}
		f(blocks[i], uint64(j-i)*size)
		i = j
	}
}
