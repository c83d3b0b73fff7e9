//go:build macshim && !darwin

package power_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/power"
	"github.com/arcboxlabs/arcbox-go/agent/power/standin"
	libsystem "github.com/arcboxlabs/arcbox-go/darwin/standin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		libsystem.WriteCoverage()
		os.Exit(status)
	}))
}

const patience = 10 * time.Second

// watch gives the events that come, until the test ends; then nothing may be left.
func watch(t *testing.T, handle func(context.Context, power.Event)) (<-chan power.Event, func()) {
	t.Helper()
	all := make(chan power.Event, 64)
	stop, err := power.System().Watch(func(ctx context.Context, e power.Event) {
		if handle != nil {
			handle(ctx, e)
		}
		all <- e
	})
	if err != nil {
		t.Fatal(err)
	}
	over := false
	once := func() {
		if !over {
			over = true
			stop()
		}
	}
	t.Cleanup(func() {
		once()
		for deadline := time.Now().Add(patience); standin.Live() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d objects are left", standin.Live())
			}
		}
	})
	return all, once
}

func expect(t *testing.T, events <-chan power.Event, want power.Event) {
	t.Helper()
	select {
	case e := <-events:
		if e != want {
			t.Fatalf("%v came, not %v", e, want)
		}
	case <-time.After(patience):
		t.Fatalf("%v did not come", want)
	}
}

func expectNone(t *testing.T, events <-chan power.Event) {
	t.Helper()
	select {
	case e := <-events:
		t.Fatalf("%v came", e)
	case <-time.After(50 * time.Millisecond):
	}
}

func TestSleepWaitsForTheHandler(t *testing.T) {
	ready := make(chan struct{})
	events, _ := watch(t, func(ctx context.Context, e power.Event) {
		if e != power.WillSleep {
			return
		}
		if d, ok := ctx.Deadline(); !ok || time.Until(d) > power.SleepTime {
			t.Error("sleep is not bounded")
		}
		<-ready
	})
	if standin.Message(standin.SystemWillSleep, 50*time.Millisecond) {
		t.Error("the host sleeps before the handler has returned")
	}
	close(ready)
	expect(t, events, power.WillSleep)
	if !standin.Message(standin.SystemHasPoweredOn, patience) {
		t.Error("sleep was never allowed")
	}
	expect(t, events, power.DidWake)
}

func TestMessages(t *testing.T) {
	events, _ := watch(t, nil)
	for _, tt := range []struct {
		name    string
		message uint32
		want    power.Event // 0 for none
	}{
		{"idle sleep is never held back", standin.CanSystemSleep, 0},
		{"sleep", standin.SystemWillSleep, power.WillSleep},
		{"the first sign of waking is too early", standin.SystemWillPowerOn, 0},
		{"wake", standin.SystemHasPoweredOn, power.DidWake},
		{"no sleep after all", standin.SystemWillNotSleep, power.DidWake},
		{"what we do not know", 0xe0000340, 0},
	} {
		if !standin.Message(tt.message, patience) {
			t.Errorf("%s: it was not dealt with", tt.name)
		}
		if tt.want != 0 {
			expect(t, events, tt.want)
		}
	}
	expectNone(t, events)
}

func TestMemoryPressure(t *testing.T) {
	events, _ := watch(t, nil)
	standin.Memory(standin.MemoryWarn)
	expect(t, events, power.MemoryTight)
	standin.Memory(standin.MemoryCritical)
	expect(t, events, power.MemoryCritical)
	standin.Memory(standin.MemoryNormal)
	expect(t, events, power.MemoryEased)
}

// Levels that come while the handler is busy come as one, and the worst counts.
func TestMemoryPressureThatPilesUp(t *testing.T) {
	busy, free := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	events, _ := watch(t, func(context.Context, power.Event) {
		if first.CompareAndSwap(false, true) {
			close(busy)
			<-free
		}
	})
	standin.Memory(standin.MemoryWarn)
	<-busy
	for _, level := range []uint{standin.MemoryNormal, standin.MemoryCritical, standin.MemoryWarn} {
		standin.Memory(level)
	}
	close(free)
	expect(t, events, power.MemoryTight)
	expect(t, events, power.MemoryCritical)
	expectNone(t, events)
}

func TestHeatAndLowPower(t *testing.T) {
	t.Cleanup(func() { standin.Note(standin.ThermalLevel, 0); standin.Note(standin.LowPowerMode, 0) })
	standin.Note(standin.LowPowerMode, 1)
	events, _ := watch(t, nil)
	expect(t, events, power.LowPower) // it held before anybody looked
	standin.Note(standin.ThermalLevel, 1)
	standin.Note(standin.ThermalLevel, 2)
	expect(t, events, power.Hot)
	standin.Note(standin.ThermalLevel, 3)
	expectNone(t, events)
	standin.Note(standin.ThermalLevel, 0)
	expect(t, events, power.Cool)
	standin.Note(standin.LowPowerMode, 0)
	expect(t, events, power.FullPower)
}

func TestNothingComesAfterStop(t *testing.T) {
	events, stop := watch(t, nil)
	stop()
	standin.Memory(standin.MemoryWarn)
	standin.Note(standin.ThermalLevel, 4)
	defer standin.Note(standin.ThermalLevel, 0)
	if !standin.Message(standin.SystemWillSleep, patience) {
		t.Error("the host's sleep waits for nobody")
	}
	expectNone(t, events)
}

func TestStopWaitsForTheHandler(t *testing.T) {
	busy, free := make(chan struct{}), make(chan struct{})
	_, stop := watch(t, func(context.Context, power.Event) {
		close(busy)
		<-free
	})
	standin.Memory(standin.MemoryWarn)
	<-busy
	stopped := make(chan struct{})
	go func() {
		stop()
		close(stopped)
	}()
	select {
	case <-stopped:
		t.Error("stop returned while the handler ran")
	case <-time.After(50 * time.Millisecond):
	}
	close(free)
	<-stopped
}

func TestARefusalIsAnError(t *testing.T) {
	standin.RefuseNext()
	if stop, err := power.System().Watch(func(context.Context, power.Event) {}); err == nil {
		stop()
		t.Fatal("it watches what it was refused")
	}
	if n := standin.Live(); n > 0 {
		time.Sleep(100 * time.Millisecond) // a queue ends by itself
		if n = standin.Live(); n > 0 {
			t.Errorf("%d objects are left", n)
		}
	}
}

// Two watches of one process know nothing of each other.
func TestTwoWatches(t *testing.T) {
	a, stopA := watch(t, nil)
	b, _ := watch(t, nil)
	standin.Memory(standin.MemoryWarn)
	expect(t, a, power.MemoryTight)
	expect(t, b, power.MemoryTight)
	stopA()
	standin.Memory(standin.MemoryNormal)
	expect(t, b, power.MemoryEased)
	expectNone(t, a)
}

func TestControl(t *testing.T) {
	events, _ := watch(t, nil)
	for _, tt := range []struct {
		word string
		want power.Event
	}{
		{"sleep", power.WillSleep}, {"wake", power.DidWake}, {"memory", power.MemoryTight}, {"memory-critical", power.MemoryCritical},
		{"memory-normal", power.MemoryEased}, {"hot", power.Hot}, {"cool", power.Cool},
	} {
		if got := standin.Control(tt.word); got != "done" {
			t.Errorf("%s: %s", tt.word, got)
		}
		expect(t, events, tt.want)
	}
	if got := standin.Control("nonsense"); got != "unknown" {
		t.Error(got)
	}
}
