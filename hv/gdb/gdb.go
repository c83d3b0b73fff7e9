// Package gdb lets gdb debug a machine: it speaks the server's half of gdb's
// remote serial protocol (GDB manual, appendix E) over a connection. vCPUs are
// threads, numbered from 1, in all-stop mode. Software and hardware
// breakpoints are the same: nothing is written to the guest's memory.
//
// The package knows a machine as a Target and nothing of how one is made.
package gdb

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// A Target is a machine that can be held. One session uses it at a time, and
// everything but Interrupt and Wait comes from one goroutine. All methods but
// Resume, Interrupt, Wait, Detach and Kill are called while it is held.
type Target interface {
	// CPUs is how many vCPUs there are, 1 to 32.
	CPUs() int
	// On says whether a vCPU is switched on.
	On(ctx context.Context, cpu int) (bool, error)
	// Do has f use a vCPU.
	Do(ctx context.Context, cpu int, f func(hv.VCPU) error) error
	// ReadMemory and WriteMemory reach guest memory as a vCPU sees it, and
	// return how many bytes they could move.
	ReadMemory(ctx context.Context, cpu int, va uint64, p []byte) (int, error)
	WriteMemory(ctx context.Context, cpu int, va uint64, p []byte) (int, error)
	// SetStops replaces breakpoints and watchpoints from the next Resume on.
	SetStops(breaks []uint64, watches []hv.Watchpoint)
	// Resume lets vCPUs run, by bit, or execute one instruction.
	Resume(ctx context.Context, run, step uint32) error
	// Interrupt holds the machine, if it is not held, and makes Wait return an
	// exit without a Reason.
	Interrupt()
	// Wait returns when the machine is held: by which vCPU, and its DebugStop
	// exit. Errors: io.EOF when the machine has ended.
	Wait(ctx context.Context) (cpu int, e hv.Exit, err error)
	// Detach lets the machine run free.
	Detach(ctx context.Context) error
	// Kill ends it.
	Kill()
	// Done is closed when the machine has ended.
	Done() <-chan struct{}
}

// Serve holds t and debugs it for whoever is at the other end of conn, until
// that one detaches, kills or leaves, t ends, or ctx does. Unless t was killed it
// runs on. Serve closes conn, and has ended what it started when it returns.
// Errors are the connection's, or the target's.
func Serve(ctx context.Context, conn io.ReadWriteCloser, t Target) error {
	ctx, cancel := context.WithCancel(ctx)
	s := &session{ctx: ctx, t: t, out: conn, ack: true, breaks: map[uint64]int{}}
	in := make(chan message)
	var reading sync.WaitGroup
	reading.Go(func() { read(ctx, conn, in) })
	defer reading.Wait()
	defer cancel()     // ends the reader that has a message nobody takes
	defer conn.Close() // ends the reader that waits for one
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()

	err := s.serve(in)
	if !s.ended && !errors.Is(err, io.EOF) {
		err = errors.Join(err, t.Detach(context.WithoutCancel(ctx)))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errGone) {
		return nil
	}
	return err
}

// errGone: the connection is closed.
var errGone = errors.New("the debugger is gone")

// read passes on what comes until the connection ends, then closes in.
func read(ctx context.Context, conn io.Reader, in chan<- message) {
	defer close(in)
	r := newReader(conn)
	for {
		m, err := r.next()
		if err != nil {
			return
		}
		select {
		case in <- m:
		case <-ctx.Done():
			return
		}
	}
}

// serve holds the machine and answers packets until the session ends.
func (s *session) serve(in <-chan message) error {
	s.t.Interrupt()
	cpu, e, err := s.t.Wait(s.ctx)
	if err != nil {
		return err
	}
	s.stopped(cpu, e)
	for !s.over {
		var m message
		var ok bool
		select {
		case m, ok = <-in:
		case <-s.t.Done():
			return io.EOF
		}
		if !ok {
			return errGone
		}
		if err := s.take(m); err != nil {
			return err
		}
		if s.running {
			if err := s.run(in); err != nil {
				return err
			}
		}
	}
	return nil
}

// run waits until the machine stops, and tells; Ctrl-C stops it.
func (s *session) run(in <-chan message) error {
	type stop struct {
		cpu int
		e   hv.Exit
		err error
	}
	ctx, cancel := context.WithCancel(s.ctx)
	stops := make(chan stop, 1)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		cpu, e, err := s.t.Wait(ctx)
		stops <- stop{cpu, e, err}
	})
	defer waiting.Wait()
	defer cancel()
	for {
		select {
		case m, ok := <-in:
			if !ok {
				return errGone
			}
			if m.kind == msgInterrupt {
				s.t.Interrupt()
			}
		case got := <-stops:
			s.running = false
			if errors.Is(got.err, io.EOF) {
				s.over, s.ended = true, true
				return s.send("W00")
			}
			if got.err != nil {
				return got.err
			}
			s.stopped(got.cpu, got.e)
			return s.send(s.why)
		}
	}
}
