package gdb

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Threads are vCPUs: thread n is vCPU n-1.

const (
	allThreads = -1
	anyThread  = 0
)

// parseThread reads a thread's number: 1 and up, allThreads or anyThread.
func (s *session) parseThread(p string) (int, bool) {
	if p == "-1" {
		return allThreads, true
	}
	n, err := strconv.ParseUint(p, 16, 16)
	return int(n), err == nil && n <= uint64(s.t.CPUs())
}

func (s *session) threads() string {
	var ids []string
	for i := range s.t.CPUs() {
		ids = append(ids, strconv.FormatInt(int64(i+1), 16))
	}
	return "m" + strings.Join(ids, ",")
}

func (s *session) describeThread(p string) string {
	n, ok := s.parseThread(p)
	if !ok || n <= 0 {
		return replyError
	}
	state := "off"
	if on, err := s.t.On(s.ctx, n-1); err != nil {
		return replyError
	} else if on {
		state = "on"
	}
	return hex.EncodeToString(fmt.Appendf(nil, "CPU %d, %s", n-1, state))
}

func (s *session) alive(p string) string {
	if n, ok := s.parseThread(p); !ok || n <= 0 {
		return replyError
	}
	return replyOK
}

// selectThread is Hg (registers and memory) or Hc (c and s).
func (s *session) selectThread(p string) string {
	if p == "" {
		return replyError
	}
	n, ok := s.parseThread(p[1:])
	switch {
	case !ok || p[0] != 'g' && p[0] != 'c':
		return replyError
	case p[0] == 'c' && n == allThreads:
		s.runCPU = allThreads
	case p[0] == 'c' && n > 0:
		s.runCPU = n - 1
	case n > 0:
		s.cpu = n - 1
	}
	return replyOK
}

func (s *session) everyone() uint32 { return 1<<s.t.CPUs() - 1 }

// resumeOne is c, C, s or S, whose signals and addresses are not for a machine:
// all go on, one of them perhaps by one instruction.
func (s *session) resumeOne(action byte) string {
	if action == 'c' || action == 'C' {
		return s.start(s.everyone(), 0)
	}
	step := uint32(1) << max(s.runCPU, 0)
	return s.start(s.everyone()&^step, step)
}

// resume is vCont: actions separated by ";", each for the threads that it
// names and that no action before it has taken.
func (s *session) resume(p string) string {
	var run, step, taken uint32
	for action := range strings.SplitSeq(p, ";") {
		what, who, named := strings.Cut(action, ":")
		cpus := s.everyone()
		if named {
			n, ok := s.parseThread(who)
			if !ok {
				return replyError
			}
			if n > 0 {
				cpus = 1 << (n - 1)
			}
		}
		cpus &^= taken
		taken |= cpus
		switch {
		case strings.HasPrefix(what, "c") || strings.HasPrefix(what, "C"):
			run |= cpus
		case strings.HasPrefix(what, "s") || strings.HasPrefix(what, "S"):
			step |= cpus
		default:
			return replyError
		}
	}
	return s.start(run, step)
}

// start lets the machine go on; the answer comes when it stops.
func (s *session) start(run, step uint32) string {
	if err := s.t.Resume(s.ctx, run, step); err != nil {
		return replyError
	}
	s.running = true
	return ""
}
