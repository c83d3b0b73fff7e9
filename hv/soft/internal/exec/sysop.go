package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

func mmuRegs(sys *[256]uint64) mmu.Regs {
	return mmu.Regs{
		SCTLR: sys[cpu.SysSCTLR], TCR: sys[cpu.SysTCR], MAIR: sys[cpu.SysMAIR],
		TTBR0: sys[cpu.SysTTBR0], TTBR1: sys[cpu.SysTTBR1], PABits: paBits,
	}
}

// A sysOp is a system instruction: cache and TLB maintenance and address
// translation. do returns false when it faulted.
type sysOp struct {
	do   func(c *Core, v uint64) bool
	user bool // EL0 may use it while SCTLR_EL1.UCI is set
}

// insn encodes a system instruction, SYS #op1, Cn, Cm, #op2.
func insn(op1, crn, crm, op2 uint8) arm64.SysReg { return arm64.Encode(1, op1, crn, crm, op2) }

const sysDCZVA = 1<<14 | 3<<11 | 7<<7 | 4<<3 | 1

// sysOps has every system instruction but DC ZVA. Data caches do not exist, so
// that maintenance by set and way does nothing, and by address only faults.
var sysOps = map[arm64.SysReg]sysOp{
	insn(0, 7, 1, 0):  {do: invalidateAllCode(true)},  // IC IALLUIS
	insn(0, 7, 5, 0):  {do: invalidateAllCode(false)}, // IC IALLU
	insn(3, 7, 5, 1):  {(*Core).invalidateCode, true}, // IC IVAU
	insn(0, 7, 6, 1):  {do: (*Core).cacheLine},        // DC IVAC
	insn(0, 7, 6, 2):  {do: nothing},                  // DC ISW
	insn(0, 7, 10, 2): {do: nothing},                  // DC CSW
	insn(0, 7, 14, 2): {do: nothing},                  // DC CISW
	insn(3, 7, 10, 1): {(*Core).cacheLine, true},      // DC CVAC
	insn(3, 7, 11, 1): {(*Core).cacheLine, true},      // DC CVAU
	insn(3, 7, 14, 1): {(*Core).cacheLine, true},      // DC CIVAC
	insn(0, 7, 8, 0):  {do: translate(1, false)},      // AT S1E1R
	insn(0, 7, 8, 1):  {do: translate(1, true)},       // AT S1E1W
	insn(0, 7, 8, 2):  {do: translate(0, false)},      // AT S1E0R
	insn(0, 7, 8, 3):  {do: translate(0, true)},       // AT S1E0W
	insn(0, 8, 3, 0):  {do: flush(true)},              // TLBI VMALLE1IS
	insn(0, 8, 3, 1):  {do: flushPage(true)},          // TLBI VAE1IS
	insn(0, 8, 3, 2):  {do: flushASID(true)},          // TLBI ASIDE1IS
	insn(0, 8, 3, 3):  {do: flushPage(true)},          // TLBI VAAE1IS
	insn(0, 8, 3, 5):  {do: flushPage(true)},          // TLBI VALE1IS
	insn(0, 8, 3, 7):  {do: flushPage(true)},          // TLBI VAALE1IS
	insn(0, 8, 7, 0):  {do: flush(false)},             // TLBI VMALLE1
	insn(0, 8, 7, 1):  {do: flushPage(false)},         // TLBI VAE1
	insn(0, 8, 7, 2):  {do: flushASID(false)},         // TLBI ASIDE1
	insn(0, 8, 7, 3):  {do: flushPage(false)},         // TLBI VAAE1
	insn(0, 8, 7, 5):  {do: flushPage(false)},         // TLBI VALE1
	insn(0, 8, 7, 7):  {do: flushPage(false)},         // TLBI VAALE1
}

// sysOp does the instruction that i.Imm encodes on register i.Rd.
func (c *Core) sysOp(i *isa.Op) bool {
	if c.el == 0 && c.regs.SCTLR&sctlrUCI == 0 {
		c.trapSys(i.Imm, i.Rd, false)
		return false
	}
	return sysOps[arm64.SysReg(i.Imm)].do(c, c.X[i.Rd])
}

func nothing(*Core, uint64) bool { return true }

// cacheLine is maintenance of a data cache line: all of it is translation.
func (c *Core) cacheLine(va uint64) bool {
	_, ok := c.maintain(va)
	return ok
}

// maintain translates for cache maintenance, whose faults say so and count as
// writes.
func (c *Core) maintain(va uint64) (pa uint64, ok bool) {
	r, f := c.walk(va, mmu.Access{User: c.el == 0})
	switch {
	case f.Denied:
		c.exitDenied(va, f.PA)
	case f.Failed:
		c.dataAbort(va, uint64(f.FSC)|arm64.ISSCM, true)
	}
	return r.PA, !f.Failed
}

// invalidateCode is IC IVAU: decoded code of the physical page is dropped here and,
// by the next DSB, elsewhere.
func (c *Core) invalidateCode(va uint64) bool {
	pa, ok := c.maintain(va)
	if ok && c.machine.mayHaveCode(pa) {
		c.dropCode(pa)
		c.ask(func(r *request) { r.dropCode(pa) })
	}
	return ok
}

func invalidateAllCode(shared bool) func(*Core, uint64) bool {
	return func(c *Core, _ uint64) bool {
		c.dropAllCode()
		if shared {
			c.ask(func(r *request) { r.allCode = true })
		}
		return true
	}
}

// flushASID drops the translations of an ASID. Only those of the current ASID
// are ever held, so its number does not matter.
func flushASID(shared bool) func(*Core, uint64) bool {
	return func(c *Core, _ uint64) bool {
		c.flushLocal()
		if shared {
			c.ask(func(r *request) { r.local = true })
		}
		return true
	}
}

// flush drops all translations.
func flush(shared bool) func(*Core, uint64) bool {
	return func(c *Core, _ uint64) bool {
		c.flushAll()
		if shared {
			c.ask(func(r *request) { r.all = true })
		}
		return true
	}
}

// flushPage drops the translations of a page, whatever their ASID: the operand
// has VA[55:12] in bits 43:0.
func flushPage(shared bool) func(*Core, uint64) bool {
	return func(c *Core, v uint64) bool {
		va := v << 12
		c.flushVA(va)
		if shared {
			c.ask(func(r *request) { r.dropVA(va) })
		}
		return true
	}
}

// Fields of PAR_EL1.
const (
	parFailed = 1
	parRES1   = 1 << 11
)

// translate is AT: the result goes to PAR_EL1.
func translate(el uint8, write bool) func(*Core, uint64) bool {
	return func(c *Core, va uint64) bool {
		r, f := c.walk(va, mmu.Access{Write: write, User: el == 0})
		switch {
		case f.Denied:
			c.exitDenied(va, f.PA)
			return false
		case f.Failed:
			c.Sys[cpu.SysPAR] = parRES1 | uint64(f.FSC)<<1 | parFailed
		default:
			c.Sys[cpu.SysPAR] = uint64(r.Attr)<<56 | r.PA&^0xfff | parRES1 | uint64(r.Share)<<7
		}
		return true
	}
}

// Trapped WFI and WFE: ISS.TI.
const wfxWFE = 1

// wfxISS is the condition field of a WFx trap: always.
const wfxISS = 1<<24 | 0xe<<20

// waitForInterrupt is WFI: a line that is up ends it at once, masked or not.
func (c *Core) waitForInterrupt() bool {
	if c.el == 0 && c.regs.SCTLR&sctlrNTWI == 0 {
		c.raisePlain(arm64.ESR(arm64.ECWFx, wfxISS))
		return false
	}
	if c.lines != 0 {
		return true
	}
	c.pend = pending{kind: pendExit, behind: true, exit: hv.Exit{Kind: hv.WFI}}
	return false
}

// waitForEvent is WFE.
func (c *Core) waitForEvent() bool {
	if c.event.Swap(false) || c.lines != 0 {
		return true
	}
	if c.el == 0 && c.regs.SCTLR&sctlrNTWE == 0 {
		c.raisePlain(arm64.ESR(arm64.ECWFx, wfxISS|wfxWFE))
		return false
	}
	c.pend = pending{kind: pendExit, behind: true, exit: hv.Exit{Kind: hv.WFE}}
	return false
}

// yield is YIELD, from a loop that waits for another core: whoever runs the
// cores is told as for WFE, since that other may need this one's thread. A
// single core waits for nobody.
func (c *Core) yield() bool {
	if len(*c.machine.cores.Load()) == 1 {
		return true
	}
	c.pend = pending{kind: pendExit, behind: true, exit: hv.Exit{Kind: hv.WFE}}
	return false
}

// setEvent is SEVL.
func (c *Core) setEvent() { c.event.Store(true) }

// sendEvent is SEV: it sets the event register of every core.
func (c *Core) sendEvent() {
	for _, other := range *c.machine.cores.Load() {
		other.event.Store(true)
	}
}
