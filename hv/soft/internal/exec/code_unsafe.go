package exec

import (
	"sync/atomic"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

// The room that blocks and operations are counted with.
var (
	_ [64]byte = [unsafe.Sizeof(Block{})]byte{}
	_ [24]byte = [unsafe.Sizeof(isa.Op{})]byte{}
)

// index is which operation of b i is, not counting the lead-in.
func (b *Block) index(i *isa.Op) uint {
	return uint((uintptr(unsafe.Pointer(i))-uintptr(unsafe.Pointer(b.lead)))/unsafe.Sizeof(isa.Op{})) - 1
}

// codeWords gives the guest memory of the page at pa, or nil if the guest may
// not execute it.
func (c *Core) codeWords(pa uint64) *[pageSize / 4]uint32 {
	s := c.mem.Find(pa)
	if s == nil || s.Prot&mmu.Exec == 0 {
		return nil
	}
	return (*[pageSize / 4]uint32)(unsafe.Pointer(&s.Mem[pa-s.Base]))
}

// loadWord reads the instruction at address at of the page. Other cores may
// be writing it.
func loadWord(words *[pageSize / 4]uint32, at uint64) uint32 {
	return atomic.LoadUint32(&words[at/4%uint64(len(words))])
}
