package main

import (
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// guestBase is where guest memory begins, in guest physical addresses.
const guestBase = 0x4000_0000

const (
	ringSize  = 256
	ringSpace = 12 << 10 // bytes that the areas of one ring take
	availAt   = 16 * ringSize
	usedAt    = availAt + 4096

	descNext, descWrite = 1, 2 // descriptor flags (virtio 1.2, section 2.7.5)
)

// A ring is one virtqueue from the driver's side, with EVENT_IDX (virtio 1.2, section 2.7). It does what
// Linux does and no more, so that the device is what is measured.
type ring struct {
	ram    []byte // guest memory
	area   []byte // the ring's part of it: descriptors, available ring, used ring
	notify func()

	idx, kicked, seen uint16 // avail.idx; the same at the last notification; used.idx looked at
}

// newRing lays the ring out at a multiple of 4096 in guest memory.
func newRing(ram []byte, at int) *ring { return &ring{ram: ram, area: ram[at:][:ringSpace]} }

// desc writes descriptor i for n bytes of guest memory at an offset.
func (r *ring) desc(i uint16, at, n int, flags, next uint16) {
	b := r.area[16*int(i):][:16]
	binary.LittleEndian.PutUint64(b, guestBase+uint64(at))
	binary.LittleEndian.PutUint32(b[8:], uint32(n))
	binary.LittleEndian.PutUint16(b[12:], flags)
	binary.LittleEndian.PutUint16(b[14:], next)
}

// offer makes the chain at head available.
func (r *ring) offer(head uint16) {
	binary.LittleEndian.PutUint16(r.area[availAt+4+2*int(r.idx%ringSize):], head)
	r.idx++
	mem.Store16(r.area, availAt+2, r.idx)
}

// kick notifies the device of what is new, if it asked for that.
func (r *ring) kick() {
	old := r.kicked
	r.kicked = r.idx
	if event := mem.Load16(r.area, usedAt+4+8*ringSize); r.idx-event-1 < r.idx-old {
		r.notify()
	}
}

// used takes the next chain that the device has finished, with n bytes written.
func (r *ring) used() (head uint16, n int, ok bool) {
	if mem.Load16(r.area, usedAt+2) == r.seen {
		return 0, 0, false
	}
	b := r.area[usedAt+4+8*int(r.seen%ringSize):]
	r.seen++
	return uint16(binary.LittleEndian.Uint32(b)), int(binary.LittleEndian.Uint32(b[4:])), true
}

// arm asks for an interrupt at the next used chain, and says whether there is none yet.
func (r *ring) arm() bool {
	mem.Store16(r.area, availAt+4+2*ringSize, r.seen) // used_event
	return mem.Load16(r.area, usedAt+2) == r.seen
}

// ringFeatures are what the drivers here take of any device.
const ringFeatures = virtio.FeatureVersion1 | virtio.FeatureEventIdx

// Registers of the mmio transport (virtio 1.2, section 4.2.2).
const (
	regDrvFeatures, regDrvFeatSel        = 0x020, 0x024
	regQueueSel, regQueueSize, regReady  = 0x030, 0x038, 0x044
	regNotify                            = 0x050
	regIntStatus, regIntAck, regStatus   = 0x060, 0x064, 0x070
	regQueueDesc, regQueueAvail, regUsed = 0x080, 0x090, 0x0a0

	stDriver, stFeaturesOK, stDriverOK = 1 | 2, 8, 4
)

// A guest has one of our devices, with rings from the beginning of its memory on.
type guest struct {
	ram       *mem.RAM
	bus       *mmio.Transport
	rings     []*ring
	interrupt chan struct{}
}

// newGuest starts a driver for dev, with more features than ringFeatures, in a guest of size bytes.
func newGuest(dev virtio.Device, more uint64, size int) (*guest, error) {
	ram, err := mem.New(uint64(size))
	if err != nil {
		return nil, err
	}
	space, err := mem.NewSpace(mem.Region{Base: guestBase, Mem: ram.Bytes()})
	if err != nil {
		return nil, err
	}
	g := &guest{ram: ram, interrupt: make(chan struct{}, 1)}
	g.bus = mmio.New(dev, space, func(level bool) {
		if level {
			select {
			case g.interrupt <- struct{}{}:
			default:
			}
		}
	})
	for i := range dev.Info().QueueMax {
		r := newRing(ram.Bytes(), i*ringSpace)
		r.notify = func() { g.bus.Write(regNotify, 4, uint64(i)) }
		g.rings = append(g.rings, r)
	}
	g.start(ringFeatures | more)
	return g, nil
}

// start is what a driver does up to DRIVER_OK (section 3.1.1).
func (g *guest) start(features uint64) {
	set := func(reg, v uint64) { g.bus.Write(reg, 4, v&(1<<32-1)) }
	set(regStatus, 0)
	set(regStatus, stDriver)
	for half := range uint64(2) {
		set(regDrvFeatSel, half)
		set(regDrvFeatures, features>>(32*half))
	}
	set(regStatus, stDriver|stFeaturesOK)
	for i := range g.rings {
		set(regQueueSel, uint64(i))
		set(regQueueSize, ringSize)
		at := uint64(guestBase + i*ringSpace)
		for _, area := range [][2]uint64{{regQueueDesc, at}, {regQueueAvail, at + availAt}, {regUsed, at + usedAt}} {
			set(area[0], area[1])
			set(area[0]+4, area[1]>>32)
		}
		set(regReady, 1)
	}
	set(regStatus, stDriver|stFeaturesOK|stDriverOK)
}

// acknowledge is the guest's interrupt handler.
func (g *guest) acknowledge() error {
	g.bus.Write(regIntAck, 4, g.bus.Read(regIntStatus, 4))
	return g.bus.Err()
}

// close comes before the device's own Close.
func (g *guest) close() {
	g.bus.Close()
	_ = g.ram.Close()
}
