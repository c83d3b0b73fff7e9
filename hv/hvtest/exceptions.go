package hvtest

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var exceptionChecks = []check{
	{"exceptions from EL1 come with their syndromes", "Arm ARM D1.4 and ESR_EL1: class, ISS, FAR_EL1, ELR_EL1", nil, exceptionsFromEL1},
	{"exceptions from EL0 come with their syndromes", "Arm ARM D1.4 and ESR_EL1: class, ISS, FAR_EL1, ELR_EL1", nil, exceptionsFromEL0},
	{"an exception saves PSTATE and ERET restores it", "Arm ARM D1.3: SPSR_EL1 takes PSTATE, DAIF is set, EL1h is entered", nil, pstateSaved},
	{"an exception from SP_EL0 takes its own vector", "Arm ARM D1.3.1: vector offset 0 for the current level with SP_EL0", nil, vectorOfSP0},
	{"an illegal return is an exception", "Arm ARM D1.4.1: an illegal exception return sets PSTATE.IL", nil, illegalReturn},
	{"a misaligned PC is an exception", "Arm ARM D1.4.5: PC alignment, class 0x22", nil, pcAlignment},
	{"FP traps when CPACR_EL1 says so", "Arm ARM CPACR_EL1.FPEN", nil, fpTraps},
	{"one instruction is stepped", "Arm ARM D2.12: software step", nil, softwareStep},
}

// el0Page is the page of paged that holds EL0's code, el0Data the one with
// its data, and el1Only one that EL0 may not touch.
const (
	el0Page = paged + 0x10*0x1000
	el0Data = paged + 0x11*0x1000
	el1Only = paged + 0x12*0x1000
	roPage  = paged + 0x13*0x1000
	noPage  = paged + 0x14*0x1000
	noFlag  = paged + 0x15*0x1000
	noExec  = paged + 0x16*0x1000
	devPage = paged + 0x17*0x1000
)

// mapEL0 maps these pages.
func (m *machine) mapEL0() {
	m.page(0x10, spare|normal|pteEL0|pteRO|ptePXN)
	m.page(0x11, (spare+0x1000)|normal|pteEL0|ptePXN|pteUXN)
	m.page(0x12, (spare+0x2000)|normal)
	m.page(0x13, (spare+0x3000)|normal|pteEL0|pteRO)
	m.page(0x14, 0)
	m.page(0x15, (spare+0x5000)|normal&^pteAF|pteEL0)
	m.page(0x16, (spare+0x6000)|normal|ptePXN|pteUXN)
	m.page(0x17, (spare+0x7000)|normal|pteDevice|pteEL0|ptePXN|pteUXN)
}

// An abnormal is an instruction and the exception that it must take. X0 holds
// x0 before. ELR is the instruction's address plus after, or target if not 0.
type abnormal struct {
	name   string
	word   uint32
	x0     uint64
	ec     uint64
	iss    uint64
	far    uint64 // 0: not looked at
	after  uint64
	target uint64
}

const (
	condISS = 1<<24 | 0xe<<20 // CV and COND of an unconditional instruction
	wnr     = arm64.ISSWnR
)

// sysISS is the ISS of a trapped system register read into X1.
func sysISS(enc hv.SysReg) uint64 { return arm64.SysTrap{Sys: enc, Reg: 1, Read: true}.ISS() }

var fromEL1 = []abnormal{
	{name: "svc", word: asm.Svc(5), ec: arm64.ECSVC, iss: 5, after: 4},
	{name: "brk", word: asm.Brk(0xf00), ec: arm64.ECBRK, iss: 0xf00},
	{name: "undefined", word: asm.Udf(3), ec: arm64.ECUnknown},
	{name: "unallocated", word: 0x1e00_7c00, ec: arm64.ECUnknown},
	{name: "a register of EL2", word: asm.Mrs(1, arm64.Encode(3, 4, 1, 0, 0)), ec: arm64.ECUnknown},
	{name: "store to a read-only register", word: asm.Msr(arm64.MIDR_EL1, 1), ec: arm64.ECUnknown},
	{name: "load where no table is, level 1", word: asm.Ldr(1, 0, 0), x0: 5 << 30, ec: arm64.ECDataAbort, iss: 5, far: 5 << 30},
	{name: "load where no table is, level 2", word: asm.Ldr(1, 0, 8), x0: paged + 0x40_0000, ec: arm64.ECDataAbort, iss: 6, far: paged + 0x40_0008},
	{name: "load where no page is", word: asm.Ldr(1, 0, 0), x0: noPage, ec: arm64.ECDataAbort, iss: 7, far: noPage},
	{name: "store where no page is", word: asm.Str(1, 0, 0), x0: noPage + 8, ec: arm64.ECDataAbort, iss: 7 | wnr, far: noPage + 8},
	{name: "load beyond the address size", word: asm.Ldr(1, 0, 0), x0: 1 << 40, ec: arm64.ECDataAbort, iss: 4, far: 1 << 40},
	{name: "load through TTBR1, which is off", word: asm.Ldr(1, 0, 0), x0: 1<<64 - 0x1000, ec: arm64.ECDataAbort, iss: 4, far: 1<<64 - 0x1000},
	{name: "store to a read-only page", word: asm.Str(1, 0, 0), x0: roPage, ec: arm64.ECDataAbort, iss: 0xf | wnr, far: roPage},
	{name: "pair store to a read-only page", word: asm.Stp(1, 2, 0, 0), x0: roPage, ec: arm64.ECDataAbort, iss: 0xf | wnr, far: roPage},
	{name: "load with the access flag clear", word: asm.Ldr(1, 0, 0), x0: noFlag, ec: arm64.ECDataAbort, iss: 0xb, far: noFlag},
	{name: "ldtr of a page of EL1's own", word: asm.Ldtr(1, 0), x0: el1Only, ec: arm64.ECDataAbort, iss: 0xf, far: el1Only},
	{name: "branch to a page without execution", word: asm.Br(0), x0: noExec, ec: arm64.ECInstrAbort, iss: 0xf, far: noExec, target: noExec},
	{name: "branch to no page", word: asm.Br(0), x0: noPage, ec: arm64.ECInstrAbort, iss: 7, far: noPage, target: noPage},
	{name: "branch to a page that EL0 may write", word: asm.Br(0), x0: el0Data, ec: arm64.ECInstrAbort, iss: 0xf, far: el0Data, target: el0Data},
	{name: "unaligned exclusive", word: asm.Ldxr(1, 0), x0: el1Only + 4, ec: arm64.ECDataAbort, iss: 0x21, far: el1Only + 4},
	{name: "unaligned acquire", word: asm.Ldar(1, 0), x0: el1Only + 12, ec: arm64.ECDataAbort, iss: 0x21, far: el1Only + 12},
	{name: "unaligned release", word: asm.Stlr(1, 0), x0: el1Only + 12, ec: arm64.ECDataAbort, iss: 0x21 | wnr, far: el1Only + 12},
	{name: "unaligned access to device memory", word: asm.Ldr(1, 0, 0), x0: devPage + 4, ec: arm64.ECDataAbort, iss: 0x21, far: devPage + 4},
}

func exceptionsFromEL1(m *machine) {
	m.mmuOn()
	m.mapEL0()
	for _, tt := range fromEL1 {
		m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
		m.abnormal(tt, code, vecSync)
	}
}

var fromEL0 = []abnormal{
	{name: "svc", word: asm.Svc(0xffff), ec: arm64.ECSVC, iss: 0xffff, after: 4},
	{name: "brk", word: asm.Brk(1), ec: arm64.ECBRK, iss: 1},
	{name: "undefined", word: asm.Udf(0), ec: arm64.ECUnknown},
	{name: "hvc", word: asm.Hvc(1), ec: arm64.ECUnknown},
	{name: "smc", word: asm.Smc(1), ec: arm64.ECUnknown},
	{name: "eret", word: asm.Eret(), ec: arm64.ECUnknown},
	{name: "a register of EL1", word: asm.Mrs(1, arm64.TTBR0_EL1), ec: arm64.ECUnknown},
	{name: "a write of a register of EL1", word: asm.Msr(arm64.VBAR_EL1, 1), ec: arm64.ECUnknown},
	{name: "a TLBI", word: asm.TlbiAll(), ec: arm64.ECUnknown},
	{name: "an IC IALLU", word: asm.IcIALLU(), ec: arm64.ECUnknown},
	{name: "the cache type without UCT", word: asm.Mrs(1, arm64.CTR_EL0), ec: arm64.ECSysReg, iss: sysISS(arm64.CTR_EL0)},
	{name: "the virtual counter without EL0VCTEN", word: asm.Mrs(1, arm64.CNTVCT_EL0), ec: arm64.ECSysReg, iss: sysISS(arm64.CNTVCT_EL0)},
	{name: "the virtual timer without EL0VTEN", word: asm.Mrs(1, arm64.CNTV_CTL_EL0), ec: arm64.ECSysReg, iss: sysISS(arm64.CNTV_CTL_EL0)},
	{name: "daifclr without UMA", word: asm.DaifClr(2), ec: arm64.ECSysReg,
		iss: arm64.SysTrap{Sys: arm64.Encode(0, 3, 4, 2, 7), Reg: 31}.ISS()},
	{name: "wfi without nTWI", word: asm.Wfi(), ec: arm64.ECWFx, iss: condISS},
	{name: "dc zva without DZE", word: asm.DcZVA(0), x0: el0Data, ec: arm64.ECSysReg,
		iss: arm64.SysTrap{Sys: arm64.Encode(1, 3, 7, 4, 1), Reg: 0}.ISS()},
	{name: "load where no page is", word: asm.Ldr(1, 0, 0), x0: noPage, ec: arm64.ECDataAbortEL0, iss: 7, far: noPage},
	{name: "load of a page of EL1's own", word: asm.Ldr(1, 0, 0), x0: el1Only, ec: arm64.ECDataAbortEL0, iss: 0xf, far: el1Only},
	{name: "store to a page of EL1's own", word: asm.Str(1, 0, 0), x0: el1Only, ec: arm64.ECDataAbortEL0, iss: 0xf | wnr, far: el1Only},
	{name: "store to a read-only page", word: asm.Str(1, 0, 0), x0: roPage, ec: arm64.ECDataAbortEL0, iss: 0xf | wnr, far: roPage},
	{name: "atomic on a read-only page", word: asm.Stxr(3, 1, 0), x0: noPage, ec: arm64.ECDataAbortEL0, iss: 7 | wnr, far: noPage},
	{name: "load with the access flag clear", word: asm.Ldr(1, 0, 0), x0: noFlag, ec: arm64.ECDataAbortEL0, iss: 0xb, far: noFlag},
	{name: "load of a kernel's block", word: asm.Ldr(1, 0, 0), x0: data, ec: arm64.ECDataAbortEL0, iss: 0xd, far: data},
	{name: "branch to a page without execution", word: asm.Br(0), x0: el0Data, ec: arm64.ECInstrAbortEL0, iss: 0xf, far: el0Data, target: el0Data},
	{name: "branch to no page", word: asm.Br(0), x0: noPage, ec: arm64.ECInstrAbortEL0, iss: 7, far: noPage, target: noPage},
	{name: "branch to an odd address", word: asm.Br(0), x0: el0Page + 2, ec: arm64.ECPCAlign, far: el0Page + 2, target: el0Page + 2},
}

func exceptionsFromEL0(m *machine) {
	m.mmuOn()
	m.mapEL0()
	m.setSys(arm64.CNTKCTL_EL1, 0)
	for _, tt := range fromEL0 {
		m.set(hv.CPSR, arm64.ModeEL0t)
		m.abnormal(tt, el0Page, vecSyncEL0)
	}
	m.idRegisterAtEL0()
}

// idRegisterAtEL0: undefined, or trapped with FEAT_IDST.
func (m *machine) idRegisterAtEL0() {
	m.Helper()
	tt := abnormal{name: "an ID register", word: asm.Mrs(1, arm64.ID_AA64ISAR0_EL1), ec: arm64.ECUnknown}
	if m.sys(arm64.ID_AA64MMFR2_EL1)>>36&0xf != 0 {
		tt.ec, tt.iss = arm64.ECSysReg, sysISS(arm64.ID_AA64ISAR0_EL1)
	}
	m.set(hv.CPSR, arm64.ModeEL0t)
	m.abnormal(tt, el0Page, vecSyncEL0)
}

// abnormal runs one row at virtual address at: code itself, or el0Page, which
// is spare.
func (m *machine) abnormal(tt abnormal, at uint64, vector uint16) {
	m.Helper()
	home := at
	if at == el0Page {
		home = spare
	}
	m.load(asm.New(home).Op(tt.word, asm.Svc(0xdead)))
	m.set(0, tt.x0)
	m.set(1, 0x1111)
	m.set(hv.PC, at)
	e := m.run(hv.HVC)
	if e.Imm != vector {
		m.Errorf("%s: left with hvc %#x, want vector %#x", tt.name, e.Imm, vector)
		return
	}
	if got, want := m.sys(arm64.ESR_EL1), arm64.ESR(tt.ec, tt.iss); got != want {
		m.Errorf("%s: ESR %#x, want %#x", tt.name, got, want)
	}
	if got := m.sys(arm64.FAR_EL1); tt.far != 0 && got != tt.far {
		m.Errorf("%s: FAR %#x, want %#x", tt.name, got, tt.far)
	}
	want := at + tt.after
	if tt.target != 0 {
		want = tt.target
	}
	if got := m.sys(arm64.ELR_EL1); got != want {
		m.Errorf("%s: ELR %#x, want %#x", tt.name, got, want)
	}
	if got := m.get(1); got != 0x1111 {
		m.Errorf("%s: X1 is %#x, want it untouched", tt.name, got)
	}
}

func pstateSaved(m *machine) {
	m.mmuOn()
	m.mapEL0()
	m.load(asm.New(spare).Op(asm.Svc(0), asm.Svc(1)))
	m.set(hv.PC, el0Page)
	before := uint64(arm64.PSRN | arm64.PSRC | arm64.PSRF | arm64.ModeEL0t)
	m.set(hv.CPSR, before)
	for i := range uint64(2) {
		m.runHVC(vecSyncEL0) // the second time through the vector's ERET
		if got := m.sys(arm64.SPSR_EL1); got != before {
			m.Errorf("SPSR_EL1 %#x, want %#x", got, before)
		}
		if got := m.get(hv.CPSR) &^ (0xf << 28); got != arm64.PSRDAIF|arm64.ModeEL1h {
			m.Errorf("CPSR in the handler %#x, want %#x", got, arm64.PSRDAIF|arm64.ModeEL1h)
		}
		if got := m.sys(arm64.ELR_EL1); got != el0Page+4+4*i {
			m.Errorf("ELR_EL1 %#x, want %#x", got, el0Page+4+4*i)
		}
	}
}

func vectorOfSP0(m *machine) {
	m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1t)
	m.exec(asm.New(code).Op(asm.Svc(0), asm.Hvc(1)))
	m.runHVC(vecSyncSP0)
	if got := m.get(hv.CPSR) & arm64.PSRMode; got != arm64.ModeEL1h {
		m.Errorf("mode %#x in the handler, want EL1h", got)
	}
	m.runHVC(1)
	if got := m.get(hv.CPSR) & arm64.PSRMode; got != arm64.ModeEL1t {
		m.Errorf("mode %#x after ERET, want EL1t", got)
	}
}

func illegalReturn(m *machine) {
	const el2h, reserved = 0x9, 0x1
	for _, mode := range []uint64{el2h, reserved, arm64.ModeEL1h | arm64.PSRIL} {
		m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
		m.setSys(arm64.SPSR_EL1, arm64.PSRDAIF|mode)
		m.setSys(arm64.ELR_EL1, code+8)
		m.exec(asm.New(code).Op(asm.Eret(), asm.Hvc(2), asm.Hvc(1)))
		m.runHVC(vecSync)
		if esr := m.sys(arm64.ESR_EL1); esr != arm64.ESR(arm64.ECIllegal, 0) {
			m.Errorf("return to %#x: ESR %#x, want class illegal state", mode, esr)
		}
		if elr := m.sys(arm64.ELR_EL1); elr != code+8 {
			m.Errorf("return to %#x: ELR %#x, want %#x", mode, elr, code+8)
		}
	}
}

func pcAlignment(m *machine) {
	m.set(0, code+2)
	m.exec(asm.New(code).Op(asm.Br(0), asm.Hvc(1)))
	m.runHVC(vecSync)
	if esr, far := m.sys(arm64.ESR_EL1), m.sys(arm64.FAR_EL1); esr != arm64.ESR(arm64.ECPCAlign, 0) || far != code+2 {
		m.Errorf("ESR %#x FAR %#x, want class PC alignment at %#x", esr, far, code+2)
	}
}

func fpTraps(m *machine) {
	m.mmuOn()
	m.mapEL0()
	tests := []struct {
		name  string
		cpacr uint64
		mode  uint64
		traps bool
	}{
		{"EL1, FPEN 0", 0, arm64.ModeEL1h, true},
		{"EL1, FPEN 1", 1 << 20, arm64.ModeEL1h, false},
		{"EL1, FPEN 2", 2 << 20, arm64.ModeEL1h, true},
		{"EL0, FPEN 1", 1 << 20, arm64.ModeEL0t, true},
		{"EL0, FPEN 3", 3 << 20, arm64.ModeEL0t, false},
	}
	for _, tt := range tests {
		at, vector, home := uint64(code), uint16(vecSync), uint64(code)
		if tt.mode == arm64.ModeEL0t {
			at, vector, home = el0Page, vecSyncEL0, spare
		}
		for _, word := range []uint32{asm.Fadd(0, 1, 2), asm.StrQ(0, 3), asm.Mrs(1, arm64.FPCR_EL0), asm.Add16B(0, 1, 2)} {
			m.load(asm.New(home).Op(word, asm.Svc(1)))
			m.set(3, el0Data)
			m.setSys(arm64.CPACR_EL1, tt.cpacr)
			m.set(hv.CPSR, arm64.PSRDAIF|tt.mode)
			m.set(hv.PC, at)
			m.runHVC(vector)
			want := arm64.ESR(arm64.ECSVC, 1)
			if tt.traps {
				want = arm64.ESR(arm64.ECFP, condISS)
			}
			if esr := m.sys(arm64.ESR_EL1); esr != want {
				m.Errorf("%s: %#08x gives ESR %#x, want %#x", tt.name, word, esr, want)
			}
		}
	}
}

// softwareStep steps EL0 from EL1, as a kernel does for ptrace.
func softwareStep(m *machine) {
	m.mmuOn()
	m.mapEL0()
	m.load(asm.New(spare).Op(asm.AddImm(1, 1, 1), asm.AddImm(1, 1, 1), asm.Svc(0)))
	p := asm.New(code).MsrImm(arm64.OSLAR_EL1, 0, 9).MsrImm(arm64.MDSCR_EL1, 1, 9)
	p.MsrImm(arm64.SPSR_EL1, arm64.PSRSS, 9).MsrImm(arm64.ELR_EL1, el0Page, 9)
	m.set(1, 0)
	m.exec(p.Op(asm.DaifClr(8), asm.Isb(), asm.Eret()))
	var e hv.Exit
	for {
		m.must(runFor(m.cpu, &e, patience))
		if e.Kind != hv.Trap { // an engine may leave the OS lock to the board
			break
		}
	}
	if e.Kind != hv.HVC || e.Imm != vecSyncEL0 {
		m.Fatalf("exit %s, want vector %#x\n%s", describe(e), vecSyncEL0, dump(m.cpu))
	}
	if esr, elr := m.sys(arm64.ESR_EL1), m.sys(arm64.ELR_EL1); arm64.EC(esr) != arm64.ECStepEL0 || elr != el0Page+4 {
		m.Errorf("ESR %#x ELR %#x, want a step from EL0 at %#x", esr, elr, el0Page+4)
	}
	m.wantReg(1, 1)
}
