//go:build linux

package agent

import (
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/slack"
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
	hearIgnored()
	go func() {
		defer close(s.done)
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		slack.Restore()
		for order := range s.orders {
			order()
		}
	}()
	return s
}

// hearIgnored takes the signals that this process was started to ignore, and does nothing
// about them. To it that is the same; a program that it starts would inherit the ignoring,
// and with this has the default: execve(2) resets what is caught, not what is ignored.
func hearIgnored() {
	for sig := syscall.Signal(1); sig < 32; sig++ {
		if signal.Ignored(sig) {
			signal.Notify(make(chan os.Signal, 1), sig)
		}
	}
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
