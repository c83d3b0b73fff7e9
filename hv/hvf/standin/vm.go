//go:build macshim && !darwin

package standin

/*
#cgo CFLAGS: -Wall -I${SRCDIR}/../../../darwin/sdk/apple
#include "front.h"
*/
import "C"

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// software is what executes the guest.
var software = soft.New()

// A machine is the VM of the process.
type machine struct {
	vm   hv.VM
	gic  atomic.Pointer[gic] // nil without hv_gic_create
	mu   sync.Mutex
	maps []mapping // guarded by mu: which host memory is where
}

// A mapping is what one hv_vm_map did and no hv_vm_unmap has undone.
type mapping struct {
	host uintptr
	ipa  uint64
	size uint64
}

// current is the machine, or nil. Making and destroying one is the caller's to
// order; C has refused what Apple would.
var current atomic.Pointer[machine]

// cpus are the vCPUs by slot.
var cpus [C.STANDIN_VCPUS]atomic.Pointer[vcpu]

// byAffinity are the vCPUs by Aff0.
var byAffinity [C.STANDIN_VCPUS]atomic.Pointer[vcpu]

// SetMacOS says which macOS this is, by its major version: 15 has hv_gic, 14 has
// not. Engines made before keep what they saw.
func SetMacOS(major int) { C.standin_set_macos(C.uint32_t(major)) }

// FailCall makes the n-th call of the framework from now on fail; 0 takes that back.
// FailedCall names the one that has failed, or is "" when none was reached.
func FailCall(n int)     { C.standin_fail_call(C.int(n)) }
func FailedCall() string { return C.GoString(C.standin_failed_call()) }

// NextExit makes the next run report this and not enter the guest.
func NextExit(reason uint32, syndrome, ipa uint64) {
	C.standin_tell(C.uint32_t(reason), C.uint64_t(syndrome), C.uint64_t(ipa))
}

// status is what the framework says about an error of the engine.
func status(err error) C.hv_return_t {
	switch {
	case err == nil:
		return C.HV_SUCCESS
	case errors.Is(err, hv.ErrRange), errors.Is(err, hv.ErrUnsupported):
		return C.HV_BAD_ARGUMENT
	case errors.Is(err, hv.ErrBusy):
		return C.HV_BUSY
	}
	return C.HV_ERROR
}

//export standin_vm_create
func standin_vm_create(bits C.uint32_t) C.hv_return_t {
	if current.Load() != nil {
		return C.HV_BUSY
	}
	vm, err := software.NewVM(hv.Config{IPABits: int(bits)})
	if err != nil {
		return status(err)
	}
	if !current.CompareAndSwap(nil, &machine{vm: vm}) {
		return C.HV_BUSY
	}
	return C.HV_SUCCESS
}

//export standin_vm_destroy
func standin_vm_destroy() C.hv_return_t {
	m := current.Swap(nil)
	if m == nil {
		return C.HV_NO_DEVICE
	}
	return status(m.vm.Close())
}

//export standin_vm_map
func standin_vm_map(addr unsafe.Pointer, ipa C.hv_ipa_t, size C.size_t, flags C.hv_memory_flags_t) C.hv_return_t {
	m := current.Load()
	if m == nil {
		return C.HV_NO_DEVICE
	}
	err := m.vm.Map(uint64(ipa), unsafe.Slice((*byte)(addr), int(size)), hv.Prot(flags))
	if err == nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.maps = append(m.maps, mapping{uintptr(addr), uint64(ipa), uint64(size)})
	}
	return status(err)
}

//export standin_vm_unmap
func standin_vm_unmap(ipa C.hv_ipa_t, size C.size_t) C.hv_return_t {
	m := current.Load()
	if m == nil {
		return C.HV_NO_DEVICE
	}
	err := m.vm.Unmap(uint64(ipa), uint64(size))
	if err == nil {
		m.forget(uint64(ipa), uint64(ipa)+uint64(size))
	}
	return status(err)
}

// forget takes [base, end) out of maps.
func (m *machine) forget(base, end uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range slices.Clone(m.maps) {
		if x.ipa >= end || x.ipa+x.size <= base {
			continue
		}
		m.maps = slices.DeleteFunc(m.maps, func(y mapping) bool { return y == x })
		if x.ipa < base {
			m.maps = append(m.maps, mapping{x.host, x.ipa, base - x.ipa})
		}
		if rest := x.ipa + x.size; rest > end {
			m.maps = append(m.maps, mapping{x.host + uintptr(end-x.ipa), end, rest - end})
		}
	}
}

//export standin_vm_protect
func standin_vm_protect(ipa C.hv_ipa_t, size C.size_t, flags C.hv_memory_flags_t) C.hv_return_t {
	m := current.Load()
	if m == nil {
		return C.HV_NO_DEVICE
	}
	return status(m.vm.Protect(uint64(ipa), uint64(size), hv.Prot(flags)))
}

// standin_invalidate finds where the guest sees host memory.
//
//export standin_invalidate
func standin_invalidate(addr unsafe.Pointer, size C.size_t) {
	m := current.Load()
	if m == nil {
		return
	}
	base, end := uintptr(addr), uintptr(addr)+uintptr(size)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, x := range m.maps {
		if from, to := max(base, x.host), min(end, x.host+uintptr(x.size)); from < to {
			m.vm.Invalidate(x.ipa+uint64(from-x.host), uint64(to-from))
		}
	}
}

// began is when the clock of a process without a VM began.
var began = time.Now()

//export standin_now
func standin_now() C.uint64_t {
	if m := current.Load(); m != nil {
		return C.uint64_t(m.vm.Counter())
	}
	return C.uint64_t(uint64(time.Since(began)) / uint64(standin_tick_ns()))
}

// standin_tick_ns is how long a tick of the counter is: hv/soft's.
//
//export standin_tick_ns
func standin_tick_ns() C.uint32_t { return tickNS }

const tickNS = 10

// featureRegs are the registers that the framework tells, as hv_feature_reg_t
// numbers them.
var featureRegs = []hv.SysReg{
	arm64.ID_AA64DFR0_EL1, arm64.ID_AA64DFR1_EL1, arm64.ID_AA64ISAR0_EL1, arm64.ID_AA64ISAR1_EL1,
	arm64.ID_AA64MMFR0_EL1, arm64.ID_AA64MMFR1_EL1, arm64.ID_AA64MMFR2_EL1, arm64.ID_AA64PFR0_EL1,
	arm64.ID_AA64PFR1_EL1, arm64.CTR_EL0, arm64.CLIDR_EL1, arm64.DCZID_EL0,
}

// extra are features that an M5 with macOS 26 announces and does not give: SVE,
// SME, MTE, and performance monitors.
var extra = map[hv.SysReg]uint64{
	arm64.ID_AA64PFR0_EL1: 1 << 32,
	arm64.ID_AA64PFR1_EL1: 2<<24 | 2<<8,
	arm64.ID_AA64DFR0_EL1: 1 << 8,
}

//export standin_feature_reg
func standin_feature_reg(reg C.hv_feature_reg_t, value *C.uint64_t) C.hv_return_t {
	if int(reg) >= len(featureRegs) {
		return C.HV_BAD_ARGUMENT
	}
	v, err := software.FeatureReg(featureRegs[reg])
	*value = C.uint64_t(v | extra[featureRegs[reg]])
	return status(err)
}
