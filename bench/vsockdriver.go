package main

import (
	"encoding/binary"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
)

// Of virtio vsock (virtio 1.2, section 5.10).
const (
	vsockStream = 1 << 0 // VIRTIO_VSOCK_F_STREAM
	vsockHeader = 44
	vsockCID    = 3

	opRequest, opResponse, opReset, opShutdown, opData, opCreditUpdate = 1, 2, 3, 4, 5, 6
)

// What Linux gives and takes.
const (
	rxBuffer = 4 << 10  // one receive buffer, header included
	txData   = 64 << 10 // one packet's data
	txSlots  = 16
	credit   = 256 << 10
)

// In guest memory, behind three rings.
const (
	rxAt        = 64 << 10
	txHeadAt    = rxAt + ringSize*rxBuffer
	txAt        = txHeadAt + 4096
	vsockMemory = (txAt + txSlots*txData + 1<<20) &^ (1<<20 - 1)
)

// A role is what the program in the guest does with a connection.
type role int

const (
	echoes role = iota // sends back what comes
	sinks              // reads
	pours              // writes
)

// A vsockGuest is a guest's vsock driver and a program that accepts one connection on
// port 1. It has one goroutine.
type vsockGuest struct {
	*guest
	dev    *vsock.Device
	role   role
	rx, tx *ring
	free   []uint16 // slots of tx
	stop   chan struct{}
	ended  sync.WaitGroup

	program [txData]byte // the memory of the guest's program

	host                uint32 // the host's port
	read, told          uint32 // bytes received, and when the host last heard of that
	sent, room, hasRead uint32 // bytes sent; the host's buf_alloc and fwd_cnt
}

func newVsockGuest(r role) (*vsockGuest, error) {
	dev, err := vsock.New(vsockCID)
	if err != nil {
		return nil, err
	}
	g, err := newGuest(dev, vsockStream, vsockMemory)
	if err != nil {
		return nil, err
	}
	v := &vsockGuest{guest: g, dev: dev, role: r, rx: g.rings[0], tx: g.rings[1], stop: make(chan struct{})}
	for i := range uint16(ringSize) {
		v.rx.desc(i, rxAt+int(i)*rxBuffer, rxBuffer, descWrite, 0)
		v.rx.offer(i)
	}
	for i := range uint16(txSlots) {
		v.free = append(v.free, i)
	}
	v.rx.kick()
	v.ended.Go(v.run)
	return v, nil
}

func (v *vsockGuest) close() {
	close(v.stop)
	v.ended.Wait()
	v.guest.close()
	v.dev.Close()
}

// run is the guest.
func (v *vsockGuest) run() {
	for {
		busy := v.receive()
		busy = v.reclaim() || busy
		busy = v.pour() || busy
		v.rx.kick()
		v.tx.kick()
		if busy || !v.rx.arm() || (v.wantsSlots() && !v.tx.arm()) {
			continue
		}
		select {
		case <-v.interrupt:
			_ = v.acknowledge()
		case <-v.stop:
			return
		}
	}
}

// wantsSlots says that there is data to send and nowhere to put it.
func (v *vsockGuest) wantsSlots() bool { return v.role == pours && len(v.free) == 0 }

// receive takes what the device has sent.
func (v *vsockGuest) receive() (any bool) {
	for i, n, ok := v.rx.used(); ok; i, n, ok = v.rx.used() {
		any = true
		p := v.ram.Bytes()[rxAt+int(i)*rxBuffer:][:n]
		v.hear(p[:vsockHeader], p[vsockHeader:])
		v.rx.offer(i)
	}
	return any
}

// hear acts on one packet.
func (v *vsockGuest) hear(h, data []byte) {
	le := binary.LittleEndian
	v.room, v.hasRead = le.Uint32(h[36:]), le.Uint32(h[40:])
	v.read += uint32(len(data))
	copy(v.program[:], data)
	switch op := le.Uint16(h[30:]); {
	case op == opRequest:
		v.host = le.Uint32(h[16:])
		v.send(opResponse, nil)
	case op == opData && v.role == echoes:
		v.send(opData, data)
	case op == opShutdown:
		v.send(opReset, nil)
		v.host = 0
	case v.read-v.told > credit/4: // as Linux does
		v.send(opCreditUpdate, nil)
	}
}

// reclaim takes back the slots that the device has read.
func (v *vsockGuest) reclaim() (any bool) {
	for head, _, ok := v.tx.used(); ok; head, _, ok = v.tx.used() {
		any = true
		v.free = append(v.free, head/2)
	}
	return any
}

// pour sends as much as the host has room for.
func (v *vsockGuest) pour() (any bool) {
	for v.role == pours && v.host != 0 && len(v.free) > 0 {
		n := min(v.room-(v.sent-v.hasRead), txData)
		if n < txData/2 {
			return any
		}
		v.send(opData, v.program[:n])
		any = true
	}
	return any
}

// send sends a packet with data.
func (v *vsockGuest) send(op uint16, data []byte) {
	for len(v.free) == 0 {
		v.tx.kick()
		v.reclaim()
	}
	slot := v.free[len(v.free)-1]
	v.free = v.free[:len(v.free)-1]
	n := copy(v.ram.Bytes()[txAt+int(slot)*txData:], data)
	le := binary.LittleEndian
	h := v.ram.Bytes()[txHeadAt+64*int(slot):][:vsockHeader]
	le.PutUint64(h[0:], vsockCID)
	le.PutUint64(h[8:], vsock.HostCID)
	le.PutUint32(h[16:], 1)
	le.PutUint32(h[20:], v.host)
	le.PutUint32(h[24:], uint32(n))
	le.PutUint16(h[28:], 1) // stream
	le.PutUint16(h[30:], op)
	le.PutUint32(h[36:], credit)
	le.PutUint32(h[40:], v.read)
	v.told, v.sent = v.read, v.sent+uint32(n)
	flags := uint16(0)
	if n > 0 {
		flags = descNext
		v.tx.desc(2*slot+1, txAt+int(slot)*txData, n, 0, 0)
	}
	v.tx.desc(2*slot, txHeadAt+64*int(slot), vsockHeader, flags, 2*slot+1)
	v.tx.offer(2 * slot)
}
