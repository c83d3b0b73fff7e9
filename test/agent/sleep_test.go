package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A mac is the system under an agent that was built with the code of the Mac, and what makes its news.
type mac struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

// newMac has such an agent take over u's machines.
func newMac(t *testing.T, u *user) *mac {
	t.Helper()
	dir, err := os.MkdirTemp("", "mac")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "power")
	cmd := exec.Command(kit.Standin(t, "arcboxd"), "--takeover")
	cmd.Env = append(os.Environ(), home.Env+"="+u.home.Root(), "ARCBOX_STANDIN_POWER="+socket)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // the machine goes on
		cmd.Wait()
	})
	eventually(t, "the other agent to take over", func() bool {
		r := u.try("status", "--json") // in between there may be none that answers
		return r.status == 0 && strings.Contains(r.out, fmt.Sprintf(`"pid": %d`, cmd.Process.Pid))
	})
	c, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &mac{t, c, bufio.NewReader(c)}
}

// does makes the system do something, and waits until the agent has dealt with it.
func (m *mac) does(what string) {
	m.t.Helper()
	fmt.Fprintln(m.c, what)
	if answer, err := m.r.ReadString('\n'); err != nil || answer != "done\n" {
		m.t.Fatalf("%s: %q, %v", what, answer, err)
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// hostSleeps puts the host to sleep while a program in the guest tells the time: not a vCPU runs until it wakes, and then the
// program goes on, on the same connection, with the right time.
func hostSleeps(t *testing.T, u *user) {
	m := newMac(t, u)
	before := u.inspect()
	lines, end := ticking(t)
	defer end()
	<-lines
	m.does("sleep")
	drain(lines)
	asleep := time.Now()
	select {
	case line := <-lines:
		t.Errorf("the guest says %q in its sleep", line)
	case <-time.After(3 * time.Second):
	}
	if out := u.run("status"); !strings.Contains(out, "default") {
		t.Errorf("in the host's sleep, status says %q", out)
	}
	m.does("wake")
	m.does("wake") // one more changes nothing
	woken := time.Now()
	first := told(t, <-lines)
	t.Logf("the guest slept for %v; its first word came %v after that, %v off", woken.Sub(asleep), time.Since(woken), time.Since(first))
	for time.Since(woken) < time.Second {
		<-lines
	}
	// It tells whole seconds, so what is right is up to one old, and what was not set more than three.
	if off := time.Since(told(t, <-lines)); off < -time.Second || off > 2*time.Second {
		t.Errorf("a second after the host woke the guest's clock is %v off", off)
	}
	logged := func(what string) {
		eventually(t, what+" in the agent's log", func() bool {
			return strings.Contains(u.run("logs", "--component", "agent", "-n", "100"), what)
		})
	}
	m.does("hot")
	logged(`"hot"`) // the system says only that something has changed: what has ended before that is seen was not there
	m.does("cool")
	logged("well again")
	if now := u.inspect(); now.BootID != before.BootID || now.VMPID != before.VMPID {
		t.Errorf("the machine is another one: %+v, was %+v", now.Machine, before.Machine)
	}
	for _, want := range []string{"will-sleep", "did-wake", "the host goes to sleep"} {
		logged(want)
	}
}

// ticking gives the times that a program in the guest tells, in seconds, many each second.
func ticking(t *testing.T) (<-chan string, func()) {
	t.Helper()
	cmd := exec.Command(kit.Program("arcbox"), "exec", "--", "sh", "-c", "while :; do date +%s; sleep 0.1; done")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines, func() {
		cmd.Process.Kill()
		for range lines {
		}
		cmd.Wait()
	}
}

// drain takes what was under way.
func drain(lines <-chan string) {
	for {
		select {
		case <-lines:
		case <-time.After(500 * time.Millisecond):
			return
		}
	}
}

func told(t *testing.T, line string) time.Time {
	t.Helper()
	s, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		t.Fatalf("the guest told %q", line)
	}
	return time.Unix(s, 0)
}
