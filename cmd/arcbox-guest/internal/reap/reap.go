//go:build linux

// Package reap starts programs and collects every child of this process: those
// it started and, when the process is PID 1, the orphans that the kernel hands
// it. os/exec cannot live beside that, as it waits for its children itself.
package reap

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/slack"
)

// A Reaper collects children. Any goroutine may use it; a process has one.
type Reaper struct {
	mu      sync.Mutex                        // held while forking and while collecting
	waiting map[int]chan<- syscall.WaitStatus // by process id
	changed chan struct{}                     // closed and replaced when a child was collected
}

// New makes a Reaper; it collects while Run runs.
func New() *Reaper {
	return &Reaper{waiting: map[int]chan<- syscall.WaitStatus{}, changed: make(chan struct{})}
}

// Run collects children until ctx ends.
func (r *Reaper) Run(ctx context.Context) {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGCHLD)
	defer signal.Stop(died)
	for {
		r.collect()
		select {
		case <-died:
		case <-ctx.Done():
			return
		}
	}
}

// A Child is a program that was started.
type Child struct {
	pid   int
	Ended <-chan syscall.WaitStatus // where its status will arrive, once
}

// Start runs a program.
func (r *Reaper) Start(argv []string, attr *syscall.ProcAttr) (Child, error) {
	r.mu.Lock() // so that a child that ends at once is not collected before it is known
	defer r.mu.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack.Restore() // of whichever thread this is
	pid, err := syscall.ForkExec(argv[0], argv, attr)
	if err != nil {
		return Child{}, fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	ended := make(chan syscall.WaitStatus, 1)
	r.waiting[pid] = ended
	return Child{pid, ended}, nil
}

// Signal sends a signal to a child, if it has not been collected yet: no other process can
// have its id then.
func (r *Reaper) Signal(c Child, s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[c.pid] != nil {
		syscall.Kill(c.pid, s)
	}
}

// Drain waits until this process has no child left, or ctx ends.
func (r *Reaper) Drain(ctx context.Context) error {
	for {
		left, changed := r.collect()
		if !left {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// collect takes every child that has ended. It says whether one is left, and
// returns a channel that closes when the next one has been collected.
func (r *Reaper) collect() (left bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for took := false; ; took = true {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if pid <= 0 {
			if took {
				close(r.changed)
				r.changed = make(chan struct{})
			}
			return err == nil, r.changed
		}
		if ended := r.waiting[pid]; ended != nil {
			ended <- status
			delete(r.waiting, pid)
		}
	}
}
