// Package lease is the lock that makes one process the agent of a home: an flock on a file that is never deleted. It
// goes with the process, however that ends. What is written in the file is for people, and for who wants to take over.
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Names in the run directory. Both files stay for ever: a lock that is deleted can be held twice.
const (
	name      = "arcboxd.lock"
	startName = "start.lock"
)

// A Holder is the agent that holds a home's lock, as it wrote itself down.
type Holder struct {
	PID     int       `json:"pid"`
	Program string    `json:"program"`
	Started time.Time `json:"started"`
}

// A HeldError says that there is an agent already.
type HeldError struct{ Holder Holder }

func (e *HeldError) Error() string {
	who := "another process"
	if e.Holder.PID != 0 {
		who = fmt.Sprintf("process %d (%s, since %s)", e.Holder.PID, e.Holder.Program, e.Holder.Started.Local().Format(time.DateTime))
	}
	return fmt.Sprintf("cannot run a second agent: %s is the agent here; replace it with arcbox agent run --takeover", who)
}

// A Lease is the right to be the agent. It ends with Release or with the process.
type Lease struct{ f *os.File }

// Release gives the right up.
func (l *Lease) Release() error { return l.f.Close() }

// Acquire takes the lock of the run directory dir, or says who has it: *HeldError. With takeover it ends the agent
// that has it, whose machines live on. begin is called with the lock held and returns when the agent can be
// reached; who finds the lock held waits until then, and so can reach the holder.
func Acquire(ctx context.Context, dir string, takeover bool, begin func() error) (*Lease, error) {
	starting, err := openLock(filepath.Join(dir, startName))
	if err != nil {
		return nil, err
	}
	defer starting.Close()
	var l *Lease
	if takeover {
		l, err = takeOver(ctx, dir)
	}
	if err == nil {
		err = flock(starting, syscall.LOCK_EX) // nobody holds it for long
	}
	if err == nil && l == nil {
		l, err = acquire(dir)
	}
	if err == nil {
		err = begin()
	}
	if err != nil && l != nil {
		l.Release()
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

func acquire(dir string) (*Lease, error) {
	f, err := openLock(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if err := flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &HeldError{readHolder(f)}
		}
		return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
	}
	return &Lease{f}, writeHolder(f)
}

func openLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the agent's lock: %w", err)
	}
	return f, nil
}

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// writeHolder says in the lock's file who has it.
func writeHolder(f *os.File) error {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	text, err := json.Marshal(Holder{os.Getpid(), self, time.Now()})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("cannot write the agent's lock: %w", err)
	}
	return nil
}

// readHolder is zero when the file does not say.
func readHolder(f *os.File) Holder {
	var h Holder
	text, err := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if err != nil || json.Unmarshal(text, &h) != nil || h.PID <= 1 {
		return Holder{}
	}
	return h
}

// Held says who holds the lock of the run directory dir; ok is false when nobody does.
func Held(dir string) (h Holder, ok bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return Holder{}, false, nil
	}
	if err != nil {
		return Holder{}, false, fmt.Errorf("cannot look at the agent's lock: %w", err)
	}
	defer f.Close()
	switch err := flock(f, syscall.LOCK_SH|syscall.LOCK_NB); {
	case err == nil:
		return Holder{}, false, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return readHolder(f), true, nil
	default:
		return Holder{}, false, fmt.Errorf("cannot look at the agent's lock: %w", err)
	}
}

// AwaitEnd returns when nobody holds the lock of the run directory dir, or with ctx's error.
func AwaitEnd(ctx context.Context, dir string) error {
	f, err := openLock(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	free := make(chan error, 1)
	go func() { // ends when the holder does, or with this process
		free <- flock(f, syscall.LOCK_SH)
		f.Close()
	}()
	select {
	case err := <-free:
		return err
	case <-ctx.Done():
		return fmt.Errorf("cannot wait for the agent's end any longer: %w", context.Cause(ctx))
	}
}

// How long an agent that is to be replaced may take: it detaches from its machines, which is quick.
const (
	politeEnd = 20 * time.Second
	forcedEnd = 5 * time.Second
)

// takeOver ends the agent that holds the lock and takes it. Its machines live on.
func takeOver(ctx context.Context, dir string) (*Lease, error) {
	for {
		l, err := acquire(dir)
		var held *HeldError
		if !errors.As(err, &held) {
			return l, err
		}
		if held.Holder.PID == 0 {
			return nil, fmt.Errorf("%w: who it is is not known yet; try again", err)
		}
		if err := End(ctx, dir, held.Holder); err != nil {
			return nil, err
		}
	}
}

// End has the agent h end, politely and then not, and returns when the lock of the run directory dir is free.
func End(ctx context.Context, dir string, h Holder) error {
	for _, try := range []struct {
		sig  syscall.Signal
		time time.Duration
	}{{syscall.SIGTERM, politeEnd}, {syscall.SIGKILL, forcedEnd}} {
		if err := syscall.Kill(h.PID, try.sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("cannot end the agent that runs (process %d): %w", h.PID, err)
		}
		wait, cancel := context.WithTimeout(ctx, try.time)
		err := AwaitEnd(wait, dir)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("cannot end the agent that runs: process %d does not end, even when killed", h.PID)
}
