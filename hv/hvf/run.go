//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Run enters the guest until there is something for the caller.
func (c *vcpu) Run(e *hv.Exit) error {
	if c.closed {
		return fmt.Errorf("cannot run vCPU %d: %w", c.index, errClosed)
	}
	defer func() { c.lines = 0 }()
	for {
		if c.kicked.Swap(false) {
			*e = hv.Exit{Kind: hv.Kicked}
			return nil
		}
		gen := c.vm.slots.seen.Load()
		x := C.hvf_run(c.id, c.exit, c.lines)
		if x.err != C.HV_SUCCESS {
			return check(fmt.Sprintf("run vCPU %d", c.index), x.err)
		}
		if done, err := c.decode(&x, gen, e); done || err != nil {
			return err
		}
	}
}

// decode makes an exit of what the framework reports. It answers false when there
// is nothing to report and the guest is to be entered again; gen is the memory
// map that it was last entered with.
func (c *vcpu) decode(x *C.hvf_exit, gen uint64, e *hv.Exit) (done bool, err error) {
	switch x.reason {
	case C.HV_EXIT_REASON_CANCELED:
		// A Kick that Run has answered already, before it entered, is still with
		// the framework: nobody waits for this one.
		*e = hv.Exit{Kind: hv.Kicked}
		return c.kicked.Swap(false), nil
	case C.HV_EXIT_REASON_VTIMER_ACTIVATED:
		*e = hv.Exit{Kind: hv.VTimer}
		return true, nil
	case C.HV_EXIT_REASON_EXCEPTION:
		return c.exception(x, gen, e)
	}
	return true, fmt.Errorf("cannot run vCPU %d: it stopped for the unknown reason %d", c.index, x.reason)
}

// exception decodes a trap to EL2.
func (c *vcpu) exception(x *C.hvf_exit, gen uint64, e *hv.Exit) (done bool, err error) {
	esr := uint64(x.syndrome)
	switch arm64.EC(esr) {
	case arm64.ECHVC: // PC is past it
		*e = hv.Exit{Kind: hv.HVC, Imm: uint16(esr)}
		return true, nil
	case arm64.ECSMC:
		*e = hv.Exit{Kind: hv.SMC, Imm: uint16(esr)}
		_, err = c.pass(31)
		return true, err
	case arm64.ECWFx:
		*e = hv.Exit{Kind: hv.WFI}
		if esr&1 != 0 {
			e.Kind = hv.WFE
		}
		_, err = c.pass(31)
		return true, err
	case arm64.ECSysReg:
		t := arm64.DecodeSysTrap(esr)
		*e = hv.Exit{Kind: hv.Trap, Sys: t.Sys, Reg: t.Reg, Write: !t.Read}
		v, err := c.pass(t.Reg)
		if e.Write {
			e.Value = v
		}
		return true, err
	case arm64.ECDataAbortEL0, arm64.ECInstrAbortEL0:
		return c.abort(x, gen, e)
	}
	*e = fault(x)
	return true, nil
}

// fault is an exit that nobody can handle; PC stays on the instruction.
func fault(x *C.hvf_exit) hv.Exit {
	return hv.Exit{Kind: hv.Fault, IPA: uint64(x.physical_address), VA: uint64(x.virtual_address), ESR: uint64(x.syndrome)}
}

// pass moves PC past the instruction and gives the value of a register; 31 is
// XZR.
func (c *vcpu) pass(reg uint8) (uint64, error) {
	r := C.hvf_pass(c.id, C.uint32_t(reg))
	return uint64(r.value), check("pass an instruction", r.err)
}

// abort decodes an access that the second stage of translation refused.
func (c *vcpu) abort(x *C.hvf_exit, gen uint64, e *hv.Exit) (done bool, err error) {
	ipa := uint64(x.physical_address)
	if _, mapped := c.vm.slots.look(ipa); mapped {
		// What is mapped was refused for its rights, or before it was mapped.
		s, mapped, now := c.vm.slots.lookSettled(ipa)
		if mapped {
			return c.refused(x, s, now != gen, e), nil
		}
	}
	esr := uint64(x.syndrome)
	d := arm64.DecodeDataAbort(esr)
	if arm64.EC(esr) != arm64.ECDataAbortEL0 || !d.Valid {
		*e = fault(x)
		return true, nil
	}
	*e = hv.Exit{Kind: hv.MMIO, Write: d.Write, Size: d.Size, Reg: d.Reg, Signed: d.Signed, Wide: d.Wide, IPA: ipa, VA: uint64(x.virtual_address)}
	v, err := c.pass(d.Reg)
	if d.Write {
		e.Value = v << (64 - 8*d.Size) >> (64 - 8*d.Size)
	}
	return true, err
}

// refused decodes an access to mapped memory: a store to what is read-only, which
// is dirty tracking, or one whose map has changed since, which is tried again.
func (c *vcpu) refused(x *C.hvf_exit, s slot, changed bool, e *hv.Exit) (done bool) {
	need := hv.Exec
	data := arm64.EC(uint64(x.syndrome)) == arm64.ECDataAbortEL0
	if data {
		need = hv.Read
		// The walk of a page table that updates a flag stores too, and does not say so.
		if write := x.syndrome&(arm64.ISSWnR|arm64.ISSS1PTW) != 0; write && s.prot&hv.Write == 0 && s.prot&hv.Read != 0 {
			*e = fault(x)
			e.Kind, e.Write = hv.Denied, true
			return true
		}
		if x.syndrome&arm64.ISSWnR != 0 {
			need = hv.Write
		}
	}
	if s.prot&need != 0 && changed {
		return false
	}
	*e = fault(x)
	return true
}
