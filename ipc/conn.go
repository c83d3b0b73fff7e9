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

const (
	// maxCalls is how many calls of one peer may be served at once. A GUI with
	// every window open has about ten.
	maxCalls = 128
	// maxNotes is how many notes may wait for their handlers; the peer is not
	// read from while more do.
	maxNotes = 16
	// maxHeld is how many bytes the bodies of a peer's calls under way may have, as text.
	maxHeld = 16 << 20
	// maxLater is how many messages may wait for a goroutine to send them. A peer for whom
	// there are more sends calls without reading our answers.
	maxLater = 1024
)

// A Conn is one connection. Any goroutine may use it.
type Conn struct {
	wire     Wire
	mux      *Mux
	peer     Peer
	ctx      context.Context // ends with the connection; parent of every handler's
	cancel   context.CancelFunc
	notes    chan func()    // to the goroutine that handles them one by one, once there is one
	handlers sync.WaitGroup // and whoever reads, or answers the peer
	turn     chan struct{}  // gives the reading to a goroutine that stands by
	done     chan struct{}  // closed when the reader and every handler have ended

	greeting sync.Once // has our hello be the first thing that is sent
	greeted  error     // what became of it

	// Owned by whoever reads.
	files      []*os.File // came and were not claimed by a message
	met        bool       // the peer has said hello
	delivering bool       // somebody takes from notes

	opening chan struct{} // holds the token of a call that opens streams while it is sent: their numbers go out in order

	mu       sync.Mutex // guards what follows
	err      error      // why the connection ended; nil while it lives
	mourning *time.Timer
	remote   Hello                              // zero before it came
	calls    uint64                             // the last number of a call of ours
	waiting  map[uint64]*pending                // our calls, by id
	serving  map[uint64]context.CancelCauseFunc // the peer's calls, by id
	busy     int                                // the peer's calls that were not answered yet, more than are served when it reads slowly
	held     int                                // the bytes of the bodies of those that are served
	standing int                                // goroutines that stand by to read
	later    []*message                         // to be sent by a goroutine of its own
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
		wire: w, mux: mux, peer: peer, done: make(chan struct{}), notes: make(chan func(), maxNotes), turn: make(chan struct{}),
		opening: make(chan struct{}, 1),
		waiting: map[uint64]*pending{}, serving: map[uint64]context.CancelCauseFunc{},
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
	c.handlers.Go(c.lead)
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

// lead reads and routes messages. A call is served by the goroutine that has read it, which
// first gives the reading to another: so a call costs no switch of goroutines
// before its handler.
func (c *Conn) lead() {
	for {
		serve, err := c.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				c.greet() // a peer that only ever closed its half is owed our hello
			}
			c.end(err)
			return
		}
		c.handOver()
		serve()
		if !c.standBy() {
			return
		}
	}
}

// maxStanding is how many goroutines stand by to read: two take turns where one call comes
// after another.
const maxStanding = 2

// handOver has another goroutine read.
func (c *Conn) handOver() {
	select {
	case c.turn <- struct{}{}: // one stands by
	default:
		c.handlers.Go(c.lead)
	}
}

// standBy waits for the reading to be given here. It is false when there is nothing to wait for.
func (c *Conn) standBy() bool {
	c.mu.Lock()
	if c.err != nil || c.standing >= maxStanding {
		c.mu.Unlock()
		return false
	}
	c.standing++
	c.mu.Unlock()
	_, ok := <-c.turn
	c.mu.Lock()
	c.standing--
	c.mu.Unlock()
	return ok
}

// end is the last thing that a reader does.
func (c *Conn) end(err error) {
	c.fail(readError(err))
	close(c.turn)
	close(c.notes)
	go func() {
		c.handlers.Wait()
		closeAll(c.files)
		close(c.done)
	}()
}

// next reads and routes messages until a call is to be served, which its result does.
func (c *Conn) next() (serve func(), err error) {
	for {
		m, err := c.read()
		if err != nil {
			return nil, err
		}
		if !c.met {
			err = c.meet(m)
			c.met = err == nil
		} else {
			serve, err = c.route(m)
		}
		if serve != nil || err != nil {
			return serve, err
		}
	}
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
	for id, p := range c.waiting {
		close(p.done)
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

// route gives m to whoever it is for, and has a call be served by what it returns. Replies
// that nobody waits for any more are dropped. An error is a violation.
func (c *Conn) route(m *message) (serve func(), err error) {
	switch m.Type {
	case typeCall:
		return c.accept(m)
	case typeNote:
		return nil, c.hear(m)
	case typeReply, typeError:
		c.settle(m)
		return nil, nil
	}
	closeAll(m.files)
	switch m.Type {
	case typeHello:
		return nil, violation("a second hello")
	case typeRefused:
		return nil, refusal(m.Error)
	case typeCancel:
		c.mu.Lock()
		stop := c.serving[m.ID]
		c.mu.Unlock()
		if stop != nil {
			stop(Errorf(Cancelled, "the caller gave up"))
		}
		return nil, nil
	}
	return nil, c.stream(m)
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

// send writes a message whole, or not at all; ctx ends the wait for a peer who takes
// nothing. Whatever the wire itself refuses ends the connection, for half a frame may be out.
func (c *Conn) send(ctx context.Context, m *message) error {
	f, err := pack(m)
	if err != nil {
		return err
	}
	return c.sendFrame(ctx, f, m.files)
}

// sendFrame takes f over.
func (c *Conn) sendFrame(ctx context.Context, f *packet, files []*os.File) error {
	defer f.free()
	err := c.greet()
	if err == nil {
		err = c.wire.Send(ctx, f.b, files)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		return errors.New("cannot send descriptors: only a Unix socket carries them here")
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return err
	}
	c.lost(err)
	<-c.ctx.Done()
	return c.Err()
}

// answer sends what the peer waits for. If it cannot be said, the peer learns
// why; if not even that, the connection ends.
func (c *Conn) answer(m *message) {
	err := c.send(context.Background(), m)
	if err == nil || c.Err() != nil {
		return
	}
	if m.Type != typeReply || c.send(context.Background(), &message{Type: typeError, ID: m.ID, Error: asError(err)}) != nil {
		c.fail(fmt.Errorf("%w: %v", ErrInvalid, err))
	}
}

// tell sends m without waiting: a peer that reads nothing must stop neither our reading nor a
// caller who gives up. An error is a violation.
func (c *Conn) tell(m *message) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil // nobody hears it
	}
	if len(c.later) >= maxLater {
		return violation("%d messages wait for the peer to read them", maxLater)
	}
	c.later = append(c.later, m)
	if len(c.later) == 1 {
		c.handlers.Go(c.sendLater)
	}
	return nil
}

// sendLater sends what tell has left, which is one message or more.
func (c *Conn) sendLater() {
	for more := true; more; {
		c.mu.Lock()
		m := c.later[0]
		c.mu.Unlock()
		c.answer(m)
		c.mu.Lock()
		c.later = c.later[1:]
		more = len(c.later) > 0
		c.mu.Unlock()
	}
}
