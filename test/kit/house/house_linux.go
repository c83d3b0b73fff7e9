package house

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

const systemd = "/usr/lib/systemd/systemd"

// Enter runs the calling test again, in a process that is the first one of a house, and reports
// what it says; then it returns false, and the caller has nothing more to do. In the
// house it starts systemd and returns true: HOME is empty, and `systemctl --user` works. A system
// that does not allow all that skips the test.
func Enter(t *testing.T) bool {
	t.Helper()
	if os.Getenv(Var) != "" {
		furnish(t)
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make the namespaces for a systemd of its own")
	}
	for _, p := range []string{systemd, "/usr/bin/systemctl"} {
		if _, err := os.Stat(p); err != nil {
			t.Skip("systemd is not here (package systemd)")
		}
	}
	build(t)
	return false
}

// build makes the namespaces and runs the test in them.
func build(t *testing.T) {
	group := makeCgroup(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=8m")
	cmd.Env = append(os.Environ(), Var+"=1", "HOME="+home, "XDG_CONFIG_HOME="+home+"/.config",
		fmt.Sprintf("XDG_RUNTIME_DIR=/run/user/%d", os.Getuid()), "DBUS_SESSION_BUS_ADDRESS=")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWCGROUP | syscall.CLONE_NEWIPC,
		UseCgroupFD: true, CgroupFD: int(group.Fd()), Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS):
		t.Skipf("this system does not allow the namespaces for a systemd of its own: %v", err)
	case err != nil:
		t.Fatalf("in the house: %v", err)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()+" "):
		t.Error("the test did not run in the house")
	}
}

// makeCgroup makes a control group for the house, which is removed with what the
// systemd in it has made, once all in it are gone.
func makeCgroup(t *testing.T) *os.File {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	root := ""
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.Contains(line, " - cgroup2 ") && f[3] == "/" {
			root = f[4]
		}
	}
	if root == "" {
		t.Skip("systemd needs control groups of version 2, which are not mounted here")
	}
	dir, err := os.MkdirTemp(root, "arcbox-test-")
	if err != nil {
		t.Skipf("cannot make a control group: %v", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if err := await(func() bool { return removeCgroup(dir) == nil }); err != nil {
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

// await asks until the answer is yes, for at most a minute: neither systemd's start nor
// a control group's end tells.
func await(ask func() bool) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ask() {
			return nil
		}
	}
	return errors.New("not within a minute")
}

// furnish mounts what a systemd needs to believe in, and starts it.
func furnish(t *testing.T) {
	run := os.Getenv("XDG_RUNTIME_DIR")
	for _, err := range []error{
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("tmpfs", "/run", "tmpfs", 0, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""),
		os.MkdirAll("/run/systemd/system", 0o755), // how a systemd tells that the system's is one
		os.MkdirAll(run, 0o700),
	} {
		if err != nil {
			t.Fatalf("cannot furnish the house: %v", err)
		}
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "systemd.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(systemd, "--user", "--log-target=console")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("systemd said:\n%s", out)
		}
	})
	err = await(func() bool {
		out, _ := exec.Command("systemctl", "--user", "is-system-running").Output()
		word := strings.TrimSpace(string(out))
		return word == "running" || word == "degraded"
	})
	if err != nil {
		t.Fatalf("systemd is not up: %v", err)
	}
}
