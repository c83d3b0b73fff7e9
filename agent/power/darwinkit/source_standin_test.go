//go:build standin

package darwinkit

import (
	"context"
	"testing"
	"time"

	"github.com/progrium/darwinkit/macos/appkit"
	"github.com/progrium/darwinkit/macos/foundation"

	"github.com/arcboxlabs/arcbox-go/agent/power"
)

// A base tells what a test wants.
type base struct {
	handle  power.Handler
	stopped bool
}

func (b *base) Watch(h power.Handler) (func(), error) {
	b.handle = h
	return func() { b.stopped = true }, nil
}

func TestTheNewsOfAppKit(t *testing.T) {
	foundation.SetHost(foundation.ProcessInfoThermalStateNominal, true)
	b := &base{}
	var told []power.Event
	stop, err := Source{b}.Watch(func(ctx context.Context, e power.Event) {
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > power.SleepTime {
			t.Errorf("%v is not bounded", e)
		}
		told = append(told, e)
	})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want ...power.Event) {
		t.Helper()
		if len(told) != len(want) || len(want) > 0 && told[0] != want[0] {
			t.Errorf("%s: told %v, want %v", what, told, want)
		}
		told = nil
	}
	workspace, process := appkit.Workspace_SharedWorkspace().NotificationCenter(), foundation.NotificationCenter_DefaultCenter()
	expect("a mode that holds at the beginning", power.LowPower)
	workspace.Post(willSleep)
	expect("sleep, before it is allowed", power.WillSleep)
	workspace.Post(didWake)
	expect("wake", power.DidWake)
	process.Post(thermalChanged)
	expect("a change that is none")
	foundation.SetHost(foundation.ProcessInfoThermalStateCritical, true)
	process.Post(thermalChanged)
	expect("heat", power.Hot)
	foundation.SetHost(foundation.ProcessInfoThermalStateFair, false)
	process.Post(powerChanged)
	if len(told) != 2 || told[0] != power.Cool || told[1] != power.FullPower {
		t.Errorf("all is well again: told %v", told)
	}
	told = nil
	b.handle(t.Context(), power.MemoryTight)
	expect("memory comes from the base", power.MemoryTight)
	b.handle(t.Context(), power.WillSleep)
	expect("and its sleep does not come twice")
	stop()
	if n := workspace.Observers() + process.Observers(); n != 0 || !b.stopped {
		t.Errorf("%d observers are left, base stopped: %v", n, b.stopped)
	}
	workspace.Post(willSleep)
	b.handle(t.Context(), power.MemoryTight)
	expect("after stop")
}
