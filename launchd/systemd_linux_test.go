package launchd

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// houseVar says that this process is the first one in a house: namespaces of its own
// in which nothing but a user's systemd runs.
const houseVar = "LAUNCHD_TEST_HOUSE"

// A real systemd installs, activates, restarts and forgets a real agent. It runs in
// namespaces of its own, so that nobody's session is touched and nothing stays.
func TestSystemd(t *testing.T) {
	if os.Getenv(houseVar) == "" {
		runInHouse(t)
		return
	}
	h := newHouse(t)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *house)
	}{
		{"install and repeat", testInstall},
		{"systemd finds nothing to say about the units", testVerify},
		{"a crash is followed by another start", testCrash},
		{"another definition", testAnother},
		{"stop and start", testStop},
		{"a connection starts it", testActivation},
		{"a program that cannot be run", testBroken},
		{"disabled", testDisabled},
		{"systemctl fails", testFaults},
		{"uninstall", testUninstall},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
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

// A house has a user's systemd, and a Manager that is made as for any user.
type house struct {
	Manager
	home  string
	agent Agent
	left  []int // children that agents have left behind
}

func newHouse(t *testing.T) *house {
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
	m, err := New("com.example.agent", "com.example.old")
	must(t, "new", err)
	must(t, "systemd is up", until(t.Context(), time.Minute, func() (bool, error) {
		out, _ := exec.Command("systemctl", "--user", "is-system-running").Output()
		word := strings.TrimSpace(string(out))
		return word == "running" || word == "degraded", nil
	}))
	self, err := os.Executable()
	must(t, "executable", err)
	home := os.Getenv("HOME")
	return &house{Manager: m, home: home, agent: Agent{
		Program: self, Env: map[string]string{asVar: "agent", "AGENT_TEST": `50% "of" $HOME \`, houseVar: ""},
		Sockets:   []Socket{{"api", filepath.Join(home, "with space/100%/api.sock")}},
		OpenFiles: 4096, Log: filepath.Join(home, "log dir/agent.log"),
	}}
}

// ask connects, which starts an agent that does not run, and hears who answers.
func (h *house) ask(t *testing.T, say string) (pid int, word string) {
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
func (h *house) wantState(t *testing.T, want State) Status {
	t.Helper()
	s := status(t, h)
	if s.State != want {
		t.Errorf("it stands at %s, want %s: %+v", s.State, want, s)
	}
	for _, child := range h.left {
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", child)); err != nil || strings.Contains(string(data), "\nState:\tZ") {
			t.Errorf("the process %d that an agent left running is gone (%v)", child, err)
		}
	}
	return s
}

// files lists what is in the home, but for directories.
func (h *house) files(t *testing.T) (all []string) {
	t.Helper()
	must(t, "walk", filepath.WalkDir(h.home, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, h.home+"/"))
		}
		return err
	}))
	return all
}

func testInstall(t *testing.T, h *house) {
	h.wantState(t, Absent)
	if err := h.Start(t.Context()); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("start: %v", err)
	}
	must(t, "stop what is not there", h.Stop(t.Context()))
	old, err := New("com.example.old")
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
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
	must(t, "limits", err)
	if !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max open files 4096 4096") {
		t.Errorf("its limits are %s", limits)
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

func testVerify(t *testing.T, h *house) {
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

func testCrash(t *testing.T, h *house) {
	pid, _ := h.ask(t, "crash")
	again, _ := h.ask(t, "")
	if again == pid {
		t.Errorf("the crashed agent %d answers", pid)
	}
	if s := h.wantState(t, Running); s.Runs != 1 {
		t.Errorf("%+v", s)
	}
}

func testAnother(t *testing.T, h *house) {
	pid, _ := h.ask(t, "")
	h.agent.Env["AGENT_TEST"] = "another"
	h.agent.Sockets = append(h.agent.Sockets, Socket{"extra", filepath.Join(h.home, "extra.sock")})
	must(t, "install", h.Install(t.Context(), h.agent))
	if again, word := h.ask(t, ""); again == pid || word != "another" {
		t.Errorf("%d answers %q, before it was %d", again, word, pid)
	}
	h.wantState(t, Running)

	h.agent.Sockets = h.agent.Sockets[:1]
	must(t, "install", h.Install(t.Context(), h.agent))
	h.ask(t, "")
	if files := h.files(t); slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "extra") }) {
		t.Errorf("left of the socket that is gone: %q", files)
	}
}

func testStop(t *testing.T, h *house) {
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

func testActivation(t *testing.T, h *house) {
	must(t, "stop the service alone", exec.Command("systemctl", "--user", "stop", "com.example.agent.service").Run())
	h.wantState(t, Waiting)
	pid, _ := h.ask(t, "")
	if s := h.wantState(t, Running); s.PID != pid {
		t.Errorf("%d answers: %+v", pid, s)
	}
}

func testBroken(t *testing.T, h *house) {
	bad := h.agent
	bad.Program = filepath.Join(h.home, "bad")
	must(t, "write", os.WriteFile(bad.Program, []byte("no program\x00"), 0o755))
	if err := h.Install(t.Context(), bad); !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "203") {
		t.Errorf("install: %v", err)
	}
	if s := h.wantState(t, Failed); !strings.Contains(s.Problem, "journalctl") {
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

func testDisabled(t *testing.T, h *house) {
	must(t, "disable", exec.Command("systemctl", "--user", "disable", "com.example.agent.service").Run())
	if s := h.wantState(t, Running); s.Enabled || s.Problem == "" {
		t.Errorf("%+v", s)
	}
	must(t, "install", h.Install(t.Context(), h.agent))
	if s := h.wantState(t, Running); !s.Enabled || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// Each verb of systemctl fails once. The former definition is what runs then, or the
// same request again makes it good.
func testFaults(t *testing.T, h *house) {
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

func testUninstall(t *testing.T, h *house) {
	must(t, "uninstall", h.Uninstall(t.Context()))
	must(t, "uninstall again", h.Uninstall(t.Context()))
	h.wantState(t, Absent)
	if files := h.files(t); len(files) > 0 {
		t.Errorf("left: %q", files)
	}
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
