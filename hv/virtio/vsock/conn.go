package vsock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// What a connection owes the guest, beside data.
const (
	oweRequest  = 1 << 0
	oweResponse = 1 << 1
	oweReset    = 1 << 2
	oweShutdown = 1 << 3
	oweCredit   = 1 << 4
)

// A Conn is a stream to a program in the guest, or carries messages to it and from it. It is
// a net.Conn with CloseWrite.
type Conn struct {
	d    *Device
	key  pair
	kind uint16 // typeStream or typePacket

	reading sync.Mutex // held by the one Read; comes before Device.mu
	writing sync.Mutex // held by the one Write; comes before Device.mu

	// What follows is guarded by Device.mu.
	open      bool   // the guest has agreed
	gone      bool   // not in Device.conns any more
	err       error  // why it is gone
	done      bool   // Close was called
	owes      uint   // owe*
	queued    bool   // in Device.ready
	wantShut  uint32 // flags to say once all data has gone
	guestShut uint32 // what the guest will not do any more
	in, out   pipe
	inEnds    []uint64    // positions in in at which messages end; none in a stream
	outEnds   []uint64    // the same of out
	ends      bool        // a message ends with what receive was last told of
	inClosed  bool        // nobody will read in: data is counted and dropped
	readable  sync.Cond   // in, or an end of it
	writable  sync.Cond   // out, or an end of it; also open
	rdl, wdl  deadline    // of Read and of Write
	lingering *time.Timer // after Close
	progress  uint64      // out.head when lingering was last looked at

	// Credit (section 5.10.6.3). Counters are modulo 2^32.
	told      uint32 // value of in.head that the guest was last told
	guestRoom uint32 // buf_alloc of the guest
	guestRead uint32 // fwd_cnt of the guest
}

// newConn remembers a connection. The caller holds mu.
func (d *Device) newConn(kind uint16, key pair) *Conn {
	c := &Conn{d: d, key: key, kind: kind}
	c.readable.L, c.writable.L = &d.mu, &d.mu
	d.conns[key] = c
	return c
}

// Connect opens a connection to port in the guest. It waits for the guest's answer, or
// for ctx. Errors: ErrNoDriver, ErrTooMany, syscall.ECONNREFUSED when nobody listens
// there, ctx's.
func (d *Device) Connect(ctx context.Context, port uint32) (*Conn, error) {
	return d.connect(ctx, typeStream, port)
}

func (d *Device) connect(ctx context.Context, kind uint16, port uint32) (*Conn, error) {
	c, err := d.dial(kind, port)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "vsock", Addr: Addr{d.cid, port}, Err: err}
	}
	d.pump()
	stop := context.AfterFunc(ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		c.writable.Broadcast()
	})
	defer stop()
	d.mu.Lock()
	for !c.open && !c.gone && ctx.Err() == nil {
		c.writable.Wait()
	}
	switch {
	case c.open:
		d.mu.Unlock()
		return c, nil
	case c.gone:
		err = c.err
	default:
		err = context.Cause(ctx)
		c.abort(err)
	}
	d.mu.Unlock()
	d.pump()
	return nil, &net.OpError{Op: "dial", Net: "vsock", Addr: Addr{d.cid, port}, Err: err}
}

// dial makes a connection that owes a request.
func (d *Device) dial(kind uint16, port uint32) (*Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.closed:
		return nil, net.ErrClosed
	case d.rx == nil:
		return nil, ErrNoDriver
	case !d.knows(kind):
		return nil, ErrNoPackets
	case len(d.conns) >= maxConns:
		return nil, ErrTooMany
	}
	key := pair{guest: port, host: d.nextPort}
	for d.conns[key] != nil || d.listeners[key.host] != nil { // ends: there are more ports than connections
		if key.host++; key.host < firstPort {
			key.host = firstPort
		}
	}
	if d.nextPort = key.host + 1; d.nextPort < firstPort || d.nextPort == 1<<32-1 { // VMADDR_PORT_ANY
		d.nextPort = firstPort
	}
	c := d.newConn(kind, key)
	c.owe(oweRequest)
	return c, nil
}

// owe makes c take its turn. The caller holds mu.
func (c *Conn) owe(what uint) {
	c.owes |= what
	if !c.queued && !c.gone {
		c.queued = true
		c.d.ready = append(c.d.ready, c)
	}
}

// credit takes note of what the guest says about its buffer.
func (c *Conn) credit(h header) {
	c.guestRoom, c.guestRead = h.bufAlloc, h.fwdCnt
	if c.out.len() > 0 && c.room() > 0 {
		c.owe(0)
	}
}

// room is how many bytes the guest has room for. The guest may say anything: what makes no
// sense is no room.
func (c *Conn) room() int {
	under := uint32(c.out.head) - c.guestRead // on the way, or not read yet
	if under >= c.guestRoom {
		return 0
	}
	return int(min(c.guestRoom-under, maxPacket))
}

// control acts on a packet without data. The caller holds mu.
func (c *Conn) control(h header) {
	c.credit(h)
	switch h.op {
	case opResponse:
		if c.open || c.owes&oweRequest != 0 { // twice, or before it was asked
			c.abort(syscall.ECONNRESET)
			return
		}
		c.open = true
		c.writable.Broadcast()
	case opReset:
		if c.open {
			c.drop(syscall.ECONNRESET)
		} else {
			c.drop(syscall.ECONNREFUSED)
		}
	case opShutdown:
		c.shutdown(h.flags & noneLeft)
	case opCreditUpdate:
	case opCreditRequest:
		c.owe(oweCredit)
	default: // also a request for what is open
		c.abort(syscall.ECONNRESET)
	}
}

// shutdown takes note that the guest ends one or both directions. When both are ended it
// waits for a reset as the last word; what it sent before is here already.
func (c *Conn) shutdown(flags uint32) {
	c.guestShut |= flags
	c.readable.Broadcast()
	c.writable.Broadcast()
	if c.guestShut == noneLeft {
		c.abort(io.EOF)
	}
}

// admit says how many bytes of a data packet are to be received. The caller holds mu.
func (c *Conn) admit(h header) int {
	c.credit(h)
	switch {
	case c.inClosed:
		// On its way when the guest heard that nobody reads. It counts as read.
		c.in.head += uint64(h.size)
		c.in.tail += uint64(h.size)
		return 0
	case !c.open || c.guestShut&noSend != 0 || int64(h.size) > int64(c.window()-c.in.len()) || !c.admitEnd(h):
		c.abort(syscall.ECONNRESET)
		return 0
	}
	return int(h.size)
}

// receive copies n bytes that were admitted. Only the goroutine that takes from the guest's
// queue writes to in.
func (c *Conn) receive(ch *virtio.Chain, n int) {
	if n == 0 {
		return
	}
	at := c.in.tail // nobody else moves it
	for left := n; left > 0; {
		p := c.in.space(at, left)
		_, _ = ch.Read(p) // they are there: the header was held against the chain
		at += uint64(len(p))
		left -= len(p)
	}
	c.d.received.Add(uint64(n))
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.in.tail = at
	if c.kind == typeStream || c.endAt(at) {
		c.readable.Broadcast()
	}
}

// next is the packet that c sends next, with at most most bytes of data. It has no op
// when there is nothing to send after all. The caller holds mu.
func (c *Conn) next(most int) (h header, n int) {
	h = header{
		srcCID: HostCID, dstCID: c.d.cid, srcPort: c.key.host, dstPort: c.key.guest, kind: c.kind,
		bufAlloc: uint32(c.window()), fwdCnt: uint32(c.in.head),
	}
	take := func(what uint, op uint16) bool {
		if c.owes&what == 0 {
			return false
		}
		c.owes &^= what
		h.op = op
		return true
	}
	switch {
	case take(oweReset, opReset):
		return h, 0
	case take(oweRequest, opRequest), take(oweResponse, opResponse):
		return h, 0
	case c.gone:
		return h, 0
	}
	if n = min(c.out.len(), c.room(), most); n > 0 && c.open {
		n, h.flags = c.cut(n)
		h.op, h.size = opData, uint32(n)
		return h, n
	}
	if c.out.len() == 0 && take(oweShutdown, opShutdown) {
		h.flags = c.wantShut
		return h, 0
	}
	take(oweCredit, opCreditUpdate)
	return h, 0
}

// sent takes note that a packet has gone, and queues for the next. The caller holds mu.
func (c *Conn) sent(h header, n int) {
	c.told = h.fwdCnt
	if n > 0 {
		c.owes &^= oweCredit // data says the same
		c.out.head += uint64(n)
		if h.kind == typePacket && h.flags&endOfMessage != 0 {
			c.outEnds = c.outEnds[1:]
		}
		c.writable.Broadcast()
	}
	if c.busy() {
		c.requeue()
	}
}

// busy says whether c could send a packet now. The caller holds mu.
func (c *Conn) busy() bool {
	switch {
	case c.gone:
		return c.owes&oweReset != 0
	case c.owes&^oweShutdown != 0:
		return true
	case c.out.len() == 0:
		return c.owes&oweShutdown != 0
	}
	return c.open && c.room() > 0
}

// requeue is owe for a connection that may be gone and still owe a reset.
func (c *Conn) requeue() {
	if !c.queued {
		c.queued = true
		c.d.ready = append(c.d.ready, c)
	}
}

// abort resets the connection: the guest is told, and err is what is left for our
// side. The caller holds mu.
func (c *Conn) abort(err error) {
	if c.gone {
		return
	}
	c.owes = oweReset
	c.requeue()
	c.drop(err)
}

// drop forgets the connection. What came before can still be read. The caller holds mu.
func (c *Conn) drop(err error) {
	if c.gone {
		return
	}
	c.gone, c.err = true, err
	delete(c.d.conns, c.key)
	if c.lingering != nil {
		c.lingering.Stop()
	}
	c.readable.Broadcast()
	c.writable.Broadcast()
}

// LocalAddr and RemoteAddr implement net.Conn.
func (c *Conn) LocalAddr() net.Addr  { return Addr{HostCID, c.key.host} }
func (c *Conn) RemoteAddr() net.Addr { return Addr{c.d.cid, c.key.guest} }

// Read implements net.Conn. At the guest's end of the stream it answers io.EOF.
func (c *Conn) Read(p []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n, at, err := c.awaitData()
	if err != nil || len(p) == 0 {
		return 0, err
	}
	if c.kind == typePacket {
		return c.readMessage(p, n, at)
	}
	n = min(n, len(p))
	c.takeOut(p[:n], at)
	c.consumed(n)
	return n, nil
}

// takeOut copies what is at position at, and frees its memory.
func (c *Conn) takeOut(p []byte, at uint64) {
	for len(p) > 0 {
		b := c.in.data(at, len(p))
		copy(p, b)
		c.in.drop(at, len(b))
		at += uint64(len(b))
		p = p[len(b):]
	}
}

// WriteTo implements io.WriterTo: data goes to w straight from where it was received.
func (c *Conn) WriteTo(w io.Writer) (total int64, err error) {
	if c.kind == typePacket {
		return copyMessages(w, c)
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		n, at, err := c.awaitData()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		b := c.in.data(at, n)
		n, err = w.Write(b)
		c.in.drop(at, n)
		c.consumed(n)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// awaitData waits until there are n bytes to read at position at: all that is there, or one
// message. The caller holds reading.
func (c *Conn) awaitData() (n int, at uint64, err error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for {
		switch {
		case c.inClosed:
			return 0, 0, c.opError("read", net.ErrClosed)
		case c.kind == typeStream && c.in.len() > 0:
			return c.in.len(), c.in.head, nil
		case len(c.inEnds) > 0:
			return int(c.inEnds[0] - c.in.head), c.in.head, nil
		case c.guestShut&noSend != 0:
			return 0, 0, io.EOF
		case c.gone:
			return 0, 0, c.opError("read", c.err)
		case c.rdl.passed:
			return 0, 0, c.opError("read", os.ErrDeadlineExceeded)
		}
		c.readable.Wait()
	}
}

// consumed moves the reader's end, and tells the guest when it has come to believe that half
// of the window is full.
func (c *Conn) consumed(n int) {
	c.d.mu.Lock()
	c.in.head += uint64(n)
	if c.kind == typePacket {
		c.inEnds = c.inEnds[1:]
	}
	read := uint32(c.in.head) - c.told // and not told
	// Part of a message cannot be read: its rest must not wait for credit.
	tell := read >= uint32(c.window()/2) || (c.kind == typePacket && len(c.inEnds) == 0 && read > 0)
	tell = tell && c.guestShut&noSend == 0
	if tell {
		c.owe(oweCredit)
	}
	c.d.mu.Unlock()
	if tell {
		c.d.pump()
	}
}

// Write implements net.Conn. It returns when p is on its way: the guest may not have it.
func (c *Conn) Write(p []byte) (total int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.kind == typePacket {
		return c.writeMessage(p)
	}
	for len(p) > 0 {
		n, at, err := c.awaitSpace(1)
		if err != nil {
			return total, err
		}
		n = min(n, len(p))
		c.putIn(p[:n], at)
		c.filled(n)
		p = p[n:]
		total += n
	}
	return total, nil
}

// putIn copies p to position at.
func (c *Conn) putIn(p []byte, at uint64) {
	for len(p) > 0 {
		k := copy(c.out.space(at, len(p)), p)
		at += uint64(k)
		p = p[k:]
	}
}

// ReadFrom implements io.ReaderFrom: data is read straight to where it is sent from.
func (c *Conn) ReadFrom(r io.Reader) (total int64, err error) {
	if c.kind == typePacket {
		return copyMessages(c, r)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	var held []byte // space that was taken and not filled
	for {
		n, at, err := c.awaitSpace(1)
		if err != nil {
			return total, err
		}
		if len(held) == 0 {
			held = c.out.space(at, n)
		}
		n, err = r.Read(held[:min(n, len(held))])
		held = held[n:]
		c.filled(n)
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

// awaitSpace waits until n bytes, at least least, may be written at position at. The caller
// holds writing.
func (c *Conn) awaitSpace(least int) (n int, at uint64, err error) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for {
		switch {
		case c.done || c.wantShut&noSend != 0:
			return 0, 0, c.opError("write", net.ErrClosed)
		case c.guestShut&noReceive != 0:
			return 0, 0, c.opError("write", syscall.EPIPE)
		case c.gone:
			return 0, 0, c.opError("write", c.err)
		case c.wdl.passed:
			return 0, 0, c.opError("write", os.ErrDeadlineExceeded)
		case c.out.free() >= least && len(c.outEnds) < maxMessages:
			return c.out.free(), c.out.tail, nil
		}
		c.writable.Wait()
	}
}

// filled moves the writer's end.
func (c *Conn) filled(n int) {
	if n == 0 {
		return
	}
	c.d.mu.Lock()
	c.out.tail += uint64(n)
	if c.kind == typePacket {
		c.outEnds = append(c.outEnds, c.out.tail)
	}
	if c.room() > 0 {
		c.owe(0)
	}
	c.d.mu.Unlock()
	c.d.pump()
}

// CloseWrite tells the guest that nothing more comes, after what was written.
func (c *Conn) CloseWrite() error { return c.end(noSend) }

// CloseRead tells the guest that nobody reads any more. What is there is dropped.
func (c *Conn) CloseRead() error { return c.end(noReceive) }

// Close implements net.Conn. What was written is delivered yet, behind the caller's back.
func (c *Conn) Close() error {
	c.d.mu.Lock()
	if c.done {
		c.d.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.done = true
	c.rdl.stop()
	c.wdl.stop()
	if !c.gone {
		c.progress = c.out.head
		c.lingering = time.AfterFunc(linger, c.hurry)
	}
	c.d.mu.Unlock()
	return c.end(noneLeft)
}

// hurry resets a closed connection whose guest has not taken anything for a while.
func (c *Conn) hurry() {
	c.d.mu.Lock()
	if !c.gone && c.progress != c.out.head {
		c.progress = c.out.head
		c.lingering.Reset(linger)
	} else {
		c.abort(net.ErrClosed)
	}
	c.d.mu.Unlock()
	c.d.pump()
}

// end ends directions from our side.
func (c *Conn) end(flags uint32) error {
	c.d.mu.Lock()
	if flags&noReceive != 0 {
		c.inClosed = true
	}
	if c.wantShut|flags != c.wantShut && !c.gone {
		c.wantShut |= flags
		c.owe(oweShutdown)
	}
	c.readable.Broadcast()
	c.writable.Broadcast()
	c.d.mu.Unlock()
	c.d.pump()
	return nil
}

func (c *Conn) opError(op string, err error) error {
	if err == io.EOF {
		// The guest ended both directions in good order: it just does not listen.
		err = syscall.EPIPE
	}
	return &net.OpError{Op: op, Net: "vsock", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// A deadline is a time after which a Read or Write waits no more. It is guarded by
// Device.mu.
type deadline struct {
	timer  *time.Timer
	passed bool
	set    int // how often it was set: an old timer means nothing
}

func (dl *deadline) stop() {
	if dl.timer != nil {
		dl.timer.Stop()
		dl.timer = nil
	}
	dl.passed = false
	dl.set++
}

// setDeadline changes dl, and wakes who waits on cond when it passes.
func (c *Conn) setDeadline(dl *deadline, cond *sync.Cond, t time.Time) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	dl.stop()
	if t.IsZero() || c.done {
		return
	}
	n := dl.set
	dl.timer = time.AfterFunc(time.Until(t), func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		if dl.set == n {
			dl.passed = true
			cond.Broadcast()
		}
	})
}

// SetDeadline and its parts implement net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

func (c *Conn) SetReadDeadline(t time.Time) error {
	c.setDeadline(&c.rdl, &c.readable, t)
	return nil
}

func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.setDeadline(&c.wdl, &c.writable, t)
	return nil
}
