package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxCalls is how many calls of one peer may be served at once. A GUI with
// every window open has about ten.
const maxCalls = 128

// A Conn is one connection. Any goroutine may use it.
type Conn struct {
	frames *framer
	mux    *Mux
	ctx    context.Context // ends with the connection; parent of every handler's
	cancel context.CancelFunc
	done   chan struct{} // closed when the reader and every handler have ended

	mu      sync.Mutex
	err     error // why the connection ended; nil while it lives
	next    uint64
	waiting map[uint64]chan *message           // our calls, by id
	serving map[uint64]context.CancelCauseFunc // the peer's calls, by id
}

// NewConn takes over sock and serves mux on it, which may be nil for an end
// that only asks. Close must be called, also after the peer has gone.
func NewConn(sock *net.UnixConn, mux *Mux) *Conn {
	if mux == nil {
		mux = NewMux()
	}
	c := &Conn{
		frames: newFramer(sock), mux: mux, done: make(chan struct{}),
		waiting: map[uint64]chan *message{}, serving: map[uint64]context.CancelCauseFunc{},
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	go c.run()
	return c
}

// FromFile makes a Conn of an inherited stream socket. It takes f over.
func FromFile(f *os.File, mux *Mux) (*Conn, error) {
	defer f.Close() // FileConn has a copy of its own
	nc, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("cannot use descriptor %s as a connection: %w", f.Name(), err)
	}
	sock, ok := nc.(*net.UnixConn)
	if !ok {
		nc.Close()
		return nil, fmt.Errorf("cannot use descriptor %s as a connection: it is a %T, not a Unix socket", f.Name(), nc)
	}
	return NewConn(sock, mux), nil
}

// Pair makes a connected pair of stream sockets, both closed on exec: one
// for NewConn, one to hand to a child process.
func Pair() (*net.UnixConn, *os.File, error) {
	syscall.ForkLock.RLock() // macOS cannot set close-on-exec at creation
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "socketpair"), os.NewFile(uintptr(fds[1]), "socketpair")
	defer ours.Close()
	nc, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("cannot use a socket pair: %w", err)
	}
	return nc.(*net.UnixConn), theirs, nil
}

// Close ends the connection, cancels the handlers and waits for them.
func (c *Conn) Close() error {
	c.fail(ErrInvalid)
	<-c.done
	return nil
}

// Done is closed when the connection has ended and all of its handlers have
// returned; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is nil while the connection lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// run reads until the connection ends. It owns the framer's reading side.
func (c *Conn) run() {
	var handlers sync.WaitGroup
	for {
		m, err := c.frames.read()
		if err != nil {
			c.fail(readError(err))
			break
		}
		c.route(m, &handlers)
	}
	handlers.Wait()
	c.frames.close()
	close(c.done)
}

// readError sorts the ends of a stream into ours.
func readError(err error) error {
	var op *net.OpError
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) {
		return fmt.Errorf("%w: %v", ErrInterrupted, err)
	}
	return fmt.Errorf("%w: %v", ErrInvalid, err)
}

// fail ends the connection once; the first cause stays.
func (c *Conn) fail(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = cause
	c.cancel()
	c.frames.sock.Close() // wakes the reader
	for id, ch := range c.waiting {
		close(ch)
		delete(c.waiting, id)
	}
}

// route gives m to whoever it is for. Replies that nobody waits for any more
// are dropped.
func (c *Conn) route(m *message, handlers *sync.WaitGroup) {
	switch m.Type {
	case typeCall:
		c.accept(m, handlers)
	case typeCancel:
		c.mu.Lock()
		if stop := c.serving[m.ID]; stop != nil {
			stop(Errorf(Cancelled, "the caller gave up"))
		}
		c.mu.Unlock()
		closeAll(m.files)
	default:
		c.mu.Lock()
		ch := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if ch == nil {
			closeAll(m.files)
			return
		}
		ch <- m // has room for one
	}
}

// accept starts the handler of a call, or refuses it.
func (c *Conn) accept(m *message, handlers *sync.WaitGroup) {
	h := c.mux.routes[m.Method]
	if h == nil {
		c.refuse(m, Errorf(NoMethod, "cannot call %.64q: the peer has no such method", m.Method))
		return
	}
	ctx, stop := context.WithCancelCause(c.ctx)
	c.mu.Lock()
	_, again := c.serving[m.ID]
	full := len(c.serving) >= maxCalls
	if !again && !full {
		c.serving[m.ID] = stop
	}
	c.mu.Unlock()
	if again || full {
		stop(nil)
		c.refuse(m, Errorf(Busy, "cannot call %s: %d calls are under way", m.Method, maxCalls))
		return
	}
	handlers.Go(func() {
		defer stop(nil)
		c.serve(ctx, h, m)
	})
}

// refuse answers a call without a handler. A peer that does not read its
// answers must not stop us reading its calls: the connection ends then.
func (c *Conn) refuse(m *message, e *Error) {
	closeAll(m.files)
	c.frames.sock.SetWriteDeadline(time.Now().Add(5 * time.Second))
	c.answer(&message{Type: typeError, ID: m.ID, Error: e})
	c.frames.sock.SetWriteDeadline(time.Time{})
}

// serve runs one handler and answers.
func (c *Conn) serve(ctx context.Context, h handler, m *message) {
	if m.TimeoutMS > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, time.Duration(m.TimeoutMS)*time.Millisecond)
		defer done()
	}
	reply, err := h(ctx, m)
	closeAll(m.files) // what the handler took is nil by now
	c.mu.Lock()
	delete(c.serving, m.ID)
	c.mu.Unlock()
	if err != nil {
		c.answer(&message{Type: typeError, ID: m.ID, Error: asError(err)})
		return
	}
	reply.Type, reply.ID = typeReply, m.ID
	c.answer(reply)
	closeAll(reply.files)
}

// answer sends a reply; a peer that cannot be answered is gone.
func (c *Conn) answer(m *message) {
	if err := c.frames.write(m); err != nil {
		c.fail(fmt.Errorf("%w: %v", ErrInterrupted, err))
	}
}

// roundTrip sends a call and waits for its answer.
func (c *Conn) roundTrip(ctx context.Context, call *message) (*message, error) {
	ch := make(chan *message, 1)
	c.mu.Lock()
	if err := c.err; err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("cannot call %s: %w", call.Method, err)
	}
	c.next++
	call.Type, call.ID = typeCall, c.next
	c.waiting[call.ID] = ch
	c.mu.Unlock()
	if at, ok := ctx.Deadline(); ok {
		call.TimeoutMS = max(1, time.Until(at).Milliseconds())
	}
	if err := c.frames.write(call); err != nil {
		c.forget(call.ID)
		return nil, fmt.Errorf("cannot call %s: %w", call.Method, err)
	}
	return c.await(ctx, call, ch)
}

func (c *Conn) await(ctx context.Context, call *message, ch chan *message) (*message, error) {
	select {
	case m, ok := <-ch:
		if !ok {
			return nil, fmt.Errorf("cannot finish %s: %w", call.Method, c.Err())
		}
		if m.Type == typeError {
			closeAll(m.files)
			return nil, m.Error
		}
		return m, nil
	case <-ctx.Done():
		if c.forget(call.ID) {
			c.answer(&message{Type: typeCancel, ID: call.ID})
		} else if m, ok := <-ch; ok { // the reply came in between
			closeAll(m.files)
		}
		return nil, fmt.Errorf("cannot finish %s: %w", call.Method, context.Cause(ctx))
	}
}

// forget stops waiting for a reply. It is false when the reply or the end of
// the connection came first.
func (c *Conn) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.waiting[id]
	delete(c.waiting, id)
	return ok
}
