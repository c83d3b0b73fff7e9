package agent_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func itoa(n int) string { return strconv.Itoa(n) }

// One machine serves the whole story: a boot takes longer than all the rest.
func TestAUsersDay(t *testing.T) {
	u := newUser(t)
	if out := u.run("status"); !strings.Contains(out, "not running") {
		t.Errorf("before anything, status says %q", out)
	}
	if r := u.try("status", "--quiet"); r.status != 3 {
		t.Errorf("before anything, status --quiet exits with %d", r.status)
	}
	u.run("config", "set", "metrics.enable", "true")
	if out := u.run("start"); !strings.Contains(out, "default is ready after") {
		t.Errorf("start says %q", out)
	}
	m := u.inspect()
	if m.State != "running" || m.BootID == "" || m.CID < 3 || !alive(m.VMPID) || m.CPUs != 1 {
		t.Fatalf("inspect says %+v", m.Machine)
	}
	t.Run("exec", func(t *testing.T) { execs(t, u) })
	t.Run("a second agent", func(t *testing.T) { secondAgent(t, u) })
	t.Run("the agent dies while data flows", func(t *testing.T) { agentDies(t, u) })
	t.Run("the host sleeps", func(t *testing.T) { hostSleeps(t, u) })
	t.Run("network", func(t *testing.T) { network(t, u) })
	t.Run("containers", func(t *testing.T) { containers(t, u) })
	t.Run("logs and events", func(t *testing.T) { looks(t, u) })
	if out := u.run("start"); !strings.Contains(out, "ready already") {
		t.Errorf("a second start says %q", out)
	}
	now := u.inspect()
	if now.BootID != m.BootID || now.VMPID != m.VMPID {
		t.Errorf("the machine is another one: %s, process %d; it was %s, %d", now.BootID, now.VMPID, m.BootID, m.VMPID)
	}
	if out := u.run("stop"); !strings.Contains(out, "default is stopped") {
		t.Errorf("stop says %q", out)
	}
	if alive(m.VMPID) {
		t.Error("the VM's process outlives stop")
	}
	t.Run("containers' version, stopped", func(t *testing.T) {
		if out := newDocker(t, u).run("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"); out != "linux/arm64" {
			t.Errorf("the server is %q", out)
		}
		if out := newDocker(t, u).run("ps", "-q"); out != "" {
			t.Errorf("in a machine that is stopped there run %q", out)
		}
		if m := u.inspect(); m.State != "stopped" {
			t.Errorf("who asks for the version, and what runs, starts a machine: it is %s", m.State)
		}
	})
	if r := u.try("status", "--quiet"); r.status != 3 {
		t.Errorf("after stop, status --quiet exits with %d", r.status)
	}
	u.run("agent", "stop")
	if _, held, err := lease.Held(u.home.Run()); held || err != nil {
		t.Errorf("after agent stop the lock is held: %v", err)
	}
}

// An agent that is killed has lost its socket a moment before its lock: who wants an agent then gets the next one.
func TestAnAgentThatIsDying(t *testing.T) {
	u := newUser(t)
	if err := home.Make(u.home.Run()); err != nil {
		t.Fatal(err)
	}
	lock, err := lease.Acquire(t.Context(), u.home.Run(), false, func() error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	dead := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() {
		defer close(dead)
		lock.Release()
	})
	t.Cleanup(func() { <-dead }) // or it would be this process that is asked to end
	if r := u.try("exec", "-m", "nobody", "--", "true"); strings.Contains(r.err, "no agent") || !strings.Contains(r.err, "nobody") {
		t.Errorf("without an agent the answer is %q, and not the next one's", r.err)
	}
}

// Whoever has a machine started is served by the next agent when the one that he asked has ended.
func TestAStartOutlivesItsAgent(t *testing.T) {
	u := newUser(t)
	// whileStarting runs a command, and has end done to the agent when the machine is on its way.
	whileStarting := func(end func(agent int), args ...string) string {
		t.Helper()
		done := make(chan result, 1)
		go func() { done <- u.try(args...) }()
		eventually(t, "the machine to start", func() bool {
			var st struct {
				Agent    struct{ PID int }
				Machines []agentapi.Machine
			}
			u.parse(u.run("status", "--json"), &st)
			if len(st.Machines) == 0 || st.Machines[0].State != "starting" || st.Machines[0].VMPID == 0 {
				return false
			}
			end(st.Agent.PID)
			return true
		})
		return (<-done).must(t, "arcbox", args)
	}
	killed := func(agent int) {
		if err := syscall.Kill(agent, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if out := whileStarting(killed, "start"); !strings.Contains(out, "default is ready") {
		t.Errorf("start says %q", out)
	}
	u.run("stop")
	if out := whileStarting(func(int) { u.run("agent", "restart") }, "exec", "--", "echo", "here"); out != "here\n" {
		t.Errorf("exec says %q", out)
	}
	u.run("agent", "restart") // which finds a machine that runs
	eventually(t, "the agent to have taken it over", func() bool {
		return strings.Contains(u.run("logs", "--component", "agent", "-n", "6"), `"phase":"VM_READY"`)
	})
}

// An agent that stops its machines waits for a guest that takes its time, and for nothing any more after the second signal.
func TestTheSecondSignalForces(t *testing.T) {
	u := newUser(t)
	u.run("start")
	m, agent := u.inspect(), u.agentPID()
	u.run("config", "set", "machine.stop_grace", "1h") // counts now
	var stubborn sync.WaitGroup
	stubborn.Go(func() { u.try("exec", "--", "sh", "-c", `trap "" TERM; touch /tmp/up; sleep 100000`) })
	eventually(t, "the program to run", func() bool { return u.try("exec", "--", "test", "-e", "/tmp/up").status == 0 })
	ended := make(chan result, 1)
	go func() { ended <- u.try("agent", "stop", "--machines") }()
	logged := func(text string) bool {
		b, err := os.ReadFile(filepath.Join(u.home.Log(), "arcboxd.log"))
		return err == nil && strings.Contains(string(b), text)
	}
	eventually(t, "the machine to be stopping", func() bool { return logged(`"to":"stopping"`) })
	if out := u.run("status"); !strings.Contains(out, "stopping") {
		t.Errorf("meanwhile status says %q", out)
	}
	for _, said := range []string{"asked to end", "asked to end again"} {
		if !alive(m.VMPID) {
			t.Errorf("the guest was cut off before it was %s", said)
		}
		if err := syscall.Kill(agent, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the agent to hear", func() bool { return logged(said) })
	}
	(<-ended).must(t, "arcbox", []string{"agent", "stop", "--machines"})
	stubborn.Wait()
	if alive(m.VMPID) || alive(agent) {
		t.Error("the VM or the agent is left")
	}
}

// execs is what programs in the guest are promised.
func execs(t *testing.T, u *user) {
	tests := []struct {
		name   string
		stdin  string
		args   []string
		out    string
		err    string // a part
		status int
	}{
		{"output and errors apart", "", []string{"--", "sh", "-c", "echo out; echo err >&2; exit 7"}, "out\n", "err", 7},
		{"input", "some\nlines\n", []string{"-i", "--", "cat"}, "some\nlines\n", "", 0},
		{"no input without -i", "some", []string{"--", "cat"}, "", "", 0},
		{"variables and directory", "", []string{"-e", "WORD=a b", "-w", "/tmp", "--", "sh", "-c", `echo "$WORD"; pwd`}, "a b\n/tmp\n", "", 0},
		{"flags of the program are its own", "", []string{"echo", "-m", "x"}, "-m x\n", "", 0},
		{"a signal", "", []string{"--", "sh", "-c", "kill -9 $$"}, "", "", 137},
		{"no such program", "", []string{"--", "frobnicate"}, "", "frobnicate", 127},
		{"no program at all", "", nil, "", "needs a program", 2},
		{"no such machine", "", []string{"-m", "nobody", "--", "true"}, "", "nobody", 125},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := u.tryWith(tt.stdin, append([]string{"exec"}, tt.args...)...)
			if r.out != tt.out || !strings.Contains(r.err, tt.err) || r.status != tt.status {
				t.Errorf("exit %d, %q, %q; want %d, %q, %q", r.status, r.out, r.err, tt.status, tt.out, tt.err)
			}
		})
	}
	t.Run("after the death of the guest's agent", func(t *testing.T) {
		for range 3 { // PID 1 has less and less patience
			if r := u.try("exec", "--", "sh", "-c", "kill -9 $PPID"); r.status == 0 {
				t.Error("a program whose agent has died has ended well")
			}
			if out := u.run("exec", "--", "echo", "here"); out != "here\n" { // at once: nobody knows yet
				t.Errorf("the next one says %q", out)
			}
		}
	})
}

// secondAgent is refused, and one that takes over is not; the machine notices neither.
func secondAgent(t *testing.T, u *user) {
	first := u.agentPID()
	out, err := exec.Command(kit.Program("arcboxd")).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "process "+itoa(first)) || !strings.Contains(string(out), "--takeover") {
		t.Errorf("a second agent says %q, %v", out, err)
	}
	u.run("agent", "restart")
	if now := u.agentPID(); now == first || now == 0 || alive(first) {
		t.Errorf("after a takeover the agent is process %d, and was %d", now, first)
	}
	anotherBuild(t, u)
}

// anotherBuild takes over, as after a downgrade; who starts a machine is offered the agent that belongs to their program.
func anotherBuild(t *testing.T, u *user) {
	program, err := os.ReadFile(kit.Program("arcboxd"))
	if err != nil {
		t.Fatal(err)
	}
	path := kit.Program("arcboxd-other") // it looks for the others beside itself
	if err := os.WriteFile(path, append(program, "one more byte is another build"...), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--takeover")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait() // it ends when it is replaced
	eventually(t, "the other build to take over", func() bool {
		r := u.try("status", "--json")
		return r.status == 0 && strings.Contains(r.out, `"pid": `+itoa(cmd.Process.Pid))
	})
	const offer = "arcbox agent restart replaces it, and machines go on"
	if r := u.try("start"); r.status != 0 || !strings.Contains(r.err, "another build") || !strings.Contains(r.err, offer) {
		t.Errorf("beside another build start says %d, %q", r.status, r.err)
	}
	u.run("agent", "restart")
	if r := u.try("start"); r.status != 0 || strings.Contains(r.err, offer) {
		t.Errorf("after a restart start says %d, %q", r.status, r.err)
	}
}

// agentDies kills the agent again and again while a program in the guest counts, and every number arrives.
func agentDies(t *testing.T, u *user) {
	cmd := exec.Command(kit.Program("arcbox"), "exec", "--", "sh", "-c", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGKILL)
	lines := bufio.NewScanner(stdout)
	next := 0
	// count reads n more numbers; none may be missing.
	count := func(n int) {
		t.Helper()
		for range n {
			if !lines.Scan() {
				t.Fatalf("the stream ended after %d: %v", next, lines.Err())
			}
			if lines.Text() != itoa(next) {
				t.Fatalf("%q came, want %d", lines.Text(), next)
			}
			next++
		}
	}
	count(1)
	up := time.Duration(0)
	for range kit.Rounds(3, 20) {
		pid := u.agentPID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		count(3)
		now := guestUptime(t, u) // starts the next agent
		if now <= up {
			t.Errorf("the guest has been up for %v, and was for %v", now, up)
		}
		up = now
		count(3)
	}
}

func guestUptime(t *testing.T, u *user) time.Duration {
	t.Helper()
	first, _, _ := strings.Cut(u.run("exec", "--", "cat", "/proc/uptime"), " ")
	s, err := strconv.ParseFloat(first, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(s * float64(time.Second))
}

// looks reads what was logged and what has happened.
func looks(t *testing.T, u *user) {
	if out := u.run("logs"); !strings.Contains(out, "arcbox-guest: ready") {
		t.Errorf("the console's log has %q", out)
	}
	if out := u.run("logs", "--component", "agent", "-n", "1"); strings.Count(out, "\n") != 1 {
		t.Errorf("the agent's last line is %q", out)
	}
	path, err := u.home.Socket(agentapi.MetricsSocket)
	if err != nil {
		t.Fatal(err)
	}
	out := scrape(t, path)
	for _, want := range []string{`arcbox_machine_state{machine="default",state="running"} 1`, `arcbox_vm_exits_total{kind="`, `arcbox_guest_memory_bytes{machine="default"}`} {
		if !strings.Contains(out, want) {
			t.Errorf("the metrics have no %s:\n%s", want, out)
		}
	}
	var list []struct{ Name, State string }
	u.parse(u.run("list", "--json"), &list)
	if len(list) != 1 || list[0].State != "running" {
		t.Errorf("the list is %+v", list)
	}
	if out := u.run("list", "--quiet"); out != "default\n" {
		t.Errorf("the names are %q", out)
	}
}

// scrape is what Prometheus gets of a socket.
func scrape(t *testing.T, path string) string {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}
	resp, err := c.Get("http://agent/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
