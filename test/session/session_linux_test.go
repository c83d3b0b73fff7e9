// Package session_test installs the agent into a session as a user does, with the real programs
// and a real systemd.
package session_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit/house"
)

// A person is somebody with a shell.
type person struct {
	t   *testing.T
	bin string
}

// does runs a command that must end with status, and returns what it printed.
func (p *person) does(status int, args ...string) string {
	p.t.Helper()
	out, err := exec.Command(filepath.Join(p.bin, "arcbox"), args...).CombinedOutput()
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		p.t.Fatal(err)
	}
	if got != status {
		p.t.Fatalf("arcbox %s: exit status %d, want %d\n%s", strings.Join(args, " "), got, status, out)
	}
	return string(out)
}

// An answer is what agent status --json prints, as far as it matters here.
type answer struct {
	Running bool
	PID     int
	Service *struct {
		State   string
		PID     int
		Enabled bool
		Problem string
	}
}

func (p *person) status(exit int) (a answer) {
	p.t.Helper()
	out := p.does(exit, "agent", "status", "--json")
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		p.t.Fatalf("%v in %s", err, out)
	}
	return a
}

func TestTheSessionKeepsTheAgent(t *testing.T) {
	if !house.Enter(t) {
		return
	}
	p := &person{t, os.Getenv("ARCBOX_TEST_BIN")}
	home := filepath.Join(os.Getenv("HOME"), ".arcbox")

	p.does(0, "agent", "start") // as before anything is installed
	alone := p.status(0)
	if !alone.Running || alone.Service != nil {
		t.Errorf("alone: %+v", alone)
	}
	p.does(0, "agent", "install") // replaces it
	first := p.status(0)
	if first.Service == nil || first.Service.PID != first.PID || first.PID == alone.PID || !first.Service.Enabled || first.Service.Problem != "" {
		t.Fatalf("installed: %+v %+v, alone it was %d", first, first.Service, alone.PID)
	}
	contexts := func() []string {
		found, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".docker/contexts/meta/*/meta.json"))
		return found
	}
	if found := contexts(); len(found) != 1 {
		t.Errorf("Docker's contexts are %q", found)
	}
	p.does(0, "agent", "install")
	if again := p.status(0); again.PID != first.PID {
		t.Errorf("installed again: %+v, before %d", again, first.PID)
	}

	// Whoever connects to a killed agent waits for the next one.
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := p.status(0)
	if second.PID == first.PID || second.Service.PID != second.PID {
		t.Errorf("after a kill: %+v %+v", second, second.Service)
	}
	p.does(0, "agent", "restart")
	if third := p.status(0); third.PID == second.PID || third.Service.PID != third.PID {
		t.Errorf("restarted: %+v %+v", third, third.Service)
	}

	// Stopped is stopped, whoever looks; a command that needs the agent starts it.
	p.does(0, "agent", "stop")
	for range 2 {
		if s := p.status(3); s.Running || s.Service.State != "stopped" {
			t.Errorf("stopped: %+v %+v", s, s.Service)
		}
	}
	p.does(0, "list")
	if s := p.status(0); s.Service.PID != s.PID {
		t.Errorf("needed: %+v %+v", s, s.Service)
	}

	p.does(0, "agent", "uninstall")
	if s := p.status(3); s.Running || s.Service != nil {
		t.Errorf("uninstalled: %+v", s)
	}
	if found := contexts(); len(found) != 0 {
		t.Errorf("Docker's contexts that are left: %q", found)
	}
	for _, path := range []string{filepath.Join(home, "run/arcboxd.sock"), filepath.Join(home, "log/arcboxd.stderr"), filepath.Join(os.Getenv("HOME"), ".config/systemd/user/com.arcboxlabs.arcboxd.service")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	p.does(0, "agent", "start")
	p.does(0, "agent", "stop")
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the programs, once for both sides of the house.
func run(m *testing.M) int {
	if os.Getenv(house.Var) != "" {
		return m.Run()
	}
	bin, err := os.MkdirTemp("", "arcbox-bin-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	cmd := exec.Command("go", "build", "-o", bin+"/", "github.com/arcboxlabs/arcbox-go/cmd/arcbox", "github.com/arcboxlabs/arcbox-go/cmd/arcboxd", "github.com/arcboxlabs/arcbox-go/cmd/arcbox-vm",
		"github.com/arcboxlabs/arcbox-go/cmd/arcbox-net")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return 1
	}
	os.Setenv("ARCBOX_TEST_BIN", bin)
	return m.Run()
}
