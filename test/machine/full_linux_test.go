package machine_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func TestAFullHostDiskIsToldAndLosesNothing(t *testing.T) {
	h := newHost(t)
	data := h.home.Data()
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}
	const room = 64 << 20 // beside what is kept for the host
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size="+strconv.Itoa(file.DefaultGuard+room)); err != nil {
		if os.Getenv("CI") == "" && err == unix.EPERM {
			t.Skip("only root can make a file system that is full")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(data, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	h.open(t)
	m := h.up(t, "")
	sh(t, m, "echo kept > /data/file; sync")
	before, seq := m.Info(), h.events.Last()
	ballast := filepath.Join(data, "ballast")
	if err := os.WriteFile(ballast, make([]byte, room), 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		_, err := run(m, "dd if=/dev/urandom of=/data/big bs=1M count=8 2>/dev/null && sync")
		written <- err
	}()
	full := h.event(t, seq, agentapi.DiskEvent)
	if !strings.Contains(full.Message, "vdb: the host has no space left") {
		t.Errorf("the event says %q", full.Message)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	again := h.event(t, full.Seq, agentapi.DiskEvent)
	if !strings.Contains(again.Message, "has space again") {
		t.Errorf("the event says %q", again.Message)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	if said := sh(t, m, "cat /data/file; wc -c < /data/big"); said != "kept\n8388608" || m.Info().BootID != before.BootID {
		t.Errorf("the guest says %q, and its boot was %s and is %s", said, before.BootID, m.Info().BootID)
	}
}
