package board

import (
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Versions that the guest is told (DEN 0022, 5.1.1 and DEN 0028, 7.2).
const (
	psciVersion    = 1<<16 | 1 // 1.1, the first with SYSTEM_RESET2
	smcccVersion   = 1<<16 | 1 // 1.1
	noTrustedOS    = 2         // MIGRATE_INFO_TYPE: nothing to migrate
	maxAffinity    = 3         // AFFINITY_INFO: highest affinity level
	affinityFields = 0xff_00ff_ffff
	cpsrReset      = arm64.PSRDAIF | arm64.ModeEL1h
)

// power is which vCPUs are on.
type power struct {
	mu   sync.Mutex // guards what follows
	cpus [MaxCPUs]powerState
}

type powerState struct {
	state   uint64 // an answer of AFFINITY_INFO
	entry   uint64 // PC and X0 to start with, while on is pending
	context uint64
}

// boot switches every vCPU off but the first, which it gives to the kernel.
func (p *power) boot(at placement) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.cpus {
		p.cpus[i] = powerState{state: arm64.PSCIAffinityOff}
	}
	p.cpus[0] = powerState{arm64.PSCIAffinityOnPending, at.kernel, at.fdt}
}

// on asks for a vCPU to be started and gives PSCI's answer.
func (p *power) on(target int, entry, context uint64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &p.cpus[target]
	switch s.state {
	case arm64.PSCIAffinityOn:
		return arm64.PSCIAlreadyOn
	case arm64.PSCIAffinityOnPending:
		return arm64.PSCIOnPending
	}
	*s = powerState{arm64.PSCIAffinityOnPending, entry, context}
	return arm64.PSCISuccess
}

// start takes what on asked for.
func (p *power) start(target int) (s powerState, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s = p.cpus[target]
	if s.state != arm64.PSCIAffinityOnPending {
		return s, false
	}
	p.cpus[target].state = arm64.PSCIAffinityOn
	return s, true
}

// off switches a vCPU off and says whether any of n is left.
func (p *power) off(target, n int) (left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cpus[target].state = arm64.PSCIAffinityOff
	for _, s := range p.cpus[:n] {
		left = left || s.state != arm64.PSCIAffinityOff
	}
	return left
}

func (p *power) info(target int) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cpus[target].state
}

// resetState is what a vCPU's registers were when the engine made it, of those
// that PSCI wants in their reset state at CPU_ON.
type resetState struct{ values []SysValue }

// resetRegs are switched back at CPU_ON: the MMU, traps, debug and timers off.
var resetRegs = []hv.SysReg{
	arm64.SCTLR_EL1, arm64.CPACR_EL1, arm64.MDSCR_EL1, arm64.CNTKCTL_EL1, arm64.CNTV_CTL_EL0,
}

func readReset(vc hv.VCPU) (s resetState, err error) {
	for _, enc := range resetRegs {
		v, err := vc.SysReg(enc)
		if err != nil {
			return s, err
		}
		s.values = append(s.values, SysValue{arm64.Name(enc), enc, v})
	}
	return s, nil
}

// awaitStart waits until the vCPU is switched on and sets it up, or until there
// is something else to do.
func (c *cpu) awaitStart() error {
	err := c.tryStart()
	if !c.on && err == nil {
		c.rest(nil)
	}
	return err
}

// tryStart sets the vCPU up if it is to be switched on.
func (c *cpu) tryStart() error {
	s, ok := c.b.power.start(c.index)
	if !ok {
		c.state.Store(stateOff)
		return nil
	}
	c.state.Store(stateStarting)
	if err := c.setUp(s); err != nil {
		return err
	}
	c.on, c.waiting = true, false
	return nil
}

// setUp gives the vCPU the state of DEN 0022, 6.4: EL1h, all masked, MMU off.
func (c *cpu) setUp(s powerState) error {
	for _, v := range c.reset.values {
		if err := c.vc.SetSysReg(v.Reg, v.Value); err != nil {
			return err
		}
	}
	if c.b.gic != nil {
		c.b.gic.ResetCPU(c.index)
	}
	for r, v := range map[hv.Reg]uint64{hv.PC: s.entry, hv.X0: s.context, hv.CPSR: cpsrReset} {
		if err := c.vc.SetReg(r, v); err != nil {
			return err
		}
	}
	return nil
}

// call answers an HVC or SMC: the SMC calling convention with PSCI 1.1. Only
// immediate 0 is a call.
func (c *cpu) call(e *hv.Exit) error {
	var x [4]uint64
	for i := range x {
		v, err := c.vc.Reg(hv.Reg(i))
		if err != nil {
			return err
		}
		x[i] = v
	}
	fn := uint32(x[0])
	if fn>>30&1 == 0 { // a 32-bit call has W registers
		for i := range x {
			x[i] = uint64(uint32(x[i]))
		}
	}
	answer := arm64.PSCINotSupported
	if e.Imm == 0 {
		answer = c.psci(fn, x[1], x[2], x[3])
	}
	if err := c.vc.SetReg(hv.X0, uint64(answer)); err != nil {
		return err
	}
	if fn == arm64.PSCICPUSuspend32 || fn == arm64.PSCICPUSuspend64 {
		return c.park()
	}
	return nil
}

// psci does one call and gives its answer. Those that do not come back leave
// the loop at its next turn.
func (c *cpu) psci(fn uint32, a1, a2, a3 uint64) int64 {
	switch fn {
	case arm64.PSCIVersion:
		return psciVersion
	case arm64.SMCCCVersion:
		return smcccVersion
	case arm64.PSCIFeatures:
		return features(uint32(a1))
	case arm64.SMCCCArchFeatures:
		return archFeatures(uint32(a1))
	case arm64.PSCICPUSuspend32, arm64.PSCICPUSuspend64:
		return arm64.PSCISuccess // every state is a standby state: the caller waits
	case arm64.PSCICPUOff:
		c.switchOff()
		return arm64.PSCISuccess
	case arm64.PSCICPUOn32, arm64.PSCICPUOn64:
		return c.b.cpuOn(a1, a2, a3)
	case arm64.PSCIAffinityInfo32, arm64.PSCIAffinityInfo64:
		return c.b.affinityInfo(a1, a2)
	case arm64.PSCIMigrateInfoType:
		return noTrustedOS
	case arm64.PSCISystemOff:
		c.b.guestEnds(PowerOff, "the guest powered off")
		return arm64.PSCIInternalFailure // not seen
	case arm64.PSCISystemReset:
		c.b.guestEnds(Reset, "the guest reset")
		return arm64.PSCIInternalFailure // not seen
	case arm64.PSCISystemReset2x32, arm64.PSCISystemReset2x64:
		return c.b.reset2(uint32(a1))
	}
	return arm64.PSCINotSupported
}

// features says which PSCI functions exist; 0 means yes, without options.
func features(fn uint32) int64 {
	switch fn {
	case arm64.PSCIVersion, arm64.PSCIFeatures, arm64.SMCCCVersion,
		arm64.PSCICPUSuspend32, arm64.PSCICPUSuspend64, arm64.PSCICPUOff,
		arm64.PSCICPUOn32, arm64.PSCICPUOn64, arm64.PSCIAffinityInfo32, arm64.PSCIAffinityInfo64,
		arm64.PSCIMigrateInfoType, arm64.PSCISystemOff, arm64.PSCISystemReset,
		arm64.PSCISystemReset2x32, arm64.PSCISystemReset2x64:
		return arm64.PSCISuccess
	}
	return arm64.PSCINotSupported
}

// archFeatures says which SMCCC functions exist. There are no workarounds: the
// engine's CPU needs none.
func archFeatures(fn uint32) int64 {
	if fn == arm64.SMCCCVersion || fn == arm64.SMCCCArchFeatures {
		return arm64.PSCISuccess
	}
	return arm64.PSCINotSupported
}

// cpuByAffinity is the vCPU that an MPIDR names.
func (b *Board) cpuByAffinity(mpidr uint64) (int, bool) {
	if mpidr&^affinityFields != 0 || mpidr >= uint64(len(b.cpus)) {
		return 0, false
	}
	return int(mpidr), true
}

func (b *Board) cpuOn(mpidr, entry, context uint64) int64 {
	target, ok := b.cpuByAffinity(mpidr)
	if !ok {
		return arm64.PSCIInvalidParameters
	}
	if entry < RAMBase || entry-RAMBase >= b.cfg.Memory || entry%4 != 0 {
		return arm64.PSCIInvalidAddress
	}
	answer := b.power.on(target, entry, context)
	if answer == arm64.PSCISuccess {
		b.cpus[target].wake()
	}
	return answer
}

// affinityInfo answers for one vCPU, or at higher levels for those that share
// the affinity fields from that level on, which is all or none.
func (b *Board) affinityInfo(mpidr, level uint64) int64 {
	if level > maxAffinity {
		return arm64.PSCIInvalidParameters
	}
	if level == 0 {
		target, ok := b.cpuByAffinity(mpidr)
		if !ok {
			return arm64.PSCIInvalidParameters
		}
		return int64(b.power.info(target))
	}
	if mpidr&^0xff != 0 {
		return arm64.PSCIInvalidParameters
	}
	return arm64.PSCIAffinityOn // the caller's own group
}

// reset2 is SYSTEM_RESET2, of which the one architectural type is a warm reset.
func (b *Board) reset2(kind uint32) int64 {
	if kind != 0 {
		return arm64.PSCIInvalidParameters
	}
	b.guestEnds(Reset, "the guest reset (warm)")
	return arm64.PSCIInternalFailure // not seen
}

// switchOff is CPU_OFF. When no vCPU is left, nothing can switch one on again.
func (c *cpu) switchOff() {
	c.on = false
	if !c.b.power.off(c.index, len(c.b.cpus)) {
		c.b.guestEnds(Fault, "every vCPU is switched off, and nothing can switch one on")
	}
}
