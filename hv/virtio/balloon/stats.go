package balloon

import (
	"context"
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Stats are what the guest says of its memory. A figure that it does not give is 0.
type Stats struct {
	SwapIn, SwapOut         uint64 // bytes since the guest started
	MajorFaults, MinorFault uint64 // since the guest started
	Free                    uint64 // bytes that nothing uses
	Total                   uint64 // bytes the guest has in all
	Available               uint64 // bytes that programs could get without swapping
	Caches                  uint64 // bytes of files that could be dropped
}

const statLen = 10 // tag le16, value le64 (section 5.5.6.3)

// field is where a tag's value goes, nil for those that we do not keep.
func (s *Stats) field(tag uint16) *uint64 {
	switch tag {
	case 0:
		return &s.SwapIn
	case 1:
		return &s.SwapOut
	case 2:
		return &s.MajorFaults
	case 3:
		return &s.MinorFault
	case 4:
		return &s.Free
	case 5:
		return &s.Total
	case 6:
		return &s.Available
	case 7:
		return &s.Caches
	}
	return nil
}

// parseStats reads a buffer of the statistics queue. What a guest says is not to be believed
// beyond its own memory.
func parseStats(c *virtio.Chain) (s Stats) {
	var b [statLen]byte
	for range 64 { // there are some 15 tags
		if c.ReadFull(b[:]) != nil {
			break
		}
		if f := s.field(binary.LittleEndian.Uint16(b[:])); f != nil {
			*f = binary.LittleEndian.Uint64(b[2:])
		}
	}
	return s
}

// Stats asks the guest for fresh figures and waits for them. Errors: ErrNoStats, ctx's.
func (d *Device) Stats(ctx context.Context) (Stats, error) {
	d.mu.Lock()
	ask, session := d.ask, d.session
	d.mu.Unlock()
	if ask == nil {
		return Stats{}, ErrNoStats
	}
	reply := make(chan Stats, 1)
	select {
	case ask <- reply:
	case <-session.Done():
		return Stats{}, ErrNoStats
	case <-ctx.Done():
		return Stats{}, ctx.Err()
	}
	select {
	case s := <-reply:
		return s, nil
	case <-session.Done():
		return Stats{}, ErrNoStats
	case <-ctx.Done():
		return Stats{}, ctx.Err()
	}
}

// offer says where Stats finds the goroutine that asks the guest.
func (d *Device) offer(ask chan chan<- Stats, session context.Context) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ask, d.session = ask, session
}

// serveStats holds the driver's one buffer, and gives it back when new figures are
// wanted: the driver answers with another (section 5.5.6.3).
func (d *Device) serveStats(ctx context.Context, q *virtio.Queue) error {
	ask := make(chan chan<- Stats)
	d.offer(ask, ctx)
	defer d.offer(nil, nil)
	var held *virtio.Chain
	for {
		q.Park()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case reply := <-ask:
			s, c, err := refresh(ctx, q, held)
			if err != nil {
				return err
			}
			held = c
			reply <- s
		}
	}
}

// refresh trades the held buffer for one with new figures.
func refresh(ctx context.Context, q *virtio.Queue, held *virtio.Chain) (s Stats, c *virtio.Chain, err error) {
	if held == nil { // the first one is from when the driver started
		if held, err = q.Next(ctx); err != nil {
			return s, nil, err
		}
	}
	held.Finish(0)
	if c, err = q.Next(ctx); err != nil {
		return s, nil, err
	}
	c.Hold()
	return parseStats(c), c, nil
}
