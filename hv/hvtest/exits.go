package hvtest

import (
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var exitChecks = []check{
	{"loads outside memory of every form", "MMIO: PC is past it; Complete truncates to Size and extends as the instruction says", nil, mmioLoads},
	{"loads into XZR vanish", "Complete: XZR takes nothing", nil, mmioLoadToXZR},
	{"stores outside memory of every size", "Exit.Value: what is written, zero extended from Size", nil, mmioStores},
	{"only reads are completed", "Complete finishes a read", nil, completeRefusesWrites},
	{"accesses without a syndrome are faults", "Fault: an access that has no syndrome (ISV=0); PC is on the instruction; entering again would loop", nil, noSyndromeFaults},
	{"a fetch from outside memory is a fault", "Fault: an instruction fetched from outside mapped memory", nil, fetchOutside},
	{"calls come with immediate, arguments and PC past them", "HVC, SMC: a call; PC is past it, the arguments are in X0 to X7", nil, calls},
	{"WFI comes out past the instruction", "WFI: PC is past it; the caller may run again at any time", nil, wfi},
	{"WFE never stops a guest for good", "WFE: the guest spins politely; PC is past it", nil, wfe},
	{"interrupt controller registers trap", "Trap: an access to a system register that the engine leaves to the caller; a read waits for Complete", nil, iccTraps},
}

func mmioLoads(m *machine) {
	const bus = 0xfedc_ba98_8765_83f1 // what the device answers, too wide on purpose
	tests := []struct {
		name string
		mem  asm.Mem
		want uint64
	}{
		{"ldrb", asm.Mem{Size: 1}, 0xf1},
		{"ldrsb w", asm.Mem{Size: 1, Signed: true}, 0xffff_fff1},
		{"ldrsb x", asm.Mem{Size: 1, Signed: true, Wide: true}, 0xffff_ffff_ffff_fff1},
		{"ldrh", asm.Mem{Size: 2}, 0x83f1},
		{"ldrsh w", asm.Mem{Size: 2, Signed: true}, 0xffff_83f1},
		{"ldrsh x", asm.Mem{Size: 2, Signed: true, Wide: true}, 0xffff_ffff_ffff_83f1},
		{"ldr w", asm.Mem{Size: 4}, 0x8765_83f1},
		{"ldrsw", asm.Mem{Size: 4, Signed: true, Wide: true}, 0xffff_ffff_8765_83f1},
		{"ldr x", asm.Mem{Size: 8}, bus},
	}
	for _, tt := range tests {
		m.set(0, device)
		m.set(1, 0x5555_5555_5555_5555)
		m.exec(asm.New(code).Op(asm.Load(tt.mem, 1, 0, 16), asm.Hvc(1)))
		e := m.run(hv.MMIO)
		if e.Write || e.Reg != 1 || int(e.Size) != tt.mem.Size || e.Signed != tt.mem.Signed {
			m.Errorf("%s: exit %s", tt.name, describe(e))
		}
		if e.IPA != device+16 || e.VA != device+16 {
			m.Errorf("%s: IPA %#x VA %#x, want %#x", tt.name, e.IPA, e.VA, device+16)
		}
		m.wantReg(hv.PC, code+4)
		m.must(e.Complete(m.cpu, bus))
		m.runHVC(1)
		if got := m.get(1); got != tt.want {
			m.Errorf("%s: X1 is %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

func mmioLoadToXZR(m *machine) {
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Ldr(asm.ZR, 0, 0), asm.Mov(2, asm.ZR), asm.MovFromSP(3), asm.Hvc(1)))
	e := m.run(hv.MMIO)
	if e.Reg != 31 {
		m.Errorf("register is %d, want 31", e.Reg)
	}
	m.must(e.Complete(m.cpu, ^uint64(0)))
	m.wantReg(hv.PC, code+4)
	m.runHVC(1)
	m.wantReg(2, 0) // XZR still reads as zero,
	m.wantReg(3, 0) // and SP is another register
}

func mmioStores(m *machine) {
	const value = 0xfedc_ba98_7654_3210
	for size, want := range map[int]uint64{1: 0x10, 2: 0x3210, 4: 0x7654_3210, 8: value} {
		for reg, want := range map[int]uint64{1: want, asm.ZR: 0} {
			m.set(0, device)
			m.set(1, value)
			m.exec(asm.New(code).Op(asm.Store(asm.Mem{Size: size}, reg, 0, 8), asm.Hvc(1)))
			e := m.run(hv.MMIO)
			if !e.Write || int(e.Size) != size || int(e.Reg) != reg || e.Value != want || e.IPA != device+8 {
				m.Errorf("store of %d bytes of register %d: exit %s, want value %#x", size, reg, describe(e), want)
			}
			m.wantReg(hv.PC, code+4)
			m.runHVC(1)
		}
	}
}

func completeRefusesWrites(m *machine) {
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Str(1, 0, 0), asm.Hvc(1)))
	for _, kind := range []hv.ExitKind{hv.MMIO, hv.HVC} {
		e := m.run(kind)
		if err := e.Complete(m.cpu, 1); err == nil {
			m.Errorf("Complete of %s succeeds", describe(e))
		}
	}
}

func noSyndromeFaults(m *machine) {
	tests := []struct {
		name string
		word uint32
	}{
		{"ldp", asm.Ldp(1, 2, 0, 0)},
		{"stp", asm.Stp(1, 2, 0, 0)},
		{"ldr q", asm.LdrQ(1, 0)},
		{"str q", asm.StrQ(1, 0)},
		{"ldr with write-back", asm.LdrPost(1, 0, 8)},
		{"str with write-back", asm.StrPre(1, 0, 8)},
	}
	for _, tt := range tests {
		m.set(0, device)
		m.set(1, 1)
		m.exec(asm.New(code).Op(tt.word, asm.Hvc(1)))
		for range 2 {
			e := m.run(hv.Fault)
			if e.IPA&^15 != device || arm64.EC(e.ESR) != arm64.ECDataAbortEL0 || e.ESR&arm64.ISSISV != 0 {
				m.Errorf("%s: fault %s, want a data abort at %#x without ISV", tt.name, describe(e), device)
			}
			m.wantReg(hv.PC, code)
			m.wantReg(0, device)
			m.wantReg(1, 1)
		}
	}
}

func fetchOutside(m *machine) {
	m.set(0, device)
	m.exec(asm.New(code).Op(asm.Br(0)))
	for range 2 {
		e := m.run(hv.Fault)
		if e.IPA != device || e.VA != device || arm64.EC(e.ESR) != arm64.ECInstrAbortEL0 {
			m.Errorf("fault %s, want an instruction abort at %#x", describe(e), device)
		}
		m.wantReg(hv.PC, device)
	}
}

func calls(m *machine) {
	for _, tt := range []struct {
		kind hv.ExitKind
		word uint32
		imm  uint16
	}{
		{hv.HVC, asm.Hvc(0), 0}, {hv.HVC, asm.Hvc(0xffff), 0xffff},
		{hv.SMC, asm.Smc(0), 0}, {hv.SMC, asm.Smc(0x1234), 0x1234},
	} {
		for r := range hv.Reg(8) {
			m.set(r, 100+uint64(r))
		}
		m.exec(asm.New(code).Op(tt.word, asm.Hvc(1)))
		if e := m.run(tt.kind); e.Imm != tt.imm {
			m.Errorf("%s: immediate %#x, want %#x", tt.kind, e.Imm, tt.imm)
		}
		m.wantReg(hv.PC, code+4)
		for r := range hv.Reg(8) {
			m.wantReg(r, 100+uint64(r))
		}
		m.set(0, 7) // the answer of the call
		m.runHVC(1)
		m.wantReg(0, 7)
	}
}

func wfi(m *machine) {
	m.exec(asm.New(code).Op(asm.Wfi(), asm.Hvc(1)))
	m.run(hv.WFI)
	m.wantReg(hv.PC, code+4)
	m.runHVC(1)
}

// wfe allows an engine to carry on over WFE by itself.
func wfe(m *machine) {
	m.exec(asm.New(code).Op(asm.Sev(), asm.Wfe(), asm.Wfe(), asm.Wfe(), asm.Hvc(1)))
	for range 4 {
		var e hv.Exit
		m.must(runFor(m.cpu, &e, patience))
		if e.Kind == hv.HVC {
			return
		}
		if e.Kind != hv.WFE {
			m.Fatalf("exit %s, want wfe or hvc\n%s", describe(e), dump(m.cpu))
		}
	}
	m.Error("more exits than WFE instructions")
}

func iccTraps(m *machine) {
	tests := []struct {
		sys   hv.SysReg
		reg   int
		write bool
	}{
		{arm64.ICC_SRE_EL1, 3, false}, {arm64.ICC_IAR1_EL1, 3, false}, {arm64.ICC_IAR1_EL1, asm.ZR, false},
		{arm64.ICC_PMR_EL1, 3, true}, {arm64.ICC_EOIR1_EL1, 3, true}, {arm64.ICC_SGI1R_EL1, asm.ZR, true},
		{arm64.ICC_IGRPEN1_EL1, 30, true}, {arm64.ICC_CTLR_EL1, 29, false}, {arm64.ICC_BPR1_EL1, 3, false},
	}
	for _, tt := range tests {
		name := fmt.Sprintf("%s write %t register %d", arm64.Name(tt.sys), tt.write, tt.reg)
		want := uint64(0xabcd)
		if tt.reg == asm.ZR {
			want = 0
		} else {
			m.set(hv.Reg(tt.reg), want)
		}
		word := asm.Mrs(tt.reg, tt.sys)
		if tt.write {
			word = asm.Msr(tt.sys, tt.reg)
		}
		m.exec(asm.New(code).Op(word, asm.Hvc(1)))
		e := m.run(hv.Trap)
		if e.Sys != tt.sys || int(e.Reg) != tt.reg || e.Write != tt.write || (tt.write && e.Value != want) {
			m.Errorf("%s: exit %s", name, describe(e))
		}
		m.wantReg(hv.PC, code+4)
		if !tt.write {
			m.must(e.Complete(m.cpu, 0x8000_0000_0000_03ff))
		}
		m.runHVC(1)
		if !tt.write && tt.reg != asm.ZR {
			m.wantReg(hv.Reg(tt.reg), 0x8000_0000_0000_03ff)
		}
	}
}
