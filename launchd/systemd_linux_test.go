package launchd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A real systemd installs, activates, restarts and forgets a real agent. It runs in
// namespaces of its own, so that nobody's session is touched and nothing stays.
func TestSystemd(t *testing.T) {
	if os.Getenv(houseVar) == "" {
		runInHouse(t)
		return
	}
	h := newHouse(t)
	for _, part := range sessionParts {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
	t.Run("limits", func(t *testing.T) { testLimits(t, h) })
	t.Run("systemd finds nothing to say about the units", func(t *testing.T) { testVerify(t, h) })
	t.Run("systemctl fails", func(t *testing.T) { testFaults(t, h) })
	t.Run("uninstall", func(t *testing.T) { testUninstall(t, h); testForgotten(t) })
}

func runInHouse(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can make the namespaces for a systemd of its own")
	}
	for _, p := range []string{systemdPath, "/usr/bin/systemctl"} {
		if _, err := os.Stat(p); err != nil {
			t.Skip("systemd is not here (package systemd)")
		}
	}
	cg := makeCgroup(t)
	self, err := os.Executable()
	must(t, "executable", err)
	home := t.TempDir()
	cmd := exec.Command(self, "-test.run=^TestSystemd$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), houseVar+"=1", "HOME="+home, "XDG_CONFIG_HOME="+home+"/.config",
		fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", os.Getuid()), "DBUS_SESSION_BUS_ADDRESS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWIPC,
		UseCgroupFD: true, CgroupFD: int(cg.Fd()), Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) {
		t.Skipf("this system does not allow the namespaces for a systemd of its own: %v", err)
	}
	must(t, "in the house", err)
	for _, part := range []string{"uninstall", "a_crash_is_followed_by_another_start"} {
		if !strings.Contains(string(out), "--- PASS: TestSystemd/"+part) {
			t.Errorf("%s did not run", part)
		}
	}
}

const systemdPath = "/usr/lib/systemd/systemd"

// makeCgroup makes a control group for the house, which is removed with what the
// systemd in it has made once all in it are gone.
func makeCgroup(t *testing.T) *os.File {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, "mounts", err)
	root := ""
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup2 ") && f[3] == "/" {
			root = f[4]
		}
	}
	if root == "" {
		t.Skip("systemd needs control groups of version 2, which are not mounted here")
	}
	dir, err := os.MkdirTemp(root, "arcbox-launchd-test-")
	if err != nil {
		t.Skipf("cannot make a control group: %v", err)
	}
	f, err := os.Open(dir)
	must(t, "open", err)
	t.Cleanup(func() {
		f.Close()
		if err := until(t.Context(), time.Minute, func() (bool, error) { return removeCgroup(dir) == nil, nil }); err != nil {
			t.Errorf("cannot remove %s: %v", dir, removeCgroup(dir))
		}
	})
	return f
}

func removeCgroup(dir string) error {
	subs, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, s := range subs {
		if s.IsDir() {
			if err := removeCgroup(filepath.Join(dir, s.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(dir)
}

// newHouse has a user's systemd, and a Manager that is made as for any user.
func newHouse(t *testing.T) *session {
	run := os.Getenv("XDG_RUNTIME_DIR")
	must(t, "private mounts", unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, "run", unix.Mount("tmpfs", "/run", "tmpfs", 0, ""))
	must(t, "proc", unix.Mount("proc", "/proc", "proc", 0, ""))
	must(t, "cgroup", unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""))
	must(t, "booted", os.MkdirAll("/run/systemd/system", 0o755)) // how systemd tells that it is init
	must(t, "runtime directory", os.MkdirAll(run, 0o700))
	log, err := os.Create(filepath.Join(t.TempDir(), "systemd.log"))
	must(t, "log", err)
	defer log.Close()
	cmd := exec.Command(systemdPath, "--user", "--log-target=console")
	cmd.Stdout, cmd.Stderr = log, log
	must(t, "systemd", cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("systemd said:\n%s", out)
		}
	})
	must(t, "systemd is up", until(t.Context(), time.Minute, func() (bool, error) {
		out, _ := exec.Command("systemctl", "--user", "is-system-running").Output()
		word := strings.TrimSpace(string(out))
		return word == "running" || word == "degraded", nil
	}))
	h := newSession(t, "com.example.agent", "com.example.old", os.Getenv("HOME"))
	systemctl := func(verb string) func(*testing.T) {
		return func(t *testing.T) {
			must(t, verb, exec.Command("systemctl", "--user", verb, "com.example.agent.service").Run())
		}
	}
	h.quit, h.disable = systemctl("stop"), systemctl("disable")
	return h
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
