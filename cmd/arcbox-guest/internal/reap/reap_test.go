//go:build linux

package reap

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running starts a Reaper and stops it when the test ends.
func running(t *testing.T) *Reaper {
	ctx, stop := context.WithCancel(context.Background())
	r, done := New(), make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return r
}

func TestStatus(t *testing.T) {
	r := running(t)
	tests := []struct {
		name   string
		script string
		exit   int
		signal syscall.Signal
	}{
		{"success", "exit 0", 0, -1},
		{"failure", "exit 3", 3, -1},
		{"killed", "kill -9 $$", -1, syscall.SIGKILL},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			child, err := r.Start([]string{"/bin/sh", "-c", tt.script}, &syscall.ProcAttr{})
			if err != nil {
				t.Fatal(err)
			}
			s := <-child.Ended
			if s.ExitStatus() != tt.exit || (tt.signal > 0 && s.Signal() != tt.signal) {
				t.Errorf("%q: status %d signal %v, want %d and %v", tt.script, s.ExitStatus(), s.Signal(), tt.exit, tt.signal)
			}
		})
	}
}

func TestManyAtOnce(t *testing.T) {
	r := running(t)
	var all []<-chan syscall.WaitStatus
	for range 50 {
		child, err := r.Start([]string{"/bin/true"}, &syscall.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, child.Ended)
	}
	for i, ended := range all {
		if s := <-ended; s.ExitStatus() != 0 {
			t.Errorf("program %d: status %v, want 0", i, s)
		}
	}
}

func TestMissingProgram(t *testing.T) {
	if _, err := running(t).Start([]string{"/nowhere/x"}, &syscall.ProcAttr{}); err == nil {
		t.Error("a program that does not exist has started")
	}
}

func TestDrainWaitsForOrphans(t *testing.T) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	pidOf, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pidOf.Close()
	defer w.Close()
	r := running(t)
	child, err := r.Start([]string{"/bin/sh", "-c", "sleep 0.2 & sleep 60 & echo $$ >&3"},
		&syscall.ProcAttr{Files: []uintptr{0, 1, 2, w.Fd()}, Sys: &syscall.SysProcAttr{Setpgid: true}})
	if err != nil {
		t.Fatal(err)
	}
	var group int
	if _, err := fmt.Fscan(pidOf, &group); err != nil {
		t.Fatal(err)
	}
	<-child.Ended // the shell is gone; both its children are ours now
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := r.Drain(short); err != context.DeadlineExceeded {
		t.Errorf("Drain with a child asleep: %v, want the deadline", err)
	}
	if err := syscall.Kill(-group, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := r.Drain(t.Context()); err != nil {
		t.Errorf("Drain: %v", err)
	}
}
