//go:build linux

package main

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/initapi"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/reap"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

const (
	// pingEvery is how often the agent is asked whether it lives: often enough that a person
	// waits rather than restarts the machine, rarely enough that an idle guest is idle.
	pingEvery = 20 * time.Second
	// pingTime and pingTries are how long it may take to answer. When a paused host process goes
	// on, the guest's clock may have jumped: that ends one try, and not all of them.
	pingTime  = 2 * time.Second
	pingTries = 5
	// An agent that ends is started again at once, then after a time that doubles, and at once
	// again if it has lived long.
	firstPause = 100 * time.Millisecond
	lastPause  = 10 * time.Second
	longLife   = time.Minute
)

// A supervisor keeps the guest's agent running, and tells what the agent asks for.
type supervisor struct {
	r    *reap.Reaper
	ends chan *initapi.EndReq // what the agent has asked for

	stop    context.CancelFunc
	done    sync.WaitGroup
	begun   chan struct{}     // closed by begin
	message *initapi.BeginReq // once begun
}

// superviseAgent starts the agent.
func superviseAgent(r *reap.Reaper) *supervisor {
	ctx, stop := context.WithCancel(context.Background())
	s := &supervisor{r: r, ends: make(chan *initapi.EndReq, 1), stop: stop, begun: make(chan struct{})}
	s.done.Go(func() {
		defer emergency()
		s.run(ctx)
	})
	return s
}

// begin has the agent announce the guest. It is called once.
func (s *supervisor) begin(m *initapi.BeginReq) {
	s.message = m
	close(s.begun)
}

// close leaves the agent to itself.
func (s *supervisor) close() {
	s.stop()
	s.done.Wait()
}

func (s *supervisor) run(ctx context.Context) {
	for pause := time.Duration(0); ctx.Err() == nil; {
		at := clock.Uptime()
		if err := s.once(ctx); err != nil {
			say("%v", err)
		}
		if clock.Uptime()-at > longLife {
			pause = 0
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(max(2*pause, firstPause), lastPause)
	}
}

// once runs the agent until it has ended.
func (s *supervisor) once(ctx context.Context) error {
	sock, theirs, err := ipc.Pair()
	if err != nil {
		return err
	}
	child, err := s.start(theirs)
	theirs.Close()
	if err != nil {
		sock.Close()
		return err
	}
	mux := ipc.NewMux()
	ipc.Handle(mux, initapi.End, s.end)
	conn := ipc.NewConn(sock, mux)
	if s.mind(ctx, conn, child.Ended) {
		s.r.Signal(child, unix.SIGKILL)
		<-child.Ended
	}
	if ctx.Err() == nil { // else the agent is at its end, and may not be told that PID 1 has gone
		conn.Close()
	}
	return nil
}

// start starts this program as the agent, with the end of a connection. What it says goes to hvc1.
func (s *supervisor) start(theirs *os.File) (reap.Child, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return reap.Child{}, err
	}
	defer null.Close()
	log, err := unix.Open("/dev/hvc1", unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		log = 2 // a machine with one console
	} else {
		defer unix.Close(log)
	}
	attr := attributes(nil)
	attr.Files = []uintptr{null.Fd(), uintptr(log), uintptr(log), theirs.Fd()} // the last is initapi.ConnFD
	return s.r.Start([]string{self, agentArg}, attr)
}

// mind watches the agent until it ends, or is of no use.
func (s *supervisor) mind(ctx context.Context, conn *ipc.Conn, ended <-chan syscall.WaitStatus) (useless bool) {
	begun := s.begun
	for {
		select {
		case status := <-ended:
			if ctx.Err() == nil {
				say("the agent %s", outcome(status))
			}
			return false
		case <-ctx.Done():
			return false
		case <-begun:
			begun = nil
			if _, err := ipc.Call(ctx, conn, initapi.Begin, s.message); err != nil && ctx.Err() == nil {
				say("the agent cannot begin: %v", err)
				return true
			}
		case <-time.After(pingEvery):
			if !answers(ctx, conn) && ctx.Err() == nil {
				say("the agent does not answer")
				return true
			}
		}
	}
}

// answers tells whether the agent does.
func answers(ctx context.Context, conn *ipc.Conn) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := ipc.Call(ctx, conn, guestapi.Ping, &guestapi.PingReq{})
		done <- err
	}()
	for range pingTries {
		select {
		case err := <-done:
			return err == nil
		case <-time.After(pingTime):
		}
	}
	return false
}

// end serves initapi.End.
func (s *supervisor) end(_ context.Context, req *initapi.EndReq) (*initapi.EndResp, error) {
	select {
	case s.ends <- req:
	default: // it is asked for already
	}
	return &initapi.EndResp{}, nil
}
