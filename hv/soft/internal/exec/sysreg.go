package exec

import (
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
)

// Fields of SCTLR_EL1.
const (
	sctlrA    = 1 << 1
	sctlrSA   = 1 << 3
	sctlrSA0  = 1 << 4
	sctlrUMA  = 1 << 9
	sctlrDZE  = 1 << 14
	sctlrUCT  = 1 << 15
	sctlrNTWI = 1 << 16
	sctlrNTWE = 1 << 18
	sctlrUCI  = 1 << 26
	// sctlrReset has the bits that are RES1 in Armv8.0 set.
	sctlrReset = 0x30d0_0800
	// sctlrFixed are the RES1 bits that stay: EOS, TSCXT, EIS, SPAN, LSMAOE and nTLSMD.
	sctlrFixed = 1<<11 | 1<<20 | 1<<22 | 1<<23 | 1<<28 | 1<<29
)

// paBits are the physical address bits that ID_AA64MMFR0_EL1.PARange offers.
const paBits = 40

// A register is how one system register behaves.
type register struct {
	enc   arm64.SysReg
	slot  uint8                   // in State.Sys, where read or write is nil
	read  func(c *Core) uint64    // nil: the slot
	write func(c *Core, v uint64) // nil: the slot, under mask
	mask  uint64                  // bits of the slot that MSR sets; 0 and no write: read-only
	user  uint8                   // what EL0 may do: userNone, userRead, userBoth
	gate  func(c *Core) bool      // EL0's access traps to EL1 while it is false
	// writeOnly: a read is undefined.
	writeOnly bool
}

const (
	userNone = 0
	userRead = 1
	userBoth = 3
	all      = ^uint64(0)
)

func (r *register) readOnly() bool { return r.write == nil && r.mask == 0 }

func (r *register) get(c *Core) uint64 {
	if r.read != nil {
		return r.read(c)
	}
	return c.Sys[r.slot]
}

func (r *register) set(c *Core, v uint64) {
	if r.write != nil {
		r.write(c, v)
		return
	}
	c.Sys[r.slot] = c.Sys[r.slot]&^r.mask | v&r.mask
}

// registers has every system register that is not an operation of its own.
// It is filled at the start because its functions refer to it.
var registers = map[arm64.SysReg]*register{}

func init() {
	for _, list := range [][]register{idRegisters, controlRegisters, timerRegisters, debugRegisters} {
		for k := range list {
			registers[list[k].enc] = &list[k]
		}
	}
}

// idRegisters are storage that only the engine's owner sets. What is
// neither here nor above in the ID space reads as zero.
var idRegisters = []register{
	{enc: arm64.MIDR_EL1, slot: cpu.SysMIDR},
	{enc: arm64.MPIDR_EL1, slot: cpu.SysMPIDR},
	{enc: arm64.REVIDR_EL1, slot: cpu.SysREVIDR},
	{enc: arm64.ID_AA64PFR0_EL1, slot: cpu.SysPFR0},
	{enc: arm64.ID_AA64PFR1_EL1, slot: cpu.SysPFR1},
	{enc: arm64.ID_AA64DFR0_EL1, slot: cpu.SysDFR0},
	{enc: arm64.ID_AA64ISAR0_EL1, slot: cpu.SysISAR0},
	{enc: arm64.ID_AA64ISAR1_EL1, slot: cpu.SysISAR1},
	{enc: arm64.ID_AA64MMFR0_EL1, slot: cpu.SysMMFR0},
	{enc: arm64.ID_AA64MMFR1_EL1, slot: cpu.SysMMFR1},
	{enc: arm64.ID_AA64MMFR2_EL1, slot: cpu.SysMMFR2},
	{enc: arm64.CLIDR_EL1, slot: cpu.SysCLIDR},
	{enc: arm64.CCSIDR_EL1, read: (*Core).cacheSize},
	{enc: arm64.AIDR_EL1, read: zero},
	{enc: arm64.CTR_EL0, slot: cpu.SysCTR, user: userRead, gate: sctlrGate(sctlrUCT)},
	{enc: arm64.DCZID_EL0, read: (*Core).zeroBlockSize, user: userRead},
}

// IDValues are what ID registers read as, by slot. Values are those of the Arm
// ARM's field descriptions: EL0 and EL1 in AArch64, floating point and Advanced
// SIMD, GICv3 system registers, CSV2 and CSV3; AES with PMULL, SHA-1, SHA-2 up to 512,
// CRC32 and LSE; 40-bit physical and 16-bit ASIDs, 4 KiB granule; hardware access
// flag and dirty state; the version 8.0 debug architecture.
var idValues = map[uint8]uint64{
	cpu.SysMIDR:  0x000f_0510, // implementer 0, reserved for software: in no errata table
	cpu.SysPFR0:  0x11 | 1<<24 | 1<<56 | 1<<60,
	cpu.SysDFR0:  6,
	cpu.SysISAR0: 2<<4 | 1<<8 | 2<<12 | 1<<16 | 2<<20 | 1<<28,
	cpu.SysMMFR0: 2 | 2<<4 | 0xf<<24,
	cpu.SysMMFR1: 2,
	cpu.SysCTR:   1<<31 | 1<<28 | 4<<24 | 4<<20 | 4<<16 | 3<<14 | 4, // IDC, PIPT, 64-byte lines
	cpu.SysCLIDR: 1<<27 | 2<<24 | 1<<21 | 4<<3 | 3,                  // split L1, unified L2
}

var controlRegisters = []register{
	{enc: arm64.SCTLR_EL1, slot: cpu.SysSCTLR, write: (*Core).setSCTLR},
	{enc: arm64.ACTLR_EL1, read: zero, write: ignore},
	{enc: arm64.CPACR_EL1, slot: cpu.SysCPACR, write: (*Core).setCPACR},
	{enc: arm64.TTBR0_EL1, slot: cpu.SysTTBR0, write: (*Core).setTTBR0},
	{enc: arm64.TTBR1_EL1, slot: cpu.SysTTBR1, write: (*Core).setTTBR1},
	{enc: arm64.TCR_EL1, slot: cpu.SysTCR, write: (*Core).setTCR},
	{enc: arm64.MAIR_EL1, slot: cpu.SysMAIR, write: (*Core).setMAIR},
	{enc: arm64.AMAIR_EL1, slot: cpu.SysAMAIR, mask: all},
	{enc: arm64.SPSR_EL1, slot: cpu.SysSPSR, mask: 1<<32 - 1},
	{enc: arm64.ELR_EL1, slot: cpu.SysELR, mask: all},
	{enc: arm64.AFSR0_EL1, slot: cpu.SysAFSR0, mask: 1<<32 - 1},
	{enc: arm64.AFSR1_EL1, slot: cpu.SysAFSR1, mask: 1<<32 - 1},
	{enc: arm64.ESR_EL1, slot: cpu.SysESR, mask: 1<<32 - 1},
	{enc: arm64.FAR_EL1, slot: cpu.SysFAR, mask: all},
	{enc: arm64.PAR_EL1, slot: cpu.SysPAR, mask: all},
	{enc: arm64.VBAR_EL1, slot: cpu.SysVBAR, mask: all &^ 0x7ff},
	{enc: arm64.CONTEXTIDR_EL1, slot: cpu.SysCONTEXTIDR, mask: 1<<32 - 1},
	{enc: arm64.TPIDR_EL1, slot: cpu.SysTPIDR, mask: all},
	{enc: arm64.TPIDR_EL0, slot: cpu.SysTPIDREL0, mask: all, user: userBoth},
	{enc: arm64.TPIDRRO_EL0, slot: cpu.SysTPIDRRO, mask: all, user: userRead},
	{enc: arm64.CSSELR_EL1, slot: cpu.SysCSSELR, mask: 0xf},
	{enc: arm64.CurrentEL, read: func(c *Core) uint64 { return uint64(c.el) << 2 }},
	{enc: arm64.SPSel, read: (*Core).readSPSel, write: func(c *Core, v uint64) { c.setSPSel(v&1 != 0) }},
	{enc: arm64.DAIF, read: func(c *Core) uint64 { return c.DAIF }, write: (*Core).setDAIF, user: userBoth, gate: sctlrGate(sctlrUMA)},
	{enc: arm64.ISR_EL1, read: (*Core).readISR},
}

func zero(*Core) uint64    { return 0 }
func ignore(*Core, uint64) {}

// sctlrGate is open while the bit of SCTLR_EL1 is set.
func sctlrGate(bit uint64) func(*Core) bool {
	return func(c *Core) bool { return c.regs.SCTLR&bit != 0 }
}

func (c *Core) resetSys() {
	for slot, v := range idValues {
		c.Sys[slot] = v
	}
	c.Sys[cpu.SysMPIDR] = 1<<31 | uint64(c.index)&0xff | uint64(c.index)>>8<<8
	c.Sys[cpu.SysSCTLR] = sctlrReset
	c.syncRegs()
}

// syncRegs copies what translation needs.
func (c *Core) syncRegs() {
	c.regs = mmuRegs(&c.Sys)
	c.switched()
}

// cacheSize is CCSIDR_EL1: 64-byte lines, 32 KiB L1 caches and 1 MiB of L2.
func (c *Core) cacheSize() uint64 {
	switch c.Sys[cpu.SysCSSELR] {
	case 0, 1: // L1 data, L1 instructions: 128 sets of 4
		return 127<<13 | 3<<3 | 2
	case 2: // L2: 1024 sets of 16
		return 1023<<13 | 15<<3 | 2
	}
	return 0
}

// zeroBlockSize is DCZID_EL0: 64 bytes, and whether DC ZVA is prohibited here.
func (c *Core) zeroBlockSize() uint64 {
	if c.el == 0 && c.regs.SCTLR&sctlrDZE == 0 {
		return 1<<4 | 4
	}
	return 4
}

func (c *Core) readSPSel() uint64 {
	if c.spSel {
		return 1
	}
	return 0
}

func (c *Core) setDAIF(v uint64) {
	c.DAIF = v & arm64.PSRDAIF
	if c.lines != 0 || c.debug.armed {
		c.attention.Store(1)
	}
}

func (c *Core) readISR() uint64 { return uint64(c.lines&lineIRQ)<<7 | uint64(c.lines&lineFIQ)<<5 }

func (c *Core) setSCTLR(v uint64) {
	old := c.Sys[cpu.SysSCTLR]
	c.Sys[cpu.SysSCTLR] = v | sctlrFixed
	c.syncRegs()
	if v = c.Sys[cpu.SysSCTLR]; old == v {
		return
	}
	c.flushAll()
	if (old^v)&(sctlrSA|sctlrSA0|sctlrUMA) != 0 { // decoded blocks depend on these
		c.dropAllCode()
	}
}

func (c *Core) setCPACR(v uint64) {
	c.Sys[cpu.SysCPACR] = v & (3 << 20)
	c.switched()
	c.newGen(0)
	c.newGen(1)
}

func (c *Core) setTTBR0(v uint64) {
	if c.Sys[cpu.SysTTBR0] != v {
		c.Sys[cpu.SysTTBR0] = v
		c.syncRegs()
		c.flushLocal()
	}
}

// setTTBR1 flushes all when the tables of the upper half change, and what
// belongs to one ASID when only that does.
func (c *Core) setTTBR1(v uint64) {
	diff := c.Sys[cpu.SysTTBR1] ^ v
	c.Sys[cpu.SysTTBR1] = v
	c.syncRegs()
	switch {
	case diff<<16 != 0:
		c.flushAll()
	case diff != 0:
		c.flushLocal()
	}
}

func (c *Core) setTCR(v uint64) {
	if c.Sys[cpu.SysTCR] != v {
		c.Sys[cpu.SysTCR] = v
		c.syncRegs()
		c.flushAll()
	}
}

func (c *Core) setMAIR(v uint64) {
	if c.Sys[cpu.SysMAIR] != v {
		c.Sys[cpu.SysMAIR] = v
		c.syncRegs()
		c.flushAll()
	}
}

// lower fits a decoded operation to the state that blocks are built for: the
// EL, whether floating point is on, and what a system register is.
func (c *Core) lower(op isa.Op) isa.Op {
	attr := isa.AttrOf(op.Code)
	switch {
	case c.el == 0 && attr&isa.Priv != 0:
		return isa.Op{Code: isa.OpUNDEF}
	case !c.fp && attr&isa.FP != 0:
		return isa.Op{Code: isa.OpFPTRAP}
	}
	switch op.Code {
	case isa.OpMRS, isa.OpMSR, isa.OpSYS:
		return c.lowerSys(op)
	case isa.OpMRSDAIF, isa.OpMSRDAIF, isa.OpDAIFSET, isa.OpDAIFCLR:
		if c.el == 0 || c.debug.armed {
			return slowDAIF(op)
		}
	}
	return op
}

// pstateImm is the encoding under which a trap reports MSR DAIFSet and DAIFClr.
func pstateImm(op2, crm uint64) uint64 { return 3<<11 | 4<<7 | crm<<3 | op2 }

// slowDAIF turns an access to DAIF into its general form, which checks
// SCTLR_EL1.UMA.
func slowDAIF(op isa.Op) isa.Op {
	switch op.Code {
	case isa.OpMRSDAIF:
		op.Code, op.Imm = isa.OpMRS, uint64(arm64.DAIF)
	case isa.OpMSRDAIF:
		op.Code, op.Imm = isa.OpMSR, uint64(arm64.DAIF)
	case isa.OpDAIFSET:
		op = isa.Op{Code: isa.OpMSR, Rd: cpu.ZR, Imm: pstateImm(6, op.Imm>>6)}
	case isa.OpDAIFCLR:
		op = isa.Op{Code: isa.OpMSR, Rd: cpu.ZR, Imm: pstateImm(7, op.Imm>>6)}
	}
	return op
}

// lowerSys makes accesses to storage plain and unknown registers undefined.
func (c *Core) lowerSys(op isa.Op) isa.Op {
	undefined := isa.Op{Code: isa.OpUNDEF}
	enc := arm64.SysReg(op.Imm)
	if op.Code == isa.OpSYS {
		if s, ok := sysOps[enc]; !ok || c.el == 0 && !s.user {
			return undefined
		}
		return op
	}
	write := op.Code == isa.OpMSR
	r := registers[enc]
	switch {
	case r == nil && c.el == 1 && isICC(enc):
		return op
	case r == nil && c.el == 1 && !write && arm64.IsID(enc):
		return isa.Op{Code: isa.OpMOVI, Rd: op.Rd}
	case r == nil, write && r.readOnly(), !write && r.writeOnly, c.el == 0 && !r.userMay(write):
		return undefined
	}
	op.Sh = r.slot
	if !write && r.read == nil && (c.el == 1 || r.gate == nil) {
		op.Code = isa.OpMRSMEM
	}
	if write && r.write == nil && (c.el == 1 || r.gate == nil) {
		op.Code, op.Imm = isa.OpMSRMEM, r.mask
	}
	return op
}

func (r *register) userMay(write bool) bool {
	return r.user == userBoth || r.user == userRead && !write
}

// isICC says whether enc is of the GIC's CPU interface, which is the caller's.
func isICC(enc arm64.SysReg) bool { return iccRegisters[enc] }

var iccRegisters = func() map[arm64.SysReg]bool {
	m := map[arm64.SysReg]bool{}
	for crm := range uint8(13) {
		for op2 := range uint8(8) {
			for _, crn := range []uint8{4, 12} {
				enc := arm64.Encode(3, 0, crn, crm, op2)
				m[enc] = strings.HasPrefix(arm64.Name(enc), "ICC_")
			}
		}
	}
	return m
}()

// trapSys raises the trap of an access to a system register, as Rt.
func (c *Core) trapSys(enc uint64, rt uint8, read bool) {
	t := arm64.SysTrap{Sys: arm64.SysReg(enc), Reg: min(rt, 31), Read: read}
	c.raisePlain(arm64.ESR(arm64.ECSysReg, t.ISS()))
}

// gated says whether EL0 may use r now; if not, the trap is pending.
func (c *Core) gated(r *register, i *isa.Op, read bool) bool {
	if c.el == 1 || r.gate == nil || r.gate(c) {
		return true
	}
	c.trapSys(i.Imm, i.Rd, read)
	return false
}

// exitTrap leaves an access to the caller.
func (c *Core) exitTrap(i *isa.Op, write bool) {
	e := hv.Exit{Kind: hv.Trap, Write: write, Reg: min(i.Rd, 31), Sys: arm64.SysReg(i.Imm)}
	if write {
		e.Value = c.X[i.Rd]
	}
	c.pend = pending{kind: pendExit, behind: true, exit: e}
}

// mrs reads the register that i.Imm encodes.
func (c *Core) mrs(i *isa.Op) bool {
	r := registers[arm64.SysReg(i.Imm)]
	if r == nil {
		c.exitTrap(i, false)
		return false
	}
	if !c.gated(r, i, true) {
		return false
	}
	c.X[i.Rd] = r.get(c)
	return true
}

// msr writes the register that i.Imm encodes.
func (c *Core) msr(i *isa.Op) bool {
	if i.Imm>>14 == 0 {
		return c.msrImm(i)
	}
	r := registers[arm64.SysReg(i.Imm)]
	if r == nil {
		c.exitTrap(i, true)
		return false
	}
	if !c.gated(r, i, false) {
		return false
	}
	r.set(c, c.X[i.Rd])
	return true
}

// msrImm is MSR DAIFSet and DAIFClr in its general form.
func (c *Core) msrImm(i *isa.Op) bool {
	if !c.gated(registers[arm64.DAIF], i, false) {
		return false
	}
	bits := i.Imm >> 3 & 15 << 6
	if i.Imm&7 == 6 {
		c.setDAIF(c.DAIF | bits)
	} else {
		c.setDAIF(c.DAIF &^ bits)
	}
	return true
}
