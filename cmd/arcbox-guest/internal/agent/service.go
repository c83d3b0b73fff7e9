//go:build linux

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/modules"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// States of a service; the values are guestapi's.
const (
	stopped  = "stopped"
	starting = "starting"
	ready    = "ready"
	stopping = "stopping"
	failed   = "failed"
)

const (
	// A service that ends by itself is started again after a time that doubles, so many times unless it has
	// lived long in between.
	firstRest  = 500 * time.Millisecond
	lastRest   = 10 * time.Second
	maxStarts  = 5
	steadyLife = 30 * time.Second
)

// A service is a program that is kept running. It lives on when the agent dies, and the next one finds it:
// its process is in a file, and its output goes to a named pipe that it holds open itself.
type service struct {
	name    string
	dir     string // of its files: pipe, pid, notify
	dirs    []string
	starter *starter
	out     *Log
	pipe    *os.File       // our end of its output
	reading sync.WaitGroup // from pipe
	ctx     context.Context
	running sync.WaitGroup // run
	// meanwhile is called when the service is ready, and ends with its context when that is over. It may be nil.
	meanwhile func(context.Context)

	mu      sync.Mutex // guards what follows
	status  guestapi.Service
	wanted  bool
	active  bool               // run runs
	hurry   context.CancelFunc // ends what run waits for
	changed chan struct{}      // closed and replaced with every change of status
}

// set changes the state.
func (s *service) set(state, message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setLocked(state, message)
}

func (s *service) setLocked(state, message string) {
	s.status.State, s.status.Message, s.status.Since = state, message, clock.Uptime().Milliseconds()
	if state == stopped || state == failed {
		s.status.PID = 0
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *service) now() guestapi.Service {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// start wants the service to run, and returns when it is ready or has failed.
func (s *service) start(ctx context.Context) (guestapi.Service, error) {
	s.mu.Lock()
	for s.active && !s.wanted { // it is on its way out
		if err := s.await(ctx); err != nil {
			return s.now(), err
		}
	}
	s.wanted = true
	if !s.active {
		s.activate(nil)
	}
	for s.status.State != ready && s.status.State != failed {
		if err := s.await(ctx); err != nil {
			return s.now(), err
		}
	}
	defer s.mu.Unlock()
	if s.status.State == failed {
		return s.status, ipc.Errorf(guestapi.Failed, "cannot start %s: %s\n%s", s.name, s.status.Message, s.out.tail())
	}
	return s.status, nil
}

// stop wants it not to run, and returns when it does not.
func (s *service) stop(ctx context.Context) (guestapi.Service, error) {
	s.mu.Lock()
	s.wanted = false
	if s.active {
		s.hurry()
	}
	for s.active {
		if err := s.await(ctx); err != nil {
			return s.now(), err
		}
	}
	defer s.mu.Unlock()
	return s.status, nil
}

// await waits for a change. The caller holds mu, and after an error does not.
func (s *service) await(ctx context.Context) error {
	changed := s.changed
	s.mu.Unlock()
	select {
	case <-changed:
		s.mu.Lock()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// activate begins run, with a process if it runs already. The caller holds mu.
func (s *service) activate(found *process) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.active, s.hurry, s.status.Restarts = true, cancel, 0
	state := starting
	if found != nil {
		state, s.status.PID = ready, found.pid
	}
	s.setLocked(state, "")
	s.running.Go(func() {
		defer cancel()
		message := s.run(ctx, found)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active = false
		if message == "" {
			s.setLocked(stopped, "")
		} else {
			s.wanted = false
			s.setLocked(failed, message)
		}
	})
}

// run keeps the service running until ctx ends, when it is stopped, or until it fails: it says how.
// When the agent ends, the service is left as it is.
func (s *service) run(ctx context.Context, p *process) (failure string) {
	rest := firstRest
	for starts := 1; ; starts++ {
		at := clock.Uptime()
		how, err := s.once(ctx, p)
		p = nil
		if ctx.Err() != nil {
			return ""
		}
		if clock.Uptime()-at > steadyLife {
			starts, rest = 1, firstRest
		}
		if err != nil {
			how = err.Error()
		}
		fmt.Fprintf(s.out, "arcbox-guest: %s %s\n", s.name, how)
		if starts >= maxStarts || err != nil {
			return how
		}
		s.set(starting, how)
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return ""
		}
		rest = min(2*rest, lastRest)
		s.mu.Lock()
		s.status.Restarts++
		s.mu.Unlock()
	}
}

// once runs the service until it ends, and says how. Error: it cannot be started, or was not ready in time.
func (s *service) once(ctx context.Context, p *process) (how string, err error) {
	d, err := define(s.dirs, s.name)
	if err != nil && p == nil {
		return "", err
	}
	if d == nil { // it was found running, and its definition is gone
		d = &definition{Signal: "SIGTERM"}
	}
	var said <-chan struct{}
	if p == nil {
		var done func()
		if p, said, done, err = s.launch(d); err != nil {
			return "", err
		}
		defer done()
		s.mu.Lock()
		s.status.PID = p.pid
		s.mu.Unlock()
	}
	defer p.close()
	if said != nil {
		late := time.NewTimer(d.readyTime())
		defer late.Stop()
		select {
		case <-said:
		case <-p.gone:
			return "", fmt.Errorf("%s before it was ready", p.how())
		case <-late.C:
			s.end(p, d)
			return "", fmt.Errorf("was not ready within %v", d.readyTime())
		case <-ctx.Done():
			return s.left(p, d)
		}
	}
	s.remember(p)
	s.set(ready, "")
	defer s.accompany(ctx)()
	select {
	case <-p.gone:
		s.forget()
		return p.how(), nil
	case <-ctx.Done():
		return s.left(p, d)
	}
}

// accompany begins what goes on while the service is ready. end has it end, and waits for that.
func (s *service) accompany(ctx context.Context) (end func()) {
	if s.meanwhile == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var busy sync.WaitGroup
	busy.Go(func() { s.meanwhile(ctx) })
	return func() {
		cancel()
		busy.Wait()
	}
}

// left ends the service because it is not wanted; when it is the agent that ends, it goes on.
func (s *service) left(p *process, d *definition) (string, error) {
	if s.ctx.Err() == nil {
		s.set(stopping, "")
		s.end(p, d)
	}
	return "", nil
}

// end ends the process: with the signal of its definition, and if it takes too long, with SIGKILL.
func (s *service) end(p *process, d *definition) {
	p.kill(d.signal())
	select {
	case <-p.gone:
	case <-time.After(d.grace()):
		p.kill(syscall.SIGKILL)
		<-p.gone
	}
	s.forget()
}

// launch starts the process. said is nil when it is ready at once.
func (s *service) launch(d *definition) (p *process, said <-chan struct{}, done func(), err error) {
	done = func() {}
	env := map[string]string{}
	if d.Notify {
		env["NOTIFY_SOCKET"] = s.path("notify")
		if said, done, err = listenForReady(env["NOTIFY_SOCKET"]); err != nil {
			return nil, nil, nil, err
		}
	}
	err = modules.Load(d.Modules)
	var prog *program
	if err == nil {
		prog, err = d.program(env)
	}
	if err == nil {
		err = s.openPipe()
	}
	if err == nil {
		p, err = s.spawn(prog)
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return p, said, done, nil
}

// spawn starts a program with its output in the pipe. It opens that for reading too, so that
// it can write while there is no agent.
func (s *service) spawn(prog *program) (*process, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	fd, err := unix.Open(s.path("pipe"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	out := os.NewFile(uintptr(fd), "pipe")
	defer out.Close()
	child, err := s.starter.start(prog, []*os.File{null, out, out}, false, true)
	if err != nil {
		return nil, prog.refusal(err)
	}
	return ownProcess(child), nil
}

// openPipe makes the named pipe and reads what comes out of it.
func (s *service) openPipe() error {
	if s.pipe != nil {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mkfifo(s.path("pipe"), 0o600); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot make a pipe for its output: %w", err)
	}
	fd, err := unix.Open(s.path("pipe"), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open the pipe for its output: %w", err)
	}
	s.pipe = os.NewFile(uintptr(fd), s.path("pipe"))
	s.reading.Go(func() {
		b := make([]byte, outputBuffer)
		for {
			n, err := s.pipe.Read(b)
			if err != nil {
				return
			}
			s.out.Write(b[:n])
		}
	})
	return nil
}

// close ends what is about the service, and leaves it running.
func (s *service) close() {
	s.running.Wait()
	if s.pipe != nil {
		s.pipe.Close()
		s.reading.Wait()
	}
	s.out.Close()
}

func (s *service) path(file string) string { return filepath.Join(s.dir, file) }

// A runningFile is what the next agent must know of a process: no other has its pid and its start.
type runningFile struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"`
}

// remember writes down that the process is the service's, and ready.
func (s *service) remember(p *process) {
	start, err := startOf(p.pid)
	if err != nil {
		return // it is gone already
	}
	text, err := json.Marshal(runningFile{p.pid, start})
	if err == nil {
		err = os.WriteFile(s.path("running.new"), text, 0o600)
	}
	if err == nil {
		err = os.Rename(s.path("running.new"), s.path("running"))
	}
	if err != nil {
		fmt.Fprintf(s.out, "arcbox-guest: %s would not be found again: %v\n", s.name, err)
	}
}

func (s *service) forget() { os.Remove(s.path("running")) }

// find is the process that an agent before us has started, nil for none.
func (s *service) find() *process {
	text, err := os.ReadFile(s.path("running"))
	var was runningFile
	if err != nil || json.Unmarshal(text, &was) != nil || was.PID <= 1 {
		return nil
	}
	p, err := strangersProcess(was.PID)
	if err != nil {
		return nil
	}
	if start, err := startOf(was.PID); err != nil || start != was.Start {
		p.close()
		return nil
	}
	return p
}

// startOf is when a process was started, in the kernel's ticks.
func startOf(pid int) (uint64, error) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0, fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64) // field 22, counted from 1; these begin with the third
}

// listenForReady opens a socket and has said closed when READY=1 comes. done must be called.
func listenForReady(path string) (said <-chan struct{}, done func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	os.Remove(path)
	sock, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot listen for its readiness: %w", err)
	}
	ch := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		b := make([]byte, 4096)
		for first := true; ; {
			n, err := sock.Read(b)
			if err != nil {
				return
			}
			for line := range strings.Lines(string(b[:n])) {
				if first && strings.TrimSpace(line) == "READY=1" {
					first = false
					close(ch)
				}
			}
		}
	})
	return ch, func() {
		sock.Close()
		reading.Wait()
		os.Remove(path)
	}, nil
}
