package main

import (
	"context"
	"encoding/binary"
	"sync"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/net"
)

// Of virtio network (virtio 1.2, section 5.1).
const (
	netMergeable  = 1 << 15 // VIRTIO_NET_F_MRG_RXBUF
	netHeader     = 12
	netNumBuffers = 10 // offset in the header
)

// What Linux gives and takes.
const (
	netBuffer = 4 << 10  // one receive buffer
	netFrame  = 64 << 10 // the most that one frame takes, its Ethernet header included
	netSlots  = 64
)

// In guest memory, behind the rings.
const (
	netRxAt   = 64 << 10
	netTxAt   = netRxAt + ringSize*netBuffer
	netMemory = (netTxAt + netSlots*(netHeader+netFrame) + 1<<20) &^ (1<<20 - 1)
)

// A netGuest is a guest's network driver, between a TCP/IP and the device. Receiving and sending have a goroutine each.
type netGuest struct {
	*guest
	card   *channel.Endpoint
	rx, tx *ring
	free   []uint16 // slots of tx
	used   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	ended  sync.WaitGroup
}

// newNetGuest has dev be the card of a TCP/IP.
func newNetGuest(dev *net.Device, card *channel.Endpoint) (*netGuest, error) {
	g, err := newGuest(dev, netMergeable, netMemory)
	if err != nil {
		return nil, err
	}
	d := &netGuest{guest: g, card: card, rx: g.rings[0], tx: g.rings[1], used: make(chan struct{}, 1)}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	for i := range uint16(ringSize) {
		d.rx.desc(i, netRxAt+int(i)*netBuffer, netBuffer, descWrite, 0)
		d.rx.offer(i)
	}
	for i := range uint16(netSlots) {
		d.free = append(d.free, i)
	}
	d.rx.kick()
	d.ended.Go(d.receive)
	d.ended.Go(d.send)
	return d, nil
}

func (d *netGuest) close() {
	d.cancel()
	d.ended.Wait()
	d.guest.close()
}

// receive gives frames to the TCP/IP, and interrupts to both.
func (d *netGuest) receive() {
	var frame []byte
	left := 0 // buffers of the frame under way
	for {
		busy := false
		for i, n, ok := d.rx.used(); ok; i, n, ok = d.rx.used() {
			busy = true
			p := d.ram.Bytes()[netRxAt+int(i)*netBuffer:][:n]
			if left == 0 {
				left, p = int(binary.LittleEndian.Uint16(p[netNumBuffers:])), p[netHeader:]
			}
			frame = append(frame, p...)
			if left--; left == 0 {
				inject(d.card, frame)
				frame = nil
			}
			d.rx.offer(i)
		}
		d.rx.kick()
		if busy || !d.rx.arm() {
			continue
		}
		select {
		case <-d.interrupt:
			_ = d.acknowledge()
			select {
			case d.used <- struct{}{}:
			default:
			}
		case <-d.ctx.Done():
			return
		}
	}
}

// inject has a TCP/IP hear a frame.
func inject(card *channel.Endpoint, frame []byte) {
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	card.InjectInbound(0, p)
	p.DecRef()
}

// send sends what the TCP/IP has for the network.
func (d *netGuest) send() {
	for {
		p := d.card.Read()
		if p == nil {
			d.tx.kick()
			if p = d.card.ReadContext(d.ctx); p == nil {
				return
			}
		}
		slot, ok := d.slot()
		if !ok {
			return
		}
		at := netTxAt + int(slot)*(netHeader+netFrame)
		b := d.ram.Bytes()[at:][:netHeader+netFrame]
		clear(b[:netHeader])
		n := netHeader
		for _, s := range p.AsSlices() {
			n += copy(b[n:], s)
		}
		p.DecRef()
		d.tx.desc(slot, at, n, 0, 0)
		d.tx.offer(slot)
	}
}

// slot is a slot for a frame, once there is one.
func (d *netGuest) slot() (slot uint16, ok bool) {
	for len(d.free) == 0 {
		d.tx.kick()
		for head, _, ok := d.tx.used(); ok; head, _, ok = d.tx.used() {
			d.free = append(d.free, head)
		}
		if len(d.free) > 0 || !d.tx.arm() {
			continue
		}
		select {
		case <-d.used:
		case <-d.ctx.Done():
			return 0, false
		}
	}
	slot = d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	return slot, true
}
