//go:build linux

package agent

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A process is one that a service is: a child of ours, or of an agent before us.
type process struct {
	pid  int
	gone chan struct{} // closed when it has ended
	own  *os.Process   // nil for one that is not a child
	fd   *os.File      // readable when it has ended; of one that is not a child
	done sync.WaitGroup

	mu    sync.Mutex // guards what follows
	ended bool
	state *os.ProcessState
}

// ownProcess watches a child.
func ownProcess(child *os.Process) *process {
	p := &process{pid: child.Pid, gone: make(chan struct{}), own: child}
	p.done.Go(func() {
		for { // its id stays its own until ended is set
			if err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
				break
			}
		}
		p.mu.Lock()
		p.ended = true
		p.state, _ = child.Wait()
		p.mu.Unlock()
		close(p.gone)
	})
	return p
}

// strangersProcess watches one that PID 1 collects. It is found now: what it is must be
// checked after that.
func strangersProcess(pid int) (*process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	p := &process{pid: pid, gone: make(chan struct{}), fd: os.NewFile(uintptr(fd), "pidfd")}
	raw, err := p.fd.SyscallConn()
	if err != nil {
		p.fd.Close()
		return nil, err
	}
	p.done.Go(func() {
		err := raw.Read(func(fd uintptr) bool {
			n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
			return n > 0 && err == nil
		})
		if err == nil {
			p.mu.Lock()
			p.ended = true
			p.mu.Unlock()
			close(p.gone)
		}
	})
	return p, nil
}

// close forgets one that is not our child. A child is forgotten when it ends.
func (p *process) close() {
	if p.fd != nil {
		p.fd.Close()
		p.done.Wait()
	}
}

// kill sends a signal to the process and those of its group.
func (p *process) kill(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		unix.Kill(-p.pid, s)
	}
}

// how says how it ended.
func (p *process) how() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return "has ended"
	}
	status := p.state.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return fmt.Sprintf("was killed by %s", unix.SignalName(status.Signal()))
	}
	return fmt.Sprintf("ended with status %d", status.ExitStatus())
}
