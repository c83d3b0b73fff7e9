package hvtest

import (
	"fmt"
	"slices"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var debugChecks = []check{
	{"a breakpoint stops before its instruction", "the guest stops with PC there and the instruction not executed", nil, breakpointStops},
	{"a breakpoint stops a guest that begins on it", "also when Run begins there", nil, breakpointAtOnce},
	{"a breakpoint in a loop stops each round", "Breakpoints are virtual addresses of instructions", nil, breakpointInLoop},
	{"a breakpoint that is taken away is gone", "SetDebug replaces what stops the guest", nil, breakpointGone},
	{"a step is one instruction", "Step stops after one instruction", nil, stepOne},
	{"a step over an exit makes that exit", "or with the exit that the instruction itself makes", nil, stepExits},
	{"a step into an exception ends at its vector", "a synchronous exception is a step to its vector", nil, stepFaults},
	{"a step to a breakpoint has executed the instruction", "Step stops after one instruction", nil, stepToBreakpoint},
	{"a watchpoint stops before the access", "PC on the instruction that would access them, and nothing of the access has happened", nil, watchStops},
	{"a watchpoint tells loads from stores", "Read, Write", nil, watchKinds},
	{"a watchpoint sees pairs, vectors, exclusives and neighbours", "accesses to any of Size bytes at virtual address Addr", nil, watchShapes},
	{"a watchpoint sees accesses to devices", "accesses to any of Size bytes at virtual address Addr", nil, watchDevice},
	{"a bad breakpoint or watchpoint is refused", "ErrRange for one that is unaligned, empty or wraps around", nil, debugRefuses},
	{"a trace tells each instruction in its window", "instructions, before each", nil, traceExec},
	{"a trace tells exceptions and returns", "synchronous exceptions and returns", nil, traceExceptions},
	{"a trace tells translations", "translations that go into a TLB", nil, traceMMU},
}

// debug sets what stops vCPU 0, or skips the check.
func (m *machine) debug(d hv.Debug) {
	m.Helper()
	cpu, ok := m.cpu.(hv.Debuggable)
	if !ok {
		m.Skipf("%s cannot debug", m.engine.Name())
	}
	m.must(cpu.SetDebug(d))
}

// runStop is run to a DebugStop for a reason at a PC.
func (m *machine) runStop(reason hv.DebugReason, pc uint64) hv.Exit {
	m.Helper()
	e := m.run(hv.DebugStop)
	if got := m.get(hv.PC); e.Reason != reason || got != pc {
		m.Fatalf("stopped for reason %d at %#x, want %d at %#x", e.Reason, got, reason, pc)
	}
	return e
}

// additions is n additions to X1 and an HVC.
func additions(n int) *asm.Program {
	p := asm.New(code)
	for range n {
		p.Op(asm.AddImm(1, 1, 1))
	}
	return p.Op(asm.Hvc(1))
}

func breakpointStops(m *machine) {
	m.debug(hv.Debug{Breakpoints: []uint64{code + 8}})
	m.exec(additions(4))
	m.runStop(hv.DebugBreakpoint, code+8)
	m.wantReg(1, 2)
}

func breakpointAtOnce(m *machine) {
	m.debug(hv.Debug{Breakpoints: []uint64{code}})
	m.exec(additions(4))
	for range 2 {
		m.runStop(hv.DebugBreakpoint, code)
		m.wantReg(1, 0)
	}
}

func breakpointInLoop(m *machine) {
	p := asm.New(code)
	p.Label("again")
	m.exec(p.Op(asm.AddImm(1, 1, 1), asm.Nop()).B("again"))
	for round := range uint64(5) {
		m.debug(hv.Debug{Breakpoints: []uint64{code + 4}})
		m.runStop(hv.DebugBreakpoint, code+4)
		m.wantReg(1, round+1)
		m.debug(hv.Debug{Step: true})
		m.runStop(hv.DebugStep, code+8)
	}
}

func breakpointGone(m *machine) {
	m.exec(additions(4))
	m.runHVC(1) // blocks are made without it
	m.debug(hv.Debug{Breakpoints: []uint64{code + 4}})
	m.set(hv.PC, code)
	m.runStop(hv.DebugBreakpoint, code+4)
	m.debug(hv.Debug{})
	m.runHVC(1)
	m.wantReg(1, 8)
}

func stepOne(m *machine) {
	m.debug(hv.Debug{Step: true})
	p := asm.New(code).Op(asm.AddImm(1, 1, 1), asm.CmpImm(1, 1)).Bcond(asm.EQ, "there").Op(asm.Nop())
	p.Label("there")
	m.exec(p.Op(asm.AddImm(1, 1, 1)))
	for _, to := range []uint64{4, 8, 16, 20} {
		m.runStop(hv.DebugStep, code+to)
	}
	m.wantReg(1, 2)
}

func stepExits(m *machine) {
	m.debug(hv.Debug{Step: true})
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Ldr(1, 0, 0), asm.Hvc(7), asm.Nop()))
	e := m.run(hv.MMIO)
	m.must(e.Complete(m.cpu, 42))
	m.wantReg(hv.PC, code+4)
	m.runHVC(7)
	m.runStop(hv.DebugStep, code+12)
	m.wantReg(1, 42)
}

func stepFaults(m *machine) {
	m.debug(hv.Debug{Step: true})
	m.exec(asm.New(code).Op(asm.Svc(1), asm.Udf(0)))
	m.runStop(hv.DebugStep, vectors+0x200)
	m.runHVC(vecSync)
	m.runStop(hv.DebugStep, code+4) // the ERET
	m.runStop(hv.DebugStep, vectors+0x200)
}

func stepToBreakpoint(m *machine) {
	m.debug(hv.Debug{Step: true, Breakpoints: []uint64{code + 4}})
	m.exec(additions(4))
	m.run(hv.DebugStop)
	m.wantReg(hv.PC, code+4)
	m.wantReg(1, 1)
}

func watchStops(m *machine) {
	m.set(0, data)
	m.set(1, 77)
	m.exec(asm.New(code).Op(asm.Str(1, 0, 8), asm.Str(1, 0, 0), asm.Hvc(1)))
	m.runHVC(1) // the page is in a TLB
	clear(m.ram[data-ramBase:][:16])
	m.debug(hv.Debug{Watchpoints: []hv.Watchpoint{{Addr: data, Size: 8, Write: true}}})
	m.set(hv.PC, code)
	if e := m.runStop(hv.DebugWatchpoint, code+4); e.VA != data || !e.Write {
		m.Errorf("the exit says %s", describe(e))
	}
	if got := m.ram[data-ramBase]; got != 0 || m.ram[data+8-ramBase] != 77 {
		m.Errorf("watched byte %d, the one beside it %d; want 0 and 77", got, m.ram[data+8-ramBase])
	}
	m.debug(hv.Debug{})
	m.runHVC(1)
	if got := m.ram[data-ramBase]; got != 77 {
		m.Errorf("the store that was stopped left %d", got)
	}
}

func watchKinds(m *machine) {
	load, store := asm.Ldr(1, 0, 0), asm.Str(1, 0, 0)
	for _, tt := range []struct {
		read, write bool
		op          uint32
		stops       bool
	}{
		{true, false, load, true}, {true, false, store, false},
		{false, true, load, false}, {false, true, store, true},
		{true, true, load, true}, {true, true, store, true},
	} {
		m.set(0, data)
		m.exec(asm.New(code).Op(tt.op, asm.Hvc(1)))
		m.debug(hv.Debug{Watchpoints: []hv.Watchpoint{{Addr: data, Size: 4, Read: tt.read, Write: tt.write}}})
		if tt.stops {
			m.runStop(hv.DebugWatchpoint, code)
		} else {
			m.runHVC(1)
		}
	}
}

func watchShapes(m *machine) {
	const at = data + 16
	watch := []hv.Watchpoint{{Addr: at, Size: 1, Read: true, Write: true}}
	for _, tt := range []struct {
		name  string
		base  uint64
		op    uint32
		stops bool
	}{
		{"byte load", at, asm.Load(asm.Mem{Size: 1}, 1, 0, 0), true},
		{"load of 8 bytes that ends in it", at - 7, asm.Ldr(1, 0, 0), true},
		{"load just before", at - 8, asm.Ldr(1, 0, 0), false},
		{"load just behind", at + 1, asm.Ldr(1, 0, 0), false},
		{"second of a pair", at - 8, asm.Ldp(1, 2, 0, 0), true},
		{"store of a pair", at - 8, asm.Stp(1, 2, 0, 0), true},
		{"vector load", at, asm.LdrQ(1, 0), true},
		{"vector store", at, asm.StrQ(1, 0), true},
		{"exclusive load", at, asm.Ldxr(1, 0), true},
		{"atomic add", at, asm.LdaddAL(1, 2, 0), true},
		{"zeroed block", data, asm.DcZVA(0), true},
	} {
		m.set(0, tt.base)
		m.debug(hv.Debug{Watchpoints: watch})
		m.exec(asm.New(code).Op(tt.op, asm.Hvc(1)))
		var e hv.Exit
		m.must(runFor(m.cpu, &e, patience))
		if stopped := e.Kind == hv.DebugStop; stopped != tt.stops {
			m.Errorf("%s: exit %s", tt.name, describe(e))
		}
	}
}

func watchDevice(m *machine) {
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Str(1, 0, 0)))
	m.debug(hv.Debug{Watchpoints: []hv.Watchpoint{{Addr: device, Size: 8, Write: true}}})
	m.runStop(hv.DebugWatchpoint, code)
	m.debug(hv.Debug{})
	m.run(hv.MMIO)
}

func debugRefuses(m *machine) {
	m.debug(hv.Debug{})
	cpu := m.cpu.(hv.Debuggable)
	for _, d := range []hv.Debug{
		{Breakpoints: []uint64{code + 2}},
		{Watchpoints: []hv.Watchpoint{{Addr: data, Write: true}}},
		{Watchpoints: []hv.Watchpoint{{Addr: ^uint64(0) - 3, Size: 8, Write: true}}},
	} {
		if cpu.SetDebug(d) == nil {
			m.Errorf("%+v was taken", d)
		}
	}
}

// trace records what vCPU 0 tells, one line an event, or skips the check.
func (m *machine) trace(t hv.Trace, line func(*hv.TraceEvent) string) *[]string {
	m.Helper()
	cpu, ok := m.cpu.(hv.Traceable)
	if !ok {
		m.Skipf("%s cannot trace", m.engine.Name())
	}
	var lines []string
	t.Tell = func(e *hv.TraceEvent) { lines = append(lines, line(e)) }
	cpu.SetTrace(&t)
	return &lines
}

func (m *machine) wantLines(got, want []string) {
	m.Helper()
	if !slices.Equal(got, want) {
		m.Errorf("the trace is %q, want %q", got, want)
	}
}

func traceExec(m *machine) {
	got := m.trace(hv.Trace{Events: hv.TraceExec, First: 1, Last: 3}, func(e *hv.TraceEvent) string {
		return fmt.Sprintf("%d el%d %x %08x", e.Count, e.EL, e.PC-code, e.Word)
	})
	p := asm.New(code).Op(asm.Nop()).B("there").Op(asm.Nop())
	p.Label("there")
	m.exec(p.Op(asm.AddImm(1, 1, 1), asm.Nop(), asm.Hvc(1)))
	m.runHVC(1)
	m.wantReg(1, 1)
	m.wantLines(*got, []string{
		"1 el1 4 14000002",
		fmt.Sprintf("2 el1 c %08x", asm.AddImm(1, 1, 1)),
		fmt.Sprintf("3 el1 10 %08x", asm.Nop()),
	})
}

func traceExceptions(m *machine) {
	got := m.trace(hv.Trace{Events: hv.TraceExceptions}, func(e *hv.TraceEvent) string {
		if e.Return {
			return fmt.Sprintf("return to %x", e.To-code)
		}
		return fmt.Sprintf("el%d %x to %x esr %x", e.EL, e.PC-code, e.To-vectors, e.ESR)
	})
	m.exec(asm.New(code).Op(asm.Svc(5), asm.Hvc(1)))
	m.runHVC(vecSync)
	m.runHVC(1)
	m.wantLines(*got, []string{"el1 4 to 200 esr 56000005", "return to 4"})
}

func traceMMU(m *machine) {
	m.mmuOn()
	m.page(0, spare|normal)
	m.set(0, paged)
	got := m.trace(hv.Trace{Events: hv.TraceMMU}, func(e *hv.TraceEvent) string {
		return fmt.Sprintf("%x=%x exec %v write %v", e.VA, e.PA, e.Exec, e.Write)
	})
	m.exec(asm.New(code).Op(asm.Ldr(1, 0, 0), asm.Hvc(1)))
	m.runHVC(1)
	for _, want := range []string{
		fmt.Sprintf("%x=%x exec true write false", uint64(code), uint64(code)),
		fmt.Sprintf("%x=%x exec false write true", uint64(paged), uint64(spare)),
	} {
		if !slices.Contains(*got, want) {
			m.Errorf("the trace %q lacks %q", *got, want)
		}
	}
}
