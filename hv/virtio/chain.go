package virtio

import (
	"io"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// Descriptor flags (virtio 1.2, section 2.7.5).
const (
	descNext     = 1
	descWrite    = 2
	descIndirect = 4
)

// A Chain is one request: buffers that the device reads, then buffers that it
// writes. It is an io.Reader of the former and an io.Writer of the latter, and
// both move through guest memory, which may change under them: what is checked must
// have been copied out first.
//
// Whoever takes a chain finishes it, once, whatever it holds; after that, and after
// Serve has returned, it must not be used.
type Chain struct {
	q       *Queue
	head    uint16
	done    bool
	used    uint32   // what Finish was told
	read    [][]byte // what is left to read, no empty slices
	write   [][]byte // what is left to write, no empty slices
	nr, nw  uint64   // bytes in read and in write
	written uint32
	segs    [][]byte // what read and write are cut from
	addrs   []uint64 // guest physical addresses of segs
	held    bool     // see Hold
}

// Finish gives the chain back to the driver: n bytes of its writable buffers, from
// the first one on, have been written. A second Finish does nothing.
func (c *Chain) Finish(n uint32) {
	if c.done {
		return
	}
	c.q.finish(c, n)
}

// Hold says that the device keeps the chain for when it needs it, as a balloon does with its
// statistics: a queue with held chains can be at rest.
func (c *Chain) Hold() {
	if c.held || c.done {
		return
	}
	c.held = true
	c.q.keep(c)
	c.q.taken.Add(-1)
}

// EachWritable calls f with the place of each writable buffer in guest physical
// memory, for devices that are given memory rather than what it holds. It comes before any
// Write or Tail, and stops at an error.
func (c *Chain) EachWritable(f func(gpa, n uint64) error) error {
	first := len(c.segs) - len(c.write)
	for i, b := range c.write {
		if err := f(c.addrs[first+i], uint64(len(b))); err != nil {
			return err
		}
	}
	return nil
}

// ReadLen and WriteLen are how many bytes are left to read, and to write.
func (c *Chain) ReadLen() int64  { return int64(c.nr) }
func (c *Chain) WriteLen() int64 { return int64(c.nw) }

// Written is how many bytes Write has written, for Finish.
func (c *Chain) Written() uint32 { return c.written }

// Readable and Writable are the buffers that are left, for vector I/O into and out of
// guest memory. They are valid until the next Read, Write, Tail or Finish.
func (c *Chain) Readable() [][]byte { return c.read }
func (c *Chain) Writable() [][]byte { return c.write }

// Read copies from the readable buffers. At their end it answers io.EOF.
func (c *Chain) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(c.read) == 0 {
		return 0, io.EOF
	}
	for n < len(p) && len(c.read) > 0 {
		k := copy(p[n:], c.read[0])
		n += k
		c.read = skip(c.read, k)
	}
	c.nr -= uint64(n)
	return n, nil
}

// ReadFull fills p or says io.ErrUnexpectedEOF, and reads nothing then.
func (c *Chain) ReadFull(p []byte) error {
	if uint64(len(p)) > c.nr {
		return io.ErrUnexpectedEOF
	}
	_, err := c.Read(p)
	return err
}

// Write copies into the writable buffers. When p does not fit it writes what
// does, and answers io.ErrShortWrite.
func (c *Chain) Write(p []byte) (n int, err error) {
	for n < len(p) && len(c.write) > 0 {
		k := copy(c.write[0], p[n:])
		n += k
		c.write = skip(c.write, k)
	}
	c.nw -= uint64(n)
	c.written += uint32(n)
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

// Tail cuts the last writable byte off and returns it, for the devices that
// put a status there; nil when there is none.
func (c *Chain) Tail() []byte {
	n := len(c.write)
	if n == 0 {
		return nil
	}
	last := c.write[n-1]
	c.nw--
	if len(last) == 1 {
		c.write = c.write[:n-1]
		return last
	}
	c.write[n-1] = last[:len(last)-1]
	return last[len(last)-1:]
}

// skip drops the first k bytes of v[0].
func skip(v [][]byte, k int) [][]byte {
	if k == len(v[0]) {
		return v[1:]
	}
	v[0] = v[0][k:]
	return v
}

// load follows the descriptors from c.head. Each is read once. A chain has at
// most as many as its queue, whether in the table or indirect, which also
// ends loops (section 2.7.5.3.1).
func (c *Chain) load() error {
	q := c.q
	c.segs, c.addrs, c.read, c.write = c.segs[:0], c.addrs[:0], nil, nil
	c.nr, c.nw, c.written = 0, 0, 0
	if c.head >= q.size {
		return q.bad("the number of a descriptor that its queue does not have")
	}
	table, entries, i := q.desc, uint32(q.size), uint32(c.head)
	indirect, readable := false, 0
	for range int(q.size) + 1 { // one more: the descriptor of an indirect table
		addr := mem.Load64(table, int(i)*descSize)
		rest := mem.Load64(table, int(i)*descSize+8)
		n, flags, next := uint32(rest), uint16(rest>>32), uint32(rest>>48)
		if flags&descIndirect != 0 {
			t, err := c.indirect(addr, n, flags, indirect)
			if err != nil {
				return err
			}
			table, entries, i, indirect = t, n/descSize, 0, true
			continue
		}
		if err := c.add(addr, n, flags&descWrite != 0, &readable); err != nil {
			return err
		}
		if flags&descNext == 0 {
			c.read, c.write = c.segs[:readable:readable], c.segs[readable:]
			return nil
		}
		if i = next; i >= entries {
			return q.bad("the number of a descriptor that its table does not have")
		}
	}
	return q.bad("a chain longer than its queue")
}

// indirect opens a table of descriptors. One table may not lead to another, and
// must be the end of its chain; what Linux makes is its whole chain.
func (c *Chain) indirect(addr uint64, n uint32, flags uint16, nested bool) ([]byte, error) {
	q := c.q
	if nested || flags&descNext != 0 || !q.Has(FeatureIndirect) {
		return nil, q.bad("an indirect table where none may be")
	}
	if n == 0 || n%descSize != 0 || n/descSize > uint32(q.size) {
		return nil, q.bad("an indirect table of a bad size")
	}
	t, err := q.space.Slice(addr, uint64(n))
	if err != nil || !mem.Aligned(t, 8) {
		return nil, q.bad("an indirect table outside memory or unaligned")
	}
	return t, nil
}

// add appends one buffer. Empty ones are passed over.
func (c *Chain) add(addr uint64, n uint32, write bool, readable *int) error {
	if !write && c.nw > 0 {
		return c.q.bad("a readable buffer behind a writable one")
	}
	if n == 0 {
		return nil
	}
	b, err := c.q.space.Slice(addr, uint64(n))
	if err != nil {
		return c.q.bad("a buffer outside memory")
	}
	c.segs, c.addrs = append(c.segs, b), append(c.addrs, addr)
	if write {
		c.nw += uint64(n)
	} else {
		c.nr += uint64(n)
		*readable = len(c.segs)
	}
	if c.nr+c.nw > 1<<32-1 { // section 2.7.5: a chain is shorter than 2^32 bytes
		return c.q.bad("a chain of 4 GiB or more")
	}
	return nil
}
