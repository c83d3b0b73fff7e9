package machine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A storm is a row of random harm to one machine, and a count in its guest that was acknowledged as on the disk.
type storm struct {
	h     *host
	count int
}

// TestAStorm does whatever can happen to a machine in a row. After each the machine is up again, with what its guest said
// was safe; at the end it runs, and nothing of the past is left.
func TestAStorm(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ARCBOX_SOAK_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	rnd := rand.New(rand.NewPCG(seed, 0))
	h := newHost(t)
	h.set(func(s *machine.Settings) {
		s.HealthEvery = time.Duration(kit.Rounds(1, 5)) * time.Second
		s.Limits.Start = patience
		s.Limits.Stable = time.Millisecond // or the fourth time in a minute is the last
	})
	h.open(t)
	s := &storm{h: h}
	s.check(t)
	descriptors := 0
	for i := range kit.Rounds(6, 200) {
		what := rnd.IntN(len(harms))
		if i < len(harms) && kit.Rounds(0, 1) == 1 {
			what = i // each once
		}
		name := harms[what].name
		t.Logf("%d: %s", i, name)
		harms[what].do(t, s)
		s.check(t)
		if t.Failed() {
			t.Fatalf("event %d, %s, of seed %d", i, name, seed)
		}
		if i == 0 {
			descriptors = openFiles(t)
		}
	}
	until(t, "the descriptors of what has ended are closed", func() bool { return openFiles(t) <= descriptors+8 })
	if m := h.up(t, ""); m.Info().State != "running" {
		t.Errorf("at the end it is %+v; seed %d", m.Info(), seed)
	}
}

// openFiles is how many descriptors this process has.
func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// check brings the machine up, however long its recovery takes, and counts on.
func (s *storm) check(t *testing.T) {
	t.Helper()
	want := strconv.Itoa(s.count)
	script := fmt.Sprintf("cat /data/count 2>/dev/null || echo 0; echo %d > /data/count.new && mv /data/count.new /data/count && sync", s.count+1)
	for end := time.Now().Add(patience); ; {
		s.h.up(t, "")
		m, err := s.h.Get("")
		if err != nil {
			t.Fatal(err)
		}
		said, err := run(m, script)
		if err == nil {
			// What was written and not acknowledged may be there or not.
			if n, _ := strconv.Atoi(strings.TrimSpace(said)); said != want && n != s.count+1 {
				t.Fatalf("the guest's count is %q, want %s", said, want)
			}
			s.count++
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // its end is not seen yet
	}
}

// machine is the one that is harmed.
func (s *storm) machine(t *testing.T) *machine.Machine {
	t.Helper()
	return s.h.up(t, "")
}

// signal sends a signal to the VM process, which may have gone by itself.
func (s *storm) signal(t *testing.T, sig syscall.Signal) {
	t.Helper()
	if pid := s.machine(t).Info().VMPID; pid != 0 {
		if err := syscall.Kill(pid, sig); err != nil && err != syscall.ESRCH {
			t.Fatal(err)
		}
	}
}

// anotherAgent has another process become the agent, and kills it when it has said a line.
func (s *storm) anotherAgent(t *testing.T, line string, also func(pid int)) {
	t.Helper()
	pid := s.machine(t).Info().VMPID
	s.h.close(t, s.h.Manager, false)
	a := s.h.fork(t)
	a.says(t, "open")
	if line != "open" {
		a.says(t, line)
	}
	also(pid)
	a.kill()
	s.h.open(t)
}

// harms are what can happen.
var harms = []struct {
	name string
	do   func(t *testing.T, s *storm)
}{
	{"the VM process is killed", func(t *testing.T, s *storm) { s.signal(t, syscall.SIGKILL) }},
	{"the VM process is stopped", func(t *testing.T, s *storm) { s.signal(t, syscall.SIGSTOP) }},
	{"the guest panics", func(t *testing.T, s *storm) { run(s.machine(t), "echo c > /proc/sysrq-trigger; sleep 100") }},
	{"the guest restarts", func(t *testing.T, s *storm) { run(s.machine(t), "reboot -f") }},
	{"the guest powers off", func(t *testing.T, s *storm) { run(s.machine(t), "poweroff -f") }},
	{"the guest's agent is killed", func(t *testing.T, s *storm) { run(s.machine(t), "kill -9 $PPID") }},
	{"a stop", func(t *testing.T, s *storm) { s.stop(t, false) }},
	{"a forced stop", func(t *testing.T, s *storm) { s.stop(t, true) }},
	{"a stop during a start", func(t *testing.T, s *storm) {
		s.stop(t, true)
		m, _ := s.h.Get("")
		started := make(chan error, 1)
		go func() { started <- m.EnsureReady(context.Background()) }()
		time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		s.stop(t, false)
		<-started
	}},
	{"the agent is killed", func(t *testing.T, s *storm) { s.anotherAgent(t, "ready", func(int) {}) }},
	{"the agent is killed while it adopts", func(t *testing.T, s *storm) { s.anotherAgent(t, "open", func(int) {}) }},
	{"agent and VM process are killed", func(t *testing.T, s *storm) {
		s.anotherAgent(t, "ready", func(pid int) { syscall.Kill(pid, syscall.SIGKILL) })
	}},
	{"the VM process is stopped and the agent killed", func(t *testing.T, s *storm) {
		s.anotherAgent(t, "ready", func(pid int) { syscall.Kill(pid, syscall.SIGSTOP) })
	}},
	{"the record is lost", func(t *testing.T, s *storm) {
		s.machine(t)
		if err := os.Remove(s.h.home.Root() + "/machines/default.json"); err != nil {
			t.Fatal(err)
		}
		s.stop(t, true)
	}},
}

func (s *storm) stop(t *testing.T, force bool) {
	t.Helper()
	m, err := s.h.Get("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if force {
		err = m.ForceStop(ctx)
	} else {
		err = m.Stop(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}
