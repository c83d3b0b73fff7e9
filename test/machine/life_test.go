package machine_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func TestALifeOfAMachine(t *testing.T) {
	h := newHost(t)
	h.open(t)
	m := h.up(t, "")
	info := m.Info()
	if info.State != "running" || info.CID != 3 || info.VMPID == 0 || len(info.BootID) != 36 || info.Uptime <= 0 {
		t.Errorf("the machine is %+v", info)
	}
	if id := sh(t, m, "cat /proc/sys/kernel/random/boot_id"); id != info.BootID {
		t.Errorf("the guest's boot is %s, ours %s", id, info.BootID)
	}
	sh(t, m, "echo kept > /data/file; sync") // and not unmounted: the stop does that
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	t.Run("what can be seen of it", func(t *testing.T) { inspect(t, ctx, m) })
	if err := m.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if info := m.Info(); info.State != "stopped" || info.VMPID != 0 || info.BootID != "" {
		t.Errorf("after the stop: %+v", info)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", info.VMPID)); err == nil {
		t.Error("its process is still there")
	}

	// The configuration changes: the machine is made anew, with its disk.
	seq := h.events.Last()
	h.set(func(s *machine.Settings) { s.CPUs, s.Cmdline = 2, "arcbox.test=1" })
	h.up(t, "")
	e := h.event(t, seq, agentapi.MachineDrift)
	if len(e.Changes) != 2 || e.Changes[0] != (agentapi.Change{Field: "cpus", From: "1", To: "2"}) || e.Changes[1].Field != "cmdline" {
		t.Errorf("the drift is %+v", e)
	}
	if said := sh(t, m, "cat /data/file; nproc; grep -o arcbox.test=1 /proc/cmdline"); said != "kept\n2\narcbox.test=1" {
		t.Errorf("the guest says %q", said)
	}
	if r, err := m.Inspect(ctx); err != nil || r.Generation != 2 || len(r.Drift) != 0 {
		t.Errorf("generation %d, drift %v, %v", r.Generation, r.Drift, err)
	}
	harm(t, m, "poweroff -f")
	is(t, m, lifecycle.Stopped)
}

func inspect(t *testing.T, ctx context.Context, m *machine.Machine) {
	r, err := m.Inspect(ctx)
	if err != nil || r.Generation != 1 || r.Record["name"] != "default" || len(r.Boot.Disks) < 2 || !strings.HasSuffix(r.Boot.Disks[1], "docker.img") || len(r.Drift) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	s, err := m.Stats(ctx)
	if err != nil || s.Exits == nil || s.DiskRead == 0 || s.DiskWrite == 0 || s.NetRecv == 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if u, err := m.DiskUsage(ctx); err != nil || u.Virtual == 0 || u.Allocated == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	c, err := m.Console(ctx, vmapi.HVC0, true)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	until(t, "the console is in the log", func() bool {
		b, _ := os.ReadFile(m.LogPath("console"))
		return strings.Contains(string(b), "arcbox-guest: ")
	})
}

func TestAMachineAtRest(t *testing.T) {
	h := newHost(t)
	h.set(func(s *machine.Settings) {
		s.IdleAfter, s.IdleLoad, s.StopAfter = 300*time.Millisecond, 1000, time.Hour
	})
	h.open(t)
	m := h.up(t, "")
	boot := m.Info().BootID
	is(t, m, lifecycle.Idle)
	if said := sh(t, m, "echo awake"); said != "awake" || m.Info().BootID != boot {
		t.Errorf("it says %q, boot %s before and %s now", said, boot, m.Info().BootID)
	}
	// A program that runs in the guest is use, although nobody calls.
	is(t, m, lifecycle.Idle)
	seq := h.events.Last()
	ended := make(chan error, 1)
	go func() {
		_, err := run(m, "sleep 3")
		ended <- err
	}()
	active := h.event(t, seq, agentapi.MachineActive)
	if idle := h.event(t, active.Seq, agentapi.MachineIdle); idle.Time.Before(active.Time.Add(2 * time.Second)) {
		t.Errorf("it was woken at %v and rested at %v, and a program ran for 3 s", active.Time, idle.Time)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	release := m.Use()
	is(t, m, lifecycle.Running)
	seq = h.events.Last()
	h.set(func(s *machine.Settings) { s.StopAfter = 100 * time.Millisecond })
	release()
	h.event(t, h.event(t, seq, agentapi.MachineIdle).Seq, agentapi.MachineStopped)
	h.set(func(s *machine.Settings) { s.IdleAfter = 0 })
	if h.up(t, ""); m.Info().BootID == boot {
		t.Error("it was not started again")
	}
}

// Machines that are stopped as the agent ends stay stopped, whoever still asks for them.
func TestWhoAsksAtTheEndLeavesNothingBehind(t *testing.T) {
	h := newHost(t)
	h.open(t)
	m := h.up(t, "")
	var asking sync.WaitGroup
	over := make(chan struct{})
	for range 8 {
		asking.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					m.EnsureReady(t.Context())
				}
			}
		})
	}
	h.close(t, h.Manager, true)
	close(over)
	asking.Wait()
	if left, _ := os.ReadDir(h.home.Run()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// The balloon takes what an idle guest does not need, and gives back when that changes, to nobody's harm.
func TestTheBalloonBacksOff(t *testing.T) {
	h := newHost(t)
	h.set(func(s *machine.Settings) {
		s.Memory, s.Reserve = 512<<20, 64<<20
		s.IdleAfter, s.IdleLoad, s.StopAfter = 300*time.Millisecond, 1000, time.Hour
	})
	h.open(t)
	m := h.up(t, "")
	boot := m.Info().BootID
	// Nobody calls this program: it waits for the balloon to have taken most, and then needs more than is left.
	sh(t, m, `setsid sh -c '
		available() { sed -n "s/^MemAvailable: *\([0-9]*\) kB/\1/p" /proc/meminfo; }
		while [ $(available) -gt 200000 ]; do sleep 0.3; done
		echo "little is left: $(available)" >/dev/hvc0
		dd if=/dev/zero of=/dev/shm/full bs=1M count=220
		echo "the program has $(wc -c </dev/shm/full)" >/dev/hvc0' </dev/null >/dev/null 2>&1 &`)
	is(t, m, lifecycle.Idle)
	until(t, "what needs memory has it", func() bool {
		b, _ := os.ReadFile(m.LogPath("console"))
		return strings.Contains(string(b), "the program has 230686720")
	})
	if state := m.Info().State; state != string(lifecycle.Idle) {
		t.Errorf("the machine is %s: nobody has called", state)
	}
	if said := sh(t, m, "dmesg | grep -ci 'out of memory' || true"); said != "0" || m.Info().BootID != boot {
		t.Errorf("the kernel tells %s times of no memory; boot %s before and %s now", said, boot, m.Info().BootID)
	}

	// What a guest at rest has given, it has again when another agent takes it over, and with that to work.
	balloon := func() uint64 {
		s, err := m.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Balloon
	}
	sh(t, m, "rm /dev/shm/full")
	until(t, "the balloon has taken something", func() bool { return balloon() > 0 })
	h.close(t, h.Manager, false)
	h.set(func(s *machine.Settings) { s.IdleAfter = time.Hour })
	h.open(t)
	m = h.up(t, "")
	until(t, "the balloon has given it back", func() bool { return balloon() == 0 })
	if m.Info().BootID != boot {
		t.Error("it is another guest")
	}
}

func TestMachinesSideBySide(t *testing.T) {
	h := newHost(t)
	h.open(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := h.Create(ctx, agentapi.Spec{Name: "rosetta", Role: machine.RoleRosetta}); err != nil {
		t.Fatal(err)
	}
	native, rosetta := h.up(t, ""), h.up(t, "rosetta")
	a, b := native.Info(), rosetta.Info()
	if a.CID == b.CID || a.VMPID == b.VMPID || a.BootID == b.BootID {
		t.Errorf("they share something: %+v, %+v", a, b)
	}
	sh(t, native, "echo native > /data/who; sync")
	sh(t, rosetta, "echo rosetta > /data/who; sync; grep arcbox.emulate=x86-64 /proc/cmdline")
	if err := rosetta.ForceStop(ctx); err != nil {
		t.Fatal(err)
	}
	if said := sh(t, native, "cat /data/who"); said != "native" || native.Info().BootID != a.BootID {
		t.Errorf("the native machine's disk says %q", said)
	}
	if said := sh(t, rosetta, "cat /data/who"); said != "rosetta" {
		t.Errorf("the other machine's disk says %q", said)
	}
	if err := h.Remove(ctx, "rosetta", true, false); err != nil {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(h.home.Data()); len(entries) != 1 {
		t.Errorf("disks that are left: %v", entries)
	}
}
