package hvtest

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var timerChecks = []check{
	{"the virtual timer ends Run once", "When it fires and is not masked, Run ends with VTimer and the timer is masked", nil, timerFiresOnce},
	{"a timer that the guest masks stays silent", "CNTV_CTL_EL0.IMASK", nil, guestMasksTimer},
	{"a timer that the guest leaves off stays silent", "CNTV_CTL_EL0.ENABLE", nil, timerOff},
	{"CNTVCT_EL0 is the counter minus the offset", "CNTVCT_EL0 is Counter minus the vCPU's offset", nil, offsetCounts},
	{"TVAL counts down to CVAL", "Arm ARM D11.2.4: TVAL is the signed 32-bit difference", nil, timerValue},
	{"CNTFRQ_EL0 is the frequency", "CounterFreq is CNTFRQ_EL0 in Hz", nil, guestReadsFrequency},
}

const (
	ctlEnable  = 1 << 0
	ctlMask    = 1 << 1
	ctlIStatus = 1 << 2
)

// arm is a program that sets the virtual timer ticks ahead with control ctl
// and loops.
func arm(ticks, ctl uint64) *asm.Program {
	p := asm.New(code).Mov64(2, ticks)
	p.Op(asm.Isb(), asm.Mrs(1, arm64.CNTVCT_EL0), asm.Add(1, 1, 2), asm.Msr(arm64.CNTV_CVAL_EL0, 1))
	p.MsrImm(arm64.CNTV_CTL_EL0, ctl, 3).Op(asm.Isb())
	p.Label("again")
	return p.B("again")
}

func (m *machine) timerMask() bool {
	m.Helper()
	masked, err := m.cpu.VTimerMask()
	m.must(err)
	return masked
}

func timerFiresOnce(m *machine) {
	ticks := m.vm.CounterFreq() / 1000
	m.exec(arm(ticks, ctlEnable))
	before := m.vm.Counter()
	m.run(hv.VTimer)
	if passed := m.vm.Counter() - before; passed < ticks {
		m.Errorf("the timer fired after %d ticks, want at least %d", passed, ticks)
	}
	if !m.timerMask() {
		m.Error("the timer is not masked after it fired")
	}
	if ctl := m.sys(arm64.CNTV_CTL_EL0); ctl != ctlEnable|ctlIStatus {
		m.Errorf("CNTV_CTL_EL0 is %#x, want enabled with its condition met", ctl)
	}
	m.kickedSoon() // masked: no second exit
	m.must(m.cpu.SetVTimerMask(false))
	if m.timerMask() {
		m.Error("the timer is masked after SetVTimerMask(false)")
	}
	m.run(hv.VTimer) // the condition still holds
}

func guestMasksTimer(m *machine) {
	m.exec(arm(1, ctlEnable|ctlMask))
	m.kickedWhen(func() bool { return m.sys(arm64.CNTV_CTL_EL0)&ctlIStatus != 0 })
	if ctl := m.sys(arm64.CNTV_CTL_EL0); ctl != ctlEnable|ctlMask|ctlIStatus {
		m.Errorf("CNTV_CTL_EL0 is %#x, want its condition met in spite of the mask", ctl)
	}
	if m.timerMask() {
		m.Error("the engine masked a timer that did not fire")
	}
}

func timerOff(m *machine) {
	m.exec(arm(1, 0))
	m.kickedSoon()
}

func offsetCounts(m *machine) {
	off, err := m.cpu.VTimerOffset()
	m.must(err)
	for _, add := range []uint64{0, 1 << 40} {
		m.must(m.cpu.SetVTimerOffset(off + add))
		if got, err := m.cpu.VTimerOffset(); err != nil || got != off+add {
			m.Errorf("offset is %#x, %v, want %#x", got, err, off+add)
		}
		m.exec(asm.New(code).Op(asm.Isb(), asm.Mrs(1, arm64.CNTVCT_EL0), asm.Hvc(1)))
		before := m.vm.Counter() - (off + add)
		m.runHVC(1)
		after := m.vm.Counter() - (off + add)
		if got := m.get(1); got-before > after-before {
			m.Errorf("CNTVCT_EL0 is %#x, want between %#x and %#x", got, before, after)
		}
	}
}

func timerValue(m *machine) {
	p := asm.New(code).Mov64(2, 0x1000_0000)
	p.Op(asm.Isb(), asm.Mrs(3, arm64.CNTVCT_EL0), asm.Msr(arm64.CNTV_TVAL_EL0, 2), asm.Isb(), asm.Mrs(4, arm64.CNTVCT_EL0))
	p.Op(asm.Mrs(5, arm64.CNTV_CVAL_EL0), asm.Mrs(6, arm64.CNTV_TVAL_EL0))
	p.Mov64(2, 0xffff_ff00).Op(asm.Msr(arm64.CNTV_TVAL_EL0, 2), asm.Mrs(7, arm64.CNTV_CVAL_EL0), asm.Mrs(8, arm64.CNTVCT_EL0))
	m.exec(p.Op(asm.Hvc(1)))
	m.runHVC(1)
	low, high := m.get(3)+0x1000_0000, m.get(4)+0x1000_0000
	if cval := m.get(5); cval < low || cval > high {
		m.Errorf("CVAL %#x after writing TVAL, want %#x to %#x", cval, low, high)
	}
	if tval := m.get(6); tval > 0x1000_0000 || tval < 0x0800_0000 {
		m.Errorf("TVAL %#x, want a little under %#x", tval, 0x1000_0000)
	}
	if cval, now := m.get(7), m.get(8); int64(cval-now) > -0x100 {
		m.Errorf("CVAL %#x at %#x after writing TVAL -256, want it in the past", cval, now)
	}
}

func guestReadsFrequency(m *machine) {
	m.exec(asm.New(code).Op(asm.Mrs(1, arm64.CNTFRQ_EL0), asm.Hvc(1)))
	m.runHVC(1)
	m.wantReg(1, m.vm.CounterFreq())
}
