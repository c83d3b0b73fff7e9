// Package mmio is the virtio-mmio transport, version 2 (virtio 1.2, section 4.2):
// a window of registers in front of a virtio.Device, and one level interrupt.
//
// Any vCPU thread may read and write the window at any time, with any size and
// at any offset. Such a call works on registers and wakes the device, and does no
// I/O; only a reset waits, for the device to let go of guest memory, since
// a driver may use that memory again as soon as its write is done.
//
// The line is high while InterruptStatus is not 0. It is never raised before
// DRIVER_OK, and lowered by InterruptACK and by reset.
package mmio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Window is how many bytes of guest physical space the registers take.
const Window = 0x200

// A Transport is one device's window. Make it with New, end it with Close.
type Transport struct {
	dev   virtio.Device
	info  virtio.Info
	space *mem.Space
	irq   interrupt
	exact bool // see Exact

	// run is the device at work, nil before DRIVER_OK and after reset. Notify
	// and AtRest read it without mu.
	run     atomic.Pointer[run]
	pokes   atomic.Uint64 // notifications, for the statistics
	failure atomic.Pointer[error]
	failed  func(error) // see OnFailure

	mu       sync.Mutex // guards the registers
	status   uint32     // what the driver wrote; NEEDS_RESET is in irq
	features uint64     // the driver's
	devSel   uint32
	drvSel   uint32
	queueSel uint32
	shmSel   uint32
	queues   []queueRegs
	closed   bool
}

// queueRegs is a queue as the driver sets it up.
type queueRegs struct {
	virtio.Layout
	ready bool
}

// New puts dev behind a window. line sets the level of its interrupt; calls
// of it never overlap and come with a lock held, so it must not call back. The
// device must have passed Info().Check.
func New(dev virtio.Device, space *mem.Space, line func(level bool)) *Transport {
	t := &Transport{dev: dev, info: dev.Info(), space: space, irq: interrupt{line: line}}
	t.info.Features |= virtio.RingFeatures
	t.forget()
	if t.info.Config != nil {
		t.info.Config.Watch(func() { t.irq.raise(intConfig) })
	}
	return t
}

// Exact has the queues of every later start be Exact. It comes before the guest
// runs.
func (t *Transport) Exact() { t.exact = true }

// DeviceID is the virtio device type behind the window.
func (t *Transport) DeviceID() uint32 { return t.info.ID }

// Refresh lets an Exact device see what the driver has offered by now. It comes before
// the device is given something from outside, while no vCPU runs.
func (t *Transport) Refresh() {
	if r := t.run.Load(); r != nil && t.exact {
		for _, q := range r.queues {
			q.Refresh()
		}
	}
}

// OnFailure has f called whenever the device asks for a reset, with why, on the device's
// goroutine. It comes before the guest runs.
func (t *Transport) OnFailure(f func(err error)) { t.failed = f }

// Notifications is how often the driver has notified, over all resets.
func (t *Transport) Notifications() uint64 { return t.pokes.Load() }

// Err is why the device last asked for a reset, nil if it never did.
func (t *Transport) Err() error {
	if e := t.failure.Load(); e != nil {
		return *e
	}
	return nil
}

// AtRest says that no queue has anything notified and unserved, or taken and
// unfinished, and that a device which is a Settler has settled.
func (t *Transport) AtRest() bool {
	r := t.run.Load()
	if r == nil || r.over.Load() {
		return true
	}
	// In this order: what settles may finish chains, and raises the interrupt before.
	if s, ok := t.dev.(virtio.Settler); ok && !s.Settled() {
		return false
	}
	return r.atRest()
}

// Close stops the device and waits for it. The line is low afterwards, the
// window reads as 0 and ignores writes. Closing twice is fine.
func (t *Transport) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.reset()
	if t.info.Config != nil {
		t.info.Config.Watch(nil)
	}
}

// Read is a load of size bytes (1, 2, 4 or 8) at off. What is not there reads as 0.
func (t *Transport) Read(off uint64, size int) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return 0
	case off >= regConfig:
		return t.info.Config.Load(off-regConfig, size)
	case size != 4: // section 4.2.2.2: registers are accessed with 32 bits
		return 0
	}
	return uint64(t.load(off))
}

// load reads a register other than configuration. The caller holds mu.
func (t *Transport) load(off uint64) uint32 {
	switch off {
	case regMagic:
		return magic
	case regVersion:
		return version
	case regDeviceID:
		return t.info.ID
	case regVendorID:
		return vendor
	case regDevFeatures:
		return half(t.info.Features, t.devSel)
	case regQueueMax:
		if t.queueSel < uint32(len(t.queues)) {
			return uint32(t.info.QueueMax[t.queueSel])
		}
	case regQueueReady:
		if q := t.queue(); q != nil && q.ready {
			return 1
		}
	case regIntStatus:
		return t.irq.status()
	case regStatus:
		return t.status | t.irq.needsReset()
	case regShmLenLow, regShmLenHigh:
		return half(t.shared().Length, uint32(off-regShmLenLow)/4)
	case regShmBaseLow, regShmBaseHigh:
		return half(t.shared().Base, uint32(off-regShmBaseLow)/4)
	case regConfigGen:
		return t.info.Config.Generation()
	}
	return 0
}

// Write is a store of the low size bytes of v at off. What may not be written keeps
// its value.
func (t *Transport) Write(off uint64, size int, v uint64) {
	if off == regQueueNotify && size == 4 {
		t.notify(uint32(v))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
	case off >= regConfig:
		t.info.Config.Store(off-regConfig, size, v)
	case size == 4:
		t.store(off, uint32(v))
	}
}

// notify is the doorbell. It takes no lock: a vCPU waits for nothing here.
func (t *Transport) notify(queue uint32) {
	t.pokes.Add(1)
	t.Refresh()
	if r := t.run.Load(); r != nil && queue < uint32(len(r.queues)) {
		r.queues[queue].Notify()
	}
}

// store writes a register other than configuration. The caller holds mu.
func (t *Transport) store(off uint64, v uint32) {
	switch off {
	case regDevFeatSel:
		t.devSel = v
	case regDrvFeatSel:
		t.drvSel = v
	case regDrvFeatures:
		if t.status == driven { // section 3.1.1: features are fixed by FEATURES_OK
			setHalf(&t.features, t.drvSel, v)
		}
	case regQueueSel:
		t.queueSel = v
	case regShmSel:
		t.shmSel = v
	case regIntAck:
		t.irq.ack(v)
	case regStatus:
		t.setStatus(v)
	default:
		t.storeQueue(off, v)
	}
}

// storeQueue writes a register of the selected queue, which the driver may do between
// FEATURES_OK and DRIVER_OK, and to all but Ready only while the queue is not ready.
func (t *Transport) storeQueue(off uint64, v uint32) {
	q := t.queue()
	if q == nil || t.status != negotiated {
		return
	}
	if off == regQueueReady {
		q.ready = v == 1 && t.usable(q)
		return
	}
	if q.ready {
		return
	}
	switch off {
	case regQueueSize:
		q.Size = uint16(min(v, 1<<16-1))
	case regQueueDescLow, regQueueDescHigh:
		setHalf(&q.Desc, uint32(off-regQueueDescLow)/4, v)
	case regQueueDrvLow, regQueueDrvHigh:
		setHalf(&q.Driver, uint32(off-regQueueDrvLow)/4, v)
	case regQueueDevLow, regQueueDevHigh:
		setHalf(&q.Dev, uint32(off-regQueueDevLow)/4, v)
	}
}

// usable says whether the selected queue could be opened as it is laid out.
func (t *Transport) usable(q *queueRegs) bool {
	if q.Size > t.info.QueueMax[t.queueSel] {
		return false
	}
	_, err := virtio.NewQueue(int(t.queueSel), q.Layout, t.features, t.space, nil)
	return err == nil
}

// queue is the selected queue, nil if the device does not have it.
func (t *Transport) queue() *queueRegs {
	if t.queueSel >= uint32(len(t.queues)) {
		return nil
	}
	return &t.queues[t.queueSel]
}

// shared is the selected shared memory region. One that does not exist has
// length and base of all ones (section 4.2.2).
func (t *Transport) shared() virtio.SharedRegion {
	if t.shmSel < uint32(len(t.info.Shared)) && t.info.Shared[t.shmSel].Length != 0 {
		return t.info.Shared[t.shmSel]
	}
	return virtio.SharedRegion{Base: ^uint64(0), Length: ^uint64(0)}
}

// setStatus moves to another state, if next allows it.
func (t *Transport) setStatus(v uint32) {
	to := v &^ (stFailed | stNeedsReset)
	switch {
	case v == reset:
		t.reset()
		return
	case v&stFailed != 0:
		t.status |= stFailed // the driver gave up; the device goes on until reset
		return
	case !slices.Contains(next[t.status], to):
		return
	case to == negotiated && !t.agreed():
		return // FEATURES_OK stays clear: the driver reads it back and gives up
	}
	t.status = to
	if to == live {
		t.start()
	}
}

// agreed says whether the driver's features are a choice we can work with.
func (t *Transport) agreed() bool {
	return t.features&^t.info.Features == 0 && t.features&virtio.FeatureVersion1 != 0
}

// reset stops the device, waits for it, and forgets what the driver said.
func (t *Transport) reset() {
	if r := t.run.Load(); r != nil {
		r.stop()
		t.run.Store(nil)
	}
	t.irq.reset()
	t.forget()
}

// forget puts the registers into the state of a new device.
func (t *Transport) forget() {
	t.status, t.features = reset, 0
	t.devSel, t.drvSel, t.queueSel, t.shmSel = 0, 0, 0, 0
	t.queues = make([]queueRegs, len(t.info.QueueMax))
	for i, n := range t.info.QueueMax {
		t.queues[i].Size = n
	}
}

// start sets the device to work on the queues that are ready.
func (t *Transport) start() {
	r := &run{done: make(chan struct{})}
	for i := range t.queues {
		q := virtio.AbsentQueue(i, t.features, t.space)
		if t.queues[i].ready {
			// It was opened once, by usable, and space does not change.
			q, _ = virtio.NewQueue(i, t.queues[i].Layout, t.features, t.space, func() { t.irq.raise(intUsed) })
			if t.exact {
				q.Exact()
			}
		}
		r.queues = append(r.queues, q)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	t.irq.enable()
	t.run.Store(r)
	go t.serve(ctx, r)
}

// serve runs the device once. It takes no lock that a reset holds.
func (t *Transport) serve(ctx context.Context, r *run) {
	defer close(r.done)
	defer r.over.Store(true)
	err := t.dev.Serve(ctx, r.queues)
	if err == nil || (ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		return
	}
	err = fmt.Errorf("device %d stopped: %w", t.info.ID, err)
	t.failure.Store(&err)
	t.irq.fail()
	if t.failed != nil {
		t.failed(err)
	}
}

// A run is one stretch of a device's work, from DRIVER_OK to reset.
type run struct {
	queues []*virtio.Queue
	cancel context.CancelFunc
	done   chan struct{} // closed when Serve has returned
	over   atomic.Bool
}

func (r *run) stop() {
	r.cancel()
	<-r.done
}

func (r *run) atRest() bool {
	for _, q := range r.queues {
		if !q.AtRest() {
			return false
		}
	}
	return true
}

// half is the low (sel 0) or high (1) word of v; there are no others.
func half(v uint64, sel uint32) uint32 {
	if sel > 1 {
		return 0
	}
	return uint32(v >> (32 * sel))
}

func setHalf(p *uint64, sel, v uint32) {
	if sel > 1 {
		return
	}
	*p = *p&^(0xffffffff<<(32*sel)) | uint64(v)<<(32*sel)
}
