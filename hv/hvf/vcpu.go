//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Lines of a run, as hvf_run takes them.
const (
	lineIRQ = 1
	lineFIQ = 2
)

// vcpu implements hv.VCPU.
type vcpu struct {
	vm    *vm
	index int
	id    C.hv_vcpu_t
	exit  *C.hv_vcpu_exit_t // the framework's, until Close
	lines C.uint32_t        // for the next run
	// kicked is set before the framework is told: one of both sides sees it.
	kicked atomic.Bool

	mu     sync.Mutex // guards closed against Kick
	closed bool
}

var errClosed = errors.New("the vCPU is closed")

func (v *vm) NewVCPU(index int) (hv.VCPU, error) {
	if err := v.take(index); err != nil {
		return nil, fmt.Errorf("cannot make vCPU %d: %w", index, err)
	}
	r := C.hvf_vcpu_create()
	if err := check(fmt.Sprintf("make vCPU %d", index), r.err); err != nil {
		v.give(index)
		return nil, err
	}
	c := &vcpu{vm: v, index: index, id: r.vcpu, exit: r.exit}
	if err := c.setUp(); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set up vCPU %d: %w", index, err), c.Close())
	}
	return c, nil
}

// setUp gives a new vCPU the state that the contract names: what the framework
// starts with is nowhere written down.
func (c *vcpu) setUp() error {
	for r := hv.X0; r <= hv.FPSR; r++ {
		if err := c.SetReg(r, 0); err != nil {
			return err
		}
	}
	if err := c.SetReg(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h); err != nil {
		return err
	}
	sctlr, err := c.SysReg(arm64.SCTLR_EL1)
	if err != nil {
		return err
	}
	if err := c.SetSysReg(arm64.SCTLR_EL1, sctlr&^1); err != nil { // MMU off
		return err
	}
	if err := c.fix(arm64.MPIDR_EL1, 1<<31|uint64(c.index)); err != nil {
		return err
	}
	if err := c.fix(arm64.MIDR_EL1, midr); err != nil {
		return err
	}
	for _, f := range features {
		if f.fixed {
			continue
		}
		if err := c.fix(f.enc, c.vm.engine.features[f.enc]); err != nil {
			return err
		}
	}
	return nil
}

// fix makes an identification register read as want. That the framework took the
// value is not enough: a guest that sees what it cannot use fails much later.
func (c *vcpu) fix(enc hv.SysReg, want uint64) error {
	got, err := c.SysReg(enc)
	if err != nil || got == want {
		return err
	}
	if err := c.SetSysReg(enc, want); err != nil {
		return err
	}
	if got, err = c.SysReg(enc); err == nil && got != want {
		err = fmt.Errorf("%s reads %#x after %#x was written", arm64.Name(enc), got, want)
	}
	return err
}

// Kick is hv_vcpus_exit: the framework ends the run under way, or the next one.
func (c *vcpu) Kick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.kicked.Store(true)
	C.hvf_cancel(c.id)
}

func (c *vcpu) Reg(r hv.Reg) (uint64, error) {
	if r > hv.CPSR {
		return 0, fmt.Errorf("cannot read register %d: there is none", r)
	}
	v := C.hvf_get_reg(c.id, C.uint32_t(r))
	return uint64(v.value), check("read a register", v.err)
}

func (c *vcpu) SetReg(r hv.Reg, v uint64) error {
	if r > hv.CPSR {
		return fmt.Errorf("cannot write register %d: there is none", r)
	}
	return check("write a register", C.hv_vcpu_set_reg(c.id, C.hv_reg_t(r), C.uint64_t(v)))
}

func (c *vcpu) VReg(n int) (b [16]byte, err error) {
	if n < 0 || n > 31 {
		return b, fmt.Errorf("cannot read V%d: there is none", n)
	}
	v := C.hvf_get_simd_reg(c.id, C.uint32_t(n))
	binary.LittleEndian.PutUint64(b[:8], uint64(v.low))
	binary.LittleEndian.PutUint64(b[8:], uint64(v.high))
	return b, check("read a vector register", v.err)
}

func (c *vcpu) SetVReg(n int, b [16]byte) error {
	if n < 0 || n > 31 {
		return fmt.Errorf("cannot write V%d: there is none", n)
	}
	low, high := binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	return check("write a vector register", C.hvf_set_simd_reg(c.id, C.uint32_t(n), C.uint64_t(low), C.uint64_t(high)))
}

func (c *vcpu) SysReg(enc hv.SysReg) (uint64, error) {
	v := C.hvf_get_sys_reg(c.id, C.uint16_t(enc))
	return uint64(v.value), c.checkSys("read", enc, v.err)
}

func (c *vcpu) SetSysReg(enc hv.SysReg, v uint64) error {
	return c.checkSys("write", enc, C.hv_vcpu_set_sys_reg(c.id, C.hv_sys_reg_t(enc), C.uint64_t(v)))
}

// checkSys is check for a system register: a bad argument is one that the
// framework does not have.
func (c *vcpu) checkSys(do string, enc hv.SysReg, status C.hv_return_t) error {
	if status == C.HV_BAD_ARGUMENT {
		return fmt.Errorf("cannot %s system register %s: %w", do, arm64.Name(enc), hv.ErrUnsupported)
	}
	return check(do+" a system register", status)
}

// SetPending keeps the lines until Run, which enters the guest as often as it
// must: the framework lowers them each time.
func (c *vcpu) SetPending(irq, fiq bool) error {
	c.lines = 0
	if irq {
		c.lines |= lineIRQ
	}
	if fiq {
		c.lines |= lineFIQ
	}
	return nil
}

func (c *vcpu) VTimerMask() (bool, error) {
	v := C.hvf_get_vtimer_mask(c.id)
	return v.value != 0, check("read the virtual timer's mask", v.err)
}

func (c *vcpu) SetVTimerMask(masked bool) error {
	return check("mask the virtual timer", C.hv_vcpu_set_vtimer_mask(c.id, C.bool(masked)))
}

func (c *vcpu) VTimerOffset() (uint64, error) {
	v := C.hvf_get_vtimer_offset(c.id)
	return uint64(v.value), check("read the virtual counter's offset", v.err)
}

func (c *vcpu) SetVTimerOffset(off uint64) error {
	return check("set the virtual counter's offset", C.hv_vcpu_set_vtimer_offset(c.id, C.uint64_t(off)))
}

func (c *vcpu) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	if err := check(fmt.Sprintf("close vCPU %d", c.index), C.hv_vcpu_destroy(c.id)); err != nil {
		return err
	}
	c.closed = true
	c.vm.give(c.index)
	return nil
}
