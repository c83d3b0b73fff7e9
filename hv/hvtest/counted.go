package hvtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var countedChecks = []check{
	{"RunN stops at exactly n", "RunN ends with Budget exactly at n", needsCounted, runNExact},
	{"an instruction that exits is counted once", "Instructions is how many this vCPU has completed", needsCounted, exitsCounted},
	{"a fault is not counted", "Instructions is how many this vCPU has completed", needsCounted, faultsNotCounted},
	{"time is instructions", "one clock, which only RunN and Skip move", needsCounted, timeIsInstructions},
	{"Skip moves time and fires the timer", "Skip moves virtual time on by ns nanoseconds", needsCounted, skipMovesTime},
	{"a moved deadline ends RunN early", "RunN ends early, also with Budget, when the virtual timer's deadline moved", needsCounted, deadlineEndsEarly},
	{"the timer fires at its nanosecond", "the virtual timer's deadline is reached at a defined instruction", needsCounted, timerAtDeadline},
	{"quanta change nothing", "Counted: reproducible time", needsCounted, quantaChangeNothing},
	{"allowed faults change nothing", "Faults are allowed misbehaviours that a correct guest must not notice", needsCounted, faultsChangeNothing},
	{"the guest reads the same time with allowed faults", "one clock, which only RunN and Skip move", needsCounted, faultsKeepTime},
	{"one goroutine drives all vCPUs", "A Counted engine lifts the rule: one goroutine may drive all of its vCPUs", needsCounted, oneGoroutine},
}

// counted is a machine with counted time at 1 ns an instruction, beside that
// of the check: an engine that counts has no limit of VMs.
func (m *machine) counted(t *testing.T) (*machine, hv.Counted) {
	c := newMachine(t, m.engine, hv.Config{Counted: &hv.CountedConfig{PSPerInstruction: 1000}}, false)
	cpu, ok := c.cpu.(hv.Counted)
	if !ok {
		t.Fatal("a VCPU of a counted VM is not hv.Counted")
	}
	return c, cpu
}

// runN is RunN, which must end with kind.
func (m *machine) runN(n uint64, kind hv.ExitKind) hv.Exit {
	m.Helper()
	var e hv.Exit
	cpu := m.cpu.(hv.Counted)
	dog := time.AfterFunc(patience, cpu.Kick)
	defer dog.Stop()
	m.must(cpu.RunN(n, &e))
	if e.Kind != kind {
		m.Fatalf("RunN(%d): exit is %s, want %s\n%s", n, describe(e), kind, dump(m.cpu))
	}
	return e
}

func runNExact(m *machine) {
	m, cpu := m.counted(m.T)
	p := asm.New(code)
	for range 100 { // a straight line and a loop, across blocks
		p.Op(asm.AddImm(1, 1, 1))
	}
	p.Label("again")
	m.exec(p.Op(asm.AddImm(1, 1, 1), asm.AddImm(1, 1, 1)).B("again"))
	var total uint64
	for _, n := range []uint64{1, 2, 3, 5, 7, 63, 64, 65, 777, 3000, 20000} {
		m.runN(n, hv.Budget)
		total += n
		if got := cpu.Instructions(); got != total {
			t := got - (total - n)
			m.Errorf("RunN(%d) completed %d instructions", n, t)
			total = got
		}
	}
	loop := total - 100
	m.wantReg(1, 100+loop/3*2+loop%3)
}

func exitsCounted(m *machine) {
	m, cpu := m.counted(m.T)
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Nop(), asm.Ldr(1, 0, 0), asm.Str(1, 0, 0), asm.Wfi(), asm.Mrs(1, arm64.ICC_IAR1_EL1), asm.Hvc(1)))
	for i, kind := range []hv.ExitKind{hv.MMIO, hv.MMIO, hv.WFI, hv.Trap, hv.HVC} {
		e := m.runN(1000, kind)
		if !e.Write && (kind == hv.MMIO || kind == hv.Trap) {
			m.must(e.Complete(m.cpu, 0))
		}
		if got, want := cpu.Instructions(), uint64(2+i); got != want {
			m.Errorf("%d instructions after exit %d (%s), want %d", got, i, kind, want)
		}
	}
}

func faultsNotCounted(m *machine) {
	m, cpu := m.counted(m.T)
	m.mmuOn()
	m.page(0, 0)
	m.set(0, paged)
	m.exec(asm.New(code).Op(asm.Nop(), asm.Nop(), asm.Ldr(1, 0, 0), asm.Nop()))
	m.runN(1000, hv.HVC)
	if got := cpu.Instructions(); got != 3 { // two NOPs and the vector's HVC
		m.Errorf("%d instructions, want 3", got)
	}
}

func timeIsInstructions(m *machine) {
	m, cpu := m.counted(m.T)
	m.exec(spin())
	now := cpu.Now()
	m.runN(5000, hv.Budget)
	if got := cpu.Now() - now; got != 5000 {
		m.Errorf("5000 instructions at 1000 ps took %d ns", got)
	}
	now = cpu.Now()
	time.Sleep(2 * time.Millisecond)
	if got := cpu.Now(); got != now {
		m.Errorf("time moved from %d to %d with nobody running", now, got)
	}
}

// ticks converts nanoseconds to counter ticks, rounded down.
func (m *machine) ticks(ns uint64) uint64 { return ns * (m.vm.CounterFreq() / 10_000) / 100_000 }

func skipMovesTime(m *machine) {
	m, cpu := m.counted(m.T)
	m.exec(arm(m.ticks(1_000_000), ctlEnable))
	m.runN(2000, hv.Budget)
	now, count := cpu.Now(), m.vm.Counter()
	cpu.Skip(2_000_000)
	if got := cpu.Now() - now; got != 2_000_000 {
		m.Errorf("Skip(2 ms) moved time by %d ns", got)
	}
	if got, want := m.vm.Counter()-count, m.ticks(2_000_000); got < want-1 || got > want+1 {
		m.Errorf("Skip(2 ms) moved the counter by %d, want %d", got, want)
	}
	m.runN(2000, hv.VTimer)
}

// deadlineEndsEarly: how early is the engine's choice, but it must be before the
// new deadline, and the program's later instructions are not lost.
func deadlineEndsEarly(m *machine) {
	m, cpu := m.counted(m.T)
	ns := uint64(10_000)
	m.exec(arm(m.ticks(ns), ctlEnable))
	var e hv.Exit
	for range 10 {
		m.must(cpu.RunN(1_000_000, &e))
		if e.Kind != hv.Budget {
			break
		}
	}
	if e.Kind != hv.VTimer {
		m.Fatalf("exit %s, want vtimer", describe(e))
	}
	if now := cpu.Now(); now < ns || now > ns+1000 {
		m.Errorf("the timer fired at %d ns, want within a microsecond of %d", now, ns)
	}
}

func timerAtDeadline(m *machine) {
	var first uint64
	for i, quantum := range []uint64{777, 3000, 20000} {
		m.Run("quantum", func(t *testing.T) {
			m, cpu := m.counted(t)
			m.exec(arm(m.ticks(100_000), ctlEnable))
			var e hv.Exit
			for e.Kind != hv.VTimer && cpu.Now() < 1_000_000 {
				m.must(cpu.RunN(quantum, &e))
			}
			if i == 0 {
				first = cpu.Now()
			}
			if now := cpu.Now(); e.Kind != hv.VTimer || now != first {
				m.Errorf("quantum %d: %s at %d ns, want vtimer at %d", quantum, e.Kind, now, first)
			}
		})
	}
}

// mix is a program with loads, stores, exclusives, branches, calls and
// exceptions that leaves a hash of its work in X1.
func mix() *asm.Program {
	p := asm.New(code).Mov64(0, data).Mov64(2, 0x9e37_79b9_7f4a_7c15).Mov64(10, 400)
	p.Label("again")
	p.Op(asm.Madd(1, 1, 2, 10), asm.Str(1, 0, 0), asm.Ldr(3, 0, 0), asm.Eor(1, 1, 3), asm.Add(1, 1, 3))
	p.Label("retry")
	p.Op(asm.Ldxr(4, 0), asm.Add(4, 4, 1), asm.Stxr(5, 4, 0)).CbnzW(5, "retry")
	p.Op(asm.Stp(1, 4, 0, 16), asm.Ldp(6, 7, 0, 16), asm.Add(1, 1, 7), asm.FmovToD(0, 1), asm.Fadd(0, 0, 0))
	p.BL("leaf").Op(asm.SubImm(10, 10, 1)).Cbnz(10, "again").Op(asm.Hvc(1))
	p.Label("leaf")
	return p.Op(asm.Add(1, 1, 1), asm.Ret())
}

// runMix runs it in quanta and gives hash, instructions and time.
func (m *machine) runMix(t *testing.T, quantum uint64, f hv.Faults) [3]uint64 {
	m, cpu := m.counted(t)
	m.mmuOn()
	cpu.SetFaults(f)
	m.exec(mix())
	var e hv.Exit
	for e.Kind != hv.HVC && cpu.Instructions() < 1_000_000 {
		m.must(cpu.RunN(quantum, &e))
		if e.Kind != hv.HVC && e.Kind != hv.Budget {
			m.Fatalf("exit %s\n%s", describe(e), dump(m.cpu))
		}
	}
	return [3]uint64{m.get(1), cpu.Instructions(), cpu.Now()}
}

func quantaChangeNothing(m *machine) {
	var want [3]uint64
	for i, quantum := range []uint64{1 << 20, 20000, 3000, 777, 1} {
		m.Run("quantum", func(t *testing.T) {
			got := m.runMix(t, quantum, hv.Faults{})
			if i == 0 {
				want = got
			}
			if got != want || got[0] == 0 {
				t.Errorf("quantum %d: hash, instructions, time %x, want %x", quantum, got, want)
			}
		})
	}
}

func faultsChangeNothing(m *machine) {
	var want [3]uint64
	tests := []struct {
		name      string
		faults    hv.Faults
		sameCount bool
	}{
		{"none", hv.Faults{}, true},
		{"single steps", hv.Faults{SingleStepBlock: true}, true},
		{"flush every block", hv.Faults{FlushTLBEvery: 1}, true},
		{"flush every seventh block", hv.Faults{FlushTLBEvery: 7}, true},
		{"every third store-exclusive fails", hv.Faults{FailStoreEvery: 3}, false},
	}
	for i, tt := range tests {
		m.Run(tt.name, func(t *testing.T) {
			got := m.runMix(t, 1<<20, tt.faults)
			if i == 0 {
				want = got
			}
			if got[0] != want[0] || tt.sameCount != (got == want) {
				t.Errorf("hash, instructions, time %x, without faults %x, want the same count %t", got, want, tt.sameCount)
			}
		})
	}
}

// faultsKeepTime sums what the guest reads from its counter on the way.
func faultsKeepTime(m *machine) {
	var want uint64
	for i, f := range []hv.Faults{{}, {SingleStepBlock: true}, {FlushTLBEvery: 3}} {
		m.Run(fmt.Sprintf("%+v", f), func(t *testing.T) {
			m, cpu := m.counted(t)
			cpu.SetFaults(f)
			p := asm.New(code).Mov64(10, 200)
			p.Label("again")
			p.Op(asm.Mrs(3, arm64.CNTVCT_EL0), asm.Eor(1, 1, 3), asm.Add(1, 1, 1), asm.SubImm(10, 10, 1))
			m.exec(p.Cbnz(10, "again").Op(asm.Hvc(1)))
			m.runN(1<<20, hv.HVC)
			if i == 0 {
				want = m.get(1)
			}
			if got := m.get(1); got != want {
				t.Errorf("the sum of what was read is %#x, without faults %#x", got, want)
			}
		})
	}
}

func oneGoroutine(m *machine) {
	m, first := m.counted(m.T)
	n := min(4, m.engine.Caps().MaxVCPUs)
	cpus := []hv.Counted{first}
	for i := 1; i < n; i++ {
		cpus = append(cpus, m.vcpu(i).(hv.Counted))
	}
	m.exec(spin())
	for _, c := range cpus[1:] {
		m.must(c.SetReg(hv.PC, code))
	}
	var e hv.Exit
	for range 10 {
		for _, c := range cpus {
			m.must(c.RunN(100, &e))
		}
	}
	for i, c := range cpus {
		if c.Instructions() != 1000 || c.Now() != uint64(1000*n) {
			m.Errorf("vCPU %d: %d instructions at %d ns, want 1000 at %d", i, c.Instructions(), c.Now(), 1000*n)
		}
	}
}
