package machine_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// fails is the default machine's answer to a start that must fail.
func (h *host) fails(t *testing.T, words ...string) {
	t.Helper()
	m, err := h.Get("")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = m.EnsureReady(ctx)
	if err == nil {
		t.Fatal("it started")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("it says %q, want %q in it", err, w)
		}
	}
}

func TestWhatCannotStartSaysWhy(t *testing.T) {
	h := newHost(t)
	h.set(func(s *machine.Settings) { s.Limits.FirstTry, s.Limits.LastTry = time.Millisecond, time.Millisecond })
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte(strings.Repeat("junk", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("no boot asset", func(t *testing.T) {
		t.Setenv(home.SharedEnv, dir)
		h.open(t)
		h.fails(t, boot.ErrNotFound.Error(), "arcbox assets fetch")
		h.close(t, h.Manager, true)
	})
	t.Run("a damaged boot asset", func(t *testing.T) {
		lib := boot.OpenLibrary(sharedBoot(), dir)
		asset, err := lib.Default()
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, "boot", "assets", asset.ID)
		if err := os.CopyFS(to, os.DirFS(asset.Dir)); err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(filepath.Join(to, boot.KernelName), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{1}, 12345); err != nil { // one wrong bit, or a few
			t.Fatal(err)
		}
		t.Setenv(home.SharedEnv, dir)
		h.open(t)
		h.fails(t, asset.ID, boot.ErrDamaged.Error(), "arcbox assets fetch to repair")
		h.close(t, h.Manager, true)
	})
	h.open(t)
	t.Run("a kernel that is none", func(t *testing.T) {
		h.set(func(s *machine.Settings) { s.Kernel = junk })
		h.fails(t, "cannot boot the kernel "+junk)
	})
	t.Run("a kernel that is not there", func(t *testing.T) {
		h.set(func(s *machine.Settings) { s.Kernel = filepath.Join(dir, "none") })
		h.fails(t, "cannot read the kernel", "no such file")
		h.set(func(s *machine.Settings) { s.Kernel = "" })
	})
	t.Run("a disk that another VM uses", func(t *testing.T) {
		img, err := storage.Open(filepath.Join(h.home.Data(), storage.DefaultName), false)
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		h.fails(t, storage.DefaultName, "in use by another VM")
	})
	t.Run("an engine that there is not", func(t *testing.T) {
		h.set(func(s *machine.Settings) { s.Backend = "steam" })
		h.fails(t, "steam")
		h.set(func(s *machine.Settings) { s.Backend = "" })
	})
	t.Run("a guest that hangs before its agent is there", func(t *testing.T) {
		h.close(t, h.Manager, true)
		h.set(func(s *machine.Settings) { s.Cmdline, s.Limits.Start = "init=/usr/bin/cat", 10*time.Second })
		h.open(t)
		h.fails(t, lifecycle.ErrTooLate.Error())
		m, err := h.Get("")
		if err != nil {
			t.Fatal(err)
		}
		var reports []string
		until(t, "there is a crash report", func() bool {
			is, err := m.Inspect(t.Context())
			reports = is.Reports
			return err == nil && len(reports) > 0
		})
		text, err := os.ReadFile(reports[0])
		if err != nil || !strings.Contains(string(text), "hvc0: ") || !strings.Contains(string(text), "--- registers") {
			t.Errorf("the crash report, %v:\n%s", err, text)
		}
	})
	t.Run("what was booted last is damaged, and there is nothing else", func(t *testing.T) {
		h.close(t, h.Manager, true)
		h.set(func(s *machine.Settings) { *s = small })
		t.Setenv(home.SharedEnv, dir)
		initrds, _ := filepath.Glob(filepath.Join(dir, "boot", "assets", "*", boot.InitrdName))
		if len(initrds) != 1 || os.Truncate(initrds[0], 12345) != nil {
			t.Fatalf("cannot damage %q", initrds)
		}
		h.open(t)
		h.fails(t, boot.ErrDamaged.Error(), "arcbox assets fetch to repair")
	})
}

func TestWhatIsInTheWayIsSetAside(t *testing.T) {
	h := newHost(t)
	records := filepath.Join(h.home.Root(), "machines")
	if err := os.MkdirAll(records, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(records, "default.json"), []byte(`{"version":1,"name":"def`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(records, "work.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path, err := h.home.Socket("vm-default.sock") // of a VM that a power cut ended
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	h.open(t)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the stale socket is still there")
	}
	if e := h.event(t, 0, agentapi.RecordSetAside); !strings.Contains(e.Message, "default.json cannot be read") {
		t.Errorf("the event says %q", e.Message)
	}
	if _, err := h.Get("work"); err == nil || !strings.Contains(err.Error(), "work.unreadable-") {
		t.Errorf("who wants a machine whose record cannot be read is told %v", err)
	}
	list, problems := h.List()
	if len(list) != 0 || len(problems) != 2 {
		t.Errorf("machines %v, problems %q", list, problems)
	}
	h.up(t, "") // made anew
	aside, _ := filepath.Glob(filepath.Join(records, "default.unreadable-*"))
	if len(aside) != 1 {
		t.Errorf("set aside: %q", aside)
	} else if b, err := os.ReadFile(aside[0]); err != nil || string(b) != `{"version":1,"name":"def` {
		t.Errorf("it has %q, %v", b, err)
	}
	if err := os.Remove(aside[0]); err != nil {
		t.Fatal(err)
	}
	if _, problems := h.List(); len(problems) != 1 {
		t.Errorf("nothing is in the way any more, and it says %q", problems)
	}
}
