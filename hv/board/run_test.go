package board

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const panicText = "[    1.5] Kernel panic - not syncing: VFS\n"
const panicTextEnd = "[    1.6] ---[ end Kernel panic - not syncing: VFS ]---\n"

func TestOutcomes(t *testing.T) {
	off := hvc(arm64.PSCISystemOff)
	tests := []struct {
		name    string
		script  []step
		kind    Kind
		message string
	}{
		{"power off", steps(off), PowerOff, "powered off"},
		{"reset", steps(hvc(arm64.PSCISystemReset)), Reset, "reset"},
		{"warm reset", steps(hvc(arm64.PSCISystemReset2x64, 0)), Reset, "warm"},
		{"panic line, then reset", steps(say(panicText), hvc(arm64.PSCISystemReset)), Panic, "VFS"},
		{"panic line, then power off", steps(say(panicText), off), Panic, "VFS"},
		{"panic words inside a line", steps(say("log: Kernel panic - not syncing\n"), off), PowerOff, ""},
		{"panic that spins for ever", steps(say(panicText + panicTextEnd)), Panic, "VFS"},
		{"panic line, but the guest goes on", steps(say(panicText + panicTextEnd + "login: \n")), Stopped, "deadline"},
		{"pvpanic, then silence", steps(store(PvpanicBase, 1, 1)), Panic, "pvpanic"},
		{"pvpanic, then reset", steps(store(PvpanicBase, 1, 1), hvc(arm64.PSCISystemReset)), Panic, "pvpanic"},
		{"a crash kernel takes over", steps(store(PvpanicBase, 1, 2), store(PvpanicBase, 1, 1)), Stopped, "deadline"},
		{"the last vCPU switches itself off", steps(hvc(arm64.PSCICPUOff)), Fault, "every vCPU"},
		{"panic line, then no vCPU is left", steps(say(panicText), hvc(arm64.PSCICPUOff)), Panic, "VFS"},
		{"access without syndrome", steps(exit(hv.Fault)), Fault, "nobody can answer"},
		{"store to read-only memory", steps(exit(hv.Denied)), Fault, "read-only"},
		{"an exit from the future", steps(exit(hv.ExitKind(0))), Fault, "unknown exit"},
		{"nothing happens", nil, Stopped, "deadline"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				out := mustRun(t, newFake(t, nil, tt.script))
				if out.Kind != tt.kind || !strings.Contains(out.Message, tt.message) {
					t.Errorf("ends with %s %q, want %s %q", out.Kind, out.Message, tt.kind, tt.message)
				}
			})
		})
	}
}

// TestPanicTakesItsTime: the kernel's last line counts, not its first.
func TestPanicTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := steps(store(PvpanicBase, 1, 1))
		for range 8 { // prints on for 8 s, a line a second
			script = append(script, do(func(*fakeVCPU) { time.Sleep(time.Second) }))
			script = append(script, say("trace\n")...)
		}
		out := mustRun(t, newFake(t, nil, script))
		if got := out.Stats.Host; out.Kind != Panic || got < 9*time.Second || got > 13*time.Second {
			t.Errorf("ends with %s after %s, want a panic 2 s after the last line at 8 s", out.Kind, got)
		}
	})
}

func TestReportTellsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		crash := func(v *fakeVCPU, e *hv.Exit) error {
			v.regs[hv.PC], v.regs[7], v.sys[arm64.FAR_EL1] = 0x40080000, 0x7777, 0xfa7
			*e = hv.Exit{Kind: hv.Fault, IPA: 0x1234, ESR: arm64.ESR(arm64.ECInstrAbort, 0)}
			return nil
		}
		out := mustRun(t, newFake(t, nil, steps(say("hello\nhalf a li"), step(crash)), nil))
		for _, want := range []string{
			"fault: vCPU 0: instruction fetch at 0x1234", "CPU0: running, EL1, PC 0000000040080000",
			"x7  0000000000007777", "FAR_EL1       0000000000000fa7", "CPU1: off",
			"ttyAMA0: hello\n", "ttyAMA0: half a li\n",
		} {
			if !strings.Contains(out.Report(), want) {
				t.Errorf("report lacks %q:\n%s", want, out.Report())
			}
		}
	})
}

func TestEngineFailure(t *testing.T) {
	broken := errors.New("HV_ERROR")
	b := newFake(t, nil, steps(step(func(*fakeVCPU, *hv.Exit) error { return broken })))
	if out := mustRun(t, b); out.Kind != Fault || !strings.Contains(out.Message, "HV_ERROR") {
		t.Errorf("ends with %s %q, want the engine's error as a fault", out.Kind, out.Message)
	}
}

func TestVCPUCannotBeMade(t *testing.T) {
	b := newFake(t, func(c *Config) { c.Engine.(*fakeEngine).failNew = 2 }, nil, nil, nil)
	if _, err := b.Run(t.Context()); !errors.Is(err, hv.ErrUnsupported) {
		t.Errorf("Run answers %v, want the engine's error", err)
	}
}

func TestRunOnce(t *testing.T) {
	b := newFake(t, nil, steps(hvc(arm64.PSCISystemOff)))
	mustRun(t, b)
	if _, err := b.Run(t.Context()); !errors.Is(err, ErrRunning) {
		t.Errorf("the second Run answers %v", err)
	}
}

func TestStopIsBounded(t *testing.T) {
	b := newFake(t, nil, nil, steps(exit(hv.WFI)), nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(errors.New("enough")) })
	begin := time.Now()
	out, err := b.Run(ctx)
	if err != nil || out.Kind != Stopped || out.Message != "enough" {
		t.Errorf("ends with %+v, %v", out, err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("the stop took %s", d)
	}
}

func TestUnknownAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []string
		logTo := func(c *Config) {
			c.Log = func(format string, args ...any) { logged = append(logged, format) }
		}
		var got uint64 = 1
		b := newFake(t, logTo, steps(
			msr(arm64.OSLAR_EL1, 1), msr(arm64.OSLAR_EL1, 1), mrs(arm64.OSDLR_EL1),
			do(func(v *fakeVCPU) { got = v.regs[5] }),
			store(0x1000, 8, 1), load(0x2000_0000, 4),
			hvc(arm64.PSCISystemOff)))
		out := mustRun(t, b)
		if got != 0 || out.Stats.UnknownRegisters != 3 || out.Stats.UnknownMMIO != 2 {
			t.Errorf("read %#x, counted %d registers and %d addresses, want 0, 3, 2",
				got, out.Stats.UnknownRegisters, out.Stats.UnknownMMIO)
		}
		if len(logged) != 4 {
			t.Errorf("%d lines logged, want one for each of 2 registers and 2 addresses: %q", len(logged), logged)
		}
	})
}

// TestWFIEndsWithLine parks a vCPU and raises a device's line.
func TestWFIEndsWithLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var irq bool
		var b *Board
		b = newFake(t, nil, steps(gicOn(0), exit(hv.WFI),
			do(func(v *fakeVCPU) { irq = v.irq }), hvc(arm64.PSCISystemOff)))
		time.AfterFunc(3*time.Second, func() { b.setSPI(intUART, true) })
		out := mustRun(t, b)
		if !irq || out.Stats.Host != 3*time.Second || out.Stats.CPUs[0].Wakeups != 1 {
			t.Errorf("irq %v after %s and %d wake-ups, want true after 3s and 1", irq, out.Stats.Host, out.Stats.CPUs[0].Wakeups)
		}
	})
}

// TestWFIEndsWithTimer parks a vCPU until its virtual timer is due.
func TestWFIEndsWithTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var intid, after uint64
		b := newFake(t, nil, steps(gicOn(0),
			do(func(v *fakeVCPU) {
				v.sys[arm64.CNTV_CTL_EL0] = timerEnable
				v.sys[arm64.CNTV_CVAL_EL0] = v.count() + 2*24_000_000
			}),
			exit(hv.WFI), mrs(arm64.ICC_IAR1_EL1),
			do(func(v *fakeVCPU) {
				intid = v.regs[5]
				v.sys[arm64.CNTV_CTL_EL0] = 0
			}),
			msr(arm64.ICC_EOIR1_EL1, ppiVTimer), mrs(arm64.ICC_HPPIR1_EL1),
			do(func(v *fakeVCPU) { after = v.regs[5] }),
			hvc(arm64.PSCISystemOff)))
		out := mustRun(t, b)
		if intid != ppiVTimer || after != 1023 {
			t.Errorf("acknowledged %d, then %d is pending; want 27, then nothing", intid, after)
		}
		if d := out.Stats.Host - 2*time.Second; d < 0 || d > time.Microsecond {
			t.Errorf("woken after %s, want 2s", out.Stats.Host)
		}
	})
}

// TestWFIWithMaskedTimer: a timer that the guest has masked wakes nobody.
func TestWFIWithMaskedTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newFake(t, nil, steps(gicOn(0),
			do(func(v *fakeVCPU) { v.sys[arm64.CNTV_CTL_EL0] = timerEnable | timerMask }),
			exit(hv.WFI), hvc(arm64.PSCISystemOff)))
		if out := mustRun(t, b); out.Kind != Stopped {
			t.Errorf("ends with %s, want a wait until the deadline", out.Kind)
		}
	})
}

// TestTimerLineFollowsGuest: the line stays high until the guest reprograms.
func TestTimerLineFollowsGuest(t *testing.T) {
	var high, low uint64
	var masked, unmasked bool
	expire := func(v *fakeVCPU, e *hv.Exit) error {
		v.sys[arm64.CNTV_CTL_EL0], v.masked = timerEnable, true
		*e = hv.Exit{Kind: hv.VTimer}
		return nil
	}
	b := newFake(t, nil, steps(gicOn(0), step(expire), mrs(arm64.ICC_HPPIR1_EL1),
		do(func(v *fakeVCPU) {
			high, masked = v.regs[5], v.masked
			v.sys[arm64.CNTV_CVAL_EL0] = 1 << 60
		}),
		mrs(arm64.ICC_HPPIR1_EL1),
		do(func(v *fakeVCPU) { low, unmasked = v.regs[5], !v.masked }),
		hvc(arm64.PSCISystemOff)))
	mustRun(t, b)
	if high != ppiVTimer || !masked || low != 1023 || !unmasked {
		t.Errorf("pending %d (masked %v), after reprogramming %d (unmasked %v); want 27 true 1023 true", high, masked, low, unmasked)
	}
}

// TestNoWakeUpIsLost has a vCPU park again and again while a line is raised
// at any moment around it. A lost wake-up is a time-out.
func TestNoWakeUpIsLost(t *testing.T) {
	const rounds = 3000
	var b *Board
	raise := make(chan struct{}, 1)
	script := gicOn(0)
	for range rounds {
		script = append(script,
			do(func(*fakeVCPU) { raise <- struct{}{} }), exit(hv.WFI),
			do(func(v *fakeVCPU) { b.setSPI(intRTC, false) }))
	}
	b = newFake(t, nil, append(script, hvc(arm64.PSCISystemOff)))
	go func() {
		for range rounds {
			<-raise
			b.setSPI(intRTC, true)
		}
	}()
	if out := mustRun(t, b); out.Kind != PowerOff {
		t.Errorf("ends with %s %q after %d wake-ups, want all %d", out.Kind, out.Message, out.Stats.CPUs[0].Wakeups, rounds)
	}
}

// TestPause holds a vCPU that spins, one that waits and one that is off.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ticks atomic.Uint64
		var spin func(v *fakeVCPU, e *hv.Exit) error
		spin = func(v *fakeVCPU, e *hv.Exit) error {
			ticks.Store(v.count())
			time.Sleep(time.Millisecond)
			v.script = steps(step(spin))
			return nil
		}
		b := newFake(t, nil, steps(hvc(arm64.PSCICPUOn64, 1, RAMBase), step(spin)), steps(exit(hv.WFI)), nil)
		done := make(chan *Outcome)
		go func() { done <- mustRun(t, b) }()
		time.Sleep(time.Second)
		for range 3 {
			if err := b.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			before := ticks.Load()
			time.Sleep(10 * time.Second)
			if got := ticks.Load(); got != before {
				t.Error("the guest ran while paused")
			}
			b.Resume()
			time.Sleep(100 * time.Millisecond)
			if d := ticks.Load() - before; d == 0 || d > 24_000_000 {
				t.Errorf("the counter moved by %d ticks over the pause, want about 100 ms", d)
			}
		}
		b.Pause(t.Context())
		b.Stop("done")
		out := <-done
		if out.Kind != Stopped || out.Stats.Guest > 2*time.Second || out.Stats.Host < 30*time.Second {
			t.Errorf("ends with %s, guest %s, host %s", out.Kind, out.Stats.Guest, out.Stats.Host)
		}
	})
}

// TestRegistersLive asks vCPUs that run, wait and are off.
func TestRegistersLive(t *testing.T) {
	b := newFake(t, nil,
		steps(hvc(arm64.PSCICPUOn64, 1, RAMBase+0x1000), do(func(v *fakeVCPU) { v.regs[3] = 33 })),
		steps(gicOn(1), exit(hv.WFI)), nil)
	done := make(chan struct{})
	go func() { defer close(done); mustRun(t, b) }()
	var list []Registers
	for len(list) != 3 || !list[1].Waiting || list[0].X[3] != 33 {
		var err error
		if list, err = b.Registers(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if list[1].PC != RAMBase+0x1000 || list[2].On || !list[0].On {
		t.Errorf("registers are %v", list)
	}
	b.Stop("done")
	<-done
}

// TestEngineGIC leaves interrupts to the engine.
func TestEngineGIC(t *testing.T) {
	var b *Board
	b = newFake(t, func(c *Config) { c.Engine.(*fakeEngine).gic = true }, steps(
		store(UARTBase+uartIMSC, 4, intTX), store(UARTBase, 1, 'x'), exit(hv.WFI), hvc(arm64.PSCISystemOff)))
	mustRun(t, b)
	if vm := b.cfg.Engine.(*fakeEngine).vm; !vm.spi[intUART] {
		t.Error("the engine's GIC was not told of the UART's line")
	}
}
