package soft

import (
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/exec"
)

var errClosed = errors.New("the vCPU is closed")

// vcpu implements hv.VCPU.
type vcpu struct {
	core   *exec.Core
	vm     *vm
	index  int
	closed bool
}

func (c *vcpu) Run(e *hv.Exit) error {
	if c.closed {
		return fmt.Errorf("cannot run vCPU %d: %w", c.index, errClosed)
	}
	c.core.Run(exec.Unlimited, e)
	return nil
}

func (c *vcpu) Kick() { c.core.Kick() }

func (c *vcpu) Reg(r hv.Reg) (uint64, error) {
	switch {
	case r <= hv.X30:
		return c.core.X[r], nil
	case r == hv.PC:
		return c.core.PC, nil
	case r == hv.FPCR:
		return uint64(c.core.FPCR), nil
	case r == hv.FPSR:
		return uint64(c.core.FPSR), nil
	case r == hv.CPSR:
		return c.core.PState(), nil
	}
	return 0, fmt.Errorf("cannot read register %d: there is none", r)
}

func (c *vcpu) SetReg(r hv.Reg, v uint64) error {
	switch {
	case r <= hv.X30:
		c.core.X[r] = v
	case r == hv.PC:
		c.core.PC = v
	case r == hv.FPCR:
		c.core.SetFP(uint32(v), c.core.FPSR)
	case r == hv.FPSR:
		c.core.SetFP(c.core.FPCR, uint32(v))
	case r == hv.CPSR:
		c.core.SetPState(v)
	default:
		return fmt.Errorf("cannot write register %d: there is none", r)
	}
	return nil
}

func (c *vcpu) VReg(n int) (b [16]byte, err error) {
	if n < 0 || n > 31 {
		return b, fmt.Errorf("cannot read V%d: there is none", n)
	}
	for k := range b {
		b[k] = byte(c.core.V[n][k/8] >> (k % 8 * 8))
	}
	return b, nil
}

func (c *vcpu) SetVReg(n int, b [16]byte) error {
	if n < 0 || n > 31 {
		return fmt.Errorf("cannot write V%d: there is none", n)
	}
	c.core.V[n] = [2]uint64{}
	for k := range b {
		c.core.V[n][k/8] |= uint64(b[k]) << (k % 8 * 8)
	}
	return nil
}

func (c *vcpu) SysReg(enc hv.SysReg) (uint64, error) {
	v, ok := c.core.SysReg(enc)
	if !ok {
		return 0, fmt.Errorf("cannot read system register %#x: %w", enc, hv.ErrUnsupported)
	}
	return v, nil
}

func (c *vcpu) SetSysReg(enc hv.SysReg, v uint64) error {
	if err := c.core.SetSysReg(enc, v); err != nil {
		return fmt.Errorf("cannot write system register %#x: %w", enc, err)
	}
	return nil
}

func (c *vcpu) SetPending(irq, fiq bool) error {
	c.core.SetLines(irq, fiq)
	return nil
}

func (c *vcpu) VTimerMask() (bool, error) {
	masked, _ := c.core.Timer()
	return masked, nil
}

func (c *vcpu) SetVTimerMask(masked bool) error {
	_, off := c.core.Timer()
	c.core.SetTimer(masked, off)
	return nil
}

func (c *vcpu) VTimerOffset() (uint64, error) {
	_, off := c.core.Timer()
	return off, nil
}

func (c *vcpu) SetVTimerOffset(off uint64) error {
	masked, _ := c.core.Timer()
	c.core.SetTimer(masked, off)
	return nil
}

// maxWatch bounds the list that every slow access goes through.
const maxWatch = 64

// SetDebug implements hv.Debuggable. Breakpoints may be as many as there is
// memory for.
func (c *vcpu) SetDebug(d hv.Debug) error {
	if len(d.Watchpoints) > maxWatch {
		return fmt.Errorf("cannot set %d watchpoints, at most %d: %w", len(d.Watchpoints), maxWatch, hv.ErrUnsupported)
	}
	for _, at := range d.Breakpoints {
		if at%4 != 0 {
			return fmt.Errorf("cannot set a breakpoint at %#x, which is no multiple of 4: %w", at, hv.ErrRange)
		}
	}
	for _, w := range d.Watchpoints {
		if w.Size == 0 || w.Addr+w.Size < w.Addr {
			return fmt.Errorf("cannot watch %#x bytes at %#x: %w", w.Size, w.Addr, hv.ErrRange)
		}
	}
	c.core.SetDebug(d)
	return nil
}

// SetTrace implements hv.Traceable.
func (c *vcpu) SetTrace(t *hv.Trace) { c.core.SetTrace(t) }

// Stats counts what happened on the vCPU; its owner calls it between runs.
func (c *vcpu) Stats() exec.Stats { return c.core.Stats() }

func (c *vcpu) Instructions() uint64 { return c.core.Instructions() }

func (c *vcpu) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	c.core.Close()
	c.vm.mu.Lock()
	defer c.vm.mu.Unlock()
	c.vm.used[c.index] = false
	return nil
}

// countedVCPU implements hv.Counted.
type countedVCPU struct{ *vcpu }

func (c *countedVCPU) RunN(n uint64, e *hv.Exit) error {
	if c.closed {
		return fmt.Errorf("cannot run vCPU %d: %w", c.index, errClosed)
	}
	c.core.Run(n, e)
	return nil
}

func (c *countedVCPU) Now() uint64           { return c.vm.machine.Now() }
func (c *countedVCPU) Skip(ns uint64)        { c.vm.machine.Skip(ns) }
func (c *countedVCPU) SetFaults(f hv.Faults) { c.core.SetFaults(f) }
