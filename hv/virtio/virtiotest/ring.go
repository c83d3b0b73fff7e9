package virtiotest

import (
	"encoding/binary"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Descriptor flags (virtio 1.2, section 2.7.5).
const (
	DescNext     = 1
	DescWrite    = 2
	DescIndirect = 4
)

// A Ring is one virtqueue from the driver's side. One goroutine at a time may use it.
// Desc, Avail and UsedRing are its areas in guest memory, for tests that
// write nonsense into them.
type Ring struct {
	Desc, Avail, UsedRing Buf
	Size                  uint16
	Index                 int

	d      *Driver
	woken  chan struct{} // a token after an interrupt
	tables []Buf         // indirect tables by head, with Options.Indirect
	free   []uint16      // free descriptors
	length []uint16      // descriptors of the chain with that head
	idx    uint16        // avail.idx
	kicked uint16        // avail.idx at the last Kick
	seen   uint16        // used.idx up to which we have looked
	single bool          // notifications by EVENT_IDX
}

func newRing(d *Driver, index int, n uint16) *Ring {
	r := &Ring{
		Size: n, Index: index, d: d,
		Desc:     d.Alloc(16 * int(n)),
		Avail:    d.Alloc(6 + 2*int(n)),
		UsedRing: d.Alloc(6 + 8*int(n)),
		woken:    make(chan struct{}, 1),
		length:   make([]uint16, n),
		single:   d.Has(virtio.FeatureEventIdx),
	}
	for i := range n {
		r.free = append(r.free, n-1-i)
		if d.opt.Indirect && d.Has(virtio.FeatureIndirect) {
			r.tables = append(r.tables, d.Alloc(16*int(n)))
		}
	}
	d.line.add(r)
	return r
}

// SetDesc writes descriptor i.
func (r *Ring) SetDesc(i uint16, gpa uint64, n uint32, flags, next uint16) {
	putDesc(r.Desc.B, i, gpa, n, flags, next)
}

func putDesc(table []byte, i uint16, gpa uint64, n uint32, flags, next uint16) {
	b := table[16*int(i):]
	binary.LittleEndian.PutUint64(b, gpa)
	binary.LittleEndian.PutUint32(b[8:], n)
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

// Room is how many descriptors are free.
func (r *Ring) Room() int { return len(r.free) }

// Add makes a chain of bufs available and returns its head. It does not notify.
func (r *Ring) Add(bufs ...Buf) uint16 {
	need := len(bufs)
	if r.tables != nil {
		need = 1
	}
	if need > len(r.free) || need == 0 {
		r.d.t.Fatalf("queue %d has %d free descriptors, %d are wanted", r.Index, len(r.free), need)
	}
	mine := r.free[len(r.free)-need:]
	r.free = r.free[:len(r.free)-need]
	head := mine[0]
	r.length[head] = uint16(need)
	if r.tables != nil {
		t := r.tables[head]
		for i, b := range bufs {
			putDesc(t.B, uint16(i), b.GPA, uint32(len(b.B)), flags(b, i+1 < len(bufs)), uint16(i+1))
		}
		r.SetDesc(head, t.GPA, uint32(16*len(bufs)), DescIndirect, 0)
	} else {
		for i, b := range bufs {
			var next uint16
			if i+1 < need {
				next = mine[i+1]
			}
			r.SetDesc(mine[i], b.GPA, uint32(len(b.B)), flags(b, i+1 < need), next)
		}
	}
	r.Offer(head)
	return head
}

func flags(b Buf, more bool) (f uint16) {
	if b.Write {
		f |= DescWrite
	}
	if more {
		f |= DescNext
	}
	return f
}

// Offer puts head into the available ring, whatever it is.
func (r *Ring) Offer(head uint16) {
	binary.LittleEndian.PutUint16(r.Avail.B[4+2*int(r.idx%r.Size):], head)
	r.SetIdx(r.idx + 1)
}

// SetIdx sets avail.idx, whatever it is.
func (r *Ring) SetIdx(v uint16) {
	r.idx = v
	mem.Store16(r.Avail.B, 2, v)
}

// Kick notifies the device if it wants that.
func (r *Ring) Kick() {
	old := r.kicked
	r.kicked = r.idx
	if r.single {
		event := mem.Load16(r.UsedRing.B, 4+8*int(r.Size))
		if r.idx-event-1 >= r.idx-old {
			return
		}
	} else if mem.Load16(r.UsedRing.B, 0)&1 != 0 {
		return
	}
	r.Notify()
}

// Notify notifies the device whether it wants that or not.
func (r *Ring) Notify() { r.d.W(QueueNotify, uint32(r.Index)) }

// Used takes the next used chain, if there is one: its head and how many bytes
// the device says it wrote.
func (r *Ring) Used() (head uint16, n uint32, ok bool) {
	if mem.Load16(r.UsedRing.B, 2) == r.seen {
		return 0, 0, false
	}
	at := 4 + 8*int(r.seen%r.Size)
	id := binary.LittleEndian.Uint32(r.UsedRing.B[at:])
	n = binary.LittleEndian.Uint32(r.UsedRing.B[at+4:])
	r.seen++
	if id >= uint32(r.Size) || r.length[id] == 0 {
		r.d.t.Fatalf("queue %d: used entry names chain %d, which is not with the device", r.Index, id)
	}
	r.release(uint16(id))
	return uint16(id), n, true
}

// release frees the descriptors of a chain.
func (r *Ring) release(head uint16) {
	i := head
	for range r.length[head] {
		r.free = append(r.free, i)
		i = binary.LittleEndian.Uint16(r.Desc.B[16*int(i)+14:])
	}
	r.length[head] = 0
}

// Wait waits for the next used chain.
func (r *Ring) Wait() (head uint16, n uint32) {
	r.d.t.Helper()
	head, n, ok := r.WaitFor(Patience)
	if !ok {
		r.d.t.Fatalf("queue %d: the device does not answer; status %#x, %v", r.Index, r.d.R(Status), r.d.Bus.Err())
	}
	return head, n
}

// WaitFor waits for the next used chain, for so long.
func (r *Ring) WaitFor(d time.Duration) (head uint16, n uint32, ok bool) {
	if head, n, ok = r.Used(); ok {
		return head, n, true
	}
	var late <-chan time.Time
	for {
		if r.single {
			mem.Store16(r.Avail.B, 4+2*int(r.Size), r.seen) // used_event
		}
		if head, n, ok = r.Used(); ok {
			return head, n, true
		}
		if late == nil {
			timer := time.NewTimer(d)
			defer timer.Stop()
			late = timer.C
		}
		select {
		case <-r.woken:
		case <-late:
			return 0, 0, false
		}
	}
}

// Do adds a chain, notifies, and waits until it comes back; others that come back
// before it are an error. It returns how many bytes the device says it wrote.
func (r *Ring) Do(bufs ...Buf) uint32 {
	r.d.t.Helper()
	head := r.Add(bufs...)
	r.Kick()
	got, n := r.Wait()
	if got != head {
		r.d.t.Fatalf("queue %d: chain %d came back, waiting for %d", r.Index, got, head)
	}
	return n
}
