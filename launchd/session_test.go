//go:build !macshim

package launchd

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit/house"
)

// A session is where a real manager runs real agents: systemd's in namespaces of its own,
// launchd's of whoever is logged in at the Mac.
type session struct {
	Manager
	home    string // what the agent is given to put files into
	agent   Agent
	former  string           // a label that is to be forgotten
	left    []int            // children that agents have left behind
	quit    func(*testing.T) // ends the agent's process, which then stays away
	disable func(*testing.T)
}

// sessionParts are what every manager must do, in this order.
var sessionParts = []struct {
	name string
	run  func(*testing.T, *session)
}{
	{"install and repeat", testInstall},
	{"a crash is followed by another start", testCrash},
	{"another definition", testAnother},
	{"stop and start", testStop},
	{"a connection starts it", testActivation},
	{"a program that cannot be run", testBroken},
	{"disabled", testDisabled},
}

// newSession makes what agents need. Sockets must have short paths.
func newSession(t *testing.T, label, former, home string) *session {
	m, err := New(label, former)
	must(t, "new", err)
	self, err := os.Executable()
	must(t, "executable", err)
	return &session{Manager: m, home: home, former: former, agent: Agent{
		Program: self, Env: map[string]string{asVar: "agent", "AGENT_TEST": `50% "of" $HOME \`, house.Var: ""},
		Sockets:   []Socket{{Name: "api", Path: filepath.Join(home, "with space/100%/api.sock")}},
		OpenFiles: 4096, Log: filepath.Join(home, "log dir/agent.log"),
	}}
}

// ask connects, which starts an agent that does not run, and hears who answers.
func (h *session) ask(t *testing.T, say string) (pid int, word string) {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: h.agent.Sockets[0].Path})
	must(t, "connect", err)
	defer c.Close()
	must(t, "say", func() error { _, err := c.Write([]byte(say)); return errors.Join(err, c.CloseWrite()) }())
	line, err := bufio.NewReader(c).ReadString('\n')
	must(t, "hear", err)
	var child int
	if _, err := fmt.Sscanf(line, "%d %d %q\n", &pid, &child, &word); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if !slices.Contains(h.left, child) {
		h.left = append(h.left, child)
	}
	return pid, word
}

// wantState checks the state, and that all that agents have left behind lives.
func (h *session) wantState(t *testing.T, want State) Status {
	t.Helper()
	s := status(t, h)
	if s.State != want {
		t.Errorf("it stands at %s, want %s: %+v", s.State, want, s)
	}
	for _, child := range h.left {
		if !alive(child) {
			t.Errorf("the process %d that an agent left running is gone", child)
		}
	}
	return s
}

// files lists what is in a directory, but for directories.
func files(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, "walk", filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	}))
	return all
}

func testInstall(t *testing.T, h *session) {
	h.wantState(t, Absent)
	if err := h.Start(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("start: %v", err)
	}
	must(t, "stop what is not there", h.Stop(t.Context()))
	old, err := New(h.former)
	must(t, "new", err)
	must(t, "install the old one", old.Install(t.Context(), Agent{Program: "/bin/sleep", Args: []string{"1000"}}))

	must(t, "install", h.Install(t.Context(), h.agent))
	if s := status(t, old); s.State != Absent {
		t.Errorf("the former label: %+v", s)
	}
	pid, word := h.ask(t, "")
	if word != h.agent.Env["AGENT_TEST"] {
		t.Errorf("its environment says %q", word)
	}
	s := h.wantState(t, Running)
	if s.PID != pid || !s.Enabled || !s.Installed || s.Program != h.agent.Program || s.Problem != "" {
		t.Errorf("%+v", s)
	}
	if info, err := os.Stat(h.agent.Sockets[0].Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info, err)
	}

	must(t, "install again", h.Install(t.Context(), h.agent))
	must(t, "start a running one", h.Start(t.Context()))
	if again, _ := h.ask(t, ""); again != pid {
		t.Errorf("the agent was started again: %d, %d", pid, again)
	}
	if log, err := os.ReadFile(h.agent.Log); err != nil || !strings.Contains(string(log), "agent: up") {
		t.Errorf("log: %q, %v", log, err)
	}
}

func testCrash(t *testing.T, h *session) {
	pid, _ := h.ask(t, "crash")
	again, _ := h.ask(t, "")
	if again == pid {
		t.Errorf("the crashed agent %d answers", pid)
	}
	if s := h.wantState(t, Running); s.Runs != 2 {
		t.Errorf("%+v", s)
	}
}

func testAnother(t *testing.T, h *session) {
	pid, _ := h.ask(t, "")
	h.agent.Env["AGENT_TEST"] = "another"
	h.agent.Sockets = append(h.agent.Sockets, Socket{Name: "extra", Path: filepath.Join(h.home, "extra.sock")})
	must(t, "install", h.Install(t.Context(), h.agent))
	if again, word := h.ask(t, ""); again == pid || word != "another" {
		t.Errorf("%d answers %q, before it was %d", again, word, pid)
	}
	h.wantState(t, Running)

	h.agent.Sockets = h.agent.Sockets[:1]
	must(t, "install", h.Install(t.Context(), h.agent))
	h.ask(t, "")
	if files := files(t, h.home); slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "extra") }) {
		t.Errorf("left of the socket that is gone: %q", files)
	}
}

func testStop(t *testing.T, h *session) {
	must(t, "stop", h.Stop(t.Context()))
	must(t, "stop again", h.Stop(t.Context()))
	h.wantState(t, Stopped)
	if _, err := os.Stat(h.agent.Sockets[0].Path); err == nil {
		t.Error("the socket is still there")
	}
	must(t, "start", h.Start(t.Context()))
	h.ask(t, "")
	h.wantState(t, Running)
}

func testActivation(t *testing.T, h *session) {
	h.quit(t)
	h.wantState(t, Waiting)
	pid, _ := h.ask(t, "")
	if s := h.wantState(t, Running); s.PID != pid {
		t.Errorf("%d answers: %+v", pid, s)
	}
}

func testBroken(t *testing.T, h *session) {
	bad := h.agent
	bad.Program = filepath.Join(h.home, "bad")
	must(t, "write", os.WriteFile(bad.Program, []byte("no program\x00"), 0o755))
	if err := h.Install(t.Context(), bad); !errors.Is(err, ErrFailed) {
		t.Errorf("install: %v", err)
	}
	if s := h.wantState(t, Failed); s.Problem == "" {
		t.Errorf("%+v", s)
	}
	must(t, "remove", os.Remove(bad.Program))
	if s := h.wantState(t, Failed); !strings.Contains(s.Problem, "cannot be found") {
		t.Errorf("%+v", s)
	}
	must(t, "install", h.Install(t.Context(), h.agent))
	h.ask(t, "")
	h.wantState(t, Running)
}

func testDisabled(t *testing.T, h *session) {
	h.disable(t)
	if s := h.wantState(t, Running); s.Enabled || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	must(t, "install", h.Install(t.Context(), h.agent))
	if s := h.wantState(t, Running); !s.Enabled || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

func testUninstall(t *testing.T, h *session) {
	must(t, "uninstall", h.Uninstall(t.Context()))
	must(t, "uninstall again", h.Uninstall(t.Context()))
	h.wantState(t, Absent)
	if files := files(t, h.home); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
}
