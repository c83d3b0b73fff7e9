package ipc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	// MaxConns is how many connections a Server has at once when it says nothing else: a
	// CLI command takes one, a GUI two.
	MaxConns = 256
	// helloTime is how long a connection may take to its hello; the ones that
	// come to nothing then make room for others.
	helloTime = 10 * time.Second
	// acceptPause is how long Serve waits when the system is out of something.
	acceptPause = 100 * time.Millisecond
)

// A Listener is where connections of a transport come in.
type Listener interface {
	// Accept waits for the next. Errors: net.ErrClosed (wrapped) after Close; others
	// pass, as when the system is out of descriptors.
	Accept() (Wire, error)
	Close() error
}

// A Server serves a Mux to everybody who connects and may. Fill it in before Serve. It
// ends with Close or Shutdown.
//
// One client never holds up another: each connection has its own goroutines, all that a peer
// can make us hold is bounded, and no process can take all connections.
type Server struct {
	// Mux is served on every connection. ConnOf and PeerOf tell its handlers who asks.
	Mux *Mux
	// Allow says what a peer may ask for; its error turns the peer away, before anything
	// that it has sent was read. An *Error is told as it is. Nil is SameUser.
	Allow func(Peer) (Access, error)
	// Max is how many connections there may be at once, and MaxEach how many of one
	// process; 0 means MaxConns, and a quarter of Max.
	Max, MaxEach int
	// Opened and Ended are told of each connection: before anything was read, and after
	// all of its handlers have returned. TurnedAway is told of whoever was not served,
	// and of trouble with a listener, whose peer is zero. Each may be nil and must not wait.
	Opened, Ended func(*Conn)
	TurnedAway    func(Peer, error)

	running sync.WaitGroup // of every Serve and connection

	mu        sync.Mutex // guards what follows
	ending    chan struct{}
	ended     bool // ending is closed
	listeners map[Listener]struct{}
	conns     map[*Conn]struct{}
	each      map[int]int // connections by pid
}

// Serve lets connections of l in until Close or Shutdown, which close l, and returns nil
// then. There may be several at once, each with its own listener.
func (s *Server) Serve(l Listener) error {
	ending, err := s.begin(l)
	if err != nil {
		l.Close()
		return err
	}
	defer s.running.Done()
	for {
		w, err := l.Accept()
		switch {
		case err == nil:
			s.admit(w)
			continue
		case errors.Is(err, net.ErrClosed):
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.listeners, l)
			if s.ended {
				return nil
			}
			return fmt.Errorf("cannot accept connections any more: %w", err)
		}
		s.report(Peer{}, fmt.Errorf("cannot accept a connection: %w", err))
		select {
		case <-time.After(acceptPause):
		case <-ending:
		}
	}
}

// begin counts a Serve.
func (s *Server) begin(l Listener) (<-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if s.ended {
		return nil, errors.New("cannot serve: the server was closed")
	}
	s.listeners[l] = struct{}{}
	s.running.Add(1)
	return s.ending, nil
}

// init makes what the zero Server lacks. The caller holds mu.
func (s *Server) init() {
	if s.ending == nil {
		s.ending = make(chan struct{})
		s.listeners, s.conns, s.each = map[Listener]struct{}{}, map[*Conn]struct{}{}, map[int]int{}
	}
}

func (s *Server) report(p Peer, err error) {
	if s.TurnedAway != nil {
		s.TurnedAway(p, err)
	}
}

// admit serves a connection, or turns it away in words.
func (s *Server) admit(w Wire) {
	peer, err := w.Peer()
	if err == nil {
		allow := s.Allow
		if allow == nil {
			allow = SameUser
		}
		peer.May, err = allow(peer)
	}
	var c *Conn
	if err == nil {
		c, err = s.open(w, peer)
	}
	if err == nil {
		if s.Opened != nil {
			s.Opened(c)
		}
		c.start()
		go s.watch(c)
		return
	}
	s.report(peer, err)
	e := &Error{}
	if !errors.As(err, &e) {
		e = Errorf(Denied, "cannot serve this peer: %v", err)
	}
	turnAway(w, e)
}

// open makes the connection, if there is room for it.
func (s *Server) open(w Wire, peer Peer) (*Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.Max
	if most == 0 {
		most = MaxConns
	}
	each := s.MaxEach
	if each == 0 {
		each = max(most/4, 1)
	}
	switch {
	case s.ended:
		return nil, Errorf(Busy, "cannot serve: the server is ending")
	case len(s.conns) >= most:
		return nil, Errorf(Busy, "cannot serve more than %d connections at once; try later", most)
	case peer.PID != 0 && s.each[peer.PID] >= each:
		return nil, Errorf(Busy, "cannot serve more than %d connections of process %d at once; close some", each, peer.PID)
	}
	if peer.PID != 0 {
		s.each[peer.PID]++
	}
	c := prepareConn(w, s.Mux, peer)
	s.conns[c] = struct{}{}
	s.running.Add(1) // for watch
	return c, nil
}

// watch ends a connection that says nothing, and forgets one that has ended.
func (s *Server) watch(c *Conn) {
	defer s.running.Done()
	silent := time.AfterFunc(helloTime, func() {
		if c.Remote() == (Hello{}) {
			c.fail(fmt.Errorf("%w: no hello came within %v", ErrInvalid, helloTime))
		}
	})
	<-c.Done()
	silent.Stop()
	s.mu.Lock()
	delete(s.conns, c)
	if pid := c.peer.PID; pid != 0 {
		if s.each[pid]--; s.each[pid] == 0 {
			delete(s.each, pid)
		}
	}
	s.mu.Unlock()
	if s.Ended != nil {
		s.Ended(c)
	}
}

// Conns are the connections of this moment.
func (s *Server) Conns() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// Shutdown lets nobody in any more, waits for the calls under way or for ctx, ends every
// connection, and returns when everything of the server has.
func (s *Server) Shutdown(ctx context.Context) {
	s.mu.Lock()
	s.init()
	if !s.ended {
		s.ended = true
		close(s.ending)
	}
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	var drained sync.WaitGroup
	for _, c := range s.Conns() {
		drained.Go(func() { c.Drain(ctx) })
	}
	drained.Wait()
	s.running.Wait()
}

// Close is a Shutdown that waits for no call.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.Shutdown(ctx)
	return nil
}
