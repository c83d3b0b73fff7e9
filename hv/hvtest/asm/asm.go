// Package asm writes small AArch64 programs as instruction words, so that
// tests need no toolchain. It knows the few dozen instructions that the
// conformance suite uses, each under the mnemonic of the Arm ARM, and labels.
//
// The functions of this file give one instruction word each; Program joins
// them and resolves branches. Registers are numbers 0 to 31; what 31 means
// (XZR or SP) is as in the instruction. An operand that the encoding cannot
// hold panics: a test program is wrong then, not a guest.
package asm

import "fmt"

// Named registers.
const (
	ZR = 31 // the zero register where the instruction reads 31 so
	SP = 31 // the stack pointer where the instruction reads 31 so
	LR = 30
)

// A Cond is a condition code of B.cond and CSEL.
type Cond uint32

// Condition codes (Arm ARM C1.2.4).
const (
	EQ Cond = 0
	NE Cond = 1
	CS Cond = 2
	CC Cond = 3
	MI Cond = 4
	PL Cond = 5
	VS Cond = 6
	VC Cond = 7
	HI Cond = 8
	LS Cond = 9
	GE Cond = 10
	LT Cond = 11
	GT Cond = 12
	LE Cond = 13
)

// field puts v at bit lo, width bits wide, and panics when it does not fit.
func field(v int64, lo, width uint) uint32 {
	if v < 0 || v >= 1<<width {
		panic(fmt.Sprintf("asm: operand %d does not fit %d bits", v, width))
	}
	return uint32(v) << lo
}

// signed is field for a two's complement operand.
func signed(v int64, lo, width uint) uint32 {
	half := int64(1) << (width - 1)
	if v < -half || v >= half {
		panic(fmt.Sprintf("asm: operand %d does not fit %d signed bits", v, width))
	}
	return uint32(v) & (1<<width - 1) << lo
}

func reg(r int, lo uint) uint32 { return field(int64(r), lo, 5) }

// Moves and arithmetic on X registers.

// MovZ is MOVZ Xrd, #imm, LSL #shift; shift is 0, 16, 32 or 48.
func MovZ(rd int, imm uint16, shift int) uint32 {
	return 0xd2800000 | field(int64(shift/16), 21, 2) | uint32(imm)<<5 | reg(rd, 0)
}

// MovK is MOVK Xrd, #imm, LSL #shift.
func MovK(rd int, imm uint16, shift int) uint32 {
	return 0xf2800000 | field(int64(shift/16), 21, 2) | uint32(imm)<<5 | reg(rd, 0)
}

// Mov is MOV Xrd, Xrm, neither being SP.
func Mov(rd, rm int) uint32 { return 0xaa0003e0 | reg(rm, 16) | reg(rd, 0) }

// MovToSP is MOV SP, Xrn; MovFromSP is MOV Xrd, SP.
func MovToSP(rn int) uint32   { return 0x91000000 | reg(rn, 5) | SP }
func MovFromSP(rd int) uint32 { return 0x91000000 | reg(SP, 5) | reg(rd, 0) }

// AddImm is ADD Xrd, Xrn, #imm with imm below 4096; 31 is SP.
func AddImm(rd, rn, imm int) uint32 {
	return 0x91000000 | field(int64(imm), 10, 12) | reg(rn, 5) | reg(rd, 0)
}

// SubImm is SUB Xrd, Xrn, #imm; SubsImm sets the flags.
func SubImm(rd, rn, imm int) uint32 {
	return 0xd1000000 | field(int64(imm), 10, 12) | reg(rn, 5) | reg(rd, 0)
}
func SubsImm(rd, rn, imm int) uint32 {
	return 0xf1000000 | field(int64(imm), 10, 12) | reg(rn, 5) | reg(rd, 0)
}

// CmpImm is CMP Xrn, #imm.
func CmpImm(rn, imm int) uint32 { return SubsImm(ZR, rn, imm) }

// Add is ADD Xrd, Xrn, Xrm; Sub and Eor likewise.
func Add(rd, rn, rm int) uint32 { return 0x8b000000 | reg(rm, 16) | reg(rn, 5) | reg(rd, 0) }
func Sub(rd, rn, rm int) uint32 { return 0xcb000000 | reg(rm, 16) | reg(rn, 5) | reg(rd, 0) }
func Eor(rd, rn, rm int) uint32 { return 0xca000000 | reg(rm, 16) | reg(rn, 5) | reg(rd, 0) }

// Madd is MADD Xrd, Xrn, Xrm, Xra.
func Madd(rd, rn, rm, ra int) uint32 {
	return 0x9b000000 | reg(rm, 16) | reg(ra, 10) | reg(rn, 5) | reg(rd, 0)
}

// Loads and stores.

// A Mem says which load or store: access size in bytes and, for loads,
// extension.
type Mem struct {
	Size   int  // 1, 2, 4 or 8 bytes
	Signed bool // sign extend, loads only
	Wide   bool // a signed load writes an X rather than a W register
}

// opc gives bits 31:30 (size) and 23:22 (opc) of a load.
func (m Mem) opc() uint32 {
	size := map[int]uint32{1: 0, 2: 1, 4: 2, 8: 3}[m.Size]
	opc := uint32(1)
	switch {
	case m.Signed && m.Wide:
		opc = 2
	case m.Signed:
		opc = 3
	}
	return size<<30 | opc<<22
}

// Load is LDR, LDRB, LDRH, LDRSB, LDRSH or LDRSW Rt, [Xn, #off] with off a
// multiple of the size.
func Load(m Mem, rt, rn, off int) uint32 {
	return 0x39000000 | m.opc() | field(int64(off/m.Size), 10, 12) | reg(rn, 5) | reg(rt, 0)
}

// Store is STR, STRB or STRH Rt, [Xn, #off].
func Store(m Mem, rt, rn, off int) uint32 {
	return 0x39000000 | Mem{Size: m.Size}.opc()&^(3<<22) | field(int64(off/m.Size), 10, 12) | reg(rn, 5) | reg(rt, 0)
}

// Ldr and Str move an X register; LdrW and StrW a W register.
func Ldr(rt, rn, off int) uint32  { return Load(Mem{Size: 8}, rt, rn, off) }
func Str(rt, rn, off int) uint32  { return Store(Mem{Size: 8}, rt, rn, off) }
func LdrW(rt, rn, off int) uint32 { return Load(Mem{Size: 4}, rt, rn, off) }
func StrW(rt, rn, off int) uint32 { return Store(Mem{Size: 4}, rt, rn, off) }

// LdrPost is LDR Xt, [Xn], #off; StrPre is STR Xt, [Xn, #off]!.
func LdrPost(rt, rn, off int) uint32 {
	return 0xf8400400 | signed(int64(off), 12, 9) | reg(rn, 5) | reg(rt, 0)
}
func StrPre(rt, rn, off int) uint32 {
	return 0xf8000c00 | signed(int64(off), 12, 9) | reg(rn, 5) | reg(rt, 0)
}

// Ldtr is LDTR Xt, [Xn]: a load with EL0's rights.
func Ldtr(rt, rn int) uint32 { return 0xf8400800 | reg(rn, 5) | reg(rt, 0) }

// Ldp and Stp are LDP/STP Xt1, Xt2, [Xn, #off].
func Ldp(t1, t2, rn, off int) uint32 {
	return 0xa9400000 | signed(int64(off/8), 15, 7) | reg(t2, 10) | reg(rn, 5) | reg(t1, 0)
}
func Stp(t1, t2, rn, off int) uint32 {
	return 0xa9000000 | signed(int64(off/8), 15, 7) | reg(t2, 10) | reg(rn, 5) | reg(t1, 0)
}

// LdrQ is LDR Qt, [Xn]; StrQ is STR Qt, [Xn].
func LdrQ(t, rn int) uint32 { return 0x3dc00000 | reg(rn, 5) | reg(t, 0) }
func StrQ(t, rn int) uint32 { return 0x3d800000 | reg(rn, 5) | reg(t, 0) }

// Ldxr is LDXR Xt, [Xn]; Stxr is STXR Ws, Xt, [Xn]; Clrex is CLREX.
func Ldxr(t, rn int) uint32    { return 0xc85f7c00 | reg(rn, 5) | reg(t, 0) }
func Stxr(s, t, rn int) uint32 { return 0xc8007c00 | reg(s, 16) | reg(rn, 5) | reg(t, 0) }
func Clrex() uint32            { return 0xd5033f5f }

// Ldar is LDAR Xt, [Xn]; Stlr is STLR Xt, [Xn].
func Ldar(t, rn int) uint32 { return 0xc8dffc00 | reg(rn, 5) | reg(t, 0) }
func Stlr(t, rn int) uint32 { return 0xc89ffc00 | reg(rn, 5) | reg(t, 0) }

// LdaddAL is LDADDAL Xs, Xt, [Xn] (FEAT_LSE).
func LdaddAL(s, t, rn int) uint32 { return 0xf8e00000 | reg(s, 16) | reg(rn, 5) | reg(t, 0) }

// Branches to a register, and exceptions.

func Br(rn int) uint32      { return 0xd61f0000 | reg(rn, 5) }
func Ret() uint32           { return 0xd65f03c0 }
func Eret() uint32          { return 0xd69f03e0 }
func Svc(imm uint16) uint32 { return 0xd4000001 | uint32(imm)<<5 }
func Hvc(imm uint16) uint32 { return 0xd4000002 | uint32(imm)<<5 }
func Smc(imm uint16) uint32 { return 0xd4000003 | uint32(imm)<<5 }
func Brk(imm uint16) uint32 { return 0xd4200000 | uint32(imm)<<5 }
func Udf(imm uint16) uint32 { return uint32(imm) }
func Nop() uint32           { return 0xd503201f }
func Yield() uint32         { return 0xd503203f }
func Wfe() uint32           { return 0xd503205f }
func Wfi() uint32           { return 0xd503207f }
func Sev() uint32           { return 0xd503209f }
func Isb() uint32           { return 0xd5033fdf }
func DsbSY() uint32         { return 0xd5033f9f }
func DmbSY() uint32         { return 0xd5033fbf }
func DaifSet(m int) uint32  { return 0xd50340df | field(int64(m), 8, 4) }
func DaifClr(m int) uint32  { return 0xd50340ff | field(int64(m), 8, 4) }
func SPSel(v int) uint32    { return 0xd50040bf | field(int64(v), 8, 4) }

// System registers, encoded as in hv.SysReg.

// Mrs is MRS Xt, enc.
func Mrs(rt int, enc uint16) uint32 { return 0xd5200000 | sys(enc) | reg(rt, 0) }

// Msr is MSR enc, Xt.
func Msr(enc uint16, rt int) uint32 { return 0xd5000000 | sys(enc) | reg(rt, 0) }

// sys moves Op0:Op1:CRn:CRm:Op2 to bits 20:5, where MRS and MSR have it.
func sys(enc uint16) uint32 { return uint32(enc) << 5 & 0x1fffe0 }

// Sys is SYS #op1, Cn, Cm, #op2, Xt, which TLBI, IC, DC and AT are names for.
func Sys(op1, cn, cm, op2, rt int) uint32 {
	return 0xd5080000 | field(int64(op1), 16, 3) | field(int64(cn), 12, 4) |
		field(int64(cm), 8, 4) | field(int64(op2), 5, 3) | reg(rt, 0)
}

// Cache and TLB maintenance.

func TlbiAll() uint32       { return Sys(0, 8, 7, 0, ZR) } // TLBI VMALLE1
func TlbiAllIS() uint32     { return Sys(0, 8, 3, 0, ZR) } // TLBI VMALLE1IS
func TlbiVA(rt int) uint32  { return Sys(0, 8, 7, 1, rt) } // TLBI VAE1
func IcIALLU() uint32       { return Sys(0, 7, 5, 0, ZR) }
func IcIVAU(rt int) uint32  { return Sys(3, 7, 5, 1, rt) }
func DcCVAU(rt int) uint32  { return Sys(3, 7, 11, 1, rt) }
func DcZVA(rt int) uint32   { return Sys(3, 7, 4, 1, rt) }
func AtS1E1R(rt int) uint32 { return Sys(0, 7, 8, 0, rt) }

// Floating point and Advanced SIMD.

// Fadd is FADD Dd, Dn, Dm; Fdiv likewise.
func Fadd(d, n, m int) uint32 { return 0x1e602800 | reg(m, 16) | reg(n, 5) | reg(d, 0) }
func Fdiv(d, n, m int) uint32 { return 0x1e601800 | reg(m, 16) | reg(n, 5) | reg(d, 0) }

// FmovToD is FMOV Dd, Xn.
func FmovToD(d, n int) uint32 { return 0x9e670000 | reg(n, 5) | reg(d, 0) }

// Add16B is ADD Vd.16B, Vn.16B, Vm.16B.
func Add16B(d, n, m int) uint32 { return 0x4e208400 | reg(m, 16) | reg(n, 5) | reg(d, 0) }
