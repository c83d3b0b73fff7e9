// Package net is the virtio network device (virtio 1.2, section 5.1): Ethernet frames between a
// guest and a Link, which leads to whoever plays the network (cmd/arcbox-net).
//
// # Offloads
//
// A guest on this machine's own processor pays for every checksum and every packet, so
// the device takes both from it. Checksums that the guest leaves open are filled in here; packets of up
// to 64 KiB that it wants cut into segments go out whole where the Link takes frames of that size, as
// one to our own network does, and are cut here where it does not. What comes from a Link with
// Options.Valid needs no check by the guest.
//
// # Links
//
// A Link may end at any time, when its other process is restarted. The guest then sees its cable
// pulled, loses what it sends, and sees it plugged in again with the next SetLink.
//
// Frames wait in the Link's socket, not here, while the guest has no buffers; so a guest
// that stops reading holds up its own network and nothing else.
package net

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Features of section 5.1.3.
const (
	featCsum      uint64 = 1 << 0 // the device fills in checksums
	featGuestCsum uint64 = 1 << 1 // the driver takes frames whose checksum is vouched for
	featMTU       uint64 = 1 << 3
	featMAC       uint64 = 1 << 5
	featHostTSO4  uint64 = 1 << 11 // the device cuts TCP over IPv4
	featHostTSO6  uint64 = 1 << 12
	featMergeable uint64 = 1 << 15
	featStatus    uint64 = 1 << 16
)

// Offsets in the configuration space (section 5.1.4).
const (
	cfgStatus = 6
	cfgMTU    = 10
	cfgLen    = 12
)

const statusLinkUp = 1

const (
	queueSize = 256
	rxQueue   = 0
	txQueue   = 1
)

// MTUs that a guest can be told, in bytes of IP packet: the least is IPv6's (RFC 8200).
const (
	MinMTU = 1280
	MaxMTU = 65520
)

// Options are what a device is made of.
type Options struct {
	MAC [6]byte
	MTU int // MinMTU to MaxMTU
	// Valid vouches for the checksums of all that comes from links: nothing on the way can have changed them.
	Valid bool
	// Down is called when a link has ended by itself, with the reason, from a goroutine of the
	// device; it must not block. It may be nil.
	Down func(error)
}

// Stats count since the device was made. Dropped are frames that could not be passed on: no link, or no room in
// buffers of a guest that does not merge them.
type Stats struct {
	Sent, Received           uint64 // frames from the guest, and to it
	SentBytes, ReceivedBytes uint64
	Dropped                  uint64
}

// A Device is a network card. Any goroutine may use its methods.
type Device struct {
	opt    Options
	config *virtio.Config

	mu   sync.Mutex // guards what follows
	link *Link      // nil: the cable is pulled
	came chan struct{}

	sent, received, sentBytes, receivedBytes, dropped atomic.Uint64
}

// New makes a device without a link. Errors: an MTU out of range, a MAC that is not a station's.
func New(opt Options) (*Device, error) {
	if opt.MTU < MinMTU || opt.MTU > MaxMTU {
		return nil, fmt.Errorf("cannot make a network device with an MTU of %d: give %d to %d", opt.MTU, MinMTU, MaxMTU)
	}
	if opt.MAC[0]&1 != 0 || opt.MAC == [6]byte{} {
		return nil, fmt.Errorf("cannot make a network device with the address %x: it is not one station's", opt.MAC)
	}
	space := make([]byte, cfgLen)
	copy(space, opt.MAC[:])
	binary.LittleEndian.PutUint16(space[cfgMTU:], uint16(opt.MTU))
	return &Device{opt: opt, config: virtio.NewConfig(space, 0, 0), came: make(chan struct{}, 1)}, nil
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	return virtio.Info{
		ID: virtio.IDNet,
		Features: featCsum | featGuestCsum | featMTU | featMAC | featHostTSO4 | featHostTSO6 |
			featMergeable | featStatus,
		QueueMax: []uint16{rxQueue: queueSize, txQueue: queueSize},
		Config:   d.config,
	}
}

// SetLink plugs l in, which the device owns from now on, in place of the one that there is; nil pulls the cable.
func (d *Device) SetLink(l *Link) {
	d.mu.Lock()
	old := d.link
	d.link = l
	d.tell()
	d.mu.Unlock()
	if old != nil {
		old.close()
	}
	select {
	case d.came <- struct{}{}:
	default:
	}
}

// Close ends the link. It is for the end of the machine, when nobody serves any more.
func (d *Device) Close() { d.SetLink(nil) }

// Stats may be called at any time.
func (d *Device) Stats() Stats {
	return Stats{
		Sent: d.sent.Load(), Received: d.received.Load(), Dropped: d.dropped.Load(),
		SentBytes: d.sentBytes.Load(), ReceivedBytes: d.receivedBytes.Load(),
	}
}

// Up says whether there is a link.
func (d *Device) Up() bool { return d.current() != nil }

// tell shows the guest whether there is a link. The caller holds mu.
func (d *Device) tell() {
	var status [2]byte
	if d.link != nil {
		status[0] = statusLinkUp
	}
	if now := d.config.Bytes()[cfgStatus]; now != status[0] {
		d.config.Set(cfgStatus, status[:])
	}
}

func (d *Device) current() *Link {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link
}

// lost pulls a link that has ended by itself, unless another has taken its place.
func (d *Device) lost(l *Link, why error) {
	d.mu.Lock()
	mine := d.link == l
	if mine {
		d.link = nil
		d.tell()
	}
	d.mu.Unlock()
	if mine {
		l.close()
		if d.opt.Down != nil {
			d.opt.Down(why)
		}
	}
}

// Serve implements virtio.Device.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	if l := d.current(); l != nil {
		l.resume()
	}
	return virtio.Together(ctx,
		func(ctx context.Context) error { return d.receive(ctx, qs[rxQueue]) },
		func(ctx context.Context) error { return d.transmit(ctx, qs[txQueue]) })
}
