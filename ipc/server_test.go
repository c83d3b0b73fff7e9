package ipc

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// startServer serves on Memory wires until the test ends.
func startServer(t *testing.T, s *Server) *MemoryListener {
	t.Helper()
	l := NewMemoryListener()
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve ended with %v", err)
		}
	})
	return l
}

func dialMemory(t *testing.T, l *MemoryListener) Wire {
	t.Helper()
	w, err := l.Dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func TestSilentConnectionsMakeRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startServer(t, &Server{Mux: NewMux(), Max: 2, MaxEach: 2})
		for range 2 {
			dialMemory(t, l)
		}
		c := NewConnOver(dialMemory(t, l), nil)
		defer c.Close()
		var e *Error
		if _, err := Call(t.Context(), c, Ping, &struct{}{}); !errors.As(err, &e) || e.Code != Busy {
			t.Errorf("beside as many as there may be: %v, want code %s", err, Busy)
		}
		time.Sleep(helloTime + time.Second)
		c = NewConnOver(dialMemory(t, l), nil)
		defer c.Close()
		if _, err := Call(t.Context(), c, Ping, &struct{}{}); err != nil {
			t.Errorf("once the silent are gone: %v", err)
		}
		time.Sleep(10 * helloTime)
		if _, err := Call(t.Context(), c, Ping, &struct{}{}); err != nil {
			t.Errorf("a connection that has said hello was not left alone: %v", err)
		}
	})
}

func TestCallsHoldABoundedAmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type body struct{ Text string }
		keep := Method[body, struct{}]{Name: "test.keep"}
		mux := NewMux()
		Handle(mux, keep, func(ctx context.Context, _ *body) (*struct{}, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		l := startServer(t, &Server{Mux: mux})
		c := NewConnOver(dialMemory(t, l), nil)
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		const n = 20
		text := strings.Repeat("x", MaxFrame-1000)
		ends := make(chan error, n)
		for range n {
			go func() {
				_, err := Call(ctx, c, keep, &body{text})
				ends <- err
			}()
		}
		synctest.Wait()
		refused := 0
		for len(ends) > 0 {
			var e *Error
			if err := <-ends; !errors.As(err, &e) || e.Code != Busy {
				t.Errorf("a call ended with %v, want code %s", err, Busy)
			}
			refused++
		}
		if want := n - maxHeld/(MaxFrame-1000); refused != want {
			t.Errorf("%d calls of a MiB were refused, want %d", refused, want)
		}
		cancel()
		synctest.Wait()
		if _, err := Call(t.Context(), c, Ping, &struct{}{}); err != nil {
			t.Error(err)
		}
	})
}

func TestAPeerThatOnlyAnnouncesHoldsNothing(t *testing.T) {
	announced := append([]byte{0, 0x10, 0, 0}, make([]byte, 10)...) // a MiB is to come
	w := Bytes(chunks{strings.NewReader(string(announced)), 100}).(*byteWire)
	if _, _, err := w.Receive(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want an unexpected end", err)
	}
	if cap(w.buf) > 2*MaxData {
		t.Errorf("a MiB that did not come took %d bytes", cap(w.buf))
	}
}

func TestAHandlerKnowsWhoAsks(t *testing.T) {
	mux := NewMux()
	look := Method[struct{}, struct{}]{Name: "test.look", Need: Observe}
	note := Note[struct{}]{Name: "test.note"}
	said := make(chan Peer, 1)
	Handle(mux, look, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		said <- PeerOf(ctx)
		return &struct{}{}, nil
	})
	OnNote(mux, note, func(context.Context, *struct{}) { t.Error("a peer that may only look was heard") })
	me := Peer{UID: 501, PID: 7, Source: "a test"}
	s := &Server{Mux: mux, Allow: func(Peer) (Access, error) { return Observe, nil }}
	l := startServer(t, s)
	near, far := Memory()
	go func() { l.came <- named{far, me} }()
	c := NewConnOver(near, nil)
	defer c.Close()
	if err := Send(c, note, &struct{}{}); err != nil {
		t.Error(err)
	}
	if _, err := Call(t.Context(), c, look, &struct{}{}); err != nil {
		t.Fatal(err)
	}
	if me.May = Observe; <-said != me {
		t.Error("the handler was told of another peer")
	}
	if p := PeerOf(t.Context()); p.May >= Observe || p.UID >= 0 {
		t.Errorf("outside of a handler the peer is %+v, want nobody", p)
	}
}

// named is a Wire whose peer is made up.
type named struct {
	Wire
	peer Peer
}

func (n named) Peer() (Peer, error) { return n.peer, nil }
