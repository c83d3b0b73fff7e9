package exec

import (
	"errors"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"
)

var errStarted = errors.New("ID registers are fixed once the vCPU has run")

// FeatureReg gives what a new core's ID register reads as.
func FeatureReg(enc arm64.SysReg) (uint64, bool) {
	for k := range idRegisters {
		if r := &idRegisters[k]; r.enc == enc && r.read == nil && enc != arm64.MPIDR_EL1 {
			return idValues[r.slot], true
		}
	}
	if enc == arm64.DCZID_EL0 {
		return 4, true
	}
	return 0, arm64.IsID(enc)
}

// Counter is the physical count.
func (m *Machine) Counter() uint64 { return m.Now() / nsPerTick }

// SetFP sets the floating-point control and status registers.
func (c *Core) SetFP(fpcr, fpsr uint32) {
	c.FPCR, c.FPSR = fpcr&float.FPCRMask, fpsr&float.FPSRMask
}

// SysReg reads any system register, between runs and regardless of EL.
func (c *Core) SysReg(enc arm64.SysReg) (uint64, bool) {
	switch enc {
	case arm64.SP_EL0:
		return *c.stackPointer(cpu.SysSPEL0), true
	case arm64.SP_EL1:
		return *c.stackPointer(cpu.SysSPEL1), true
	case arm64.NZCV:
		return uint64(c.Flags()) << 28, true
	case arm64.OSLAR_EL1:
		return 0, false
	}
	if r := registers[enc]; r != nil {
		return r.get(c), true
	}
	return 0, arm64.IsID(enc)
}

// stackPointer is where a banked SP is kept now.
func (c *Core) stackPointer(slot uint8) *uint64 {
	if slot == c.spRegister() {
		return &c.X[cpu.SP]
	}
	return &c.Sys[slot]
}

// SetSysReg writes any system register between runs. ID registers only take new
// values before the first run.
func (c *Core) SetSysReg(enc arm64.SysReg, v uint64) error {
	switch enc {
	case arm64.SP_EL0:
		*c.stackPointer(cpu.SysSPEL0) = v
		return nil
	case arm64.SP_EL1:
		*c.stackPointer(cpu.SysSPEL1) = v
		return nil
	case arm64.NZCV:
		c.SetFlags(uint8(v >> 28 & 15))
		return nil
	}
	r := registers[enc]
	switch {
	case r == nil:
		return hv.ErrUnsupported
	case !r.readOnly():
		r.set(c, v)
		return nil
	case r.read != nil:
		return hv.ErrUnsupported
	case c.count != 0:
		return errStarted
	}
	c.Sys[r.slot] = v
	return nil
}
