package ipc

import (
	"bytes"
	"context"
	"io"
	"sync"
)

const (
	// Window is how many bytes each direction of a stream may hold that its
	// reader has not taken: the credit that a writer begins with.
	Window = 256 << 10
	// MaxStreams is how many streams of one peer may be open at once; all of
	// them full are 16 MiB.
	MaxStreams = 64
	// maxCallStreams is how many streams one call may open; exec needs two.
	maxCallStreams = 8
)

// A Stream is a two-way flow of bytes inside a connection. Each direction has a
// credit of its own: what one stream's reader does not take never holds up a
// message or another stream. One goroutine may read while another writes; any
// may close.
//
// A stream that a call has made with Open carries nothing before Call has sent
// it; Write waits until then.
type Stream struct {
	sending sync.Mutex // held from the look at the state to the frame it allows

	mu     sync.Mutex // guards what follows; changed is told of every change
	change *sync.Cond
	conn   *Conn // nil until it is in conn's table
	id     int32 // positive: opened here
	live   bool  // the peer knows it

	in      bytes.Buffer // came and was not read
	allowed int          // how many bytes the peer may still send
	owed    int          // read since the last credit to the peer
	ended   bool         // the peer's end came
	broken  error        // no more will come, for this reason

	credit   int   // how many bytes we may send
	finished bool  // our end is sent or about to be
	stuck    error // nothing can be sent any more, for this reason
	reset    bool  // one of the ends has reset it
}

func newStream() *Stream {
	s := &Stream{}
	s.change = sync.NewCond(&s.mu)
	return s
}

// prepare gives a stream its number; from now on the peer may send.
func (s *Stream) prepare(c *Conn, id int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn, s.id, s.allowed = c, id, Window
}

// open lets our end send, now that the peer knows the stream. It is false when
// the stream was closed here before. A quick peer may have sent all it has and ended by now.
func (s *Stream) open() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.credit = true, Window
	s.change.Broadcast()
	return s.stuck == nil || s.reset
}

// Read takes what has come, and waits if nothing has. io.EOF is the peer's
// CloseWrite; *Error its Reset; ErrInterrupted and ErrInvalid (wrapped) are the
// ends of the connection.
func (s *Stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	for s.in.Len() == 0 && !s.ended && s.broken == nil && len(p) > 0 {
		s.change.Wait()
	}
	if s.in.Len() == 0 {
		defer s.mu.Unlock()
		if s.ended {
			return 0, io.EOF
		}
		return 0, s.broken
	}
	n, _ := s.in.Read(p) // it has some
	grant := s.grant(n)
	conn, id, over := s.conn, s.id, s.over()
	s.mu.Unlock()
	if grant > 0 {
		conn.answer(&message{Type: typeCredit, Stream: id, Credit: grant})
	}
	if over {
		conn.drop(id)
	}
	return n, nil
}

// grant counts n bytes as read and says how many the peer may be told of: none
// until half a window has come together.
func (s *Stream) grant(n int) int {
	s.owed += n
	if s.owed < Window/2 || s.ended || s.broken != nil {
		return 0
	}
	grant := s.owed
	s.owed = 0
	s.allowed += grant
	return grant
}

// Write sends p in pieces as the peer takes them. Errors are those of Read, and
// wrong-state after CloseWrite or Close.
func (s *Stream) Write(p []byte) (int, error) {
	for sent := 0; ; {
		n, err := s.writeSome(p[sent:])
		sent += n
		if err != nil || sent == len(p) {
			return sent, err
		}
	}
}

// writeSome sends one frame, when the peer allows for it.
func (s *Stream) writeSome(p []byte) (int, error) {
	s.mu.Lock()
	for s.credit == 0 && s.stuck == nil && !s.finished && len(p) > 0 {
		s.change.Wait()
	}
	s.mu.Unlock()
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	n := min(len(p), s.credit, MaxData)
	conn, id, err := s.conn, s.id, s.stuck
	if err == nil && s.finished {
		err = Errorf(WrongState, "cannot write to a stream after its end")
	}
	if err == nil {
		s.credit -= n
	}
	s.mu.Unlock()
	if err != nil || n == 0 {
		return 0, err
	}
	if err := conn.sendFrame(context.Background(), packData(id, p[:n]), nil); err != nil {
		return 0, err
	}
	return n, nil
}

// CloseWrite ends our direction: the peer reads what was written, then io.EOF.
func (s *Stream) CloseWrite() error {
	s.sending.Lock()
	defer s.sending.Unlock()
	s.mu.Lock()
	for !s.live && s.stuck == nil {
		s.change.Wait()
	}
	if s.finished || s.stuck != nil {
		defer s.mu.Unlock()
		return s.stuck
	}
	s.finished = true
	s.change.Broadcast()
	conn, id, over := s.conn, s.id, s.over()
	s.mu.Unlock()
	conn.answer(&message{Type: typeEnd, Stream: id})
	if over {
		conn.drop(id)
	}
	return nil
}

// Close gives the stream up. Where both directions have come to their ends it
// does nothing; else the peer sees a Reset, but never loses what was written
// before a CloseWrite. It always returns nil.
func (s *Stream) Close() error {
	s.Reset(Errorf(Cancelled, "the other end closed the stream"))
	return nil
}

// Reset ends both directions at once; the peer's Read and Write answer why.
func (s *Stream) Reset(why *Error) {
	s.mu.Lock()
	conn, id := s.conn, s.id
	tell := s.live && !(s.ended && s.finished) && !s.reset
	s.reset = s.reset || s.live
	s.in = bytes.Buffer{}
	s.breakOff(Errorf(WrongState, "cannot use a stream that was closed here"))
	s.mu.Unlock()
	if tell {
		conn.answer(&message{Type: typeReset, Stream: id, Error: why})
	}
	if conn != nil {
		conn.drop(id)
	}
}

// breakOff ends the directions that have not ended in order. The caller holds mu.
func (s *Stream) breakOff(why error) {
	if !s.ended && s.broken == nil {
		s.broken = why
	}
	if s.stuck == nil {
		s.stuck = why
	}
	s.change.Broadcast()
}

// lose is breakOff for what happens to the stream from outside.
func (s *Stream) lose(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breakOff(why)
}

// over tells whether nothing will be sent or come for the stream any more and
// all that came was read. The caller holds mu.
func (s *Stream) over() bool {
	return (s.ended || s.broken != nil) && (s.finished || s.stuck != nil) && s.in.Len() == 0
}

// take does what the peer's message about the stream says, and tells whether it
// is over. Its error is a violation.
func (s *Stream) take(m *message) (over bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch m.Type {
	case typeData:
		err = s.receive(m.data)
	case typeEnd:
		if s.ended {
			err = violation("stream %d ended twice", m.Stream)
		}
		s.ended = true
	case typeCredit:
		if s.credit+m.Credit > Window {
			err = violation("stream %d gives %d bytes of credit beyond its window", m.Stream, s.credit+m.Credit-Window)
		}
		s.credit += m.Credit
	case typeReset:
		s.reset = true
		var why error = ErrInterrupted
		if m.Error != nil {
			why = m.Error
		}
		s.breakOff(why)
	}
	s.change.Broadcast()
	return s.over(), err
}

// receive keeps data that came, unless nobody will read it.
func (s *Stream) receive(data []byte) error {
	switch {
	case s.ended:
		return violation("data came after the end of a stream")
	case len(data) > s.allowed:
		return violation("%d bytes of data came on a credit of %d", len(data), s.allowed)
	}
	s.allowed -= len(data)
	if s.broken == nil {
		s.in.Write(data)
	}
	return nil
}

// A StreamRef names a stream that travels with a call: 1 is the first; 0 is
// none.
type StreamRef int

// Streams are the streams that a call opens. Embed it in a request, and put
// StreamRefs into the body's own fields.
type Streams struct {
	list []*Stream
}

// Open adds a stream to the request. The caller of Call owns it and closes it;
// when Call fails, it is reset.
func (ss *Streams) Open() (*Stream, StreamRef) {
	s := newStream()
	ss.list = append(ss.list, s)
	return s, StreamRef(len(ss.list))
}

// Accept gives the stream that ref names to the handler, who must close it; it
// may outlive the call. What nobody accepts is reset by the layer.
func (ss *Streams) Accept(ref StreamRef) (*Stream, error) {
	if ref < 1 || int(ref) > len(ss.list) || ss.list[ref-1] == nil {
		return nil, Errorf(BadRequest, "cannot use stream %d: the call opened %d, and each can be accepted once", ref, len(ss.list))
	}
	s := ss.list[ref-1]
	ss.list[ref-1] = nil
	return s, nil
}

func (ss *Streams) streams() *Streams { return ss }

// streamsOf is the Streams that body (a pointer) embeds, or nil.
func streamsOf(body any) *Streams {
	if c, ok := body.(interface{ streams() *Streams }); ok {
		return c.streams()
	}
	return nil
}
