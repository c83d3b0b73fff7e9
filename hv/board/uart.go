package board

import (
	"io"
	"sync"
	"time"
)

// Registers of a PL011 (DDI 0183, chapter 3).
const (
	uartDR    = 0x00
	uartRSR   = 0x04
	uartFR    = 0x18
	uartILPR  = 0x20
	uartIBRD  = 0x24
	uartFBRD  = 0x28
	uartLCRH  = 0x2c
	uartCR    = 0x30
	uartIFLS  = 0x34
	uartIMSC  = 0x38
	uartRIS   = 0x3c
	uartMIS   = 0x40
	uartICR   = 0x44
	uartDMACR = 0x48

	flagRXEmpty = 1 << 4
	flagTXFull  = 1 << 5
	flagRXFull  = 1 << 6
	flagTXEmpty = 1 << 7

	lcrFIFO = 1 << 4

	crEnable   = 1 << 0
	crLoopback = 1 << 7
	crReceive  = 1 << 9

	intRX      = 1 << 4
	intTX      = 1 << 5
	intTimeout = 1 << 6 // bytes wait, fewer than the level of intRX
	intAll     = 0x7ff
)

const (
	uartFIFO    = 16       // characters; revision 1 of the cell
	uartBacklog = 64 << 10 // bytes of input that wait on the host
)

var uartIDs = amba{0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1}

// A uart is a PL011 whose line has no speed: what is written has been sent, and
// what came in has been received.
type uart struct {
	line func(level bool)
	tap  io.Writer // sees each byte at once
	out  *outlet
	room chan struct{} // has a token when the guest has read since input was full

	mu   sync.Mutex // guards what follows
	in   []byte     // received, the oldest first; the guest sees the first uartFIFO
	regs [uartDMACR/4 + 1]uint32
	sent bool    // raw interrupt status of intTX
	high bool    // the line
	one  [1]byte // what tap is shown
}

func newUART(line func(bool), tap io.Writer, out *outlet) *uart {
	u := &uart{line: line, tap: tap, out: out, room: make(chan struct{}, 1)}
	u.regs[uartCR/4] = 0x300      // receive and transmit, not yet on
	u.regs[uartIFLS/4] = 2<<3 | 2 // half full, both ways
	return u
}

// input takes bytes from the host and says how many fitted.
func (u *uart) input(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := min(len(p), uartBacklog-len(u.in))
	u.in = append(u.in, p[:n]...)
	u.update()
	return n
}

// free is how many bytes input would take.
func (u *uart) free() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return uartBacklog - len(u.in)
}

// depth is how many characters the receive FIFO holds.
func (u *uart) depth() int {
	if u.regs[uartLCRH/4]&lcrFIFO != 0 {
		return uartFIFO
	}
	return 1
}

// level is how many characters the guest can see in the FIFO.
func (u *uart) level() int {
	const on = crEnable | crReceive
	if u.regs[uartCR/4]&on != on {
		return 0
	}
	return min(len(u.in), u.depth())
}

// trigger is the level of intRX: an eighth, a quarter, a half, three quarters
// or seven eighths of the FIFO.
func (u *uart) trigger() int {
	eighths := [8]int{1, 2, 4, 6, 7, 7, 7, 7}
	return max(u.depth()*eighths[u.regs[uartIFLS/4]>>3&7]/8, 1)
}

// raw is the raw interrupt status. Those of the receiver follow from the FIFO.
func (u *uart) raw() (status uint32) {
	if n := u.level(); n > 0 {
		status |= intTimeout
		if n >= u.trigger() {
			status |= intRX
		}
	}
	if u.sent {
		status |= intTX
	}
	return status
}

// update moves the line where it is not yet; the caller holds mu.
func (u *uart) update() {
	if high := u.raw()&u.regs[uartIMSC/4] != 0; high != u.high {
		u.high = high
		u.line(high)
	}
}

// Read is a load at off.
func (u *uart) Read(off uint64, size int) uint64 {
	if v, ok := uartIDs.read(off); ok {
		return v
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	switch off {
	case uartDR:
		return u.receive()
	case uartFR:
		return uint64(u.flags())
	case uartRIS:
		return uint64(u.raw())
	case uartMIS:
		return uint64(u.raw() & u.regs[uartIMSC/4])
	case uartILPR, uartIBRD, uartFBRD, uartLCRH, uartCR, uartIFLS, uartIMSC, uartDMACR:
		return uint64(u.regs[off/4])
	}
	return 0
}

func (u *uart) receive() uint64 {
	if u.level() == 0 {
		return 0
	}
	c := u.in[0]
	u.in = u.in[1:]
	select {
	case u.room <- struct{}{}:
	default:
	}
	u.update()
	return uint64(c)
}

func (u *uart) flags() uint32 {
	f := uint32(flagTXEmpty)
	if u.out.full() {
		f = flagTXFull
	}
	switch u.level() {
	case 0:
		f |= flagRXEmpty
	case u.depth():
		f |= flagRXFull
	}
	return f
}

// Write is a store at off.
func (u *uart) Write(off uint64, size int, v uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch off {
	case uartDR:
		u.send(byte(v))
	case uartICR:
		if v&intTX != 0 {
			u.sent = false
		}
	case uartIMSC:
		u.regs[off/4] = uint32(v) & intAll
	case uartILPR, uartIBRD, uartFBRD, uartLCRH, uartCR, uartIFLS, uartDMACR:
		u.regs[off/4] = uint32(v) & 0xffff
	}
	u.update()
}

// send transmits whether or not the guest has switched the transmitter on, as
// an early console may not have.
func (u *uart) send(c byte) {
	u.sent = true
	if u.regs[uartCR/4]&crLoopback != 0 {
		if len(u.in) < uartBacklog {
			u.in = append(u.in, c)
		}
		return
	}
	u.one[0] = c
	u.tap.Write(u.one[:]) // a Watch never fails
	u.out.put(c)
}

const (
	outletSize  = 64 << 10        // bytes that wait for a slow writer
	outletGrace = 2 * time.Second // for what waits when the machine has ended
)

// An outlet writes what vCPUs put into it from a goroutine of its own, so that
// a writer that blocks never holds a vCPU.
type outlet struct {
	to   io.Writer
	wait bool // put waits for room, for a machine whose time stands still meanwhile
	done chan struct{}

	mu     sync.Mutex // guards what follows
	change *sync.Cond // buf or closed changed
	buf    []byte
	closed bool
}

// newOutlet starts the goroutine; close ends it. A nil writer takes all, and nobody is woken for that: a kernel prints some
// twenty thousand bytes at boot, one by one.
func newOutlet(to io.Writer, wait bool) *outlet {
	o := &outlet{to: to, wait: wait, done: make(chan struct{}), closed: to == nil}
	o.change = sync.NewCond(&o.mu)
	if to == nil {
		close(o.done)
		return o
	}
	go o.run()
	return o
}

func (o *outlet) run() {
	defer close(o.done)
	for {
		o.mu.Lock()
		for len(o.buf) == 0 && !o.closed {
			o.change.Wait()
		}
		p := o.buf
		o.buf = nil
		o.change.Broadcast()
		o.mu.Unlock()
		if len(p) == 0 {
			return
		}
		o.to.Write(p) // a console that is gone is no reason to stop the guest
	}
}

// put adds a byte, or drops it when there is no room.
func (o *outlet) put(c byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.wait && len(o.buf) >= outletSize && !o.closed {
		o.change.Wait()
	}
	if len(o.buf) < outletSize && !o.closed {
		if o.buf = append(o.buf, c); len(o.buf) == 1 {
			o.change.Broadcast() // else whoever writes knows, or will look
		}
	}
}

func (o *outlet) full() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.wait && len(o.buf) >= outletSize
}

// close writes what waits and ends the goroutine. One that a writer holds
// longer than outletGrace is left to it, and ends when the writer returns.
func (o *outlet) close() {
	o.mu.Lock()
	o.closed = true
	o.change.Broadcast()
	o.mu.Unlock()
	select {
	case <-o.done:
	case <-time.After(outletGrace):
	}
}
