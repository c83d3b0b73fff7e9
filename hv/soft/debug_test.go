package soft_test

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// Values of the debug registers in these tests.
const (
	mdscrSS  = 1 << 0
	mdscrKDE = 1 << 13
	mdscrMDE = 1 << 15
	bcrUser  = 1 | 2<<1 | 0xf<<5 // on, EL0, all bytes
	wcrUser  = 1 | 2<<1 | 2<<3   // on, EL0, stores; BAS is added
)

// debugged is what an exception from EL0 came with.
type debugged struct {
	class, far, elr uint64
}

func (m *bench) debugged(t testing.TB) debugged {
	return debugged{arm64.EC(m.get(t, arm64.ESR_EL1)), m.get(t, arm64.FAR_EL1), m.get(t, arm64.ELR_EL1)}
}

func TestBreakpointStopsBeforeItsInstruction(t *testing.T) {
	m := newGuest(t, pageUser, 0)
	m.sys(t, arm64.DBGBVR(0), userCode+8)
	m.sys(t, arm64.DBGBCR(0), bcrUser)
	m.sys(t, arm64.MDSCR_EL1, mdscrMDE)
	m.reg(t, 2, 0)
	add := asm.AddImm(2, 2, 1)
	if got := m.user(t, add, add, add, add); got != 0x400 {
		t.Fatalf("left by %#x", got)
	}
	if d := m.debugged(t); d.class != arm64.ECBreakEL0 || d.elr != userCode+8 || m.x(t, 2) != 2 {
		t.Errorf("%+v after %d additions, want a breakpoint at %#x after 2", d, m.x(t, 2), userCode+8)
	}
	m.sys(t, arm64.MDSCR_EL1, 0)
	if m.user(t, add, add, add); arm64.EC(m.get(t, arm64.ESR_EL1)) != arm64.ECSVC {
		t.Errorf("with MDE off: %+v", m.debugged(t))
	}
}

func TestWatchpointSeesItsBytes(t *testing.T) {
	strb := asm.Store(asm.Mem{Size: 1}, 2, 1, 0)
	tests := []struct {
		name string
		word uint32
		base uint64
		bas  uint64
		hit  bool
	}{
		{"the byte", strb, window + 0x105, 1 << 5, true},
		{"the byte before", strb, window + 0x104, 1 << 5, false},
		{"the byte behind", strb, window + 0x106, 1 << 5, false},
		{"a doubleword that holds it", asm.Str(2, 1, 0), window + 0x100, 1 << 5, true},
		{"a pair whose second half does", asm.Stp(2, 3, 1, 0), window + 0xf8, 1, true},
		{"a load is not a store", asm.Ldr(2, 1, 0), window + 0x100, 0xff, false},
		{"across pages", asm.Str(2, 1, 0), window + 0xffc, 0xff, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newGuest(t, pageUser, pageUser)
			m.reg(t, 1, tt.base)
			m.user(t, tt.word) // fills the TLB before the watchpoint is on
			m.sys(t, arm64.DBGWVR(0), window+0x100)
			m.sys(t, arm64.DBGWCR(0), wcrUser|tt.bas<<5)
			m.sys(t, arm64.MDSCR_EL1, mdscrMDE)
			m.user(t, tt.word)
			d := m.debugged(t)
			if hit := d.class == arm64.ECWatchEL0; hit != tt.hit || hit && d.elr != userCode {
				t.Errorf("%+v, want hit %v", d, tt.hit)
			}
		})
	}
}

// TestEachInstructionIsStepped: with PSTATE.SS set one instruction completes
// between ERET and the step exception, calls included.
func TestEachInstructionIsStepped(t *testing.T) {
	m := newGuest(t, pageUser, 0)
	m.sys(t, arm64.MDSCR_EL1, mdscrSS)
	m.reg(t, 1, window)
	m.reg(t, 2, 0)
	words := []uint32{asm.AddImm(2, 2, 1), asm.Str(2, 1, 0), asm.Ldr(3, 1, 0), asm.AddImm(2, 2, 1), asm.Nop()}
	m.user(t, words...) // SS clear: the exception is pending before the first
	if d := m.debugged(t); d.class != arm64.ECStepEL0 || d.elr != userCode {
		t.Fatalf("without SS: %+v", d)
	}
	for k := range words {
		m.reg(t, hv.CPSR, arm64.ModeEL0t|arm64.PSRSS)
		m.runAt(t, userCode+4*uint64(k))
		if d := m.debugged(t); d.class != arm64.ECStepEL0 || d.elr != userCode+4*uint64(k)+4 {
			t.Errorf("step %d: %+v", k, d)
		}
		if spsr := m.get(t, arm64.SPSR_EL1); spsr&arm64.PSRSS != 0 {
			t.Errorf("step %d: SPSR %#x has SS", k, spsr)
		}
	}
	if m.x(t, 2) != 2 || m.x(t, 3) != 1 {
		t.Errorf("x2 %d, x3 %d after the steps, want 2 and 1", m.x(t, 2), m.x(t, 3))
	}
	m.reg(t, hv.CPSR, arm64.ModeEL0t|arm64.PSRSS)
	m.runAt(t, userCode+4*uint64(len(words))) // SVC
	if d, spsr := m.debugged(t), m.get(t, arm64.SPSR_EL1); d.class != arm64.ECSVC || spsr&arm64.PSRSS != 0 {
		t.Errorf("a stepped SVC: %+v, SPSR %#x, want SS clear", d, spsr)
	}
}

// TestEL1IsSteppedWithKDEOnly: debug exceptions from EL1 need MDSCR_EL1.KDE and
// PSTATE.D clear.
func TestEL1IsSteppedWithKDEOnly(t *testing.T) {
	tests := []struct {
		name  string
		mdscr uint64
		d     uint64
		steps bool
	}{
		{"KDE and D clear", mdscrSS | mdscrKDE, 0, true},
		{"D set", mdscrSS | mdscrKDE, arm64.PSRD, false},
		{"no KDE", mdscrSS, 0, false},
	}
	for _, tt := range tests {
		m := newGuest(t, pageEL1, 0)
		m.sys(t, arm64.MDSCR_EL1, tt.mdscr)
		m.load([]uint32{asm.Nop(), asm.Hvc(0xfff)})
		m.reg(t, hv.CPSR, arm64.ModeEL1h|arm64.PSRSS|tt.d)
		got := m.runAt(t, ramBase)
		if steps := got == 0x200 && arm64.EC(m.get(t, arm64.ESR_EL1)) == arm64.ECStep; steps != tt.steps {
			t.Errorf("%s: left by %#x", tt.name, got)
		}
	}
}
