package console

import (
	"context"
	"encoding/binary"
	"io"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

const (
	// RingSize is how many of the last bytes a port keeps.
	RingSize = 1 << 20
	// inputSize is how many bytes of input may wait for the guest before Write waits.
	inputSize = 64 << 10
)

// A Port is one console of the guest. Any goroutine may use it. Its lock is never
// held while something else is waited for.
type Port struct {
	dev   *Device
	id    uint32
	name  string
	tap   io.Writer
	typed chan struct{} // has a token when input may not be empty

	mu      sync.Mutex
	change  sync.Cond // the ring, the input, a reader or closed changed
	ring    []byte    // grows with what is written to RingSize bytes
	end     uint64    // bytes written since the port was made; the last is at ring[(end-1)%RingSize]
	input   []byte    // what the guest has not taken yet
	unfed   bool      // input or shut changed and feed has not looked yet
	readers map[*Reader]struct{}
	closed  bool
	shut    bool // the driver has not opened the port yet and would discard input
	cols    uint16
	rows    uint16
	sized   bool // the size was set and the guest is to be told
}

func newPort(d *Device, id uint32, o PortOptions) *Port {
	p := &Port{dev: d, id: id, name: o.Name, tap: o.Tap, typed: make(chan struct{}, 1), readers: map[*Reader]struct{}{}}
	p.change.L = &p.mu
	return p
}

// Write gives the guest input. It waits while the guest has inputSize bytes that it
// did not take. Errors: io.ErrClosedPipe after the device's Close.
func (p *Port) Write(b []byte) (n int, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		for len(p.input) >= inputSize && !p.closed {
			p.change.Wait()
		}
		if p.closed {
			return n, io.ErrClosedPipe
		}
		k := min(len(b), inputSize-len(p.input))
		p.input = append(p.input, b[:k]...)
		p.unfed = true
		b = b[k:]
		n += k
		poke(p.typed)
	}
	return n, nil
}

// Room is how many bytes Write takes now without waiting.
func (p *Port) Room() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return inputSize - len(p.input)
}

// settled says that feed has done what can be done with the input.
func (p *Port) settled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.unfed
}

// Resize tells the guest how large the terminal behind the port is, in characters.
func (p *Port) Resize(cols, rows uint16) {
	p.mu.Lock()
	p.cols, p.rows, p.sized = cols, rows, true
	p.mu.Unlock()
	if p.id == 0 {
		b := binary.LittleEndian.AppendUint16(nil, cols)
		p.dev.config.Set(0, binary.LittleEndian.AppendUint16(b, rows))
	}
	p.dev.sizes.Add(1)
	poke(p.dev.resize)
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// open lets input through, or holds it back.
func (p *Port) open(yes bool) {
	p.mu.Lock()
	p.shut, p.unfed = !yes, true
	p.mu.Unlock()
	poke(p.typed)
}

func (p *Port) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.change.Broadcast()
}

// feed moves input into the guest's buffers until ctx ends.
func (p *Port) feed(ctx context.Context, q *virtio.Queue) error {
	for {
		more, err := p.give(q)
		if err != nil {
			return err
		}
		kicked := q.Kicked()
		if !more {
			kicked = nil // nothing to put into a buffer
		}
		select {
		case <-p.typed:
		case <-kicked:
		case <-ctx.Done():
			return nil
		}
	}
}

// give fills buffers with input, until either runs out, and says whether there
// is input left.
func (p *Port) give(q *virtio.Queue) (more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unfed = false
	for len(p.input) > 0 && !p.shut {
		c, err := q.Take()
		if c == nil || err != nil {
			return true, err
		}
		n, _ := c.Write(p.input) // what fits
		c.Finish(uint32(n))
		p.input = p.input[:copy(p.input, p.input[n:])]
		p.change.Broadcast()
	}
	q.Park()
	return false, nil
}

// drain takes what the guest writes until ctx ends.
func (p *Port) drain(ctx context.Context, q *virtio.Queue) error {
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.change.Broadcast()
	})
	defer stop()
	for {
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		for _, b := range c.Readable() {
			if !p.put(ctx, b) {
				return ctx.Err()
			}
		}
		c.Finish(0)
	}
}

// put adds b, which is guest memory, to the ring. It waits for the readers that
// asked for it, and says false if ctx ended first.
func (p *Port) put(ctx context.Context, b []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(b) > 0 {
		room := p.room()
		if room == 0 {
			if ctx.Err() != nil {
				return false
			}
			p.change.Wait()
			continue
		}
		p.widen(min(uint64(len(b)), room))
		at := p.end % RingSize
		n := copy(p.ring[at:], b[:min(uint64(len(b)), room)])
		if p.tap != nil {
			// The copy, since the guest may change what it wrote.
			_, _ = p.tap.Write(p.ring[at : at+uint64(n)])
		}
		b = b[n:]
		p.end += uint64(n)
		p.change.Broadcast()
	}
	return true
}

// widen makes the ring large enough for n bytes more, as long as it has not reached RingSize: few guests say that much.
// The caller holds mu.
func (p *Port) widen(n uint64) {
	size := uint64(max(len(p.ring), 64<<10))
	for size < min(p.end+n, RingSize) {
		size *= 2
	}
	if size > uint64(len(p.ring)) {
		p.ring = append(make([]byte, 0, size), p.ring...)[:size]
	}
}

// room is how many bytes may be added without overtaking a reader that the guest
// waits for. The caller holds mu.
func (p *Port) room() uint64 {
	room := uint64(RingSize)
	for r := range p.readers {
		if r.wait {
			room = min(room, r.pos+RingSize-p.end)
		}
	}
	return room
}

// AttachOptions say where a reader begins and who waits for whom.
type AttachOptions struct {
	History bool   // begin with what the ring holds, instead of what comes next
	From    uint64 // with History: skip what the guest wrote before this many bytes
	Wait    bool   // have the guest wait for this reader rather than overtake it
}

// Attach makes a reader of the port. Close it in the end.
func (p *Port) Attach(o AttachOptions) *Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &Reader{port: p, pos: p.end, wait: o.Wait}
	if o.History {
		r.pos = min(p.end, max(o.From, p.end-min(p.end, RingSize)))
	}
	p.readers[r] = struct{}{}
	return r
}

// A Reader reads what the guest writes to a port. One goroutine at a time may Read;
// any may Close.
type Reader struct {
	port *Port
	wait bool

	// Guarded by port.mu.
	pos    uint64
	lost   uint64
	closed bool
}

// Read waits for bytes. Errors: io.EOF after the device's Close, when all has been
// read; io.ErrClosedPipe after Close.
func (r *Reader) Read(b []byte) (int, error) {
	p := r.port
	p.mu.Lock()
	defer p.mu.Unlock()
	for r.pos == p.end && !p.closed && !r.closed {
		p.change.Wait()
	}
	if r.closed {
		return 0, io.ErrClosedPipe
	}
	if r.pos == p.end {
		return 0, io.EOF
	}
	if p.end-r.pos > RingSize {
		r.lost += p.end - RingSize - r.pos
		r.pos = p.end - RingSize
	}
	at := r.pos % RingSize
	n := copy(b, p.ring[at:min(RingSize, at+p.end-r.pos)])
	r.pos += uint64(n)
	p.change.Broadcast()
	return n, nil
}

// Position is how many bytes the guest had written to the port before the next that Read
// gives.
func (r *Reader) Position() uint64 {
	r.port.mu.Lock()
	defer r.port.mu.Unlock()
	return r.pos
}

// Lost is how many bytes the guest overwrote before this reader came to them.
func (r *Reader) Lost() uint64 {
	r.port.mu.Lock()
	defer r.port.mu.Unlock()
	return r.lost
}

// Close detaches the reader. The guest waits for it no more.
func (r *Reader) Close() error {
	p := r.port
	p.mu.Lock()
	defer p.mu.Unlock()
	r.closed = true
	delete(p.readers, r)
	p.change.Broadcast()
	return nil
}
