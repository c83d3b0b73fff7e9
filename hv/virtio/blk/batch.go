package blk

import "github.com/arcboxlabs/arcbox-go/hv/virtio"

const (
	// maxBatch is how many requests one transfer may serve, and maxBatchBytes from when on
	// no more are looked for: one call of the system costs little more than another by then.
	maxBatch      = 32
	maxBatchBytes = 1 << 20
)

// A batch is a request, or several reads or writes whose sectors follow one another: the host moves
// their data in one call.
type batch struct {
	reqs []request
	end  uint64   // the sector behind the last
	n    int64    // bytes of data
	bufs [][]byte // of all, for the call
}

func (b *batch) reset() {
	clear(b.reqs)
	clear(b.bufs)
	*b = batch{reqs: b.reqs[:0], bufs: b.bufs[:0]}
}

// add takes r in, unless it does not go on where the batch ends.
func (b *batch) add(r request) bool {
	n := r.dataLen()
	if len(b.reqs) > 0 && (r.op != b.reqs[0].op || r.sector != b.end || n == 0) {
		return false
	}
	b.reqs = append(b.reqs, r)
	b.n += n
	b.end = r.sector + uint64(n)/SectorSize // wraps for what is refused later
	return true
}

// open says whether the batch could take more.
func (b *batch) open() bool {
	r := &b.reqs[len(b.reqs)-1]
	n := r.dataLen()
	return (r.op == opIn || r.op == opOut) && n > 0 && n%SectorSize == 0 && len(b.reqs) < maxBatch && b.n < maxBatchBytes
}

// written is how many bytes the batch writes to the disk.
func (b *batch) written() int64 {
	if len(b.reqs) == 0 || b.reqs[0].op != opOut {
		return 0
	}
	return b.n
}

// gather lists the guest's buffers.
func (b *batch) gather() [][]byte {
	for i := range b.reqs {
		c := b.reqs[i].c
		if b.reqs[i].op == opIn {
			b.bufs = append(b.bufs, c.Writable()...)
		} else {
			b.bufs = append(b.bufs, c.Readable()...)
		}
	}
	return b.bufs
}

// do serves a batch, trusting nothing in it.
func (s *session) do(b *batch) {
	if len(b.reqs) > 1 && s.together(b) {
		return
	}
	for i := range b.reqs {
		r := &b.reqs[i]
		if r.status == nil {
			s.stats.Errors.Add(1)
			r.c.Finish(0) // nowhere to put a status
			continue
		}
		if st := s.perform(r); st != later {
			s.answer(*r, st)
		}
	}
}

// together moves the data of a batch in one call. When that is refused or fails it says no, and
// each request is done by itself and has its own answer.
func (s *session) together(b *batch) bool {
	first := &b.reqs[0]
	off, ok := s.within(first.sector, b.n)
	if !ok || (first.op == opOut && s.opt.ReadOnly) {
		return false
	}
	move := s.vec.ReadvAt
	if first.op == opOut {
		move = s.vec.WritevAt
	}
	if k, err := move(b.gather(), off); err != nil || int64(k) != b.n {
		return false
	}
	for i := range b.reqs {
		r := &b.reqs[i]
		if st := s.moved(r, r.dataLen()); st != later {
			s.answer(*r, st)
		}
	}
	return true
}

// dataLen is how many bytes a read or write moves.
func (r *request) dataLen() int64 {
	switch {
	case r.status == nil:
		return 0
	case r.op == opIn:
		return r.c.WriteLen()
	case r.op == opOut:
		return r.c.ReadLen()
	}
	return 0
}

// parse takes the header and the status byte off a chain. A request that has none of
// them is for perform to refuse.
func parse(c *virtio.Chain, q *virtio.Queue) request {
	r := request{c: c, q: q, status: c.Tail(), op: opNone}
	var h [headerLen]byte
	if r.status != nil && c.ReadFull(h[:]) == nil {
		r.op, r.sector = parseHeader(&h)
	}
	return r
}
