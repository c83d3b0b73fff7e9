package hvtest

import (
	"errors"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

var engineChecks = []check{
	{"abilities make sense", "Caps: MaxVCPUs at least 1, Granule a power of two; it does not change", nil, capsMakeSense},
	{"too wide an address space is refused", "NewVM: ErrUnsupported when cfg asks for more than Caps offers", nil, tooWideRefused},
	{"a GIC that is not there is refused", "NewGIC: ErrUnsupported where Caps.GIC is false", func(c hv.Caps) bool { return !c.GIC }, absentGICRefused},
	{"counted time that is not there is refused", "NewVM: ErrUnsupported when cfg asks for more than Caps offers", func(c hv.Caps) bool { return !c.Counted }, absentCountedRefused},
	{"an unknown ID register is refused", "FeatureReg: ErrUnsupported for a register that the engine does not know", nil, unknownFeatureRefused},
	{"a vCPU number out of range is refused", "NewVCPU: index 0 up to Caps.MaxVCPUs-1", nil, badIndexRefused},
	{"the counter moves at its frequency", "CounterFreq is CNTFRQ_EL0 in Hz, and Counter the physical count now", nil, counterMoves},
}

func capsMakeSense(m *machine) {
	c := m.engine.Caps()
	if c != m.engine.Caps() {
		m.Error("Caps changed between two calls")
	}
	if c.MaxVCPUs < 1 || c.MaxVMs < 0 || c.IPABits < 36 || c.IPABits > 52 {
		m.Errorf("Caps %+v: out of range", c)
	}
	if c.Granule < 4096 || c.Granule&(c.Granule-1) != 0 {
		m.Errorf("granule %d is no power of two of at least a page", c.Granule)
	}
	if m.engine.Name() == "" {
		m.Error("the engine has no name")
	}
}

func tooWideRefused(m *machine) {
	vm, err := m.engine.NewVM(hv.Config{IPABits: m.engine.Caps().IPABits + 1})
	if err == nil {
		vm.Close()
	}
	// The engine may hold one VM only, and the machine has it.
	if !errors.Is(err, hv.ErrUnsupported) && !errors.Is(err, hv.ErrBusy) {
		m.Errorf("error is %v, want ErrUnsupported", err)
	}
}

func absentGICRefused(m *machine) {
	if _, err := m.vm.NewGIC(hv.GICConfig{Distributor: 0x800_0000, Redistributor: 0x80a_0000}); !errors.Is(err, hv.ErrUnsupported) {
		m.Errorf("error is %v, want ErrUnsupported", err)
	}
}

func absentCountedRefused(m *machine) {
	vm, err := m.engine.NewVM(hv.Config{Counted: &hv.CountedConfig{}})
	if err == nil {
		vm.Close()
	}
	if !errors.Is(err, hv.ErrUnsupported) && !errors.Is(err, hv.ErrBusy) {
		m.Errorf("error is %v, want ErrUnsupported", err)
	}
}

func unknownFeatureRefused(m *machine) {
	if v, err := m.engine.FeatureReg(arm64.TPIDR_EL0); !errors.Is(err, hv.ErrUnsupported) {
		m.Errorf("FeatureReg(TPIDR_EL0) = %#x, %v, want ErrUnsupported", v, err)
	}
}

func badIndexRefused(m *machine) {
	for _, index := range []int{-1, m.engine.Caps().MaxVCPUs, 0} {
		cpu, err := m.vm.NewVCPU(index) // 0 is there already
		if err == nil {
			cpu.Close()
			m.Errorf("NewVCPU(%d) succeeds", index)
		}
	}
}

func counterMoves(m *machine) {
	freq := m.vm.CounterFreq()
	if freq < 1e6 || freq > 1e10 {
		m.Fatalf("frequency %d Hz is not one of a counter", freq)
	}
	a := m.vm.Counter()
	for b := a; b == a; b = m.vm.Counter() { // the test's own limit ends a stopped counter
		if m.Context().Err() != nil {
			return
		}
	}
}
