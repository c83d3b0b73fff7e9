//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// gic is the framework's interrupt controller, from macOS 15 on. With it, WFI
// and the virtual timer never leave the framework.
type gic struct{}

func (v *vm) NewGIC(cfg hv.GICConfig) (hv.GIC, error) {
	if !v.engine.caps.GIC {
		return nil, fmt.Errorf("cannot make an interrupt controller: it takes macOS 15: %w", hv.ErrUnsupported)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.gic || slices.Contains(v.used, true) {
		return nil, errors.New("cannot make an interrupt controller: one is made before the first vCPU")
	}
	err := check("make an interrupt controller", C.hvf_gic_create(C.uint64_t(cfg.Distributor), C.uint64_t(cfg.Redistributor)))
	if err != nil {
		return nil, err
	}
	v.gic = true
	return gic{}, nil
}

func (gic) SetSPI(intid uint32, level bool) error {
	return check("set an interrupt", C.hvf_gic_set_spi(C.uint32_t(intid), C.bool(level)))
}

func (gic) Reset() error { return check("reset the interrupt controller", C.hvf_gic_reset()) }

func (gic) State() ([]byte, error) {
	var size C.size_t
	state := C.hvf_gic_state(&size)
	if state == nil {
		return nil, errors.New("cannot save the interrupt controller: the framework has no state of it")
	}
	defer C.os_release(state)
	if size == 0 {
		return nil, errors.New("cannot save the interrupt controller: its state is empty")
	}
	b := make([]byte, size)
	return b, check("save the interrupt controller", C.hvf_gic_state_data(state, unsafe.Pointer(&b[0])))
}

func (gic) SetState(b []byte) error {
	if len(b) == 0 {
		return errors.New("cannot restore the interrupt controller: there is no state")
	}
	return check("restore the interrupt controller", C.hvf_gic_set_state(unsafe.Pointer(&b[0]), C.size_t(len(b))))
}
