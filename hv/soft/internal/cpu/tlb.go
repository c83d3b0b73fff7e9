package cpu

// TLBSize is the number of entries of a TLB, a power of two.
const TLBSize = 1024

// NoPage is a tag that no access matches: tags are page addresses.
const NoPage = ^uint64(0)

// A TLBEntry maps one 4 KiB page of ordinary memory. An access of n bytes at
// va hits when (va+n-1)&^0xfff equals the tag and is then at host address
// va+Off; an access that crosses a page end never hits its first page's entry,
// so both pages are looked up the slow way.
type TLBEntry struct {
	Rd, Wr uint64 // tags of reads and writes: the page's address, or NoPage
	Off    uint64 // host address minus guest virtual address
	_      uint64 // pads to a power of two
}

// A TLB is direct-mapped by TLBIndex.
type TLB [TLBSize]TLBEntry

// TLBIndex is the entry for va. Bits from 22 up are mixed in so that buffers a
// multiple of 4 MiB apart do not share entries; by addition, because then two
// neighbouring pages never do, and so an access that begins in one and
// ends in the other cannot hit the other's entry. The generator writes the same
// expression into the executor.
func TLBIndex(va uint64) uint64 { return (va>>12 + va>>22) & (TLBSize - 1) }

// Flush empties the table. A cleared entry has page zero's tag, which only
// accesses that end in page zero match: those that begin there, or in the
// last page of the address space.
func (t *TLB) Flush() {
	clear(t[:])
	t.Drop(0)
	t.Drop(^uint64(0))
}

// Drop removes the entry that may hold va.
func (t *TLB) Drop(va uint64) {
	e := &t[TLBIndex(va)]
	e.Rd, e.Wr = NoPage, NoPage
}
