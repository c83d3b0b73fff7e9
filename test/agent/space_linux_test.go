package agent_test

import (
	"os"
	"syscall"
	"testing"
)

// TestNoSpace starts a machine where the host's disk is full: the person sees what it waits for, and doctor says what to do.
func TestNoSpace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	u := newUser(t)
	root := u.home.Root()
	if err := syscall.Mount("tmpfs", root, "tmpfs", 0, "size=8m,mode=700"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(root, syscall.MNT_DETACH) })
	u.set("[machine]\ncpus = 1\nmemory = \"256MiB\"\npreallocate = 0\nstart_timeout = \"15s\"\n")
	w := openTerminal(t, u)
	w.shows(w.runs("arcbox start", 1), `default disk: vdb: the host has no space left; the guest waits until there is some`, `^arcbox: the machine was not ready in time: 15s have passed`)
	w.shows(w.runs("arcbox doctor", 1), `^BROKEN +space +.* are free: machines wait with what they write`, `make room; arcbox disk compact`)
	u.run("stop", "--force")
	u.run("agent", "stop")
}
