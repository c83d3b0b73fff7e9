package hvtest

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// gicChecks run on a machine with the engine's own interrupt controller.
var gicChecks = []check{
	{"an SPI ends WFI and is taken, with no exit between", "NewGIC makes the engine's own interrupt controller; SetSPI wakes whichever vCPU takes it", needsGIC, spiEndsWFI},
	{"the virtual timer interrupts by itself", "Nothing of this happens with the engine's GIC: the timer is PPI 27", needsGIC, timerIsPPI},
	{"a Kick ends the engine's WFI", "Kick makes a Run end with Kicked: the one under way", needsGIC, kickEndsWFI},
	{"a second GIC is refused", "NewGIC comes before the first vCPU", needsGIC, secondGICRefused},
	{"an interrupt that is no SPI is refused", "SetSPI: intid 32 to 1019", needsGIC, badSPIRefused},
	{"the state is there and stays the same", "State and SetState carry a snapshot", needsGIC, gicStateStays},
	{"a reset takes enables back", "Reset", needsGIC, gicReset},
}

func needsGIC(c hv.Caps) bool { return c.GIC }

// Where the machine's GIC is, and registers of it (IHI 0069, 12.8 to 12.11).
const (
	gicd = 0x0800_0000
	gicr = 0x080a_0000

	gicdCTLR      = gicd
	gicdGroup1    = gicd + 0x84 // of SPI 32 to 63
	gicdEnable1   = gicd + 0x104
	gicrWaker     = gicr + 0x14
	gicrGroup0    = gicr + 0x1_0080
	gicrEnable0   = gicr + 0x1_0100
	testSPI       = 40
	timerPPI      = 27
	groupOneAndOn = 1<<4 | 1<<1 // affinity routing, group 1
)

// gicOn is a program that sets the GIC up for testSPI and timerPPI on vCPU 0 and lets
// interrupts in.
func gicOn() *asm.Program {
	p := asm.New(code)
	for _, w := range []struct{ reg, value uint64 }{
		{gicdCTLR, groupOneAndOn}, {gicdGroup1, 1 << (testSPI - 32)}, {gicdEnable1, 1 << (testSPI - 32)},
		{gicrWaker, 0}, {gicrGroup0, 1 << timerPPI}, {gicrEnable0, 1 << timerPPI},
	} {
		p.Mov64(2, w.reg).Mov64(3, w.value).Op(asm.StrW(3, 2, 0))
	}
	p.MsrImm(arm64.ICC_PMR_EL1, 0xf0, 3)
	p.MsrImm(arm64.ICC_IGRPEN1_EL1, 1, 3)
	return p.Op(asm.Isb(), asm.DaifClr(2))
}

// idle adds a loop around WFI.
func idle(p *asm.Program) *asm.Program {
	p.Label("again")
	return p.Op(asm.Wfi()).B("again")
}

// acknowledged is the number of the interrupt whose vector the guest is at.
func (m *machine) acknowledged() uint64 {
	m.Helper()
	m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
	m.exec(asm.New(code).Op(asm.Mrs(1, arm64.ICC_IAR1_EL1), asm.Msr(arm64.ICC_EOIR1_EL1, 1), asm.Hvc(1)))
	m.runHVC(1)
	return m.get(1)
}

func spiEndsWFI(m *machine) {
	m.exec(idle(gicOn()))
	done := make(chan error, 1)
	go func() {
		time.Sleep(2 * time.Millisecond) // in WFI by then, or not: it must not matter
		done <- m.gic.SetSPI(testSPI, true)
	}()
	m.runHVC(vecIRQ)
	m.must(<-done)
	if got := m.acknowledged(); got != testSPI {
		m.Errorf("interrupt %d, want %d", got, testSPI)
	}
	m.must(m.gic.SetSPI(testSPI, false))
}

func timerIsPPI(m *machine) {
	p := gicOn().Mov64(2, m.vm.CounterFreq()/1000)
	p.Op(asm.Isb(), asm.Mrs(1, arm64.CNTVCT_EL0), asm.Add(1, 1, 2), asm.Msr(arm64.CNTV_CVAL_EL0, 1))
	m.exec(idle(p.MsrImm(arm64.CNTV_CTL_EL0, ctlEnable, 3)))
	m.runHVC(vecIRQ)
	if got := m.acknowledged(); got != timerPPI {
		m.Errorf("interrupt %d, want %d", got, timerPPI)
	}
}

func kickEndsWFI(m *machine) {
	m.exec(idle(gicOn()))
	for range 3 {
		m.kickedSoon()
	}
}

func secondGICRefused(m *machine) {
	if _, err := m.vm.NewGIC(hv.GICConfig{Distributor: gicd, Redistributor: gicr}); err == nil {
		m.Error("a GIC can be made with a vCPU there")
	}
}

func badSPIRefused(m *machine) {
	for _, intid := range []uint32{0, 27, 31, 1020} {
		if err := m.gic.SetSPI(intid, true); err == nil {
			m.Errorf("SetSPI(%d) succeeds", intid)
		}
	}
}

// enables runs a program that reads the enable bits of SPI 32 to 63.
func (m *machine) enables() uint64 {
	m.Helper()
	m.exec(asm.New(code).Mov64(2, gicdEnable1).Op(asm.LdrW(1, 2, 0), asm.Hvc(1)))
	m.runHVC(1)
	return m.get(1)
}

func gicStateStays(m *machine) {
	m.exec(gicOn().Op(asm.Hvc(1)))
	m.runHVC(1)
	first, err := m.gic.State()
	m.must(err)
	again, err := m.gic.State()
	m.must(err)
	if len(first) == 0 || string(first) != string(again) {
		m.Errorf("the state has %d bytes, then %d, want the same twice", len(first), len(again))
	}
	if err := m.gic.SetState(nil); err == nil {
		m.Error("no state at all can be restored")
	}
}

func gicReset(m *machine) {
	m.exec(gicOn().Op(asm.Hvc(1)))
	m.runHVC(1)
	if got := m.enables(); got != 1<<(testSPI-32) {
		m.Errorf("enabled: %#x, want %#x", got, 1<<(testSPI-32))
	}
	m.must(m.gic.Reset())
	if got := m.enables(); got != 0 {
		m.Errorf("enabled after a reset: %#x, want 0", got)
	}
}
