// Package vsock is the virtio socket device (virtio 1.2, section 5.10): stream
// connections, and with drivers that know them connections of messages (SOCK_SEQPACKET),
// between programs on the host and programs in the guest, begun by either.
//
// # Flow
//
// Each direction of a connection holds up to 256 KiB here. The guest gets credit for
// what is free, so a slow reader on the host stops its own guest program and nobody
// else; a guest that sends beyond its credit loses the connection. No byte is
// ever dropped from a connection that was not reset. Connections with something to say
// take turns, one packet each.
//
// # Ends
//
// CloseWrite is a half close: the other side reads the end of the stream and may go
// on writing. Close delivers what was written, and then ends both directions. A reset,
// by the guest or because its driver went away, is syscall.ECONNRESET.
//
// # Locks
//
// Device.mu guards the state of the device and of all connections, and is not held while
// bytes are copied or a queue is used.
package vsock

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Features of section 5.10.3.
const (
	featStream uint64 = 1 << 0 // VIRTIO_VSOCK_F_STREAM
	featPacket uint64 = 1 << 1 // VIRTIO_VSOCK_F_SEQPACKET
)

const (
	queueSize = 256
	// maxConns bounds what the guest can make us remember.
	maxConns = 16 << 10
	// backlog is how many guest connections may wait for Accept.
	backlog = 128
	// maxReplies is how many resets for strangers may wait for the guest's buffers; with
	// more, what the guest sends stays in its queue.
	maxReplies = 1024
	// maxPacket is how many bytes of data one packet carries: Linux's limit.
	maxPacket = 64 << 10
	// firstPort is where ports of the host's own connections begin, above those that need
	// privileges.
	firstPort = 1 << 10
	// linger is how long a closed connection waits for a guest that takes neither data nor
	// the end before it is reset.
	linger = time.Minute
)

// Errors that callers branch on. They come wrapped in a *net.OpError.
var (
	// ErrNoDriver: the guest has not started its vsock driver, or has stopped it.
	ErrNoDriver = errors.New("the guest has no vsock driver at work")
	// ErrTooMany: there are as many connections as may be.
	ErrTooMany = errors.New("too many vsock connections")
	// ErrNoPackets: the guest's driver knows streams only.
	ErrNoPackets = errors.New("the guest's vsock driver has no seqpacket sockets")
)

// An Addr is one end of a connection.
type Addr struct {
	CID  uint64
	Port uint32
}

// Network implements net.Addr.
func (Addr) Network() string  { return "vsock" }
func (a Addr) String() string { return fmt.Sprintf("vsock:%d:%d", a.CID, a.Port) }

// pair names a connection: there is only one guest.
type pair struct{ guest, host uint32 }

// A Device is the guest's vsock.
type Device struct {
	cid    uint64
	config *virtio.Config
	relays sync.WaitGroup // goroutines of Conn.File

	sent, received atomic.Uint64 // bytes of data

	mu        sync.Mutex
	conns     map[pair]*Conn
	listeners map[uint32]*Listener
	nextPort  uint32
	rx        *virtio.Queue // to the guest; nil while there is no driver
	fail      func(error)   // ends Serve
	ready     []*Conn       // connections with something to say, in turn
	replies   []header      // resets for strangers
	pumping   bool          // somebody is at work on rx
	settled   sync.Cond     // pumping became false, or replies became fewer
	closed    bool
}

// New makes the device of the guest with that context id, 3 to 2^32-2.
func New(cid uint64) (*Device, error) {
	if cid < 3 || cid >= 1<<32-1 {
		return nil, fmt.Errorf("cannot give a guest the vsock context id %d: 3 to %d are possible", cid, uint64(1<<32-2))
	}
	d := &Device{
		cid:       cid,
		config:    virtio.NewConfig(binary.LittleEndian.AppendUint64(nil, cid), 0, 0),
		conns:     map[pair]*Conn{},
		listeners: map[uint32]*Listener{},
		nextPort:  firstPort,
	}
	d.settled.L = &d.mu
	return d, nil
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	return virtio.Info{
		ID: virtio.IDVsock, Features: featStream | featPacket, Config: d.config,
		QueueMax: []uint16{queueSize, queueSize, queueSize},
	}
}

// Bytes is how much data went to the guest and came from it.
func (d *Device) Bytes() (sent, received uint64) { return d.sent.Load(), d.received.Load() }

// Conns is how many connections there are, those that are ending included.
func (d *Device) Conns() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// Close resets all connections, ends all listeners, and waits for the relays. It comes
// after the transport's Close.
func (d *Device) Close() {
	d.mu.Lock()
	d.closed = true
	d.dropAll(net.ErrClosed)
	for _, l := range d.listeners {
		l.end()
	}
	d.mu.Unlock()
	d.relays.Wait()
}

// dropAll ends every connection without a word to the guest. The caller holds mu.
func (d *Device) dropAll(err error) {
	for _, c := range d.conns {
		c.drop(err)
	}
	clear(d.ready)
	d.ready, d.replies = d.ready[:0], d.replies[:0]
}

// Serve implements virtio.Device. When it ends the guest's connections are reset: the
// driver has forgotten them.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	qs[2].Park() // events: the guest never moves to another host
	qs[0].Park()
	d.mu.Lock()
	d.rx, d.fail = qs[0], cancel
	d.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.settled.Broadcast()
	})
	defer stop()
	err := virtio.Together(ctx,
		func(ctx context.Context) error { return d.listen(ctx, qs[1]) },
		func(ctx context.Context) error { return d.refill(ctx, qs[0]) })
	d.detach()
	return err
}

// detach waits until nobody uses the queue any more, and drops what the driver knew.
func (d *Device) detach() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rx = nil
	for d.pumping {
		d.settled.Wait()
	}
	d.dropAll(syscall.ECONNRESET)
}

// refill goes on when the guest has given buffers.
func (d *Device) refill(ctx context.Context, q *virtio.Queue) error {
	for {
		select {
		case <-q.Kicked():
			d.pump()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen takes what the guest sends.
func (d *Device) listen(ctx context.Context, q *virtio.Queue) error {
	for {
		if !d.settle(ctx) {
			return ctx.Err()
		}
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		d.hear(c)
		c.Finish(0)
		d.pump()
	}
}

// settle waits until there is room for a reply.
func (d *Device) settle(ctx context.Context) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.replies) >= maxReplies && ctx.Err() == nil {
		d.settled.Wait()
	}
	return ctx.Err() == nil
}

// hear acts on one packet. What is not for us is dropped; what belongs to no
// connection is answered with a reset.
func (d *Device) hear(ch *virtio.Chain) {
	var b [headerLen]byte
	var h header
	if ch.ReadFull(b[:]) != nil {
		return
	}
	h.parse(&b)
	if h.srcCID != d.cid || h.dstCID != HostCID {
		return
	}
	d.mu.Lock()
	c := d.conns[pair{guest: h.srcPort, host: h.dstPort}]
	switch {
	case int64(h.size) > ch.ReadLen() || (c != nil && c.kind != h.kind):
		d.refuse(h)
	case c == nil && h.op == opRequest:
		d.accept(h)
	case c == nil:
		d.refuse(h)
	case h.op == opData:
		n := c.admit(h)
		d.mu.Unlock()
		c.receive(ch, n) // without the lock
		return
	default:
		c.control(h)
	}
	d.mu.Unlock()
}

// refuse answers a packet with a reset, unless it is one. The caller holds mu.
func (d *Device) refuse(h header) {
	if h.op == opReset {
		return
	}
	d.replies = append(d.replies, header{
		srcCID: HostCID, dstCID: d.cid, srcPort: h.dstPort, dstPort: h.srcPort,
		kind: h.kind, op: opReset,
	})
}

// accept opens a connection that the guest asks for. The caller holds mu.
func (d *Device) accept(h header) {
	l := d.listeners[h.dstPort]
	if l == nil || l.kind != h.kind || !d.knows(h.kind) || len(l.waiting) >= backlog || len(d.conns) >= maxConns {
		d.refuse(h)
		return
	}
	c := d.newConn(h.kind, pair{guest: h.srcPort, host: h.dstPort})
	c.open = true
	c.credit(h)
	c.owe(oweResponse)
	l.waiting = append(l.waiting, c)
	l.arrived.Signal()
}

// pump sends packets until there is nothing to say or no buffer to say it in. Anybody may
// call it; one goroutine at a time does the work, for all.
func (d *Device) pump() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pumping {
		return // who is at it looks again before it stops
	}
	d.pumping = true
	for d.rx != nil && d.turn(d.rx) {
	}
	d.pumping = false
	d.settled.Broadcast()
}

// turn sends one packet of whoever is next, and says whether to go on. It is called
// with mu and gives it up in between.
func (d *Device) turn(rx *virtio.Queue) bool {
	for len(d.ready) > 0 && !d.ready[0].busy() {
		d.pop() // dropped, or out of credit again
	}
	if len(d.replies) == 0 && len(d.ready) == 0 {
		rx.Park()
		return false
	}
	d.mu.Unlock()
	ch, err := rx.Take()
	d.mu.Lock()
	if err != nil {
		d.fail(err)
	}
	if ch == nil || err != nil {
		return false
	}
	d.fill(ch)
	return true
}

func (d *Device) pop() *Conn {
	c := d.ready[0]
	d.ready = d.ready[:copy(d.ready, d.ready[1:])]
	c.queued = false
	return c
}

// fill finishes a buffer, with a packet if there still is one. It is called with mu and
// gives it up in between.
func (d *Device) fill(ch *virtio.Chain) {
	switch {
	case ch.WriteLen() < headerLen: // not even a header fits
	case len(d.replies) > 0:
		h := d.replies[0]
		d.replies = d.replies[:copy(d.replies, d.replies[1:])]
		d.send(ch, h, nil, 0)
		return
	case len(d.ready) > 0:
		c := d.pop()
		if h, n := c.next(int(min(ch.WriteLen()-headerLen, maxPacket))); h.op != 0 {
			d.send(ch, h, c, n)
			return
		}
	}
	ch.Finish(0)
}

// send fills a buffer with a packet, and with n bytes of c's data. It is called with mu and
// gives it up while it copies.
func (d *Device) send(ch *virtio.Chain, h header, c *Conn, n int) {
	var at uint64
	if c != nil {
		at = c.out.head
	}
	d.mu.Unlock()
	var b [headerLen]byte
	h.put(&b)
	_, _ = ch.Write(b[:])
	for left := n; left > 0; {
		p := c.out.data(at, left)
		_, _ = ch.Write(p) // it fits: n was cut to the chain
		c.out.drop(at, len(p))
		at += uint64(len(p))
		left -= len(p)
	}
	ch.Finish(ch.Written())
	d.mu.Lock()
	if c != nil {
		c.sent(h, n)
	}
	d.sent.Add(uint64(n))
}
