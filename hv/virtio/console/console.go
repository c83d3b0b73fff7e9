// Package console is the virtio console device (virtio 1.2, section 5.3) with one or
// more ports, all of them consoles: the guest calls them hvc0, hvc1 and so on.
//
// What the guest writes to a port goes to the port's Tap and into a ring of its
// last RingSize bytes. Readers attach to the ring and detach at any time. A reader
// that falls behind loses bytes and is told how many, unless it asked that the guest
// wait for it. What is written to a port waits for the guest to take it.
//
// Nothing here polls, and a reset of the device loses neither the ring nor input.
package console

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Features of section 5.3.3.
const (
	featSize      uint64 = 1 << 0
	featMultiport uint64 = 1 << 1
)

// MaxPorts is how many ports a device may have: a queue pair each, and one for control.
const MaxPorts = virtio.MaxQueues/2 - 1

const (
	queueSize = 64
	// The control queues come after the first port's (section 5.3.2).
	controlIn  = 2
	controlOut = 3
)

// PortOptions say what one port is.
type PortOptions struct {
	Name string // the guest makes /dev/virtio-ports/NAME of it; may be empty
	// Tap is written all that the guest writes, in order and before the guest
	// hears that it is written. It must not block: the guest waits for it.
	Tap io.Writer
}

// A Device is a console with its ports.
type Device struct {
	ports  []*Port
	config *virtio.Config
	resize chan struct{} // has a token when a port's size is to be told

	multi       atomic.Bool   // Serve works on all ports
	sizes, told atomic.Uint64 // calls of Resize, and how many of them control has seen
}

// New makes a console with a port for each of opts, 1 to MaxPorts. With one port it is
// what section 5.3 calls a console without MULTIPORT.
func New(opts ...PortOptions) (*Device, error) {
	if len(opts) == 0 || len(opts) > MaxPorts {
		return nil, fmt.Errorf("cannot make a console with %d ports: 1 to %d are possible", len(opts), MaxPorts)
	}
	b := make([]byte, 8) // cols, rows, max_nr_ports
	binary.LittleEndian.PutUint32(b[4:], uint32(len(opts)))
	d := &Device{config: virtio.NewConfig(b, 0, 0), resize: make(chan struct{}, 1)}
	for i, o := range opts {
		d.ports = append(d.ports, newPort(d, uint32(i), o))
	}
	return d, nil
}

// Port is port i, which exists.
func (d *Device) Port(i int) *Port { return d.ports[i] }

// Close ends all readers, at the end of what the guest has written, and all
// writers. It comes after the transport's Close.
func (d *Device) Close() {
	for _, p := range d.ports {
		p.close()
	}
}

// Settled implements virtio.Settler.
func (d *Device) Settled() bool {
	if !d.multi.Load() {
		return d.ports[0].settled()
	}
	for _, p := range d.ports {
		if !p.settled() {
			return false
		}
	}
	return d.told.Load() == d.sizes.Load()
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	f, n := featSize, 2
	if len(d.ports) > 1 {
		f, n = f|featMultiport, 2+2*len(d.ports)
	}
	q := make([]uint16, n)
	for i := range q {
		q[i] = queueSize
	}
	return virtio.Info{ID: virtio.IDConsole, Features: f, QueueMax: q, Config: d.config}
}

// queues are the receive and transmit queue of port i (section 5.3.2).
func queues(qs []*virtio.Queue, i int) (in, out *virtio.Queue) {
	if i > 0 {
		i++ // the control queues are in between
	}
	return qs[2*i], qs[2*i+1]
}

// Serve implements virtio.Device.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	var parts []func(context.Context) error
	multiport := qs[0].Has(featMultiport)
	d.multi.Store(multiport)
	if multiport {
		c := &control{Device: d, in: qs[controlIn], out: qs[controlOut], ready: make([]bool, len(d.ports))}
		parts = append(parts, c.serve)
	}
	for i, p := range d.ports {
		if i > 0 && !multiport {
			break
		}
		// With control queues the driver says when it wants input. Linux discards
		// what comes earlier.
		p.open(!multiport)
		in, out := queues(qs, i)
		parts = append(parts,
			func(ctx context.Context) error { return p.feed(ctx, in) },
			func(ctx context.Context) error { return p.drain(ctx, out) })
	}
	return virtio.Together(ctx, parts...)
}
