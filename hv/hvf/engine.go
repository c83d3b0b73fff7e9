//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// granule is the page size of Apple silicon, to which the framework's calls that
// map memory are bound.
const granule = 16 << 10

// engine implements hv.Engine.
type engine struct {
	caps     hv.Caps
	defaults uint32 // address bits of a VM that asks for none
	features map[hv.SysReg]uint64
	err      error // why no VM can be made
}

// New looks at what this Mac and its system can do. A Mac that cannot run guests
// is an engine whose NewVM says why.
func New() hv.Engine {
	e := &engine{caps: hv.Caps{MaxVMs: 1, MaxVCPUs: 1, IPABits: 36, Granule: granule, GIC: bool(C.hvf_has_gic()), Remap: true}}
	e.err = e.look()
	return e
}

// look asks the framework.
func (e *engine) look() error {
	cpus, max, std := C.hvf_max_vcpus(), C.hvf_max_ipa_bits(), C.hvf_default_ipa_bits()
	for _, r := range []C.hvf_u64{cpus, max, std} {
		if err := check("ask Hypervisor.framework what it can do", r.err); err != nil {
			return err
		}
	}
	e.caps.MaxVCPUs, e.caps.IPABits = int(cpus.value), int(max.value)
	e.defaults = uint32(std.value)
	e.features = map[hv.SysReg]uint64{arm64.MIDR_EL1: midr}
	for _, f := range features {
		r := C.hvf_feature_reg(C.hv_feature_reg_t(f.feature))
		if err := check("read "+arm64.Name(f.enc), r.err); err != nil {
			return err
		}
		e.features[f.enc] = f.visible(uint64(r.value))
	}
	return nil
}

func (*engine) Name() string    { return "hvf" }
func (e *engine) Caps() hv.Caps { return e.caps }

func (e *engine) FeatureReg(enc hv.SysReg) (uint64, error) {
	v, ok := e.features[enc]
	switch {
	case e.err != nil:
		return 0, e.err
	case !ok:
		return 0, fmt.Errorf("cannot tell feature register %s: %w", arm64.Name(enc), hv.ErrUnsupported)
	}
	return v, nil
}

func (e *engine) NewVM(cfg hv.Config) (hv.VM, error) {
	if e.err != nil {
		return nil, e.err
	}
	bits := max(uint32(cfg.IPABits), e.defaults)
	switch {
	case cfg.Counted != nil:
		return nil, fmt.Errorf("cannot count a guest's instructions: %w", hv.ErrUnsupported)
	case cfg.IPABits < 0 || cfg.IPABits > e.caps.IPABits:
		return nil, fmt.Errorf("cannot make a VM with %d address bits, at most %d: %w", cfg.IPABits, e.caps.IPABits, hv.ErrUnsupported)
	}
	freq := uint64(C.hvf_counter_freq())
	if freq == 0 {
		return nil, errors.New("cannot make a VM: the system does not tell the frequency of its counter")
	}
	if err := check("make a VM", C.hvf_vm_create(C.uint32_t(bits))); err != nil {
		return nil, err
	}
	return &vm{engine: e, slots: newSlots(1 << bits), freq: freq, used: make([]bool, e.caps.MaxVCPUs)}, nil
}
