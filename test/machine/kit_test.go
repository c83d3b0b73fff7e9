// Package machine_test runs machines as the agent does: real processes and a real Linux behind package agent/machine,
// and whatever can go wrong with them.
package machine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) {
	if program := os.Getenv(agentVar); program != "" {
		os.Exit(beAgent(program))
	}
	status := kit.Main(m, "")
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// patience is how long anything may take that a test waits for; a long count runs beside other work.
var patience = time.Duration(kit.Rounds(3, 20)) * time.Minute

// A host is a home with its agent's part that is about machines.
type host struct {
	home   home.Home
	events *event.Bus
	log    *logs
	*machine.Manager

	mu       sync.Mutex // guards what follows
	settings machine.Settings
}

// set changes the configuration.
func (h *host) set(change func(s *machine.Settings)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.settings)
}

// configured is the configuration.
func (h *host) configured() machine.Settings {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.settings
}

// small is the configuration that tests begin with.
var small = machine.Settings{CPUs: 1, Memory: 256 << 20, DiskReserve: -1}

// newHost makes an empty home.
func newHost(t *testing.T) *host {
	t.Helper()
	t.Setenv(home.Env, t.TempDir())
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	x := &host{home: h, log: &logs{}, settings: small}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the log:\n" + x.log.String())
			for _, console := range []string{"console", "guest", "vm"} {
				paths, _ := filepath.Glob(filepath.Join(h.Log(), "*-"+console+".log"))
				for _, path := range paths {
					b, _ := os.ReadFile(path)
					t.Logf("%s:\n%s", filepath.Base(path), b[max(0, len(b)-6000):])
				}
			}
		}
	})
	return x
}

// logs is a log that goroutines may still write to when the test is over.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options are what an agent of this home works with.
func options(h home.Home, program string, log io.Writer, settings func() machine.Settings) machine.Options {
	return machine.Options{
		Home: h, Program: program, NetProgram: filepath.Join(filepath.Dir(program), "arcbox-net"), Events: &event.Bus{}, Log: zerolog.New(log).With().Timestamp().Logger(),
		Library:  boot.OpenLibrary(h.Boot(), sharedBoot()),
		Settings: func(string) machine.Settings { return settings() },
	}
}

// sharedBoot is the store of boot assets of this machine.
func sharedBoot() string {
	dir, err := home.Shared()
	if err != nil {
		panic(err)
	}
	return filepath.Join(dir, "boot")
}

// open becomes the agent of the home.
func (h *host) open(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	opts := options(h.home, kit.Program("arcbox-vm"), h.log, h.configured)
	g, err := machine.Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	h.Manager, h.events = g, opts.Events
	t.Cleanup(func() { h.close(t, g, true) })
}

// close ends the agent, and with stop its machines.
func (h *host) close(t *testing.T, g *machine.Manager, stop bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.Close(ctx, stop); err != nil {
		t.Error(err)
	}
}

// agentVar has the test binary be an agent that keeps the default machine up, with the program that it names as arcbox-vm.
const agentVar = "ARCBOX_TEST_AGENT"

// beAgent says "ready" when the machine is, and goes on until it is killed.
func beAgent(program string) int {
	fail := func(err error) int {
		fmt.Println("error:", err)
		return 1
	}
	h, err := home.Find()
	if err != nil {
		return fail(err)
	}
	g, err := machine.Open(context.Background(), options(h, program, os.Stderr, func() machine.Settings { return small }))
	if err != nil {
		return fail(err)
	}
	fmt.Println("open")
	m, err := g.Get("")
	if err == nil {
		err = m.EnsureReady(context.Background())
	}
	if err != nil {
		return fail(err)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin) // for ever: the pipe's other end is the test's
	return 0
}

// An otherAgent is an agent of the home in a process of its own.
type otherAgent struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
}

// fork starts one.
func (h *host) fork(t *testing.T) *otherAgent {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), agentVar+"="+kit.Program("arcbox-vm"))
	cmd.Stderr = h.log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &otherAgent{cmd, bufio.NewScanner(out)}
	t.Cleanup(func() {
		in.Close()
		a.kill()
	})
	return a
}

// says waits for a line.
func (a *otherAgent) says(t *testing.T, want string) {
	t.Helper()
	if !a.lines.Scan() || a.lines.Text() != want {
		t.Fatalf("the other agent says %q, want %q", a.lines.Text(), want)
	}
}

func (a *otherAgent) kill() {
	a.cmd.Process.Kill()
	a.cmd.Wait()
}

// up is the machine called name, ready.
func (h *host) up(t *testing.T, name string) *machine.Machine {
	t.Helper()
	m, err := h.Get(name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.EnsureReady(ctx); err != nil {
		t.Fatal(err)
	}
	return m
}

// guest is a connection to the guest's agent.
func guest(t *testing.T, m *machine.Machine) *ipc.Conn {
	t.Helper()
	c, err := dial(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func dial(m *machine.Machine) (*ipc.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	f, err := m.Guest(ctx)
	if err != nil {
		return nil, err
	}
	c, err := ipc.FromFile(f, nil)
	if err != nil {
		return nil, err
	}
	if _, err := ipc.Call(ctx, c, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// run has the guest run a script, and gives what it prints.
func run(m *machine.Machine, script string) (string, error) { return runWith(m, nil, script) }

// runWith is run with something to read, if it is not nil.
func runWith(m *machine.Machine, stdin io.Reader, script string) (string, error) {
	c, err := dial(m)
	if err != nil {
		return "", err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req := &guestapi.ExecReq{Argv: []string{"sh", "-c", script}}
	out, ref := req.Open()
	req.Stdout = ref
	if stdin != nil {
		in, ref := req.Open()
		req.Stdin = ref
		go func() {
			io.Copy(in, stdin)
			in.CloseWrite()
		}()
	}
	text := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(out)
		text <- b
	}()
	resp, err := ipc.Call(ctx, c, guestapi.Exec, req)
	if err != nil {
		return "", err
	}
	said := strings.TrimSpace(string(<-text))
	if resp.Status != 0 {
		return said, fmt.Errorf("%s: status %d", script, resp.Status)
	}
	return said, nil
}

// sh is run, which must succeed.
func sh(t *testing.T, m *machine.Machine, script string) string {
	t.Helper()
	said, err := run(m, script)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// harm has the guest do something from which it does not come back to tell.
func harm(t *testing.T, m *machine.Machine, script string) {
	t.Helper()
	if said, err := run(m, script); err == nil {
		t.Errorf("%s: the guest lives and says %q", script, said)
	} else if !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("%s: %v", script, err)
	}
}

// event waits for an event behind a number.
func (h *host) event(t *testing.T, after uint64, kind agentapi.EventKind) agentapi.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var seen []agentapi.EventKind
	for {
		events, err := h.events.Next(ctx, after)
		if err != nil {
			t.Fatalf("no event %q, but %q: %v", kind, seen, err)
		}
		for _, e := range events {
			if after = e.Seq; e.Kind == kind {
				return e
			}
			seen = append(seen, e.Kind)
		}
	}
}

// is waits until the machine is in a state.
func is(t *testing.T, m *machine.Machine, want lifecycle.State) {
	t.Helper()
	until(t, "the machine is "+string(want), func() bool { return m.Info().State == string(want) })
}

// until waits for something that comes true by itself.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
