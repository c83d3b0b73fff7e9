package hvtest

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var interruptChecks = []check{
	{"a pending line is taken and lasts one Run", "SetPending raises or lowers the virtual IRQ and FIQ lines for the next Run alone", nil, pendingLastsOneRun},
	{"a masked line waits for the mask", "Arm ARM D1.3.6: PSTATE.I and F mask", nil, maskedLineWaits},
	{"an interrupt reaches EL0", "Arm ARM D1.3.1: vector offset 0x480 for IRQ from a lower level", nil, interruptFromEL0},
	{"ISR_EL1 shows the lines", "Arm ARM ISR_EL1: I and F are the pending interrupts", nil, isrShowsLines},
	{"lowering a line takes it back", "SetPending raises or lowers", nil, loweredLine},
	{"ERET takes a pending interrupt before the next instruction", "Arm ARM D1.3.6: an unmasked pending interrupt is taken", nil, eretTakesInterrupt},
}

// spin is a program that unmasks everything and loops.
func spin() *asm.Program {
	p := asm.New(code).Op(asm.DaifClr(3))
	p.Label("again")
	return p.Op(asm.AddImm(1, 1, 1)).B("again")
}

// kickedSoon runs until a Kick some milliseconds later: nothing else happens.
func (m *machine) kickedSoon() {
	m.Helper()
	var e hv.Exit
	m.must(runFor(m.cpu, &e, 5*time.Millisecond))
	if e.Kind != hv.Kicked {
		m.Fatalf("exit %s, want kicked\n%s", describe(e), dump(m.cpu))
	}
}

// kickedWhen is kickedSoon until the guest has come where it is to be: on a busy host a
// few milliseconds may pass without one instruction of it.
func (m *machine) kickedWhen(there func() bool) {
	m.Helper()
	deadline := time.Now().Add(patience)
	for m.kickedSoon(); !there() && time.Now().Before(deadline); {
		m.kickedSoon()
	}
}

// pcIn says whether PC is in [from, to).
func (m *machine) pcIn(from, to uint64) bool {
	m.Helper()
	pc := m.get(hv.PC)
	return pc >= from && pc < to
}

func pendingLastsOneRun(m *machine) {
	for _, tt := range []struct {
		irq, fiq bool
		vector   uint16
	}{{true, false, vecIRQ}, {false, true, vecFIQ}} {
		m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
		m.exec(spin())
		m.must(m.cpu.SetPending(tt.irq, tt.fiq))
		m.runHVC(tt.vector)
		if elr := m.sys(arm64.ELR_EL1); elr < code || elr > code+8 {
			m.Errorf("ELR_EL1 %#x, want within the program", elr)
		}
		if daif := m.get(hv.CPSR) & arm64.PSRDAIF; daif != arm64.PSRDAIF {
			m.Errorf("mask %#x in the handler, want all", daif)
		}
		m.kickedWhen(func() bool { return m.pcIn(code, code+12) }) // ERET unmasks; the line is low again
		if pc := m.get(hv.PC); pc < code || pc > code+8 {
			m.Errorf("PC %#x, want within the program", pc)
		}
	}
}

func maskedLineWaits(m *machine) {
	m.exec(asm.New(code).Op(asm.Nop(), asm.Hvc(1), asm.DaifClr(2), asm.Nop(), asm.Hvc(2)))
	m.must(m.cpu.SetPending(true, true))
	m.runHVC(1)
	m.must(m.cpu.SetPending(true, true)) // FIQ stays masked
	m.runHVC(vecIRQ)
	if elr := m.sys(arm64.ELR_EL1); elr != code+12 {
		m.Errorf("ELR_EL1 %#x, want %#x: at the unmasking", elr, code+12)
	}
	m.runHVC(2)
}

func interruptFromEL0(m *machine) {
	m.mmuOn()
	m.mapEL0()
	p := asm.New(spare)
	p.Label("again")
	m.load(p.B("again"))
	m.set(hv.CPSR, arm64.ModeEL0t)
	m.set(hv.PC, el0Page)
	m.must(m.cpu.SetPending(true, false))
	m.runHVC(vecIRQEL0)
	if elr := m.sys(arm64.ELR_EL1); elr != el0Page {
		m.Errorf("ELR_EL1 %#x, want %#x", elr, el0Page)
	}
}

func isrShowsLines(m *machine) {
	for _, tt := range []struct {
		irq, fiq bool
		want     uint64
	}{{true, false, 1 << 7}, {false, true, 1 << 6}, {true, true, 3 << 6}, {false, false, 0}} {
		m.exec(asm.New(code).Op(asm.Mrs(1, arm64.ISR_EL1), asm.Hvc(1)))
		m.must(m.cpu.SetPending(tt.irq, tt.fiq))
		m.runHVC(1)
		m.wantReg(1, tt.want)
	}
}

func loweredLine(m *machine) {
	m.exec(spin())
	m.must(m.cpu.SetPending(true, true))
	m.must(m.cpu.SetPending(false, false))
	m.kickedSoon()
}

func eretTakesInterrupt(m *machine) {
	m.setSys(arm64.SPSR_EL1, arm64.ModeEL1h)
	m.setSys(arm64.ELR_EL1, code+8)
	m.exec(asm.New(code).Op(asm.Eret(), asm.Hvc(2), asm.Hvc(1)))
	m.must(m.cpu.SetPending(true, false))
	m.runHVC(vecIRQ)
	if elr := m.sys(arm64.ELR_EL1); elr != code+8 {
		m.Errorf("ELR_EL1 %#x, want %#x", elr, code+8)
	}
	m.runHVC(1)
}
