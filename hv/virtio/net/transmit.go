package net

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// batchSize is how many bytes of frames go to the link in one write, if so many wait.
const batchSize = 256 << 10

// transmit brings the guest's frames to the link.
func (d *Device) transmit(ctx context.Context, q *virtio.Queue) error {
	t := transmitter{frame: make([]byte, maxFrame), out: make([]byte, 0, batchSize+prefix+maxFrame)}
	for {
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		l := d.current()
		t.start(l)
		for c != nil {
			d.counted(t.add(c))
			c.Finish(0)
			if len(t.out) >= batchSize {
				break
			}
			if c, err = q.Take(); err != nil {
				return err
			}
		}
		if err := d.flush(ctx, l, t.out); err != nil {
			return err
		}
	}
}

// counted notes a frame of n bytes that goes out, or 0 for one that does not.
func (d *Device) counted(n int) {
	if n == 0 {
		d.dropped.Add(1)
		return
	}
	d.sent.Add(1)
	d.sentBytes.Add(uint64(n))
}

// flush writes to the link, and waits for it as long as ctx lives. Its error is the end of the device.
func (d *Device) flush(ctx context.Context, l *Link, out []byte) error {
	if l == nil || len(out) == 0 {
		return nil
	}
	defer l.within(ctx)()
	err := l.send(out)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		d.lost(l, err)
	}
	return nil
}

// A transmitter turns chains into frames with their prefixes.
type transmitter struct {
	max   int    // largest frame of the link; 0 without one
	frame []byte // scratch for one frame
	out   []byte // ready to be sent
}

func (t *transmitter) start(l *Link) {
	t.out, t.max = t.out[:0], 0
	if l != nil {
		t.max = l.max
	}
}

// add puts the chain's frame into out, and says how many bytes it has: 0 for one that is dropped.
func (t *transmitter) add(c *virtio.Chain) int {
	var h [headerLen]byte
	size := c.ReadLen() - headerLen
	if t.max == 0 || size < minFrame || size > maxFrame || c.ReadFull(h[:]) != nil {
		return 0
	}
	frame := t.frame[:size]
	if c.ReadFull(frame) != nil {
		return 0
	}
	if err := t.finish(h[:], frame); err != nil {
		return 0
	}
	return len(frame)
}

// errOffload is a header that makes no sense for its frame.
var errOffload = errors.New("the guest asked for an offload that does not fit the frame")

// finish does what the guest has left to the device, and appends what comes of it to out.
func (t *transmitter) finish(h, frame []byte) error {
	if gso := h[hdrGSOType] &^ gsoECN; gso != gsoNone && len(frame) > t.max {
		var err error
		t.out, err = segment(t.out, frame, gso, int(binary.LittleEndian.Uint16(h[hdrGSOSize:])), t.max)
		return err
	}
	if len(frame) > t.max {
		return errOffload
	}
	if h[hdrFlags]&flagNeedsCsum != 0 {
		start := int(binary.LittleEndian.Uint16(h[hdrCsumStart:]))
		field := start + int(binary.LittleEndian.Uint16(h[hdrCsumOffset:]))
		if field+2 > len(frame) || start > len(frame) {
			return errOffload
		}
		fillIn(frame[start:], field-start)
	}
	t.out = appendFrame(t.out, frame)
	return nil
}

// appendFrame appends prefix and frame.
func appendFrame(out []byte, parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(n))
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
