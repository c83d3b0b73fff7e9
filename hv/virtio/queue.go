package virtio

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// Layout of a split virtqueue (virtio 1.2, section 2.7).
const (
	descSize  = 16
	usedElem  = 8
	ringFlags = 0 // offset of flags in both rings
	ringIdx   = 2 // offset of idx in both rings
	ringHead  = 4 // offset of the first element in both rings

	availNoInterrupt = 1 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 // VIRTQ_USED_F_NO_NOTIFY
)

// Layout says where the driver put a queue's three areas, and how many
// descriptors it has.
type Layout struct {
	Size              uint16
	Desc, Driver, Dev uint64 // guest physical addresses
}

// A Queue is one split virtqueue from the device's side.
//
// One goroutine at a time takes chains (Take, Next, Wait, Park); any may finish
// them, in any order.
//
// # Barriers
//
// The loads and stores of hv/mem are sequentially consistent, which is what the two
// races need: the ring is looked at again after notifications are asked for, and
// used_event is read after used.idx is stored. Either without the other
// is a silent stall.
type Queue struct {
	index    int
	size     uint16
	eventIdx bool
	features uint64
	space    *mem.Space
	desc     []byte // of size*16 bytes
	avail    []byte // flags, idx, ring, used_event
	used     []byte // flags, idx, ring, avail_event
	signal   func() // tells the driver that used chains are there
	kick     chan struct{}

	// Of the taking goroutine.
	next, seen uint16 // index of the next chain; driver's index when last read
	quiet      bool   // the driver was told that it need not notify

	exact   bool          // see Exact
	offered atomic.Uint32 // with exact: the driver's index at the last Refresh

	asked   atomic.Uint64 // notifications so far
	served  atomic.Uint64 // value of asked when the ring was last found empty
	signals atomic.Uint64 // calls of signal so far
	parked  atomic.Bool
	taken   atomic.Int64 // chains taken and not finished

	mu      sync.Mutex // guards what follows and the used ring
	usedIdx uint16
	flags   uint16
	free    []*Chain
	order   []*Chain // with exact: taken and not published, the oldest first
}

// NewQueue opens the queue that the driver laid out in space. signal is called
// for each used buffer notification, from whichever goroutine finishes a chain.
// It is for transports. Errors: a *GuestError.
func NewQueue(index int, l Layout, features uint64, space *mem.Space, signal func()) (*Queue, error) {
	q := &Queue{
		index: index, size: l.Size, features: features, space: space, signal: signal,
		eventIdx: features&FeatureEventIdx != 0,
		kick:     make(chan struct{}, 1),
	}
	if l.Size == 0 || l.Size > MaxQueueSize || l.Size&(l.Size-1) != 0 {
		return nil, q.bad("a size that is no power of two within bounds")
	}
	n := uint64(l.Size)
	for _, a := range []struct {
		b    *[]byte
		gpa  uint64
		size uint64
		mult uintptr
	}{
		{&q.desc, l.Desc, n * descSize, 16},
		{&q.avail, l.Driver, ringHead + 2*n + 2, 2},
		{&q.used, l.Dev, ringHead + usedElem*n + 2, 4},
	} {
		b, err := space.Slice(a.gpa, a.size)
		if err != nil || !mem.Aligned(b, a.mult) {
			return nil, q.bad(fmt.Sprintf("a ring at GPA %#x, outside memory or unaligned", a.gpa))
		}
		*a.b = b
	}
	return q, nil
}

// AbsentQueue is a queue that the driver did not set up: it is never ready.
func AbsentQueue(index int, features uint64, space *mem.Space) *Queue {
	return &Queue{index: index, features: features, space: space, kick: make(chan struct{}, 1)}
}

// Exact makes what driver and device see of each other independent of how fast
// the device's goroutines run, for machines whose runs are to be reproducible:
// the device sees what was there at the last Refresh or notification, and chains
// are given back in the order in which they were taken. It is for transports,
// before anybody takes.
func (q *Queue) Exact() { q.exact = true }

// Refresh lets the device of an Exact queue see what the driver has offered by now. It
// is for transports, whenever the device is given something to do: what another
// queue brings may need this one's buffers, of which the driver had no reason to tell.
func (q *Queue) Refresh() {
	if q.exact && q.size != 0 {
		q.offered.Store(uint32(mem.Load16(q.avail, ringIdx)))
	}
}

// Index is the queue's number, and Size how many descriptors it has: 0 when the
// driver left it out.
func (q *Queue) Index() int   { return q.index }
func (q *Queue) Size() uint16 { return q.size }

// Has says whether all of the feature bits f were negotiated for the device.
func (q *Queue) Has(f uint64) bool { return q.features&f == f }

// Memory is the guest's memory, for the devices whose requests name pages of it.
func (q *Queue) Memory() Memory { return q.space }

// Memory is a mem.Space as a device sees it; what the methods promise is written there.
type Memory interface {
	Slice(gpa, n uint64) ([]byte, error)
	Return(gpa, n uint64) (uint64, error)
	HostPage() uint64
}

// Notify is the driver's doorbell. It never blocks: vCPU threads call it.
func (q *Queue) Notify() {
	q.Refresh()
	q.asked.Add(1)
	q.Wake()
}

// Kicked has a token when the driver has notified. After Take returned nil, wait
// for it together with whatever else the device waits for.
func (q *Queue) Kicked() <-chan struct{} { return q.kick }

// AtRest says that nothing is taken and unfinished, and that nothing the driver
// has notified is still to be looked at. Buffers which a parked device leaves
// in the ring are at rest.
func (q *Queue) AtRest() bool {
	// In this order: a chain is counted in taken before its notification counts
	// as served.
	served := q.parked.Load() || q.served.Load() == q.asked.Load() || q.size == 0
	return served && q.taken.Load() == 0
}

// Park says that the device wants no buffers until it next calls Take. Devices
// with nothing to give to the guest do so, and notifications mean nothing then.
func (q *Queue) Park() { q.parked.Store(true) }

// Next waits for a chain and takes it. Errors: ctx's, or a *GuestError.
func (q *Queue) Next(ctx context.Context) (*Chain, error) {
	for {
		if c, err := q.Take(); c != nil || err != nil {
			return c, err
		}
		select {
		case <-q.kick:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Take takes a chain if there is one, and returns nil if not; the driver will then
// notify when it adds one. Errors: a *GuestError, for ever.
func (q *Queue) Take() (*Chain, error) {
	if q.size == 0 {
		return nil, nil
	}
	if q.parked.Load() {
		q.parked.Store(false)
	}
	asked := q.asked.Load() // before the ring is looked at
	if q.next == q.seen && !q.look() {
		q.served.Store(asked)
		return nil, nil
	}
	if q.seen-q.next > q.size {
		return nil, q.bad("an index further ahead than its queue is long")
	}
	q.taken.Add(1)
	c := q.chain()
	c.head = mem.Load16(q.avail, ringHead+2*int(q.next&(q.size-1)))
	if err := c.load(); err != nil {
		return nil, err
	}
	q.next++
	q.hush()
	return c, nil
}

// Watch makes sure that somebody who waits for Kicked is woken for chains that are
// there or come, while the caller is busy with the one it took.
func (q *Queue) Watch() {
	if q.next != q.seen || q.look() {
		q.Wake()
	}
}

// Wake gives whoever waits for Kicked a token, as the driver does.
func (q *Queue) Wake() {
	select {
	case q.kick <- struct{}{}:
	default: // one token is enough: the whole ring is looked at
	}
}

// More says whether there is another chain to take now. Unlike Take it does not ask
// the driver to notify when there is none. It is for the taking goroutine.
func (q *Queue) More() bool {
	if q.size == 0 {
		return false
	}
	if q.next == q.seen {
		q.seen = q.driverIdx()
	}
	return q.next != q.seen
}

// look reads the driver's index, and asks for a notification if it has
// not moved: then it looks again, since the driver may have moved it before
// it saw that.
func (q *Queue) look() bool {
	if q.seen = q.driverIdx(); q.next != q.seen {
		return true
	}
	if q.eventIdx {
		mem.Store16(q.used, ringHead+usedElem*int(q.size), q.next) // avail_event
	} else {
		q.setFlags(0)
	}
	q.quiet = false
	q.seen = q.driverIdx()
	return q.next != q.seen
}

// driverIdx is how far the driver has filled the ring.
func (q *Queue) driverIdx() uint16 {
	if q.exact {
		return uint16(q.offered.Load())
	}
	return mem.Load16(q.avail, ringIdx)
}

// hush tells the driver that it need not notify while chains are being taken. With
// EVENT_IDX the old avail_event does so.
func (q *Queue) hush() {
	if !q.eventIdx && !q.quiet {
		q.quiet = true
		q.setFlags(usedNoNotify)
	}
}

func (q *Queue) setFlags(f uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flags = f
	q.publish()
}

// publish stores flags and idx of the used ring at once. The caller holds mu.
func (q *Queue) publish() {
	mem.Store32(q.used, ringFlags, uint32(q.flags)|uint32(q.usedIdx)<<16)
}

// finish puts a chain into the used ring, and signals if the driver wants that.
func (q *Queue) finish(c *Chain, n uint32) {
	q.mu.Lock()
	c.used, c.done = n, true
	finished, wanted := int64(1), false
	switch {
	case c.held:
		finished, wanted = 0, q.use(c)
	case q.exact:
		finished, wanted = q.publishInOrder()
	default:
		wanted = q.use(c)
	}
	q.mu.Unlock()
	if wanted {
		q.signals.Add(1)
		q.signal()
	}
	q.taken.Add(-finished)
}

// use publishes one chain, which somebody else may have from here on, and says
// whether the driver asked to be told of it. The caller holds mu.
func (q *Queue) use(c *Chain) (wanted bool) {
	at := ringHead + usedElem*int(q.usedIdx&(q.size-1))
	mem.Store32(q.used, at, uint32(c.head))
	mem.Store32(q.used, at+4, c.used)
	q.usedIdx++
	q.publish()
	q.free = append(q.free, c)
	return q.wanted()
}

// publishInOrder publishes the chains that no older one holds back. The caller
// holds mu.
func (q *Queue) publishInOrder() (n int64, wanted bool) {
	for len(q.order) > 0 && q.order[0].done {
		wanted = q.use(q.order[0]) || wanted
		q.order = slices.Delete(q.order, 0, 1)
		n++
	}
	return n, wanted
}

// keep takes a chain that the device holds out of the order.
func (q *Queue) keep(c *Chain) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.order = slices.DeleteFunc(q.order, func(x *Chain) bool { return x == c })
}

// wanted says whether the driver asked to be told of the chain just published.
func (q *Queue) wanted() bool {
	if q.eventIdx {
		return mem.Load16(q.avail, ringHead+2*int(q.size)) == q.usedIdx-1 // used_event
	}
	return mem.Load16(q.avail, ringFlags)&availNoInterrupt == 0
}

// chain is a Chain to fill, a used one if possible.
func (q *Queue) chain() *Chain {
	q.mu.Lock()
	defer q.mu.Unlock()
	var c *Chain
	if n := len(q.free); n > 0 {
		c = q.free[n-1]
		q.free = q.free[:n-1]
		c.done, c.held = false, false
	} else {
		c = &Chain{q: q}
	}
	if q.exact {
		q.order = append(q.order, c)
	}
	return c
}

func (q *Queue) bad(what string) error { return &GuestError{Queue: q.index, What: what} }
