package net

import (
	"context"
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// headerLen is struct virtio_net_hdr with num_buffers, which every driver of VERSION_1 uses (section 5.1.6).
const headerLen = 12

// Offsets in the header, and bits of its flags.
const (
	hdrFlags      = 0
	hdrGSOType    = 1
	hdrGSOSize    = 4
	hdrCsumStart  = 6
	hdrCsumOffset = 8
	hdrNumBuffers = 10

	flagNeedsCsum = 1
	flagDataValid = 2
)

// receive brings frames from the link to the guest.
func (d *Device) receive(ctx context.Context, q *virtio.Queue) error {
	r := receiver{q: q, mergeable: q.Has(featMergeable)}
	if d.opt.Valid && q.Has(featGuestCsum) {
		r.header[hdrFlags] = flagDataValid
	}
	q.Park()
	for {
		l := d.current()
		if l == nil {
			select {
			case <-d.came:
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err := d.pump(ctx, l, &r); err != nil {
			return err
		}
	}
}

// pump receives from one link until it is lost, another has come or ctx has ended. Its error is the end of the device.
func (d *Device) pump(ctx context.Context, l *Link, r *receiver) error {
	defer l.within(ctx)()
	for d.current() == l {
		frame, err := l.next()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			d.lost(l, err)
			return nil
		}
		fits, err := r.deliver(ctx, frame)
		if err != nil {
			return err
		}
		d.count(fits, len(frame))
		if !l.more() {
			r.q.Park()
		}
	}
	return nil
}

func (d *Device) count(fits bool, n int) {
	if fits {
		d.received.Add(1)
		d.receivedBytes.Add(uint64(n))
	} else {
		d.dropped.Add(1)
	}
}

// A receiver puts frames into the guest's buffers.
type receiver struct {
	q         *virtio.Queue
	mergeable bool
	header    [headerLen]byte
	chains    []*virtio.Chain // taken for the frame under way
}

// deliver waits for buffers and fills them. It is false when the frame does not fit into one buffer of a
// guest that does not merge several.
func (r *receiver) deliver(ctx context.Context, frame []byte) (fits bool, err error) {
	r.chains = r.chains[:0]
	defer func() {
		for _, c := range r.chains { // those that were not used
			c.Finish(0)
		}
	}()
	room, need := int64(0), int64(headerLen+len(frame))
	for room < need {
		c, err := r.q.Next(ctx)
		if err != nil {
			return false, err
		}
		r.chains = append(r.chains, c)
		room += c.WriteLen()
		if !r.mergeable && room < need || len(r.chains) > int(r.q.Size()) {
			return false, nil
		}
		if c.WriteLen() < headerLen && len(r.chains) == 1 {
			return false, nil // no room for the header itself
		}
	}
	r.fill(frame)
	return true, nil
}

// fill writes header and frame over the chains and gives them back in order.
func (r *receiver) fill(frame []byte) {
	binary.LittleEndian.PutUint16(r.header[hdrNumBuffers:], uint16(len(r.chains)))
	r.chains[0].Write(r.header[:])
	for _, c := range r.chains {
		n, _ := c.Write(frame[:min(int64(len(frame)), c.WriteLen())])
		frame = frame[n:]
	}
	for _, c := range r.chains {
		c.Finish(c.Written())
	}
	r.chains = r.chains[:0]
}
