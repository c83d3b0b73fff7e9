package machine

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mock runs f in fake time with a manager of machines without VMs.
func mock(t *testing.T, set Settings, f func(t *testing.T, g *Manager)) {
	t.Setenv(home.Env, t.TempDir())
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		g, err := Open(t.Context(), Options{Home: h, Events: &event.Bus{}, Mock: true, Settings: func(string) Settings { return set }})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := g.Close(context.Background(), true); err != nil {
				t.Error(err)
			}
		}()
		f(t, g)
	})
}

func (m *Machine) states(t *testing.T, want lifecycle.State) {
	t.Helper()
	synctest.Wait()
	if s := m.life.Status().State; s != want {
		t.Errorf("the machine is %s, want %s", s, want)
	}
}

func up(t *testing.T, g *Manager, name string) *Machine {
	t.Helper()
	m, err := g.Get(name)
	if err == nil {
		err = m.EnsureReady(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAMachineComesToRestAndEnds(t *testing.T) {
	mock(t, Settings{}, func(t *testing.T, g *Manager) {
		m := up(t, g, "")
		if info := m.Info(); info.CID != 3 || info.State != "running" || info.Name != "default" {
			t.Errorf("the mock machine is %+v", info)
		}
		time.Sleep(4 * time.Minute)
		up(t, g, "") // use: five minutes begin anew
		time.Sleep(4*time.Minute + 59*time.Second)
		m.states(t, lifecycle.Running)
		time.Sleep(time.Second)
		m.states(t, lifecycle.Idle)
		time.Sleep(29 * time.Minute)
		m.states(t, lifecycle.Idle)
		time.Sleep(time.Minute)
		m.states(t, lifecycle.Stopped)
		up(t, g, "") // and it is there again
	})
}

func TestWhatKeepsAMachineFromRest(t *testing.T) {
	mock(t, Settings{NoStop: true}, func(t *testing.T, g *Manager) {
		m := up(t, g, "")
		release := m.Use()
		if _, err := m.Hold("kubernetes", "a cluster"); err != nil {
			t.Fatal(err)
		}
		held, err := m.Hold("kubernetes", "")
		if err != nil || len(held) != 1 || held[0].Count != 2 || held[0].Reason != "a cluster" {
			t.Errorf("held: %+v, %v", held, err)
		}
		time.Sleep(time.Hour)
		m.states(t, lifecycle.Running)
		m.Release("kubernetes", false)
		release()
		time.Sleep(time.Hour)
		m.states(t, lifecycle.Running)
		if left := m.Release("kubernetes", false); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
		time.Sleep(5 * time.Minute)
		m.states(t, lifecycle.Idle)
		time.Sleep(24 * time.Hour)
		m.states(t, lifecycle.Idle) // it is not to be stopped
		release = m.Use()
		m.states(t, lifecycle.Running)
		release()
		release()
		g.Rest()
		m.states(t, lifecycle.Idle)
		if _, err := m.Hold("", ""); err == nil {
			t.Error("a hold without a name")
		}
	})
}

func TestMachinesAndTheirRecords(t *testing.T) {
	mock(t, Settings{}, func(t *testing.T, g *Manager) {
		ctx := t.Context()
		for _, name := range []string{"a", "b", "c"} {
			if _, err := g.Create(ctx, agentapi.Spec{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.Create(ctx, agentapi.Spec{Name: "b"}); !errors.Is(err, ErrExists) {
			t.Errorf("a second b: %v", err)
		}
		if _, err := g.Create(ctx, agentapi.Spec{Name: "B"}); err == nil {
			t.Error("a machine with a bad name")
		}
		if err := g.Remove(ctx, "b", false, false); err != nil {
			t.Error(err)
		}
		if _, err := g.Get("b"); !errors.Is(err, ErrNotFound) {
			t.Errorf("b is removed: %v", err)
		}
		up(t, g, "c")
		if err := g.Remove(ctx, "c", false, false); !errors.Is(err, lifecycle.ErrRefused) || !strings.Contains(err.Error(), "c, which is running") {
			t.Errorf("removing what runs: %v", err)
		}
		up(t, g, "")
		list, _ := g.List()
		var cids []uint32
		for _, m := range list {
			cids = append(cids, m.CID)
		}
		if !slices.Equal(cids, []uint32{3, 5, 4}) { // a, c, default: b's was free
			t.Errorf("machines %+v", list)
		}
		if err := g.Remove(ctx, "c", true, false); err != nil || g.records.exists("c") {
			t.Errorf("removing by force: %v", err)
		}
	})
}

func TestARecordThatVanishesIsWrittenAgain(t *testing.T) {
	mock(t, Settings{}, func(t *testing.T, g *Manager) {
		m := up(t, g, "")
		if err := m.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(g.records.path("default")); err != nil {
			t.Fatal(err)
		}
		up(t, g, "")
		if !g.records.exists("default") {
			t.Error("there is no record")
		}
	})
}

func TestCrashReportsAreBounded(t *testing.T) {
	mock(t, Settings{}, func(t *testing.T, g *Manager) {
		a := up(t, g, "")
		if _, err := g.Create(t.Context(), agentapi.Spec{Name: "default-2"}); err != nil {
			t.Fatal(err)
		}
		other, err := g.Get("default-2")
		if err != nil {
			t.Fatal(err)
		}
		other.writeCrashReport("of another machine")
		for i := range keptReports + 2 {
			time.Sleep(time.Second)
			a.writeCrashReport(strconv.Itoa(i))
		}
		kept := a.crashReports()
		if len(kept) != keptReports || len(other.crashReports()) != 1 {
			t.Errorf("%d reports are kept, and %d of another machine", len(kept), len(other.crashReports()))
		}
		for place, want := range map[int]string{0: strconv.Itoa(keptReports + 1), keptReports - 1: "2"} {
			if text, err := os.ReadFile(kept[place]); err != nil || string(text) != want {
				t.Errorf("report %d is %q, want %q, %v", place, text, want, err)
			}
		}
		time.Sleep(time.Second)
		a.writeCrashReport(strings.Repeat("x", 2*maxReport))
		if info, err := os.Stat(a.crashReports()[0]); err != nil || info.Size() != maxReport {
			t.Errorf("a long report: %v, %v", info, err)
		}
	})
}

func TestRecordsOutliveTheManager(t *testing.T) {
	mock(t, Settings{CPUs: 2}, func(t *testing.T, g *Manager) {
		cpus := 7
		m := up(t, g, "")
		r, err := m.SetResources(t.Context(), &agentapi.SetResourcesReq{CPUs: &cpus})
		if err != nil || r.Next.CPUs != 7 {
			t.Errorf("set: %+v, %v", r, err)
		}
		if err := g.Close(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Create(t.Context(), agentapi.Spec{Name: "late"}); !errors.Is(err, ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
		next, err := Open(t.Context(), g.opts)
		if err != nil {
			t.Fatal(err)
		}
		defer next.Close(context.Background(), true)
		if list, problems := next.List(); len(list) != 1 || len(problems) != 0 || list[0].CPUs != 7 || list[0].State != "stopped" {
			t.Errorf("found %+v, %v", list, problems)
		}
	})
}

func TestThePulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPulse()
		defer p.late.Stop()
		p.synced()
		due := func() int { return len(p.due) }
		for range 11 { // 55 s of beats
			p.beat(16 * time.Second)
			time.Sleep(5 * time.Second)
		}
		if due() != 0 {
			t.Error("the clock is to be set too early")
		}
		time.Sleep(5 * time.Second)
		if p.beat(16 * time.Second); due() != 1 {
			t.Error("the clock is not to be set after a minute")
		}
		start := time.Now()
		<-p.late.C
		if took := time.Since(start); took != 16*time.Second {
			t.Errorf("missing beats show after %v", took)
		}
		p.beat(16 * time.Second)
		p.beat(0) // idle
		time.Sleep(time.Hour)
		if len(p.late.C) > 0 {
			t.Error("an idle guest is missed")
		}
		for at, want := range []time.Duration{35 * time.Second, 25 * time.Second, 15 * time.Second} {
			if left := p.suspected(35 * time.Second); left != want {
				t.Errorf("asked %d times, an agent that hangs has %v left, want %v", at+1, left, want)
			}
			time.Sleep(10 * time.Second)
		}
		p.beat(0)
		p.beat(16 * time.Second)
		if left := p.suspected(35 * time.Second); left != 35*time.Second {
			t.Errorf("after a beat it has %v", left)
		}
	})
}
