package hvtest

import (
	"encoding/binary"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var registerChecks = []check{
	{"a new vCPU is as PSCI wants it", "NewVCPU: EL1h, interrupts masked, MMU off, all registers zero, MPIDR_EL1 with Aff0 = index", nil, initialState},
	{"general registers keep what they are given", "Reg, SetReg", nil, generalRoundTrip},
	{"vector registers keep what they are given", "VReg is V0 to V31, little endian", nil, vectorRoundTrip},
	{"system registers keep what they are given", "SysReg and SetSysReg reach every register that a snapshot needs", nil, sysRoundTrip},
	{"the guest sees the host's general registers", "Reg, SetReg", nil, guestSeesGeneral},
	{"the guest sees the host's vector registers", "VReg, SetVReg", nil, guestSeesVectors},
	{"the guest sees the host's system registers", "SysReg, SetSysReg", nil, guestSeesSys},
	{"the host sees the guest's flags and modes", "CPSR is PSTATE in the layout of SPSR_EL1", nil, hostSeesFlags},
	{"unknown registers are refused", "a caller that broke the contract gets an error", nil, unknownRegisters},
	{"ID registers read as announced", "FeatureReg gives the value that a new vCPU's ID register enc will read as", nil, idRegistersAgree},
	{"what is not offered is undefined", "ID registers hide what the engine does not offer", nil, absentIsUndefined},
}

func initialState(m *machine) {
	if m.engine.Caps().MaxVCPUs < 2 {
		return
	}
	errs := make(chan error, 1)
	go func() {
		errs <- onThread(m.vm, 1, func(cpu hv.VCPU) error {
			want := map[hv.Reg]uint64{hv.CPSR: arm64.PSRDAIF | arm64.ModeEL1h, hv.PC: 0, hv.FPCR: 0, hv.FPSR: 0}
			for r := hv.X0; r <= hv.X30; r++ {
				want[r] = 0
			}
			for r, v := range want {
				if got, err := cpu.Reg(r); err != nil || got != v {
					return fmt.Errorf("register %d is %#x, %v, want %#x", r, got, err, v)
				}
			}
			sctlr, err := cpu.SysReg(arm64.SCTLR_EL1)
			if err != nil || sctlr&1 != 0 {
				return fmt.Errorf("SCTLR_EL1 is %#x, %v, want the MMU off", sctlr, err)
			}
			mpidr, err := cpu.SysReg(arm64.MPIDR_EL1)
			if err != nil || mpidr&0xff_00ff_ffff != 1 {
				return fmt.Errorf("MPIDR_EL1 is %#x, %v, want Aff0 = 1 and no other affinity", mpidr, err)
			}
			return nil
		})
	}()
	m.must(<-errs)
}

func generalRoundTrip(m *machine) {
	values := []uint64{0, 1, 0x8000_0000, 0xffff_ffff, 1 << 63, ^uint64(0), 0x0123_4567_89ab_cdef}
	for r := hv.X0; r <= hv.PC; r++ {
		for _, v := range values {
			if r == hv.PC {
				v &^= 3
			}
			m.set(r, v)
			m.wantReg(r, v)
		}
	}
	tests := []struct {
		reg    hv.Reg
		values []uint64
	}{
		{hv.FPCR, []uint64{0, 1 << 22, 3 << 22, 1 << 24, 1 << 25, 0x07c0_0000}}, // RMode, FZ, DN, AHP
		{hv.FPSR, []uint64{0, 0x9f, 1 << 27}},                                   // cumulative flags, QC
		{hv.CPSR, []uint64{
			arm64.PSRDAIF | arm64.ModeEL1h, arm64.ModeEL1t, arm64.ModeEL0t,
			arm64.PSRN | arm64.PSRC | arm64.ModeEL1h, arm64.PSRZ | arm64.PSRV | arm64.PSRI | arm64.ModeEL0t,
		}},
	}
	for _, tt := range tests {
		for _, v := range tt.values {
			m.set(tt.reg, v)
			m.wantReg(tt.reg, v)
		}
	}
}

// vectorValue is a value that differs for every register and byte.
func vectorValue(n int) (v [16]byte) {
	for i := range v {
		v[i] = byte(n*16 + i)
	}
	return v
}

func vectorRoundTrip(m *machine) {
	for n := range 32 {
		m.must(m.cpu.SetVReg(n, vectorValue(n)))
	}
	for n := range 32 {
		if got, err := m.cpu.VReg(n); err != nil || got != vectorValue(n) {
			m.Errorf("V%d is %x, %v, want %x", n, got, err, vectorValue(n))
		}
	}
}

// plainSys are system registers that hold what is written, with values of
// defined bits.
var plainSys = []struct {
	enc   hv.SysReg
	value uint64
}{
	{arm64.TTBR0_EL1, 0x0012_0000_4000_0000}, {arm64.TTBR1_EL1, 0x0034_0000_4000_1000},
	{arm64.TCR_EL1, 0x10_3519_3519}, {arm64.MAIR_EL1, 0xff44_0400_ff44_0400},
	{arm64.TPIDR_EL0, 0x1234_5678_9abc_def0}, {arm64.TPIDRRO_EL0, 0xfedc_ba98_7654_3210},
	{arm64.TPIDR_EL1, ^uint64(0)}, {arm64.SP_EL0, 0x7fff_1230},
	{arm64.ELR_EL1, 0xffff_0000_1234_5678}, {arm64.SPSR_EL1, arm64.PSRN | arm64.PSRI | arm64.ModeEL1h},
	{arm64.ESR_EL1, 0x5600_0001}, {arm64.FAR_EL1, 0xffff_8000_0000_0123},
	{arm64.VBAR_EL1, ramBase + 0x1_0000}, {arm64.CONTEXTIDR_EL1, 0x1234},
	{arm64.AFSR0_EL1, 0}, {arm64.CNTV_CVAL_EL0, 0x0123_4567_89ab},
	{arm64.CPACR_EL1, 3 << 20}, {arm64.CNTKCTL_EL1, 3},
	{arm64.CSSELR_EL1, 0}, {arm64.MDSCR_EL1, 0},
}

func sysRoundTrip(m *machine) {
	for _, r := range plainSys {
		m.setSys(r.enc, r.value)
	}
	m.setSys(arm64.SP_EL1, ramBase+0x1000)
	for _, r := range plainSys {
		if got := m.sys(r.enc); got != r.value {
			m.Errorf("%s is %#x, want %#x", arm64.Name(r.enc), got, r.value)
		}
	}
	if got := m.sys(arm64.SP_EL1); got != ramBase+0x1000 {
		m.Errorf("SP_EL1 is %#x, want %#x", got, ramBase+0x1000)
	}
}

func guestSeesSys(m *machine) {
	for _, r := range plainSys {
		m.setSys(r.enc, r.value)
		m.exec(asm.New(code).Op(asm.Mrs(1, r.enc), asm.Hvc(1)))
		m.runHVC(1)
		if got := m.get(1); got != r.value {
			m.Errorf("the guest reads %s as %#x, want %#x", arm64.Name(r.enc), got, r.value)
		}
		m.set(1, 0) // and back: the guest writes, the host reads
		m.exec(asm.New(code).Op(asm.Msr(r.enc, 1), asm.Hvc(1)))
		m.runHVC(1)
		if got := m.sys(r.enc); got != 0 {
			m.Errorf("the guest wrote 0 to %s, the host reads %#x", arm64.Name(r.enc), got)
		}
		m.setSys(arm64.VBAR_EL1, vectors)
	}
	m.setSys(arm64.SP_EL1, ramBase+0x2000)
	m.exec(asm.New(code).Op(asm.MovFromSP(1), asm.SubImm(2, 1, 16), asm.MovToSP(2), asm.Hvc(1)))
	m.runHVC(1)
	m.wantReg(1, ramBase+0x2000)
	if got := m.sys(arm64.SP_EL1); got != ramBase+0x1ff0 {
		m.Errorf("the guest moved SP to %#x, the host reads SP_EL1 as %#x", ramBase+0x1ff0, got)
	}
}

// guestSeesGeneral lets the guest store X1 to X30 and invert them.
func guestSeesGeneral(m *machine) {
	p := asm.New(code)
	for r := 1; r <= 30; r++ {
		p.Op(asm.Str(r, 0, 8*r), asm.Sub(r, asm.ZR, r))
	}
	p.Op(asm.Hvc(1))
	value := func(r int) uint64 { return uint64(r) * 0x0123_4567_89ab_cdef }
	for r := 1; r <= 30; r++ {
		m.set(hv.Reg(r), value(r))
	}
	m.set(0, data)
	m.exec(p)
	m.runHVC(1)
	for r := 1; r <= 30; r++ {
		if got := m.word(data + 8*uint64(r)); got != value(r) {
			m.Errorf("the guest sees X%d as %#x, want %#x", r, got, value(r))
		}
		m.wantReg(hv.Reg(r), -value(r))
	}
}

func guestSeesVectors(m *machine) {
	p := asm.New(code)
	for n := range 32 {
		p.Op(asm.StrQ(n, 0), asm.AddImm(0, 0, 16))
	}
	for n := range 32 { // V(n) += V(n), read back by the host
		p.Op(asm.Add16B(n, n, n))
	}
	p.Op(asm.Hvc(1))
	for n := range 32 {
		m.must(m.cpu.SetVReg(n, vectorValue(n)))
	}
	m.set(0, data)
	m.exec(p)
	m.runHVC(1)
	for n := range 32 {
		want := vectorValue(n)
		if got := [16]byte(m.ram[data-ramBase+16*n:]); got != want {
			m.Errorf("the guest sees V%d as %x, want %x", n, got, want)
		}
		for i := range want {
			want[i] *= 2
		}
		if got, err := m.cpu.VReg(n); err != nil || got != want {
			m.Errorf("the guest doubled V%d, the host reads %x, %v, want %x", n, got, err, want)
		}
	}
}

// word is 8 bytes of RAM at a guest physical address.
func (m *machine) word(gpa uint64) uint64 {
	return binary.LittleEndian.Uint64(m.ram[gpa-ramBase:])
}

// setWord writes them.
func (m *machine) setWord(gpa, v uint64) {
	binary.LittleEndian.PutUint64(m.ram[gpa-ramBase:], v)
}

func hostSeesFlags(m *machine) {
	tests := []struct {
		name string
		word uint32
		want uint64
	}{
		{"equal", asm.CmpImm(1, 5), arm64.PSRZ | arm64.PSRC | arm64.PSRDAIF | arm64.ModeEL1h},
		{"less", asm.CmpImm(1, 6), arm64.PSRN | arm64.PSRDAIF | arm64.ModeEL1h},
		{"daifclr", asm.DaifClr(0xc), arm64.PSRI | arm64.PSRF | arm64.ModeEL1h},
		{"spsel", asm.SPSel(0), arm64.PSRDAIF | arm64.ModeEL1t},
	}
	for _, tt := range tests {
		m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
		m.set(1, 5)
		m.exec(asm.New(code).Op(tt.word, asm.Hvc(1)))
		m.runHVC(1)
		if got := m.get(hv.CPSR); got != tt.want {
			m.Errorf("%s: CPSR %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

func unknownRegisters(m *machine) {
	if _, err := m.cpu.Reg(hv.CPSR + 1); err == nil {
		m.Error("Reg(35) succeeds")
	}
	if m.cpu.SetReg(hv.CPSR+1, 0) == nil {
		m.Error("SetReg(35) succeeds")
	}
	for _, n := range []int{-1, 32} {
		if _, err := m.cpu.VReg(n); err == nil {
			m.Errorf("VReg(%d) succeeds", n)
		}
		if m.cpu.SetVReg(n, [16]byte{}) == nil {
			m.Errorf("SetVReg(%d) succeeds", n)
		}
	}
	if _, err := m.cpu.SysReg(0); err == nil {
		m.Error("SysReg(0) succeeds")
	}
	if m.cpu.SetSysReg(0, 0) == nil {
		m.Error("SetSysReg(0) succeeds")
	}
}

// idRegs are those of AArch64 that every kernel reads.
var idRegs = []hv.SysReg{
	arm64.MIDR_EL1, arm64.ID_AA64PFR0_EL1, arm64.ID_AA64PFR1_EL1, arm64.ID_AA64DFR0_EL1, arm64.ID_AA64DFR1_EL1,
	arm64.ID_AA64ISAR0_EL1, arm64.ID_AA64ISAR1_EL1, arm64.ID_AA64MMFR0_EL1, arm64.ID_AA64MMFR1_EL1, arm64.ID_AA64MMFR2_EL1,
}

func idRegistersAgree(m *machine) {
	for _, enc := range idRegs {
		want, err := m.engine.FeatureReg(enc)
		if err != nil {
			m.Errorf("FeatureReg(%s): %v", arm64.Name(enc), err)
			continue
		}
		if got := m.sys(enc); got != want {
			m.Errorf("SysReg(%s) is %#x, FeatureReg says %#x", arm64.Name(enc), got, want)
		}
		m.exec(asm.New(code).Op(asm.Mrs(1, enc), asm.Hvc(1)))
		m.runHVC(1)
		if got := m.get(1); got != want {
			m.Errorf("the guest reads %s as %#x, FeatureReg says %#x", arm64.Name(enc), got, want)
		}
	}
}

// A feature is an instruction that is undefined unless a field of an ID
// register is at least min. For signed fields 0xf means absent.
type feature struct {
	name   string
	reg    hv.SysReg
	lsb    uint
	min    uint64
	word   uint32
	signed bool
}

var features = []feature{
	{"AES", arm64.ID_AA64ISAR0_EL1, 4, 1, 0x4e284820, false},                    // AESE V0.16B, V1.16B
	{"PMULL", arm64.ID_AA64ISAR0_EL1, 4, 2, 0x0ee2e020, false},                  // PMULL V0.1Q, V1.1D, V2.1D
	{"SHA1", arm64.ID_AA64ISAR0_EL1, 8, 1, 0x5e280820, false},                   // SHA1H S0, S1
	{"SHA256", arm64.ID_AA64ISAR0_EL1, 12, 1, 0x5e024020, false},                // SHA256H Q0, Q1, V2.4S
	{"SHA512", arm64.ID_AA64ISAR0_EL1, 12, 2, 0xce628020, false},                // SHA512H Q0, Q1, V2.2D
	{"CRC32", arm64.ID_AA64ISAR0_EL1, 16, 1, 0x1ac24020, false},                 // CRC32B W0, W1, W2
	{"LSE", arm64.ID_AA64ISAR0_EL1, 20, 2, 0xb8210040, false},                   // LDADD W1, W0, [X2]
	{"RDM", arm64.ID_AA64ISAR0_EL1, 28, 1, 0x6e828420, false},                   // SQRDMLAH V0.4S, V1.4S, V2.4S
	{"SHA3", arm64.ID_AA64ISAR0_EL1, 32, 1, 0xce020c20, false},                  // EOR3 V0.16B, V1.16B, V2.16B, V3.16B
	{"SM3", arm64.ID_AA64ISAR0_EL1, 36, 1, 0xce428020, false},                   // SM3TT1A V0.4S, V1.4S, V2.S[0]
	{"SM4", arm64.ID_AA64ISAR0_EL1, 40, 1, 0xcec08420, false},                   // SM4E V0.4S, V1.4S
	{"dot product", arm64.ID_AA64ISAR0_EL1, 44, 1, 0x6e829420, false},           // UDOT V0.4S, V1.16B, V2.16B
	{"FHM", arm64.ID_AA64ISAR0_EL1, 48, 1, 0x4e22ec20, false},                   // FMLAL V0.4S, V1.4H, V2.4H
	{"flag manipulation", arm64.ID_AA64ISAR0_EL1, 52, 1, 0xd500401f, false},     // CFINV
	{"RNDR", arm64.ID_AA64ISAR0_EL1, 60, 1, 0xd53b2400, false},                  // MRS X0, RNDR
	{"pointer authentication", arm64.ID_AA64ISAR1_EL1, 4, 1, 0xdac10020, false}, // PACIA X0, X1
	{"JSCVT", arm64.ID_AA64ISAR1_EL1, 12, 1, 0x1e7e0020, false},                 // FJCVTZS W0, D1
	{"FCMA", arm64.ID_AA64ISAR1_EL1, 16, 1, 0x6e82c420, false},                  // FCMLA V0.4S, V1.4S, V2.4S, #0
	{"LRCPC", arm64.ID_AA64ISAR1_EL1, 20, 1, 0xf8bfc040, false},                 // LDAPR X0, [X2]
	{"LRCPC2", arm64.ID_AA64ISAR1_EL1, 20, 2, 0xd9400040, false},                // LDAPUR X0, [X2]
	{"FRINTTS", arm64.ID_AA64ISAR1_EL1, 32, 1, 0x1e284020, false},               // FRINT32Z S0, S1
	{"SB", arm64.ID_AA64ISAR1_EL1, 36, 1, 0xd50330ff, false},                    // SB
	{"BF16", arm64.ID_AA64ISAR1_EL1, 44, 1, 0x1e634020, false},                  // BFCVT H0, S1
	{"I8MM", arm64.ID_AA64ISAR1_EL1, 52, 1, 0x4e82a420, false},                  // SMMLA V0.4S, V1.16B, V2.16B
	{"half precision", arm64.ID_AA64PFR0_EL1, 16, 1, 0x1ee22820, true},          // FADD H0, H1, H2
	{"SVE", arm64.ID_AA64PFR0_EL1, 32, 1, 0x04e0e3e0, false},                    // CNTD X0
	{"MTE", arm64.ID_AA64PFR1_EL1, 8, 2, 0x9adf1020, false},                     // IRG X0, X1
	{"SSBS", arm64.ID_AA64PFR1_EL1, 4, 2, 0xd53b42c0, false},                    // MRS X0, SSBS
	{"PAN", arm64.ID_AA64MMFR1_EL1, 20, 1, 0xd5384260, false},                   // MRS X0, PAN
	{"UAO", arm64.ID_AA64MMFR2_EL1, 4, 1, 0xd5384280, false},                    // MRS X0, UAO
}

// offered says whether the engine's ID registers announce f.
func (f feature) offered(m *machine) bool {
	v := m.sys(f.reg) >> f.lsb & 0xf
	if f.signed {
		return v != 0xf && v >= f.min
	}
	return v >= f.min
}

func absentIsUndefined(m *machine) {
	m.mmuOn()
	for _, f := range features {
		m.set(2, data)
		m.exec(asm.New(code).Op(f.word, asm.Hvc(1)))
		e := m.run(hv.HVC)
		want := uint16(1)
		if !f.offered(m) {
			want = vecSync
		}
		if e.Imm != want {
			m.Errorf("%s (%#08x): offered %t, but the guest left with hvc %#x", f.name, f.word, f.offered(m), e.Imm)
		}
		if esr := m.sys(arm64.ESR_EL1); want == vecSync && esr != arm64.ESR(arm64.ECUnknown, 0) {
			m.Errorf("%s: syndrome %#x, want that of an undefined instruction", f.name, esr)
		}
		m.set(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
	}
}
