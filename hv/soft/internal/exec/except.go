package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

// What a pending event is.
const (
	pendNothing   = 0
	pendException = 1 // taken to EL1
	pendExit      = 2 // exit is complete
	pendMMIO      = 3 // exit lacks what the instruction says: describe adds it
)

// pending is why an operation could not complete.
type pending struct {
	kind   uint8
	behind bool // PC goes on behind the instruction: calls and completed exits
	hasFAR bool
	esr    uint64
	far    uint64
	exit   hv.Exit
}

// Vector offsets (Arm ARM, D1.3.1.4): kinds, and where from.
const (
	vectorSync    = 0x000
	vectorIRQ     = 0x080
	vectorFIQ     = 0x100
	vectorFromSP  = 0x200 // from EL1 with its own stack pointer
	vectorFromEL0 = 0x400
)

// raise makes a synchronous exception with a fault address pending.
func (c *Core) raise(esr, far uint64) {
	c.pend = pending{kind: pendException, esr: esr, far: far, hasFAR: true}
}

// raisePlain makes one without a fault address pending.
func (c *Core) raisePlain(esr uint64) {
	c.pend = pending{kind: pendException, esr: esr}
}

func (c *Core) undefined() { c.raisePlain(arm64.ESR(arm64.ECUnknown, 0)) }

// trapFP is an instruction that CPACR_EL1.FPEN keeps from the vector registers;
// its syndrome reads as a conditional instruction that always passes.
func (c *Core) trapFP() { c.raisePlain(arm64.ESR(arm64.ECFP, 1<<24|0xe<<20)) }

// call is SVC: the exception returns behind it.
func (c *Core) call(ec, imm uint64) {
	c.raisePlain(arm64.ESR(ec, imm))
	c.pend.behind = true
}

func (c *Core) breakpoint(imm uint64) { c.raisePlain(arm64.ESR(arm64.ECBRK, imm)) }

func (c *Core) hypervisorCall(kind hv.ExitKind, imm uint64) {
	c.pend = pending{kind: pendExit, behind: true, exit: hv.Exit{Kind: kind, Imm: uint16(imm)}}
}

// exitFault is an access that nobody can handle; ec is as for EL2.
func (c *Core) exitFault(ec, va, ipa uint64) {
	esr := arm64.ESR(ec, arm64.FSCTranslation|3)
	c.pend = pending{kind: pendExit, exit: hv.Exit{Kind: hv.Fault, ESR: esr, VA: va, IPA: ipa}}
}

// exitDenied is a write to memory mapped without Write.
func (c *Core) exitDenied(va, ipa uint64) {
	esr := arm64.ESR(arm64.ECDataAbortEL0, arm64.FSCPermission|3|arm64.ISSWnR)
	c.pend = pending{kind: pendExit, exit: hv.Exit{Kind: hv.Denied, Write: true, ESR: esr, VA: va, IPA: ipa}}
}

// exitMMIO is an access to what is not memory.
func (c *Core) exitMMIO(va, ipa, size uint64, write bool, v uint64) {
	c.pend = pending{kind: pendMMIO, exit: hv.Exit{Kind: hv.MMIO, Write: write, Size: uint8(size), Value: v, IPA: ipa, VA: va}}
}

// describe completes an MMIO exit by the instruction that made it. One without
// a syndrome, or whose access was split, becomes a Fault.
func (c *Core) describe(i *isa.Op) {
	e := &c.pend.exit
	m, ok := isa.MemOf(i.Code)
	if !ok || m.Size != e.Size {
		iss := arm64.DataAbort{Write: e.Write, FSC: arm64.FSCTranslation | 3}.ISS()
		*e = hv.Exit{Kind: hv.Fault, Write: e.Write, IPA: e.IPA, VA: e.VA, ESR: arm64.ESR(arm64.ECDataAbortEL0, iss)}
		c.pend.kind = pendExit
		return
	}
	e.Signed, e.Wide, e.Reg = m.Signed, m.Wide, i.Rd
	if e.Reg > 31 {
		e.Reg = 31
	}
	c.pend.kind, c.pend.behind = pendExit, true
}

// trapOp is trap for what operation i raised.
func (c *Core) trapOp(i *isa.Op) bool {
	if c.pend.kind == pendMMIO {
		c.describe(i)
	}
	return c.trap()
}

// trap takes the pending exception with PC at the instruction. It returns false,
// and leaves the event pending, when that is an exit.
func (c *Core) trap() bool {
	if c.pend.behind {
		c.PC += 4
		c.left--
		c.ss = c.ss && !c.debug.step // the instruction has been stepped
	}
	if c.pend.kind != pendException {
		return false
	}
	c.countTrap()
	c.Sys[cpu.SysESR] = c.pend.esr
	if c.pend.hasFAR {
		c.Sys[cpu.SysFAR] = c.pend.far
	}
	c.pend.kind = pendNothing
	c.take(vectorSync)
	return true
}

// countTrap charges an exception that follows the last without an instruction
// in between.
func (c *Core) countTrap() {
	c.stats.Exceptions++
	if c.count+uint64(c.start-c.left) == c.lastTrap {
		c.left--
	}
	c.lastTrap = c.count + uint64(c.start-c.left)
}

// take enters EL1 at a vector.
func (c *Core) take(vector uint64) {
	c.Sys[cpu.SysELR], c.Sys[cpu.SysSPSR] = c.PC, c.PState()
	kind, from := vector, c.el
	switch {
	case c.el == 0:
		vector += vectorFromEL0
	case c.spSel:
		vector += vectorFromSP
	}
	c.setMode(1, true)
	c.DAIF = arm64.PSRDAIF
	c.ss, c.illegal = false, false
	c.PC = c.Sys[cpu.SysVBAR]&^0x7ff + vector
	c.debug.update(c)
	if c.host.active {
		c.attention.Store(1) // the step ends here
	}
	if c.host.trace.Events != 0 {
		c.tellTaken(kind, from)
	}
}

// exceptionReturn is ERET. A return to a state that does not exist sets
// PSTATE.IL and stays, so that the next instruction faults.
func (c *Core) exceptionReturn() {
	spsr := c.Sys[cpu.SysSPSR]
	c.PC = c.Sys[cpu.SysELR]
	c.monitor.size = 0
	c.event.Store(true) // an exception return is a wake-up event for WFE
	if c.tells(hv.TraceExceptions) {
		c.tell(hv.TraceEvent{Kind: hv.TraceExceptions, Return: true, EL: c.el, To: c.PC})
	}
	c.SetPState(spsr)
}

// PState gives PSTATE in the layout of SPSR_EL1.
func (c *Core) PState() uint64 {
	v := uint64(c.Flags())<<28 | c.DAIF
	if c.el == 1 {
		v |= arm64.ModeEL1t
		if c.spSel {
			v |= 1
		}
	}
	if c.illegal {
		v |= arm64.PSRIL
	}
	if c.ss {
		v |= arm64.PSRSS
	}
	return v
}

// SetPState sets PSTATE from the layout of SPSR_EL1. An illegal mode leaves the
// mode and sets PSTATE.IL.
func (c *Core) SetPState(v uint64) {
	c.SetFlags(uint8(v >> 28 & 15))
	c.DAIF = v & arm64.PSRDAIF
	c.illegal = v&arm64.PSRIL != 0
	switch v & arm64.PSRMode {
	case arm64.ModeEL0t:
		c.setMode(0, false)
	case arm64.ModeEL1t:
		c.setMode(1, false)
	case arm64.ModeEL1h:
		c.setMode(1, true)
	default:
		c.illegal = true
	}
	c.ss = v&arm64.PSRSS != 0
	c.debug.update(c)
	if c.lines != 0 || c.illegal || c.debug.slow {
		c.attention.Store(1)
	}
}

// setMode changes EL and stack pointer.
func (c *Core) setMode(el uint8, spSel bool) {
	c.setSPSel(spSel && el == 1)
	if c.el == el {
		return
	}
	c.el = el
	c.switched()
}

// setSPSel selects the stack pointer; the other is kept in its register.
func (c *Core) setSPSel(own bool) {
	if own == c.spSel {
		return
	}
	c.Sys[c.spRegister()] = c.X[cpu.SP]
	c.spSel = own
	c.X[cpu.SP] = c.Sys[c.spRegister()]
}

func (c *Core) spRegister() uint8 {
	if c.spSel {
		return cpu.SysSPEL1
	}
	return cpu.SysSPEL0
}

// switched follows a change of EL or of what it may do.
func (c *Core) switched() {
	c.TLB = &c.tlbs[c.el]
	c.gen = c.trans.gens[c.el]
	fpen := c.Sys[cpu.SysCPACR] >> 20 & 3
	c.fp = fpen == 3 || fpen == 1 && c.el == 1
}

// interrupt takes an interrupt whose line is up and which is not masked.
func (c *Core) interrupt() {
	switch {
	case c.lines&lineFIQ != 0 && c.DAIF&arm64.PSRF == 0:
		c.stats.Interrupts++
		c.take(vectorFIQ)
	case c.lines&lineIRQ != 0 && c.DAIF&arm64.PSRI == 0:
		c.stats.Interrupts++
		c.take(vectorIRQ)
	}
}

// Interrupt lines.
const (
	lineIRQ = 1
	lineFIQ = 2
)

// SetLines raises or lowers the interrupt lines for the next run.
func (c *Core) SetLines(irq, fiq bool) {
	c.lines = 0
	if irq {
		c.lines |= lineIRQ
	}
	if fiq {
		c.lines |= lineFIQ
	}
}
