package machine_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestAFullHostDiskIsToldAndLosesNothing(t *testing.T) {
	h := newHost(t)
	data := h.home.Data()
	const room = 64 << 20 // beside what is kept for the host
	kit.RoomFor(t, data, file.DefaultGuard+room)
	h.open(t)
	m := h.up(t, "")
	sh(t, m, "echo kept > /data/file; sync")
	before, seq := m.Info(), h.events.Last()
	lift := fill(t, data, room)
	written := make(chan error, 1)
	go func() {
		_, err := run(m, "dd if=/dev/urandom of=/data/big bs=1M count=8 2>/dev/null && sync")
		written <- err
	}()
	full := h.event(t, seq, agentapi.DiskEvent)
	if !strings.Contains(full.Message, "vdb: the host has no space left") {
		t.Errorf("the event says %q", full.Message)
	}
	if _, err := run(m, "true"); err == nil || !strings.Contains(err.Error(), "disk is full") || m.Info().Waits == "" {
		t.Errorf("who calls for a guest that waits is told %v, and sees %q", err, m.Info().Waits)
	}
	lift()
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

	if waits := m.Info().Waits; waits != "" {
		t.Errorf("it still waits: %s", waits)
	}

	// A guest at rest is left waiting as well, also when somebody calls.
	h.set(func(s *machine.Settings) {
		s.IdleAfter, s.IdleLoad, s.StopAfter = 300*time.Millisecond, 1000, time.Hour
	})
	sh(t, m, `setsid sh -c '
		while ! [ -e /run/now ]; do sleep 0.3; done
		dd if=/dev/urandom of=/data/rest bs=1M count=8 && sync && echo "the rest is written" >/dev/hvc0' </dev/null >/dev/null 2>&1 &
		(sleep 5; touch /run/now) </dev/null >/dev/null 2>&1 &`)
	seq = h.events.Last()
	lift = fill(t, data, room)
	h.event(t, seq, agentapi.DiskEvent)
	if h.up(t, ""); m.Info().BootID != before.BootID {
		t.Error("who called for a guest that waits for space has got another one")
	}
	lift()
	logged(t, m, "the rest is written")
	if said := sh(t, m, "wc -c < /data/rest"); said != "8388608" || m.Info().BootID != before.BootID {
		t.Errorf("the guest says %q, and its boot was %s and is %s", said, before.BootID, m.Info().BootID)
	}
}

// What a guest prints is logged again as soon as there is space for it.
func TestAFullHostDiskEndsNoLog(t *testing.T) {
	h := newHost(t)
	const room = 8 << 20
	kit.RoomFor(t, h.home.Log(), room)
	h.open(t)
	m := h.up(t, "")
	sh(t, m, "echo before >/dev/hvc0")
	logged(t, m, "before")
	lift := fill(t, h.home.Log(), 2*room)
	sh(t, m, "for i in $(seq 3000); do echo meanwhile $i; done >/dev/hvc0")
	until(t, "it is told that nothing can be logged", func() bool { return strings.Contains(h.log.String(), "cannot log what the guest prints") })
	lift()
	logged(t, m, "meanwhile 3000")
	sh(t, m, "echo after >/dev/hvc0")
	logged(t, m, "after")
}

// fill takes up to size bytes of a directory's room, until lift.
func fill(t *testing.T, dir string, size int) (lift func()) {
	t.Helper()
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, size), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
	}
}

// logged waits until the log of the machine's console has a text.
func logged(t *testing.T, m *machine.Machine, text string) {
	t.Helper()
	until(t, "the console's log has "+text, func() bool {
		b, _ := os.ReadFile(m.LogPath("console"))
		return strings.Contains(string(b), text+"\r\n") || strings.Contains(string(b), text+"\n")
	})
}
