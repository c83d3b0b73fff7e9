//go:build linux

package agent

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// execs are the programs, and the copies, that callers have under way.
type execs struct {
	changed func() // called when the number has become 0 or ceased to be

	mu    sync.Mutex // guards what follows
	n     int
	named map[execKey]*execution
}

// An execKey names a program: ids are unique on a connection.
type execKey struct {
	conn *ipc.Conn
	id   string
}

// enter counts a program in.
func (s *execs) enter(key execKey, x *execution) error {
	first, err := s.add(key, x)
	if first {
		s.changed()
	}
	return err
}

func (s *execs) add(key execKey, x *execution) (first bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.n >= guestapi.MaxExecs:
		return false, ipc.Errorf(ipc.Busy, "cannot run more than %d programs at once", s.n)
	case key.id != "" && s.named[key] != nil:
		return false, ipc.Errorf(ipc.BadRequest, "cannot run a second program with the id %.64q", key.id)
	}
	if s.named == nil {
		s.named = map[execKey]*execution{}
	}
	if key.id != "" {
		s.named[key] = x
	}
	s.n++
	return s.n == 1, nil
}

func (s *execs) leave(key execKey) {
	s.mu.Lock()
	delete(s.named, key)
	s.n--
	last := s.n == 0
	s.mu.Unlock()
	if last {
		s.changed()
	}
}

func (s *execs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// use counts something in that is no program, and keeps a machine from rest as one does, until done is called.
func (s *execs) use(ctx context.Context) (done func(), err error) {
	key := execKey{conn: ipc.ConnOf(ctx)}
	return func() { s.leave(key) }, s.enter(key, nil)
}

// find is a program of the connection that asks.
func (s *execs) find(ctx context.Context, id string) (*execution, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.named[execKey{ipc.ConnOf(ctx), id}]; x != nil {
		return x, nil
	}
	return nil, ipc.Errorf(guestapi.NotFound, "cannot find a program with the id %.64q on this connection", id)
}

// An execution is one program under way.
type execution struct {
	wiring

	mu      sync.Mutex // guards what follows
	process *os.Process
	ended   bool // its id may be another's
}

// exec serves guestapi.Exec.
func (a *Agent) exec(ctx context.Context, req *guestapi.ExecReq) (*guestapi.ExecResp, error) {
	p, err := newProgram(req)
	if err != nil {
		return nil, err
	}
	x := &execution{}
	key := execKey{ipc.ConnOf(ctx), req.ID}
	if err := a.execs.enter(key, x); err != nil {
		return nil, err
	}
	defer a.execs.leave(key)
	if err := x.connect(req, p.as); err != nil {
		x.discard()
		return nil, err
	}
	if err := x.start(a.starter, p); err != nil {
		x.discard()
		return nil, err
	}
	status, err := x.wait(ctx)
	x.finish()
	if err != nil {
		return nil, err
	}
	return response(status), nil
}

func (x *execution) start(s *starter, p *program) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	process, err := s.start(p, x.theirs, x.terminal != nil, false)
	if err != nil {
		x.ended = true
		return p.refusal(err)
	}
	x.process = process
	x.begin()
	return nil
}

// wait returns when the program has ended. When ctx ends first, it is told to go.
func (x *execution) wait(ctx context.Context) (syscall.WaitStatus, error) {
	gone := make(chan struct{})
	var hurrying sync.WaitGroup
	hurrying.Go(func() { x.hurry(ctx, gone) })
	for { // it stays a zombie, so that its id is nobody else's, until ended is set
		err := unix.Waitid(unix.P_PID, x.process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	x.mu.Lock()
	x.ended = true
	state, err := x.process.Wait()
	x.mu.Unlock()
	close(gone)
	hurrying.Wait()
	if err != nil {
		return 0, err
	}
	return state.Sys().(syscall.WaitStatus), nil
}

// hurry ends the program when its caller has gone.
func (x *execution) hurry(ctx context.Context, gone <-chan struct{}) {
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	x.kill(syscall.SIGHUP)
	x.kill(syscall.SIGCONT) // or it cannot hear
	select {
	case <-gone:
	case <-time.After(guestapi.KillAfter):
		x.kill(syscall.SIGKILL)
	}
}

// kill sends a signal to the program's processes in the foreground, and in any case to
// those of its own group when it must end.
func (x *execution) kill(s syscall.Signal) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.process == nil || x.ended {
		return false
	}
	own := x.process.Pid
	group := own
	if x.terminal != nil {
		if front := foreground(x.terminal); front > 1 {
			group = front
		}
	}
	unix.Kill(-group, s)
	if group != own && (s == syscall.SIGHUP || s == syscall.SIGKILL || s == syscall.SIGCONT) {
		unix.Kill(-own, s)
	}
	return true
}

// response is a wait status as the shell counts.
func response(s syscall.WaitStatus) *guestapi.ExecResp {
	if s.Signaled() {
		return &guestapi.ExecResp{Status: 128 + int(s.Signal()), Signal: unix.SignalName(s.Signal())}
	}
	return &guestapi.ExecResp{Status: s.ExitStatus()}
}

// signal serves guestapi.Signal.
func (a *Agent) signal(ctx context.Context, req *guestapi.SignalReq) (*guestapi.SignalResp, error) {
	x, err := a.execs.find(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	s := unix.SignalNum(req.Signal)
	if s == 0 {
		s = unix.SignalNum("SIG" + req.Signal)
	}
	if s == 0 {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot send the signal %.32q: there is no such", req.Signal)
	}
	if !x.kill(s) {
		return nil, ipc.Errorf(guestapi.NotFound, "cannot send %.32s: the program has ended", req.Signal)
	}
	return &guestapi.SignalResp{}, nil
}

// resize serves guestapi.Resize.
func (a *Agent) resize(ctx context.Context, req *guestapi.ResizeReq) (*guestapi.ResizeResp, error) {
	x, err := a.execs.find(ctx, req.ID)
	if err != nil {
		return nil, err
	}
	return &guestapi.ResizeResp{}, x.resize(req.Cols, req.Rows)
}
