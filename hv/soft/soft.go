// Package soft is the engine that executes AArch64 in Go, on any host. It
// offers EL1 and EL0, little endian, with the 4 KiB granule; which extensions
// exist is what the ID registers say (FeatureReg), and everything else is
// UNDEFINED. The interrupt controller is the caller's: accesses to ICC_*
// registers are Trap exits. The physical timer counts and has its status, but
// only the virtual one can interrupt.
//
// # Where things are
//
// internal/isa decodes; internal/isa/table says what operations do and
// internal/isa/gen writes the executor from it. internal/exec runs them,
// internal/mmu translates addresses, internal/float and internal/simd compute.
package soft

import (
	"fmt"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/exec"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

const (
	// maxVCPUs is what issue after issue has tested, not a limit of the design.
	maxVCPUs = 32
	ipaBits  = 40
	// granule is Hypervisor.framework's, so that code that runs here runs there.
	granule = 16 << 10
	// defaultPS is a virtual nanosecond for each instruction.
	defaultPS = 1000
)

// New gives the engine.
func New() hv.Engine { return engine{} }

type engine struct{}

func (engine) Name() string { return "soft" }

func (engine) Caps() hv.Caps {
	return hv.Caps{MaxVCPUs: maxVCPUs, IPABits: ipaBits, Granule: granule, Counted: true}
}

func (engine) FeatureReg(enc hv.SysReg) (uint64, error) {
	v, ok := exec.FeatureReg(enc)
	if !ok {
		return 0, fmt.Errorf("cannot tell feature register %#x: %w", enc, hv.ErrUnsupported)
	}
	return v, nil
}

func (engine) NewVM(cfg hv.Config) (hv.VM, error) {
	bits := cfg.IPABits
	if bits == 0 {
		bits = ipaBits
	}
	if bits < 32 || bits > ipaBits {
		return nil, fmt.Errorf("cannot make a VM with %d address bits, at most %d: %w", cfg.IPABits, ipaBits, hv.ErrUnsupported)
	}
	ps := uint64(0)
	if cfg.Counted != nil {
		ps = cfg.Counted.PSPerInstruction
		if ps == 0 {
			ps = defaultPS
		}
	}
	return &vm{machine: exec.NewMachine(ps), limit: 1 << bits, counted: ps != 0}, nil
}

// vm implements hv.VM.
type vm struct {
	machine *exec.Machine
	limit   uint64 // end of the guest physical address space
	counted bool

	mu   sync.Mutex // guards used
	used [maxVCPUs]bool
}

// checkRange checks n bytes at ipa.
func (v *vm) checkRange(what string, ipa, n uint64) error {
	if (ipa|n)%granule != 0 || n == 0 || ipa >= v.limit || n > v.limit-ipa {
		return fmt.Errorf("cannot %s %#x bytes at %#x: %w", what, n, ipa, hv.ErrRange)
	}
	return nil
}

func (v *vm) Map(ipa uint64, mem []byte, p hv.Prot) error {
	n := uint64(len(mem))
	if err := v.checkRange("map", ipa, n); err != nil {
		return err
	}
	if address(mem)%granuleOfHost != 0 {
		return fmt.Errorf("cannot map memory at %#x: its host address is not page aligned; take it from mmap: %w", ipa, hv.ErrRange)
	}
	var err error
	v.machine.SetMemory(ipa, n, func(m *mmu.Memory) *mmu.Memory {
		if m.Overlaps(ipa, n) {
			err = fmt.Errorf("cannot map %#x bytes at %#x: part is mapped already: %w", n, ipa, hv.ErrRange)
			return nil
		}
		return m.With(mmu.Slot{Base: ipa, Mem: mem, Prot: mmu.Prot(p)})
	})
	return err
}

func (v *vm) Unmap(ipa, size uint64) error {
	return v.change("unmap", ipa, size, func(rest *mmu.Memory, _ []mmu.Slot) *mmu.Memory { return rest })
}

func (v *vm) Protect(ipa, size uint64, p hv.Prot) error {
	return v.change("protect", ipa, size, func(rest *mmu.Memory, out []mmu.Slot) *mmu.Memory {
		for _, s := range out {
			s.Prot = mmu.Prot(p)
			rest = rest.With(s)
		}
		return rest
	})
}

// change replaces a range that is mapped throughout.
func (v *vm) change(what string, ipa, size uint64, to func(rest *mmu.Memory, out []mmu.Slot) *mmu.Memory) error {
	err := v.checkRange(what, ipa, size)
	if err != nil {
		return err
	}
	v.machine.SetMemory(ipa, size, func(m *mmu.Memory) *mmu.Memory {
		if !m.Covers(ipa, size) {
			err = fmt.Errorf("cannot %s %#x bytes at %#x: part is not mapped: %w", what, size, ipa, hv.ErrRange)
			return nil
		}
		return to(m.Without(ipa, size))
	})
	return err
}

func (v *vm) Invalidate(ipa, size uint64) {
	if size != 0 && ipa < v.limit {
		v.machine.Invalidate(ipa, min(size, v.limit-ipa))
	}
}

func (v *vm) NewGIC(hv.GICConfig) (hv.GIC, error) {
	return nil, fmt.Errorf("cannot make an interrupt controller: %w", hv.ErrUnsupported)
}

func (v *vm) NewVCPU(index int) (hv.VCPU, error) {
	if index < 0 || index >= maxVCPUs {
		return nil, fmt.Errorf("cannot make vCPU %d: there are %d at most: %w", index, maxVCPUs, hv.ErrUnsupported)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.used[index] {
		return nil, fmt.Errorf("cannot make vCPU %d: it exists", index)
	}
	v.used[index] = true
	c := &vcpu{core: exec.NewCore(v.machine, index), vm: v, index: index}
	if v.counted {
		return &countedVCPU{c}, nil
	}
	return c, nil
}

func (v *vm) CounterFreq() uint64 { return exec.CounterFreq }
func (v *vm) Counter() uint64     { return v.machine.Counter() }

func (v *vm) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for k, used := range v.used {
		if used {
			return fmt.Errorf("cannot close the VM: vCPU %d is not closed", k)
		}
	}
	return nil
}
