//go:build linux && !macshim

package launchd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit/house"
)

// A real systemd installs, activates, restarts and forgets a real agent. It runs in
// namespaces of its own, so that nobody's session is touched and nothing stays.
func TestSystemd(t *testing.T) {
	if !house.Enter(t) {
		return
	}
	h := newSession(t, "com.example.agent", "com.example.old", os.Getenv("HOME"))
	systemctl := func(verb string) func(*testing.T) {
		return func(t *testing.T) {
			must(t, verb, exec.Command("systemctl", "--user", verb, "com.example.agent.service").Run())
		}
	}
	h.quit, h.disable = systemctl("stop"), systemctl("disable")
	for _, part := range sessionParts {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
	t.Run("limits", func(t *testing.T) { testLimits(t, h) })
	t.Run("systemd finds nothing to say about the units", func(t *testing.T) { testVerify(t, h) })
	t.Run("systemctl fails", func(t *testing.T) { testFaults(t, h) })
	t.Run("uninstall", func(t *testing.T) { testUninstall(t, h); testForgotten(t) })
}

// alive says whether a process runs, and is not only waited for.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && !strings.Contains(string(data), "\nState:\tZ")
}

func testLimits(t *testing.T, h *session) {
	pid, _ := h.ask(t, "")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	must(t, "limits", err)
	if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max open files 4096 4096") {
		t.Errorf("its limits are %s", limits)
	}
}

func testVerify(t *testing.T, h *session) {
	m := h.Manager.(*systemctl)
	sockets, service, _ := m.units(m.label())
	args := []string{"verify", "--user"}
	for _, u := range append(sockets, service) {
		args = append(args, m.unit(u))
	}
	if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}

// Each verb of systemctl fails once. The former definition is what runs then, or the
// same request again makes it good.
func testFaults(t *testing.T, h *session) {
	m := h.Manager.(*systemctl)
	real, err := exec.LookPath("systemctl")
	must(t, "systemctl", err)
	defer func() { m.path = real }()
	for _, verb := range []string{"show", "daemon-reload", "enable", "start", "stop"} {
		flag, tool := filepath.Join(t.TempDir(), "failed"), filepath.Join(t.TempDir(), "systemctl")
		script := fmt.Sprintf("#!/bin/sh\ncase \" $* \" in *' %s '*) [ -e %s ] || { : >%s; echo 'Job failed, says the test' >&2; exit 1; } ;; esac\nexec %s \"$@\"\n", verb, flag, flag, real)
		must(t, "write", os.WriteFile(tool, []byte(script), 0o755))
		before := h.agent.Env["AGENT_TEST"]
		h.agent.Env["AGENT_TEST"] = "after " + verb
		m.path = tool
		err := h.Install(t.Context(), h.agent)
		if err == nil || !strings.Contains(err.Error(), "says the test") {
			t.Errorf("%s failed, and install says %v", verb, err)
		}
		if verb == "enable" || verb == "daemon-reload" {
			if _, word := h.ask(t, ""); word != before {
				t.Errorf("%s failed: %q answers, want the former definition %q", verb, word, before)
			}
		}
		must(t, "again", h.Install(t.Context(), h.agent))
		if _, word := h.ask(t, ""); word != "after "+verb {
			t.Errorf("%s failed once: %q answers", verb, word)
		}
		h.wantState(t, Running)
	}
}

func testForgotten(t *testing.T) {
	// systemd remembers a unit as long as processes of it live, such as those that
	// the agents have left.
	out, err := exec.Command("systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "com.example.*").Output()
	must(t, "list", err)
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); f[1] != "not-found" || f[2] != "inactive" {
			t.Errorf("systemd still knows %s", line)
		}
	}
}

// The real systemctl, with no systemd to talk to.
func TestWithoutASystemdSession(t *testing.T) {
	if _, err := exec.LookPath("systemctl"); err != nil {
		t.Skip("systemctl is not here (package systemd)")
	}
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "relative, which is to be ignored")
	t.Setenv("XDG_RUNTIME_DIR", home)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	made, err := New("com.example.agent")
	must(t, "new", err)
	m := made.(*systemctl)
	if want := filepath.Join(home, ".config/systemd/user"); m.dir != want {
		t.Errorf("units go to %s, want %s", m.dir, want)
	}
	a := Agent{Program: "/bin/true", Log: filepath.Join(home, "log")}
	for _, tool := range []string{"systemctl", "/nowhere/systemctl", "no-systemctl"} {
		m.path = tool
		ops := map[string]error{"install": m.Install(t.Context(), a), "start": m.Start(t.Context()), "stop": m.Stop(t.Context())}
		_, ops["status"] = m.Status(t.Context())
		for op, err := range ops {
			if !errors.Is(err, ErrNoSession) || !strings.Contains(err.Error(), "foreground") {
				t.Errorf("%s: %s: %v", tool, op, err)
			}
		}
		if all, err := os.ReadDir(home); err != nil || len(all) > 0 {
			t.Errorf("%s: made %v (%v)", tool, all, err)
		}
	}

	// What was installed in a session goes without one.
	_, err = write(m.definitions(a)...)
	must(t, "write", err)
	link := filepath.Join(m.dir, "default.target.wants", "com.example.agent.service")
	must(t, "dir", os.MkdirAll(filepath.Dir(link), 0o755))
	must(t, "link", os.Symlink(m.unit("com.example.agent.service"), link))
	must(t, "log", os.WriteFile(a.Log, nil, 0o600))
	must(t, "uninstall", m.Uninstall(t.Context()))
	for _, path := range []string{link, m.unit("com.example.agent.service"), a.Log} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("left %s", path)
		}
	}
}
