package ipc

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

// A place is where servers come and go.
type place struct {
	mu sync.Mutex
	l  *MemoryListener // nil while nobody is there
}

func (p *place) dial(context.Context) (*Conn, error) {
	p.mu.Lock()
	l := p.l
	p.mu.Unlock()
	if l == nil {
		return nil, ErrInterrupted
	}
	w, err := l.Dial()
	if err != nil {
		return nil, err
	}
	return NewConnOver(w, nil), nil
}

// open serves mux at the place until the function that it gives is called.
func (p *place) open(mux *Mux) (closed func()) {
	l := NewMemoryListener()
	s := &Server{Mux: mux}
	served := make(chan error)
	go func() { served <- s.Serve(l) }()
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		p.l = nil
		p.mu.Unlock()
		s.Close()
		<-served
	}
}

type afterReq struct{ After int }
type number struct{ N int }

var numbers = Feed[afterReq, number]{Name: "test.numbers"}

// counting serves numbers from the one asked for, up to a limit, and then nothing.
func counting(limit int) *Mux {
	mux := NewMux()
	HandleFeed(mux, numbers, func(ctx context.Context, req *afterReq, out *Sink[number]) error {
		for n := req.After + 1; n <= limit; n++ {
			if err := out.Send(&number{n}); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	return mux
}

func TestFollowGoesOnAfterAnInterruption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p place
		r := NewRedialer(p.dial)
		defer r.Close()
		closed := p.open(counting(3))
		reopened := make(chan func(), 1)
		last, interruptions := 0, 0
		for item, err := range Follow(t.Context(), r, numbers, func() *afterReq { return &afterReq{last} }) {
			switch {
			case errors.Is(err, ErrInterrupted):
				interruptions++
				go func() { // somebody comes back later
					wait(t.Context(), 3*lastPause)
					reopened <- p.open(counting(5))
				}()
				continue
			case err != nil:
				t.Fatal(err)
			case item.N != last+1:
				t.Fatalf("%d came after %d", item.N, last)
			}
			last = item.N
			if last == 3 {
				closed()
			}
			if last == 5 {
				break
			}
		}
		(<-reopened)()
		if interruptions != 1 {
			t.Errorf("%d interruptions were told, want 1", interruptions)
		}
	})
}

func TestFollowGoesOnAfterAPeerThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := NewMux()
		HandleFeed(mux, numbers, func(_ context.Context, req *afterReq, to *Sink[number]) error {
			if err := to.Send(&number{req.After + 1}); err != nil {
				return err
			}
			return Errorf(Ending, "cannot tell more: the peer is ending")
		})
		var p place
		r := NewRedialer(p.dial)
		defer r.Close()
		defer p.open(mux)()
		last, interruptions := 0, 0
		for item, err := range Follow(t.Context(), r, numbers, func() *afterReq { return &afterReq{last} }) {
			switch {
			case errors.Is(err, ErrInterrupted):
				interruptions++
				continue
			case err != nil:
				t.Fatal(err)
			}
			if last = item.N; last == 3 {
				break
			}
		}
		if last != 3 || interruptions != 2 {
			t.Errorf("%d was the last, after %d interruptions; want 3, after 2", last, interruptions)
		}
	})
}

func TestCallAgainWaitsForSomebody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p place
		r := NewRedialer(p.dial)
		defer r.Close()
		ctx, cancel := context.WithTimeout(t.Context(), lastPause)
		defer cancel()
		if _, err := CallAgain(ctx, r, Ping, &struct{}{}); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrInterrupted) {
			t.Errorf("a call to nobody ended with %v", err)
		}
		for range 3 {
			closed := p.open(NewMux())
			if _, err := CallAgain(t.Context(), r, Ping, &struct{}{}); err != nil {
				t.Error(err)
			}
			closed()
		}
		closed := p.open(NewMux())
		defer closed()
		var e *Error
		if _, err := CallAgain(t.Context(), r, Method[struct{}, struct{}]{Name: "no.such"}, &struct{}{}); !errors.As(err, &e) {
			t.Errorf("a refused call was not given back: %v", err)
		}
	})
}

func TestFollowEndsWithWhatTheHandlerSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := NewMux()
		HandleFeed(mux, numbers, func(context.Context, *afterReq, *Sink[number]) error {
			return Errorf("gone", "cannot tell what came after that: it is forgotten")
		})
		var p place
		r := NewRedialer(p.dial)
		defer r.Close()
		defer p.open(mux)()
		var e *Error
		for _, err := range Follow(t.Context(), r, numbers, func() *afterReq { return &afterReq{} }) {
			if !errors.As(err, &e) || e.Code != "gone" {
				t.Errorf("got %v", err)
			}
		}
		if e == nil {
			t.Error("the range ended without the error")
		}
	})
}
