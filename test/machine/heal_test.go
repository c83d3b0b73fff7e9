package machine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// kill sends a signal to the VM process.
func kill(t *testing.T, m *machine.Machine, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(m.Info().VMPID, sig); err != nil {
		t.Fatal(err)
	}
}

// put builds a program for the guest and copies it there.
func put(t *testing.T, m *machine.Machine, pkg, path string) {
	t.Helper()
	f, err := os.Open(kit.GuestProgram(t, "arm64", pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if said, err := runWith(m, f, "cat > "+path+" && chmod +x "+path); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

func TestWhatIsSeenAndHealed(t *testing.T) {
	h := newHost(t)
	h.set(func(s *machine.Settings) {
		s.HealthEvery = time.Second
		s.Limits.Stable = time.Millisecond // or the fourth time in a minute is the last
	})
	h.open(t)
	m := h.up(t, "")
	sh(t, m, "echo kept > /data/file; sync /data/file || sync")
	tests := []struct {
		name   string
		harm   func(t *testing.T)
		cause  string // what the event says
		report string // what the crash report has
	}{
		{"the VM process is killed", func(t *testing.T) { kill(t, m, syscall.SIGKILL) }, "signal: killed", "--- configuration"},
		{"the VM process is stopped", func(t *testing.T) { kill(t, m, syscall.SIGSTOP) }, "does not answer", "does not say"},
		{"the guest's kernel panics", func(t *testing.T) { harm(t, m, "echo c > /proc/sysrq-trigger; sleep 100") }, "panic", "sysrq"},
		// Whoever is not of the kernel, and most of it, gets no time any more; interrupts are taken as before.
		{"the guest hangs", func(t *testing.T) {
			put(t, m, "./hang", "/tmp/hang")
			harm(t, m, "exec /tmp/hang")
		}, "the guest does not answer", "--- registers"},
		{"the guest's agent is stopped", func(t *testing.T) { harm(t, m, "kill -STOP $PPID; sleep 1000") }, "does not answer", "--- configuration"},
		{"the guest restarts", func(t *testing.T) { harm(t, m, "reboot -f") }, "reset", "--- configuration"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, seq := m.Info(), h.events.Last()
			tt.harm(t)
			failed := h.event(t, seq, agentapi.MachineFailed)
			if !strings.Contains(failed.Cause, tt.cause) {
				t.Errorf("it failed because %q, want %q", failed.Cause, tt.cause)
			}
			h.event(t, failed.Seq, agentapi.MachineRecovered)
			after := m.Info()
			if after.VMPID == before.VMPID || after.BootID == before.BootID || after.State != "running" {
				t.Errorf("before %+v, after %+v", before, after)
			}
			if said := sh(t, m, "cat /data/file"); said != "kept" {
				t.Errorf("the disk says %q", said)
			}
			reports, err := m.Inspect(t.Context())
			if err != nil || len(reports.Reports) == 0 {
				t.Fatalf("%v, %v", reports.Reports, err)
			}
			text, err := os.ReadFile(reports.Reports[0])
			if err != nil || !strings.Contains(string(text), tt.report) || !strings.Contains(string(text), tt.cause) {
				t.Errorf("the crash report, %v:\n%s", err, text)
			}
			if _, err := os.Stat("/proc/" + itoa(before.VMPID)); err == nil {
				t.Error("the process is still there")
			}
		})
	}
	// The host leaves to PID 1 what PID 1 may heal.
	h.set(func(s *machine.Settings) { s.HealthEvery = 10 * time.Second })
	for name, script := range map[string]string{
		"the guest's agent is killed":                         "kill -9 $PPID",
		"the guest's agent is stopped, and there is patience": "kill -STOP $PPID; sleep 1000",
	} {
		t.Run(name, func(t *testing.T) {
			before, seq := m.Info(), h.events.Last()
			harm(t, m, script)
			until(t, "the agent is there again", func() bool { _, err := run(m, "true"); return err == nil })
			if said := sh(t, m, "cat /data/file"); said != "kept" || m.Info().BootID != before.BootID || m.Info().VMPID != before.VMPID {
				t.Errorf("it says %q, %+v", said, m.Info())
			}
			if h.events.Last() != seq {
				t.Error("the machine was not left as it is")
			}
		})
	}
}

// inUse says whether somebody holds a shared lock of the file, as whoever runs from a boot asset does of its manifest.
func inUse(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

func TestTheGuestDoesNotNoticeThatItsAgentsDie(t *testing.T) {
	h := newHost(t)
	first := h.fork(t)
	first.says(t, "open")
	first.says(t, "ready")
	first.kill()
	h.open(t)
	m := h.up(t, "")
	before := m.Info()
	for range 2 {
		g := h.Manager
		h.close(t, g, false)
		next := h.fork(t)
		next.says(t, "open")
		next.says(t, "ready")
		next.kill()
		h.open(t)
		if after := h.up(t, "").Info(); after.BootID != before.BootID || after.Uptime < before.Uptime || after.VMPID != before.VMPID {
			t.Errorf("before %+v, after %+v", before, after)
		}
	}
	// An agent that is told to end while it takes over leaves the VM to the next one.
	h.close(t, h.Manager, false)
	ending, end := context.WithCancel(context.Background())
	end()
	g, err := machine.Open(ending, options(h.home, kit.Program("arcbox-vm"), h.log, h.configured))
	if err != nil {
		t.Fatal(err)
	}
	h.close(t, g, false)
	h.open(t)
	m = h.up(t, "")
	if after := m.Info(); after.BootID != before.BootID || after.VMPID != before.VMPID {
		t.Errorf("before %+v, after an agent that did not get far %+v", before, after)
	}

	// What it runs from is in use as long as it runs, with no agent too.
	is, err := m.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.close(t, h.Manager, false)
	if !inUse(t, filepath.Join(filepath.Dir(is.Record["kernel"].(string)), boot.ManifestName)) {
		t.Error("its boot asset could be removed while it runs")
	}

	// A record that is lost while the VM runs is written again from what the VM knows.
	if err := os.RemoveAll(h.home.Root() + "/machines"); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	m = h.up(t, "")
	if r, err := m.Inspect(t.Context()); err != nil || r.BootID != before.BootID || r.Record["name"] != "default" {
		t.Errorf("found %+v, %v", r, err)
	}
	if _, err := os.Stat(h.home.Root() + "/machines/default.json"); err != nil {
		t.Error(err)
	}

	// A process that does not answer is ended, and the machine starts when it is needed.
	h.close(t, h.Manager, false)
	if err := syscall.Kill(before.VMPID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	if m = h.up(t, ""); m.Info().BootID == before.BootID {
		t.Error("the guest of a stopped process is still there")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := m.ForceStop(ctx); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(h.home.Run()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
