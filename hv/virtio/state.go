package virtio

import "github.com/arcboxlabs/arcbox-go/hv/mem"

// A QueueState is where a queue stands, for people who look for what is stuck. The
// indices count chains since the driver set the queue up, and wrap.
type QueueState struct {
	Index    int
	Size     uint16
	Avail    uint16 // the driver's index: chains offered
	Used     uint16 // the device's index: chains given back
	Taken    int64  // chains taken and not finished
	Unserved bool   // the driver notified and the device has not looked since
	Notified uint64 // notifications by the driver
	Signals  uint64 // notifications of the driver
}

// State may be read at any moment while guest memory exists. It waits for nothing but the
// lock of the used ring, which is never held for longer than it takes to publish a chain.
func (q *Queue) State() QueueState {
	s := QueueState{
		Index: q.index, Size: q.size, Taken: q.taken.Load(),
		Unserved: !q.parked.Load() && q.served.Load() != q.asked.Load(),
		Notified: q.asked.Load(), Signals: q.signals.Load(),
	}
	if q.size == 0 {
		return s
	}
	s.Avail = mem.Load16(q.avail, ringIdx)
	q.mu.Lock()
	defer q.mu.Unlock()
	s.Used = q.usedIdx
	return s
}
