package owned

import (
	"context"
	"errors"
	"io"
	"log"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	goleak.VerifyTestMain(m)
}

var (
	work  = ipc.Method[struct{}, struct{}]{Name: "test.work"} // the owner's alone
	adopt = ipc.Method[struct{}, struct{}]{Name: "test.adopt"}
)

// A process is a Keeper with a meeting place and its first owner.
type process struct {
	*Keeper
	socket string
	first  *ipc.Conn
	ended  bool // its work was ended
}

func start(t *testing.T, hooks Hooks, patience time.Duration) *process {
	t.Helper()
	p := &process{socket: filepath.Join(t.TempDir(), "s")}
	p.Keeper = New(func() *ipc.Mux {
		mux := ipc.NewMux()
		Serve(mux, p.Keeper, work, func(context.Context, *struct{}) (*struct{}, error) { return &struct{}{}, nil })
		ipc.Handle(mux, adopt, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
			_, err := p.Adopt(ctx)
			return &struct{}{}, err
		})
		return mux
	}, hooks)
	sock, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Own(func(mux *ipc.Mux) (*ipc.Conn, error) { return ipc.FromFile(theirs, mux) }); err != nil {
		t.Fatal(err)
	}
	p.first = ipc.NewConn(sock, nil)
	if patience > 0 {
		p.meetAt(t, patience)
	}
	t.Cleanup(func() {
		p.first.Close()
		p.Close(func() { p.ended = true })
	})
	return p
}

func (p *process) meetAt(t *testing.T, patience time.Duration) {
	l, err := unixsock.Listen(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := p.Meet(f, patience); err != nil {
		t.Fatal(err)
	}
}

// next connects to the meeting place.
func (p *process) next(t *testing.T) *ipc.Conn {
	t.Helper()
	c, err := unixsock.Dial(t.Context(), p.socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// does says whether the process works for whoever is behind c.
func does(t *testing.T, c *ipc.Conn) bool {
	t.Helper()
	_, err := ipc.Call(t.Context(), c, work, &struct{}{})
	var refusal *ipc.Error
	if err != nil && (!errors.As(err, &refusal) || refusal.Code != ipc.WrongState) {
		t.Errorf("a stranger's call: %v, want wrong-state", err)
	}
	return err == nil
}

func must(t *testing.T, c *ipc.Conn) {
	t.Helper()
	if _, err := ipc.Call(t.Context(), c, adopt, &struct{}{}); err != nil {
		t.Fatal(err)
	}
}

func TestTheNewestOwnerWins(t *testing.T) {
	p := start(t, Hooks{}, time.Hour)
	if !does(t, p.first) {
		t.Error("the first owner is refused")
	}
	before := p.first
	for range 3 {
		c := p.next(t)
		if does(t, c) {
			t.Error("a stranger is served")
		}
		must(t, c)
		if !does(t, c) {
			t.Error("the new owner is refused")
		}
		<-before.Done()
		before = c
	}
}

func TestAnOrphanWaitsAndWorksOn(t *testing.T) {
	orphaned := make(chan struct{}, 1)
	p := start(t, Hooks{Orphaned: func() { orphaned <- struct{}{} }}, time.Hour)
	p.first.Close()
	<-orphaned
	c := p.next(t)
	must(t, c)
	if !does(t, c) {
		t.Error("the next owner is refused")
	}
	select {
	case <-p.Over():
		t.Error("it is over")
	default:
	}
}

func TestAnUnwantedOrphanEnds(t *testing.T) {
	asked := make(chan struct{})
	p := start(t, Hooks{Unwanted: func(context.Context) { close(asked) }}, time.Millisecond)
	p.first.Close()
	<-asked
	<-p.Over()
}

func TestAdoptionInTheLastMomentSavesAnOrphan(t *testing.T) {
	asked := make(chan struct{})
	p := start(t, Hooks{Unwanted: func(ctx context.Context) { close(asked); <-ctx.Done() }}, time.Millisecond)
	p.first.Close()
	<-asked
	c := p.next(t)
	must(t, c)
	if !does(t, c) {
		t.Error("the next owner is refused")
	}
	select {
	case <-p.Over():
		t.Error("it is over")
	default:
	}
}

func TestWithoutAMeetingPlaceItEndsWithItsOwner(t *testing.T) {
	p := start(t, Hooks{}, 0)
	p.first.Close()
	<-p.Over()
}

func TestConnectionsAreBounded(t *testing.T) {
	p := start(t, Hooks{}, time.Hour)
	var idle []*ipc.Conn
	for range maxSessions {
		idle = append(idle, p.next(t))
		does(t, idle[len(idle)-1]) // each is in when it is answered
	}
	if _, err := ipc.Call(t.Context(), p.next(t), work, &struct{}{}); err == nil {
		t.Error("one too many is served")
	}
	idle[0].Close()
	for { // its place is free soon
		if _, err := ipc.Call(t.Context(), p.next(t), adopt, &struct{}{}); err == nil {
			return
		}
	}
}

func TestNobodyAdoptsWhatEnds(t *testing.T) {
	p := start(t, Hooks{}, time.Hour)
	c := p.next(t)
	does(t, c)
	p.first.Close()
	p.Close(func() {
		if _, err := ipc.Call(t.Context(), c, adopt, &struct{}{}); err == nil {
			t.Error("a process that ends was adopted")
		}
	})
}
