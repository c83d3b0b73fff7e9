package console

import (
	"context"
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Events of struct virtio_console_control (section 5.3.6.2).
const (
	evDeviceReady = 0 // from the driver: the device works, value 1
	evDeviceAdd   = 1 // to the driver: there is a port
	evPortReady   = 3 // from the driver: the port works, value 1
	evConsolePort = 4 // to the driver: the port is a console
	evResize      = 5 // to the driver: followed by columns and rows
	evPortOpen    = 6 // both: the other side has opened the port, value 1
	evPortName    = 7 // to the driver: followed by the name

	controlLen = 8 // id, event, value
)

// maxPending is how many messages may wait for the driver's buffers before its own are
// left in their queue: more than one full set of ports needs.
const maxPending = 5 * MaxPorts

// control serves the control queues, on one goroutine.
type control struct {
	*Device
	in, out *virtio.Queue
	ready   []bool   // the driver uses the port
	pending [][]byte // messages for the driver
}

func (c *control) serve(ctx context.Context) error {
	for {
		n := c.sizes.Load()
		if err := c.turn(); err != nil {
			return err
		}
		c.told.Store(n)
		select {
		case <-c.out.Kicked():
		case <-c.in.Kicked():
		case <-c.resize:
		case <-ctx.Done():
			return nil
		}
	}
}

// turn takes and gives until there is nothing to do.
func (c *control) turn() error {
	for {
		c.resized()
		if err := c.give(); err != nil {
			return err
		}
		if len(c.pending) > maxPending {
			return nil
		}
		ch, err := c.out.Take()
		if ch == nil || err != nil {
			return err
		}
		var b [controlLen]byte
		if ch.ReadFull(b[:]) == nil {
			c.hear(b)
		}
		ch.Finish(0)
	}
}

// give puts pending messages into the driver's buffers. One that does not fit is dropped.
func (c *control) give() error {
	for len(c.pending) > 0 {
		ch, err := c.in.Take()
		if ch == nil || err != nil {
			return err
		}
		var n int
		if m := c.pending[0]; ch.WriteLen() >= int64(len(m)) {
			n, _ = ch.Write(m)
		}
		ch.Finish(uint32(n))
		c.pending = c.pending[1:]
	}
	c.pending = nil
	c.in.Park()
	return nil
}

// hear acts on a message of the driver. What makes no sense is ignored.
func (c *control) hear(b [controlLen]byte) {
	le := binary.LittleEndian
	id, event, value := le.Uint32(b[:]), le.Uint16(b[4:]), le.Uint16(b[6:])
	switch {
	case event == evPortOpen && id < uint32(len(c.ports)):
		c.ports[id].open(value == 1)
	case value != 1:
	case event == evDeviceReady:
		for i := range c.ports {
			c.say(uint32(i), evDeviceAdd, 1, nil)
		}
	case event == evPortReady && id < uint32(len(c.ports)) && !c.ready[id]:
		c.welcome(id)
	}
}

// welcome tells the driver all about a port that it has just set up.
func (c *control) welcome(id uint32) {
	p := c.ports[id]
	c.ready[id] = true
	c.say(id, evConsolePort, 1, nil)
	if p.name != "" {
		c.say(id, evPortName, 1, []byte(p.name))
	}
	c.say(id, evPortOpen, 1, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sized = p.cols != 0 || p.rows != 0
}

// resized says the sizes that the driver does not know yet.
func (c *control) resized() {
	for i, p := range c.ports {
		if !c.ready[i] {
			continue
		}
		p.mu.Lock()
		tell, cols, rows := p.sized, p.cols, p.rows
		p.sized = false
		p.mu.Unlock()
		if tell {
			b := binary.LittleEndian.AppendUint16(nil, cols)
			c.say(p.id, evResize, 0, binary.LittleEndian.AppendUint16(b, rows))
		}
	}
}

func (c *control) say(id uint32, event, value uint16, extra []byte) {
	le := binary.LittleEndian
	b := le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, id), event), value)
	c.pending = append(c.pending, append(b, extra...))
}
