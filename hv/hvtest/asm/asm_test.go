package asm

import (
	"encoding/binary"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

// An independent disassembler reads back what each encoder wrote.
func TestEncodersReadBack(t *testing.T) {
	const tpidr = 3<<14 | 3<<11 | 13<<7 | 0<<3 | 2 // TPIDR_EL0
	tests := []struct {
		word uint32
		want string
	}{
		{MovZ(3, 0x1234, 16), "mov x3, #0x12340000"},
		{MovK(3, 0xffff, 48), "movk x3, #0xffff, lsl #48"},
		{Mov(1, 2), "mov x1, x2"},
		{MovToSP(4), "mov sp, x4"},
		{MovFromSP(4), "mov x4, sp"},
		{AddImm(1, 2, 4095), "add x1, x2, #0xfff"},
		{SubImm(1, 2, 1), "sub x1, x2, #0x1"},
		{SubsImm(1, 2, 1), "subs x1, x2, #0x1"},
		{CmpImm(5, 7), "cmp x5, #0x7"},
		{Add(1, 2, 3), "add x1, x2, x3"},
		{Sub(1, 2, 3), "sub x1, x2, x3"},
		{Eor(1, 2, 3), "eor x1, x2, x3"},
		{Madd(1, 2, 3, 4), "madd x1, x2, x3, x4"},
		{Load(Mem{Size: 1}, 1, 2, 5), "ldrb w1, [x2,#5]"},
		{Load(Mem{Size: 1, Signed: true}, 1, 2, 5), "ldrsb w1, [x2,#5]"},
		{Load(Mem{Size: 1, Signed: true, Wide: true}, 1, 2, 5), "ldrsb x1, [x2,#5]"},
		{Load(Mem{Size: 2}, 1, 2, 6), "ldrh w1, [x2,#6]"},
		{Load(Mem{Size: 2, Signed: true}, 1, 2, 6), "ldrsh w1, [x2,#6]"},
		{Load(Mem{Size: 2, Signed: true, Wide: true}, 1, 2, 6), "ldrsh x1, [x2,#6]"},
		{Load(Mem{Size: 4, Signed: true, Wide: true}, 1, 2, 8), "ldrsw x1, [x2,#8]"},
		{LdrW(1, 2, 8), "ldr w1, [x2,#8]"},
		{Ldr(1, 2, 8), "ldr x1, [x2,#8]"},
		{Store(Mem{Size: 1}, 1, 2, 5), "strb w1, [x2,#5]"},
		{Store(Mem{Size: 2}, 1, 2, 6), "strh w1, [x2,#6]"},
		{StrW(1, 2, 8), "str w1, [x2,#8]"},
		{Str(ZR, 2, 8), "str xzr, [x2,#8]"},
		{LdrPost(1, 2, -8), "ldr x1, [x2],#-8"},
		{StrPre(1, 2, 16), "str x1, [x2,#16]!"},
		{Ldtr(1, 2), "ldtr x1, [x2]"},
		{Ldp(1, 2, 3, 16), "ldp x1, x2, [x3,#16]"},
		{Stp(1, 2, SP, -16), "stp x1, x2, [sp,#-16]"},
		{LdrQ(1, 2), "ldr q1, [x2]"},
		{StrQ(1, 2), "str q1, [x2]"},
		{Ldxr(1, 2), "ldxr x1, [x2]"},
		{Stxr(1, 2, 3), "stxr w1, x2, [x3]"},
		{Ldar(1, 2), "ldar x1, [x2]"},
		{Stlr(1, 2), "stlr x1, [x2]"},
		{Clrex(), "clrex"},
		{Br(3), "br x3"},
		{Ret(), "ret"},
		{Eret(), "eret"},
		{Svc(7), "svc #0x7"},
		{Brk(7), "brk #0x7"},
		{Nop(), "nop"},
		{Yield(), "yield"},
		{Wfe(), "wfe"},
		{Wfi(), "wfi"},
		{Sev(), "sev"},
		{Isb(), "isb"},
		{DsbSY(), "dsb sy"},
		{DmbSY(), "dmb sy"},
		{DaifSet(2), "msr daifset, #0x2"},
		{DaifClr(2), "msr daifclr, #0x2"},
		{SPSel(0), "msr spsel, #0x0"},
		{Mrs(4, tpidr), "mrs x4, s3_3_c13_c0_2"},
		{Msr(tpidr, 4), "msr s3_3_c13_c0_2, x4"},
		{TlbiAll(), "tlbi vmalle1"},
		{TlbiAllIS(), "tlbi vmalle1is"},
		{TlbiVA(2), "tlbi vae1, x2"},
		{DcCVAU(2), "dc cvau, x2"},
		{DcZVA(2), "dc zva, x2"},
		{Fadd(1, 2, 3), "fadd d1, d2, d3"},
		{Fdiv(1, 2, 3), "fdiv d1, d2, d3"},
		{FmovToD(1, 2), "fmov d1, x2"},
		{Add16B(1, 2, 3), "add v1.16b, v2.16b, v3.16b"},
		{New(0).B("l").atBranch("l"), "b .+0x8"},
		{New(0).BL("l").atBranch("l"), "bl .+0x8"},
		{New(0).Bcond(NE, "l").atBranch("l"), "b.ne .+0x8"},
		{New(0).Cbz(1, "l").atBranch("l"), "cbz x1, .+0x8"},
		{New(0).Cbnz(1, "l").atBranch("l"), "cbnz x1, .+0x8"},
		{New(0).CbnzW(1, "l").atBranch("l"), "cbnz w1, .+0x8"},
		{New(0).Adr(1, "l").atBranch("l"), "adr x1, .+0x8"},
	}
	for _, tt := range tests {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], tt.word)
		inst, err := arm64asm.Decode(b[:])
		if err != nil {
			t.Errorf("%#08x: %v, want %q", tt.word, err, tt.want)
			continue
		}
		if got := strings.TrimSpace(arm64asm.GNUSyntax(inst)); got != tt.want {
			t.Errorf("%#08x is %q, want %q", tt.word, got, tt.want)
		}
	}
}

// atBranch puts the label two words after the branch and gives the branch.
func (p *Program) atBranch(label string) uint32 {
	p.Op(Nop())
	p.Label(label)
	return p.Words()[0]
}

// The disassembler above does not know these.
func TestEncodingsOfTheManual(t *testing.T) {
	tests := []struct {
		name      string
		got, want uint32
	}{
		{"hvc #7", Hvc(7), 0xd40000e2},
		{"smc #7", Smc(7), 0xd40000e3},
		{"ic iallu", IcIALLU(), 0xd508751f},
		{"ic ivau, x2", IcIVAU(2), 0xd50b7522},
		{"at s1e1r, x2", AtS1E1R(2), 0xd5087802},
		{"ldaddal x1, x2, [x3]", LdaddAL(1, 2, 3), 0xf8e10062},
		{"udf #5", Udf(5), 5},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s is %#08x, want %#08x", tt.name, tt.got, tt.want)
		}
	}
}

func TestMov64BuildsEveryConstant(t *testing.T) {
	for _, v := range []uint64{0, 1, 0xffff, 0x10000, 0x8000_0000_0000_0000, 1<<64 - 1, 0x1234_0000_5678_0000} {
		var got uint64
		for i, w := range New(0).Mov64(5, v).Words() {
			imm, shift := uint64(w>>5&0xffff), w>>21&3*16
			if i == 0 {
				got = 0
			}
			got |= imm << shift
		}
		if got != v {
			t.Errorf("Mov64(%#x) builds %#x", v, got)
		}
	}
}

func TestOperandsOutOfRangePanic(t *testing.T) {
	tests := map[string]func(){
		"register 32":         func() { Mov(32, 0) },
		"add of 4096":         func() { AddImm(0, 0, 4096) },
		"pre-index of 256":    func() { StrPre(0, 0, 256) },
		"branch to nowhere":   func() { New(0).B("x").Words() },
		"a label twice":       func() { p := New(0); p.Label("x"); p.Label("x") },
		"origin behind":       func() { New(8).Org(4) },
		"b.cond beyond 1 MiB": func() { p := New(0).Bcond(EQ, "x").Org(1<<20 + 4); p.Label("x"); p.Words() },
	}
	for name, f := range tests {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
