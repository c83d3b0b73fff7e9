package ipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// maxCalls is how many calls of one peer may be served at once. A GUI with
	// every window open has about ten.
	maxCalls = 128
	// maxNotes is how many notes may wait for their handlers; the peer is not
	// read from while more do.
	maxNotes = 16
	// maxRefusals is how many calls may wait to be told that they are refused. A peer that
	// sends more without reading its answers floods us.
	maxRefusals = 1024
)

// A Conn is one connection. Any goroutine may use it.
type Conn struct {
	wire     Wire
	mux      *Mux
	peer     Peer
	ctx      context.Context // ends with the connection; parent of every handler's
	cancel   context.CancelFunc
	notes    chan *message  // to the goroutine that handles them one by one
	handlers sync.WaitGroup // and whatever else answers the peer
	done     chan struct{}  // closed when the reader and every handler have ended

	greeting sync.Once // has our hello be the first thing that is sent
	greeted  error     // what became of it

	files []*os.File // came and were not claimed by a message; the reader's own

	opening sync.Mutex // held while a call that opens streams is sent: their numbers go out in order

	mu       sync.Mutex // guards what follows
	err      error      // why the connection ended; nil while it lives
	mourning *time.Timer
	remote   Hello // zero before it came
	next     uint64
	waiting  map[uint64]chan *message           // our calls, by id
	serving  map[uint64]context.CancelCauseFunc // the peer's calls, by id
	busy     int                                // the peer's calls that were not answered yet, more than are served when it reads slowly
	refused  []*message                         // answers to calls that were not let in
	draining chan struct{}                      // not nil: no call is let in; closed when all are answered
	streams  map[int32]*Stream                  // positive: opened here; negative: by the peer
	opened   int32                              // the last number given here
	theirs   int32                              // the last number given by the peer
}

// NewConn takes over sock, any stream that is read and written at once and
// whose Close ends both, and serves mux on it, which may be nil for an end that
// only asks. Descriptors travel only on a *net.UnixConn. The caller vouches for the
// peer, which may ask for everything: it is for connections that were made here or
// inherited; a Server is for others. Close must be called, also after the peer has gone.
func NewConn(sock io.ReadWriteCloser, mux *Mux) *Conn {
	return NewConnOver(Bytes(sock), mux)
}

// NewConnOver is NewConn for any transport.
func NewConnOver(w Wire, mux *Mux) *Conn {
	peer, err := w.Peer()
	if err != nil {
		peer = Peer{UID: -1, Source: vouched}
	}
	peer.May = Admin
	c := prepareConn(w, mux, peer)
	c.start()
	return c
}

// prepareConn makes a connection that has not begun to read or to say anything.
func prepareConn(w Wire, mux *Mux, peer Peer) *Conn {
	if mux == nil {
		mux = NewMux()
	}
	c := &Conn{
		wire: w, mux: mux, peer: peer, done: make(chan struct{}), notes: make(chan *message, maxNotes),
		waiting: map[uint64]chan *message{}, serving: map[uint64]context.CancelCauseFunc{},
		streams: map[int32]*Stream{},
	}
	c.ctx, c.cancel = context.WithCancel(context.WithValue(context.Background(), connKey{}, c))
	return c
}

func (c *Conn) start() {
	c.handlers.Go(func() {
		if err := c.greet(); err != nil {
			c.lost(err)
		}
	})
	go c.run()
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

// Drain lets no further call in, waits for those under way or for ctx, and closes the
// connection.
func (c *Conn) Drain(ctx context.Context) {
	c.mu.Lock()
	if c.draining == nil {
		c.draining = make(chan struct{})
		c.rest()
	}
	idle := c.draining
	c.mu.Unlock()
	select {
	case <-idle:
	case <-c.ctx.Done():
	case <-ctx.Done():
	}
	c.Close()
}

// rest ends a Drain when everything is answered. The caller holds mu.
func (c *Conn) rest() {
	if c.draining == nil || c.busy > 0 {
		return
	}
	select {
	case <-c.draining:
	default:
		close(c.draining)
	}
}

// Done is closed when the connection has ended and all of its handlers have
// returned; Err then says why.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Peer is who is at the other end.
func (c *Conn) Peer() Peer { return c.peer }

// Remote is what the other end said first; zero until it has.
func (c *Conn) Remote() Hello {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// Err is nil while the connection lives.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// run reads until the connection ends.
func (c *Conn) run() {
	c.handlers.Go(c.deliver)
	c.fail(readError(c.readAll()))
	close(c.notes)
	c.handlers.Wait()
	closeAll(c.files)
	close(c.done)
}

// readAll reads and routes messages until it cannot.
func (c *Conn) readAll() error {
	m, err := c.read()
	if err == nil {
		err = c.meet(m)
	}
	for err == nil {
		if m, err = c.read(); err == nil {
			err = c.route(m)
		}
	}
	return err
}

// read returns the next message; its descriptors are the caller's. io.EOF
// means that the peer ended between two frames.
func (c *Conn) read() (*message, error) {
	frame, files, err := c.wire.Receive()
	c.files = append(c.files, files...)
	if err != nil {
		return nil, err
	}
	m, err := parse(frame)
	if err != nil {
		return nil, violation("%w", err)
	}
	if m.FDs > len(c.files) {
		return nil, violation("a message names %d descriptors and %d came", m.FDs, len(c.files))
	}
	m.files, c.files = c.files[:m.FDs:m.FDs], c.files[m.FDs:]
	if err := tooMany(c.files); err != nil {
		closeAll(m.files)
		return nil, err
	}
	return m, nil
}

// readError sorts the ends of a stream into ours.
func readError(err error) error {
	switch {
	case errors.Is(err, errViolation):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrInterrupted):
		return err
	}
	return fmt.Errorf("%w: %v", ErrInterrupted, err)
}

// fail ends the connection once; the first cause stays.
func (c *Conn) fail(cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = cause
	if c.mourning != nil {
		c.mourning.Stop()
	}
	for id, ch := range c.waiting {
		close(ch)
		delete(c.waiting, id)
	}
	streams := c.streams
	c.streams = nil
	c.mu.Unlock()
	c.cancel()
	c.wire.Close() // wakes the reader
	for _, s := range streams {
		s.lose(cause)
	}
}

// lost is for when something could not be sent. What the peer has said last, which is
// perhaps why, may still wait to be read: the reader ends the connection then; when
// it does not, this does.
func (c *Conn) lost(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil && c.mourning == nil {
		c.mourning = time.AfterFunc(lastWord, func() { c.fail(fmt.Errorf("%w: %v", ErrInterrupted, err)) })
	}
}

// route gives m to whoever it is for. Replies that nobody waits for any more
// are dropped. An error is a violation.
func (c *Conn) route(m *message) error {
	switch m.Type {
	case typeCall:
		return c.accept(m)
	case typeHello:
		closeAll(m.files)
		return violation("a second hello")
	case typeRefused:
		closeAll(m.files)
		return refusal(m.Error)
	case typeNote:
		select {
		case c.notes <- m:
		case <-c.ctx.Done():
			closeAll(m.files)
		}
	case typeCancel:
		c.mu.Lock()
		stop := c.serving[m.ID]
		c.mu.Unlock()
		if stop != nil {
			stop(Errorf(Cancelled, "the caller gave up"))
		}
		closeAll(m.files)
	case typeReply, typeError:
		c.mu.Lock()
		ch := c.waiting[m.ID]
		delete(c.waiting, m.ID)
		c.mu.Unlock()
		if ch == nil {
			closeAll(m.files)
			return nil
		}
		ch <- m // has room for one
	default:
		closeAll(m.files)
		return c.stream(m)
	}
	return nil
}

// stream does what a message about one stream says. One that is over is no
// longer known, and what still comes for it is dropped.
func (c *Conn) stream(m *message) error {
	id := -m.Stream
	c.mu.Lock()
	s := c.streams[id]
	known := id <= c.opened && -id <= c.theirs
	c.mu.Unlock()
	if s == nil {
		if !known {
			return violation("a %s for stream %d, which was never opened", m.Type, m.Stream)
		}
		return nil
	}
	over, err := s.take(m)
	if over {
		c.drop(id)
	}
	return err
}

// drop forgets a stream that is over.
func (c *Conn) drop(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.streams, id)
}

// deliver handles notes in the order in which they came.
func (c *Conn) deliver() {
	for m := range c.notes {
		n, ok := c.mux.notes[m.Method]
		if ok && c.ctx.Err() == nil && allowed(c.peer, n.need, m.Method) == nil {
			if err := n.handle(c.ctx, m); err != nil {
				c.fail(readError(err))
			}
		}
		closeAll(m.files) // what the handler took is nil by now
	}
}

// accept starts the handler of a call, or refuses it.
func (c *Conn) accept(m *message) error {
	ctx, refusal, err := c.admit(m)
	switch {
	case err != nil:
		closeAll(m.files)
	case refusal != nil:
		closeAll(m.files)
		return c.refuse(&message{Type: typeError, ID: m.ID, Error: refusal})
	default:
		c.handlers.Go(func() { c.serve(ctx, c.mux.routes[m.Method].handle, m) })
	}
	return err
}

// admit looks at a call, and makes its context and its streams if it may come
// in. An error is a violation.
func (c *Conn) admit(m *message) (context.Context, *Error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	refusal, err := c.examine(m)
	if refusal != nil || err != nil {
		return nil, refusal, err
	}
	for _, id := range m.Streams {
		s := newStream()
		s.prepare(c, -id)
		s.open()
		c.streams[-id] = s
		m.streams = append(m.streams, s)
	}
	ctx, stop := context.WithCancelCause(c.ctx)
	c.serving[m.ID] = stop
	c.busy++
	return ctx, nil, nil
}

// examine says why a call may not come in, and counts its streams as opened.
// The caller holds mu.
func (c *Conn) examine(m *message) (*Error, error) {
	if c.err != nil {
		return nil, c.err
	}
	if c.serving[m.ID] != nil {
		return nil, violation("two calls under way have the number %d", m.ID)
	}
	for _, id := range m.Streams {
		if id <= c.theirs {
			return nil, violation("stream %d is opened after stream %d", id, c.theirs)
		}
		c.theirs = id
	}
	r, ok := c.mux.routes[m.Method]
	if !ok {
		return Errorf(NoMethod, "cannot call %.64q: the peer has no such method", m.Method), nil
	}
	if e := allowed(c.peer, r.need, m.Method); e != nil {
		return e, nil
	}
	switch {
	case c.draining != nil:
		return Errorf(Busy, "cannot call %s: the peer is ending", m.Method), nil
	case len(c.serving) >= maxCalls || c.busy >= 2*maxCalls:
		return Errorf(Busy, "cannot call %s: %d calls are under way", m.Method, maxCalls), nil
	case c.openByPeer()+len(m.Streams) > MaxStreams:
		return Errorf(Busy, "cannot call %s: at most %d streams may be open", m.Method, MaxStreams), nil
	}
	return nil, nil
}

// openByPeer counts the peer's open streams. The caller holds mu.
func (c *Conn) openByPeer() int {
	n := 0
	for id := range c.streams {
		if id < 0 {
			n++
		}
	}
	return n
}

// refuse answers a call without a handler, and without waiting: a peer that does not read
// its answers must not stop us reading its calls. An error is a violation.
func (c *Conn) refuse(m *message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.refused) >= maxRefusals {
		return violation("%d refused calls wait for the peer to read their answers", maxRefusals)
	}
	c.refused = append(c.refused, m)
	if len(c.refused) == 1 {
		c.handlers.Go(c.sendRefusals)
	}
	return nil
}

// sendRefusals sends what refuse has left, which is one answer or more.
func (c *Conn) sendRefusals() {
	for more := true; more; {
		c.mu.Lock()
		m := c.refused[0]
		c.mu.Unlock()
		c.answer(m)
		c.mu.Lock()
		c.refused = c.refused[1:]
		more = len(c.refused) > 0 && c.err == nil
		c.mu.Unlock()
	}
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
	for _, s := range m.streams {
		if s != nil {
			s.Reset(Errorf(Cancelled, "the call that opened the stream has ended"))
		}
	}
	c.mu.Lock()
	c.serving[m.ID](nil) // frees the context
	delete(c.serving, m.ID)
	c.mu.Unlock()
	if err != nil {
		reply = &message{Type: typeError, Error: asError(err)}
	} else {
		reply.Type = typeReply
	}
	reply.ID = m.ID
	c.answer(reply)
	closeAll(reply.files)
	c.mu.Lock()
	c.busy--
	c.rest()
	c.mu.Unlock()
}

// send writes a message whole, or not at all. Whatever the stream itself
// refuses ends the connection, for half a frame may be out.
func (c *Conn) send(m *message) error {
	frame, err := pack(m)
	if err != nil {
		return err
	}
	return c.sendFrame(frame, m.files)
}

func (c *Conn) sendFrame(frame []byte, files []*os.File) error {
	err := c.greet()
	if err == nil {
		err = c.wire.Send(frame, files)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		return errors.New("cannot send descriptors: only a Unix socket carries them here")
	}
	c.lost(err)
	<-c.ctx.Done()
	return c.Err()
}

// answer sends what the peer waits for. If it cannot be said, the peer learns
// why; if not even that, the connection ends.
func (c *Conn) answer(m *message) {
	err := c.send(m)
	if err == nil || c.Err() != nil {
		return
	}
	if m.Type != typeReply || c.send(&message{Type: typeError, ID: m.ID, Error: asError(err)}) != nil {
		c.fail(fmt.Errorf("%w: %v", ErrInvalid, err))
	}
}

// roundTrip sends a call and waits for its answer.
func (c *Conn) roundTrip(ctx context.Context, call *message) (*message, error) {
	ch := make(chan *message, 1)
	if at, ok := ctx.Deadline(); ok {
		call.TimeoutMS = max(1, time.Until(at).Milliseconds())
	}
	if err := c.launch(call, ch); err != nil {
		return nil, fmt.Errorf("cannot call %s: %w", call.Method, err)
	}
	return c.await(ctx, call, ch)
}

// launch sends a call with the streams that it opens.
func (c *Conn) launch(call *message, ch chan *message) error {
	if len(call.streams) > 0 {
		c.opening.Lock()
		defer c.opening.Unlock()
	}
	if err := c.register(call, ch); err != nil {
		return err
	}
	if err := c.send(call); err != nil {
		c.forget(call.ID)
		return err
	}
	for _, s := range call.streams {
		if !s.open() { // closed already
			s.Reset(Errorf(Cancelled, "the other end closed the stream"))
		}
	}
	return nil
}

// register numbers a call and its streams, which the peer may answer from now
// on.
func (c *Conn) register(call *message, ch chan *message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if int(c.opened)+len(call.streams) > math.MaxInt32 {
		return Errorf(Busy, "the connection has no numbers left for streams; make a new one")
	}
	c.next++
	call.Type, call.ID = typeCall, c.next
	c.waiting[call.ID] = ch
	for _, s := range call.streams {
		c.opened++
		call.Streams = append(call.Streams, c.opened)
		c.streams[c.opened] = s
		s.prepare(c, c.opened)
	}
	return nil
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
