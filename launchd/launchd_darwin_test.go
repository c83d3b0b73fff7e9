package launchd

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The Mac's own launchd installs, activates, restarts and forgets a real agent, in the
// session of whoever is logged in. Its label is of this process alone.
func TestLaunchd(t *testing.T) {
	home, err := os.MkdirTemp("/tmp", "launchd") // sockets need a short path
	must(t, "home", err)
	label := fmt.Sprintf("com.example.arcbox-test-%d", os.Getpid())
	h := newSession(t, label, label+"-old", home)
	call := func(args ...string) {
		out, err := exec.Command("/bin/launchctl", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("launchctl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	target := fmt.Sprintf("gui/%d/%s", os.Getuid(), label)
	h.quit = func(*testing.T) { call("kill", "TERM", target) }
	h.disable = func(*testing.T) { call("disable", target) }
	if _, err := h.Status(t.Context()); errors.Is(err, ErrNoSession) {
		t.Skip(err)
	}
	if _, err := activate("api"); err != nil && !errors.Is(err, ErrNotManaged) {
		t.Skip(err) // built without cgo
	}
	t.Cleanup(func() {
		if err := h.Uninstall(t.Context()); err != nil {
			t.Error(err)
		}
		for _, child := range h.left {
			syscall.Kill(child, syscall.SIGKILL) // ours by way of the agent
		}
		os.RemoveAll(home)
	})
	for _, part := range sessionParts {
		t.Run(part.name, func(t *testing.T) { part.run(t, h) })
	}
	t.Run("uninstall", func(t *testing.T) {
		testUninstall(t, h)
		m := h.Manager.(*launchctl)
		for _, l := range m.names {
			if _, err := os.Stat(m.plist(l)); err == nil {
				t.Errorf("%s is still there", m.plist(l))
			}
		}
	})
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
