//go:build macshim && !darwin

package standin

// #include "front.h"
import "C"

import (
	"errors"
	"sync/atomic"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// A vcpu is what Go keeps of one. Its owner's alone, but for what is marked.
type vcpu struct {
	c    *C.struct_vcpu // C's memory, until hv_vcpu_destroy
	soft hv.VCPU
	m    *machine
	e    hv.Exit

	// affinity is Aff0 of MPIDR_EL1, by which the GIC knows the vCPU; -1 before it is set.
	affinity int
	canceled atomic.Bool // hv_vcpus_exit; any thread
	park     parker      // waits in WFI, with the framework's GIC
}

//export standin_vcpu_create
func standin_vcpu_create(c *C.struct_vcpu) C.hv_return_t {
	m := current.Load()
	if m == nil {
		return C.HV_NO_DEVICE
	}
	cpu, err := m.vm.NewVCPU(int(c.slot))
	if err != nil {
		return status(err)
	}
	err = cpu.SetSysReg(arm64.MPIDR_EL1, unsetMPIDR)
	for enc, bits := range extra {
		v, rerr := cpu.SysReg(enc)
		err = errors.Join(err, rerr, cpu.SetSysReg(enc, v|bits))
	}
	cpus[c.slot].Store(&vcpu{c: c, soft: cpu, m: m, park: newParker(), affinity: -1})
	return status(err)
}

// unsetMPIDR is what MPIDR_EL1 reads before the caller has given the vCPU its place:
// no CPU that a guest would look for.
const unsetMPIDR = 1<<31 | 0xff<<16

//export standin_vcpu_destroy
func standin_vcpu_destroy(slot C.uint32_t) {
	v := cpus[slot].Swap(nil)
	if v.affinity >= 0 {
		byAffinity[v.affinity].CompareAndSwap(v, nil)
	}
	v.soft.Close()
}

//export standin_vcpu_exit
func standin_vcpu_exit(slot C.hv_vcpu_t) {
	v := cpus[slot].Load()
	v.canceled.Store(true)
	v.interrupt()
}

// interrupt makes the vCPU leave the engine, or the wait in WFI. Any thread.
func (v *vcpu) interrupt() {
	v.soft.Kick()
	v.park.wake()
}

//export standin_vcpu_run
func standin_vcpu_run(c *C.struct_vcpu) C.hv_return_t {
	v := cpus[c.slot].Load()
	if err := v.load(); err != nil {
		return status(err)
	}
	var err error
	switch gic := v.m.gic.Load(); {
	case gic == nil:
		err = v.run(bool(c.irq), bool(c.fiq))
	case v.affinity < 0:
		return C.HV_ILLEGAL_GUEST_STATE // no redistributor is its own
	default:
		err = v.runWithGIC()
	}
	c.irq, c.fiq = false, false
	if err == nil {
		err = v.store()
	}
	return status(err)
}

// load gives the engine the registers that the caller has set.
func (v *vcpu) load() error {
	dirty := uint64(v.c.dirty)
	v.c.dirty = 0
	for r := hv.Reg(0); dirty != 0; r, dirty = r+1, dirty>>1 {
		if dirty&1 == 0 || r > hv.CPSR {
			continue
		}
		if err := v.soft.SetReg(r, uint64(v.c.regs[r])); err != nil {
			return err
		}
	}
	return nil
}

// store shows the caller the engine's registers.
func (v *vcpu) store() error {
	for r := hv.Reg(0); r <= hv.CPSR; r++ {
		x, err := v.soft.Reg(r)
		if err != nil {
			return err
		}
		v.c.regs[r] = C.uint64_t(x)
	}
	if passed(v.e.Kind) {
		v.c.regs[hv.PC] -= 4
		v.c.dirty = 1 << hv.PC
	}
	return nil
}

// passed says whether the engine has moved PC past an instruction that the
// framework leaves it on.
func passed(k hv.ExitKind) bool {
	return k == hv.MMIO || k == hv.SMC || k == hv.WFI || k == hv.WFE || k == hv.Trap
}

// run is one entry, without the framework's GIC. A kick that was no cancel, left
// from an earlier run, ends nothing.
func (v *vcpu) run(irq, fiq bool) error {
	for {
		if err := v.soft.SetPending(irq, fiq); err != nil {
			return err
		}
		if err := v.soft.Run(&v.e); err != nil {
			return err
		}
		if v.e.Kind != hv.Kicked || v.canceled.Swap(false) {
			v.report()
			return nil
		}
	}
}

// report writes the exit record.
func (v *vcpu) report() {
	x, e := &v.c.exit, &v.e
	*x = C.hv_vcpu_exit_t{}
	switch e.Kind {
	case hv.Kicked:
		x.reason = C.HV_EXIT_REASON_CANCELED
	case hv.VTimer:
		x.reason = C.HV_EXIT_REASON_VTIMER_ACTIVATED
	default:
		x.reason = C.HV_EXIT_REASON_EXCEPTION
		x.exception.syndrome = C.hv_exception_syndrome_t(syndrome(e))
		x.exception.virtual_address = C.hv_exception_address_t(e.VA)
		x.exception.physical_address = C.hv_ipa_t(e.IPA)
	}
}

// Fields of a trapped WFI's ISS.
const (
	wfxAlways = 1<<24 | 0xe<<20 // the condition is valid and always
	wfxEvent  = 1               // WFE
)

// fscUnmapped is a translation fault at level 3.
const fscUnmapped = arm64.FSCTranslation | 3

// syndrome is ESR_EL2 of an exit.
func syndrome(e *hv.Exit) uint64 {
	switch e.Kind {
	case hv.MMIO:
		d := arm64.DataAbort{Valid: true, Size: e.Size, Reg: e.Reg, Signed: e.Signed, Wide: e.Wide, Write: e.Write, FSC: fscUnmapped}
		return arm64.ESR(arm64.ECDataAbortEL0, d.ISS())
	case hv.HVC:
		return arm64.ESR(arm64.ECHVC, uint64(e.Imm))
	case hv.SMC:
		return arm64.ESR(arm64.ECSMC, uint64(e.Imm))
	case hv.WFI:
		return arm64.ESR(arm64.ECWFx, wfxAlways)
	case hv.WFE:
		return arm64.ESR(arm64.ECWFx, wfxAlways|wfxEvent)
	case hv.Trap:
		return arm64.ESR(arm64.ECSysReg, arm64.SysTrap{Sys: e.Sys, Reg: e.Reg, Read: !e.Write}.ISS())
	}
	return e.ESR // Denied, Fault
}

//export standin_get_sys
func standin_get_sys(slot C.hv_vcpu_t, reg C.hv_sys_reg_t, value *C.uint64_t) C.hv_return_t {
	v := cpus[slot].Load()
	x, err := v.soft.SysReg(hv.SysReg(reg))
	*value = C.uint64_t(x)
	return status(err)
}

//export standin_set_sys
func standin_set_sys(slot C.hv_vcpu_t, reg C.hv_sys_reg_t, value C.uint64_t) C.hv_return_t {
	v := cpus[slot].Load()
	err := v.soft.SetSysReg(hv.SysReg(reg), uint64(value))
	if aff := value & 0xff_00ff_ffff; err == nil && reg == C.HV_SYS_REG_MPIDR_EL1 && aff < C.STANDIN_VCPUS {
		v.affinity = int(aff)
		byAffinity[aff].Store(v)
	}
	return status(err)
}

// vector is a SIMD register in C's memory.
func vector(p unsafe.Pointer) []byte { return unsafe.Slice((*byte)(p), 16) }

//export standin_get_simd
func standin_get_simd(slot C.hv_vcpu_t, reg C.uint32_t, value unsafe.Pointer) C.hv_return_t {
	x, err := cpus[slot].Load().soft.VReg(int(reg))
	copy(vector(value), x[:])
	return status(err)
}

//export standin_set_simd
func standin_set_simd(slot C.hv_vcpu_t, reg C.uint32_t, value unsafe.Pointer) C.hv_return_t {
	return status(cpus[slot].Load().soft.SetVReg(int(reg), [16]byte(vector(value))))
}

//export standin_get_vtimer
func standin_get_vtimer(slot C.hv_vcpu_t, masked *C.bool, offset *C.uint64_t) C.hv_return_t {
	v := cpus[slot].Load()
	m, err := v.soft.VTimerMask()
	if err != nil {
		return status(err)
	}
	off, err := v.soft.VTimerOffset()
	if masked != nil {
		*masked = C.bool(m)
	}
	if offset != nil {
		*offset = C.uint64_t(off)
	}
	return status(err)
}

//export standin_set_vtimer_mask
func standin_set_vtimer_mask(slot C.hv_vcpu_t, masked C.bool) C.hv_return_t {
	return status(cpus[slot].Load().soft.SetVTimerMask(bool(masked)))
}

//export standin_set_vtimer_offset
func standin_set_vtimer_offset(slot C.hv_vcpu_t, offset C.uint64_t) C.hv_return_t {
	return status(cpus[slot].Load().soft.SetVTimerOffset(uint64(offset)))
}
