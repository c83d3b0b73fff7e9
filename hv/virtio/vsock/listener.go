package vsock

import (
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
)

// A Listener accepts what programs in the guest connect to on a port of the host.
type Listener struct {
	d    *Device
	port uint32
	kind uint16 // typeStream or typePacket

	// Guarded by Device.mu.
	waiting []*Conn
	arrived sync.Cond
	closed  bool
}

// Listen opens a port of the host to the guest. It needs no driver yet, and outlives
// resets. Errors: syscall.EADDRINUSE.
func (d *Device) Listen(port uint32) (*Listener, error) { return d.listenTo(typeStream, port) }

func (d *Device) listenTo(kind uint16, port uint32) (*Listener, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.listeners[port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "vsock", Addr: Addr{HostCID, port}, Err: syscall.EADDRINUSE}
	}
	l := &Listener{d: d, port: port, kind: kind}
	l.arrived.L = &d.mu
	d.listeners[port] = l
	return l, nil
}

// Accept implements net.Listener; the net.Conn is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	for len(l.waiting) == 0 && !l.closed {
		l.arrived.Wait()
	}
	if l.closed {
		return nil, &net.OpError{Op: "accept", Net: "vsock", Addr: l.Addr(), Err: net.ErrClosed}
	}
	c := l.waiting[0]
	l.waiting = l.waiting[1:]
	return c, nil
}

// Close implements net.Listener. Connections that nobody accepted are reset.
func (l *Listener) Close() error {
	l.d.mu.Lock()
	l.end()
	l.d.mu.Unlock()
	l.d.pump()
	return nil
}

// end closes l. The caller holds mu.
func (l *Listener) end() {
	l.closed = true
	delete(l.d.listeners, l.port)
	for _, c := range l.waiting {
		c.abort(net.ErrClosed)
	}
	l.waiting = nil
	l.arrived.Broadcast()
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return Addr{HostCID, l.port} }

// File gives the stream away as a descriptor: the end of a Unix socket pair, for another
// process. The connection must not be used otherwise from then on; it ends when both
// directions have, and half closes go through both ways. The caller closes the file. One
// of messages is a SOCK_SEQPACKET, which macOS does not have.
func (c *Conn) File() (*os.File, error) {
	syscall.ForkLock.RLock()
	kind := syscall.SOCK_STREAM
	if c.kind == typePacket {
		kind = syscall.SOCK_SEQPACKET
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, kind, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
		widen(fds[0])
		widen(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("cannot make a descriptor of %v: %w", c.RemoteAddr(), err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "vsock"), os.NewFile(uintptr(fds[1]), "vsock")
	sock, err := net.FileConn(ours) // a duplicate, under Go's poller
	_ = ours.Close()
	if err != nil {
		_ = theirs.Close()
		return nil, fmt.Errorf("cannot make a descriptor of %v: %w", c.RemoteAddr(), err)
	}
	c.relay(sock.(*net.UnixConn))
	return theirs, nil
}

// pairBuffer is how many bytes each direction of a socket pair should hold at least, so that neither end is woken for less than a
// guest sends at once. macOS gives 8 KiB, Linux 208.
const pairBuffer = 128 << 10

// widen has what is written to the socket fd wait for its reader in larger pieces. A system that refuses is only slower.
func widen(fd int) {
	if has, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF); err == nil && has < pairBuffer {
		_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, pairBuffer)
	}
}

// relay moves bytes between the connection and sock until both directions have ended.
func (c *Conn) relay(sock *net.UnixConn) {
	var both sync.WaitGroup
	both.Go(func() { // guest to sock
		if _, err := c.WriteTo(sock); err != nil {
			_ = c.CloseRead() // nobody takes it, or the guest reset the connection
		}
		_ = sock.CloseWrite()
		c.d.mu.Lock()
		gone := c.gone
		c.d.mu.Unlock()
		if gone {
			_ = sock.CloseRead() // ends the other direction too
		}
	})
	both.Go(func() { // sock to guest
		if _, err := c.ReadFrom(sock); err != nil {
			_ = sock.CloseRead()
		}
		_ = c.CloseWrite()
	})
	c.d.relays.Go(func() {
		both.Wait()
		_ = c.Close()
		_ = sock.Close()
	})
}
