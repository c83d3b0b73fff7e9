//go:build linux

package agent

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// A starter starts programs, all from one thread. The kernel tells a program of its
// parent's death when the thread that started it is gone, and Go's threads come and
// go; this one is there as long as the agent.
type starter struct {
	orders chan func()
	done   chan struct{}
	// exposed: the agent is kept from the kernel's out-of-memory killer, and its children are not to be.
	exposed bool
}

func newStarter() *starter {
	s := &starter{orders: make(chan func()), done: make(chan struct{})}
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	s.exposed = err == nil && string(own) != "0\n"
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		for order := range s.orders {
			order()
		}
	}()
	return s
}

func (s *starter) close() {
	close(s.orders)
	<-s.done
}

// start starts p on three files. It leads a session, which has the first as its terminal if that is
// one; when the agent dies it gets SIGHUP, unless it is to stay.
func (s *starter) start(p *program, files []*os.File, terminal, stay bool) (*os.Process, error) {
	attr := &os.ProcAttr{
		Dir: p.dir, Env: p.env, Files: files,
		Sys: &syscall.SysProcAttr{Credential: p.as.credential(), Setsid: true, Setctty: terminal},
	}
	if !stay {
		attr.Sys.Pdeathsig = syscall.SIGHUP
	}
	type result struct {
		process *os.Process
		err     error
	}
	results := make(chan result)
	s.orders <- func() {
		process, err := os.StartProcess(p.path, p.argv, attr)
		results <- result{process, err}
	}
	r := <-results
	if r.err == nil && s.exposed {
		os.WriteFile("/proc/"+strconv.Itoa(r.process.Pid)+"/oom_score_adj", []byte("0"), 0) // it may be gone already
	}
	return r.process, r.err
}
