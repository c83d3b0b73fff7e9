package exec

import (
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
)

// Self-hosted debug (Arm ARM, chapter D2) as ID_AA64DFR0_EL1 offers it: one
// breakpoint, one watchpoint, software step. While any of them may fire the core
// executes one instruction at a time.

// Fields of MDSCR_EL1.
const (
	mdscrSS   = 1 << 0
	mdscrTDCC = 1 << 12
	mdscrKDE  = 1 << 13
	mdscrMDE  = 1 << 15
	mdscrMask = mdscrSS | mdscrTDCC | mdscrKDE | mdscrMDE
)

// Fields of DBGBCRn_EL1 and DBGWCRn_EL1.
const (
	dbgEnable = 1
	dbgMask   = 0x1fff_ffff
)

// debug is what the debug registers come to in the current state.
type debug struct {
	armed  bool // some event is enabled, in whatever state
	slow   bool // one may fire in this state before an instruction
	watch  bool // the watchpoint is on in this state
	step   bool // software step is on in this state
	breaks bool // the breakpoint is
	wr, rd bool
	lo, hi uint64 // watched bytes
}

var debugRegisters = []register{
	{enc: arm64.MDSCR_EL1, slot: cpu.SysMDSCR, write: (*Core).setMDSCR},
	{enc: arm64.MDCCINT_EL1, slot: cpu.SysMDCCINT, mask: 3 << 29},
	{enc: arm64.OSDTRRX_EL1, slot: cpu.SysOSDTRRX, mask: 1<<32 - 1},
	{enc: arm64.OSDTRTX_EL1, slot: cpu.SysOSDTRTX, mask: 1<<32 - 1},
	{enc: arm64.OSECCR_EL1, slot: cpu.SysOSECCR, mask: 1<<32 - 1},
	{enc: arm64.MDRAR_EL1, read: zero},
	{enc: arm64.OSLAR_EL1, slot: cpu.SysOSLock, write: (*Core).setOSLock, writeOnly: true},
	{enc: arm64.OSLSR_EL1, read: (*Core).osLockStatus},
	{enc: arm64.OSDLR_EL1, slot: cpu.SysOSDLR, mask: 1},
	{enc: arm64.DBGPRCR_EL1, slot: cpu.SysDBGPRCR, mask: 1},
	{enc: arm64.DBGCLAIMSET_EL1, read: func(*Core) uint64 { return 0xff }, write: (*Core).setClaim},
	{enc: arm64.DBGCLAIMCLR_EL1, slot: cpu.SysDBGClaim, write: (*Core).clearClaim},
	{enc: arm64.DBGAUTHSTATUS_EL1, read: zero},
	{enc: arm64.MDCCSR_EL0, read: zero, user: userRead},
	{enc: arm64.DBGDTR_EL0, read: zero, write: ignore, user: userBoth},
	{enc: arm64.DBGDTRRX_EL0, read: zero, write: ignore, user: userBoth},
	{enc: arm64.DBGBVR(0), slot: cpu.SysDBG, write: debugWrite(cpu.SysDBG, all&^3)},
	{enc: arm64.DBGBCR(0), slot: cpu.SysDBG + 1, write: debugWrite(cpu.SysDBG+1, dbgMask)},
	{enc: arm64.DBGWVR(0), slot: cpu.SysDBG + 2, write: debugWrite(cpu.SysDBG+2, all&^3)},
	{enc: arm64.DBGWCR(0), slot: cpu.SysDBG + 3, write: debugWrite(cpu.SysDBG+3, dbgMask)},
}

func debugWrite(slot uint8, mask uint64) func(*Core, uint64) {
	return func(c *Core, v uint64) {
		c.Sys[slot] = v & mask
		c.debugChanged()
	}
}

func (c *Core) setMDSCR(v uint64) {
	c.Sys[cpu.SysMDSCR] = v & mdscrMask
	c.debugChanged()
}

func (c *Core) setOSLock(v uint64) {
	c.Sys[cpu.SysOSLock] = v & 1
	c.debugChanged()
}

// osLockStatus is OSLSR_EL1: the lock exists (OSLM 0b10).
func (c *Core) osLockStatus() uint64 { return 1<<3 | c.Sys[cpu.SysOSLock]<<1 }

func (c *Core) setClaim(v uint64)   { c.Sys[cpu.SysDBGClaim] |= v & 0xff }
func (c *Core) clearClaim(v uint64) { c.Sys[cpu.SysDBGClaim] &^= v & 0xff }

// debugChanged follows a write to a debug register. Blocks and TLB entries that
// were made without the events in mind go.
func (c *Core) debugChanged() {
	armed := c.Sys[cpu.SysMDSCR]&mdscrSS != 0 ||
		c.Sys[cpu.SysMDSCR]&mdscrMDE != 0 && (c.Sys[cpu.SysDBG+1]|c.Sys[cpu.SysDBG+3])&dbgEnable != 0
	if armed || c.debug.armed {
		c.flushAll()
		c.dropAllCode()
	}
	c.debug.armed = armed && c.Sys[cpu.SysOSLock] == 0
	c.debug.update(c)
	c.attention.Store(1)
}

// update follows a change of the debug registers or of PSTATE.
func (d *debug) update(c *Core) {
	if !d.armed {
		d.slow, d.watch, d.step, d.breaks = false, false, false, false
		return
	}
	mdscr := c.Sys[cpu.SysMDSCR]
	// From EL1 events come only with KDE and PSTATE.D clear.
	allowed := c.el == 0 || mdscr&mdscrKDE != 0 && c.DAIF&arm64.PSRD == 0
	d.step = allowed && mdscr&mdscrSS != 0
	d.breaks = allowed && mdscr&mdscrMDE != 0 && c.selects(c.Sys[cpu.SysDBG+1])
	d.watch = allowed && mdscr&mdscrMDE != 0 && c.selects(c.Sys[cpu.SysDBG+3])
	d.setRange(c.Sys[cpu.SysDBG+2], c.Sys[cpu.SysDBG+3])
	d.slow = d.step || d.breaks || d.watch
	c.attention.Store(1)
}

// selects says whether a control register is on and for this EL (PMC or PAC).
func (c *Core) selects(ctl uint64) bool {
	pmc := ctl >> 1 & 3
	return ctl&dbgEnable != 0 && (c.el == 0 && pmc&2 != 0 || c.el == 1 && pmc&1 != 0)
}

// setRange works out what the watchpoint watches: the bytes that BAS selects of
// the doubleword, or an aligned range of 2**MASK bytes.
func (d *debug) setRange(addr, ctl uint64) {
	d.rd, d.wr = ctl>>3&1 != 0, ctl>>4&1 != 0
	if mask := ctl >> 24 & 31; mask >= 3 {
		d.lo = addr &^ (1<<mask - 1)
		d.hi = d.lo + 1<<mask
		return
	}
	bas := ctl >> 5 & 0xff
	d.lo, d.hi = addr, addr
	for k := range uint64(8) {
		if bas>>k&1 != 0 {
			if d.hi == addr {
				d.lo = addr + k
			}
			d.hi = addr + k + 1
		}
	}
}

// watches says whether accesses to the page must not use the TLB.
func (d *debug) watches(page uint64) bool {
	return d.armed && d.lo < page+pageSize && d.hi > page
}

// watched says whether the access fires the watchpoint.
func (d *debug) watched(va, n uint64, write bool) bool {
	return d.watch && va < d.hi && va+n > d.lo && (write && d.wr || !write && d.rd)
}

// fromEL gives the class of a debug exception: that of a lower EL, or the next.
func (c *Core) fromEL(lower uint64) uint64 {
	if c.el == 0 {
		return lower
	}
	return lower + 1
}

func (c *Core) watchpoint(va uint64, write bool) {
	iss := uint64(arm64.FSCDebug)
	if write {
		iss |= arm64.ISSWnR
	}
	c.raise(arm64.ESR(c.fromEL(arm64.ECWatchEL0), iss), va)
}

// stepping says whether the next instruction is one that software step lets
// through: PSTATE.SS is set (active, not pending).
func (d *debug) stepping(c *Core) bool { return d.step && c.ss }

// debugEvent checks what fires before the instruction at PC; false means that
// an exception is pending.
func (c *Core) debugEvent() bool {
	if c.debug.step && !c.ss { // active and pending: ISV, and EX unknown as 0
		c.raisePlain(arm64.ESR(c.fromEL(arm64.ECStepEL0), 1<<24|arm64.FSCDebug))
		return false
	}
	if c.breaksAt(c.PC) {
		c.raisePlain(arm64.ESR(c.fromEL(arm64.ECBreakEL0), arm64.FSCDebug))
		return false
	}
	return true
}

func (c *Core) breaksAt(pc uint64) bool {
	return c.debug.breaks && c.Sys[cpu.SysDBG+1]>>20&15 == 0 && c.Sys[cpu.SysDBG] == pc&^3
}
