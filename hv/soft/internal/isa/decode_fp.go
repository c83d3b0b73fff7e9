package isa

import (
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
)

// Scalar floating-point instructions, by the encoding classes of Arm ARM
// C4.1.96. Bits 23:22 are the type: 0 binary32, 1 binary64, 3 binary16, which
// has conversions only because the ID registers do not offer FEAT_FP16.

const (
	typeHalf = 3
	typeTop  = 2 // the upper doubleword, in FMOV
)

// decodeFP decodes a scalar floating-point instruction (bits 27:25 are 111).
// It reports false for everything else, which then goes to decodeSIMD.
func decodeFP(w uint32) (Op, bool) {
	op := Op{
		Rd: uint8(bits(w, 4, 0)), Rn: uint8(bits(w, 9, 5)),
		Rm: uint8(bits(w, 20, 16)), Ra: uint8(bits(w, 14, 10)),
	}
	switch {
	case bits(w, 30, 24) == 0x1e && bits(w, 21, 21) == 0:
		return fpFixed(w, op)
	case bits(w, 30, 24) == 0x1e && bits(w, 15, 10) == 0:
		return fpInteger(w, op)
	case bits(w, 31, 24) == 0x1f:
		return fpMulAdd(w, op)
	case bits(w, 31, 24) == 0x1e:
		return fpData(w, op)
	}
	return Op{}, false
}

// fpData decodes the classes without a general register.
func fpData(w uint32, op Op) (Op, bool) {
	switch {
	case bits(w, 14, 10) == 0x10:
		return fpOneSource(w, op)
	case bits(w, 23, 22) > 1:
		return Op{}, false
	case bits(w, 13, 10) == 8:
		return fpCompare(w, op)
	case bits(w, 12, 10) == 4:
		return fpImmediate(w, op)
	case bits(w, 11, 10) == 1:
		op.Cond, op.Sh, op.Imm = uint8(bits(w, 15, 12)), uint8(bits(w, 4, 4)), uint64(bits(w, 3, 0))
		return fpPair(w, op, OpFCCMP32)
	case bits(w, 11, 10) == 2:
		return fpTwoSource(w, op)
	case bits(w, 11, 10) == 3:
		op.Cond = uint8(bits(w, 15, 12))
		return fpPair(w, op, OpFCSEL32)
	}
	return Op{}, false
}

// fpPair completes op with one row of a pair, by type; there is none for
// binary16, nor for a code of 0.
func fpPair(w uint32, op Op, code uint16) (Op, bool) {
	op.Code = sel(code, bits(w, 22, 22))
	return op, code != OpUNDEF && bits(w, 23, 22) < 2
}

func fpMulAdd(w uint32, op Op) (Op, bool) {
	codes := [4]uint16{OpFMADD32, OpFMSUB32, OpFNMADD32, OpFNMSUB32}
	return fpPair(w, op, codes[bits(w, 21, 21)<<1|bits(w, 15, 15)])
}

func fpTwoSource(w uint32, op Op) (Op, bool) {
	codes := [16]uint16{
		OpFMUL32, OpFDIV32, OpFADD32, OpFSUB32,
		OpFMAX32, OpFMIN32, OpFMAXNM32, OpFMINNM32, OpFNMUL32,
	}
	return fpPair(w, op, codes[bits(w, 15, 12)])
}

// fpOneSource decodes moves, FRINT and conversions between formats.
func fpOneSource(w uint32, op Op) (Op, bool) {
	opcode := bits(w, 20, 15)
	if opcode >= 4 && opcode < 8 {
		return fpFormat(w, op)
	}
	codes := [64]uint16{
		0: OpFMOV32, 1: OpFABS32, 2: OpFNEG32, 3: OpFSQRT32,
		8: OpFRINT32, 9: OpFRINT32, 10: OpFRINT32, 11: OpFRINT32, 12: OpFRINT32,
		14: OpFRINTX32, 15: OpFRINTI32,
	}
	op.Sh = uint8(opcode - 8) // FRINTN, P, M, Z, A in the order of float.Rounding
	return fpPair(w, op, codes[opcode])
}

func fpFormat(w uint32, op Op) (Op, bool) {
	switch bits(w, 16, 15)<<2 | bits(w, 23, 22) { // to, from
	case 0<<2 | 1:
		op.Code = OpFCVTSD
	case 0<<2 | typeHalf:
		op.Code = OpFCVTSH
	case 1<<2 | 0:
		op.Code = OpFCVTDS
	case 1<<2 | typeHalf:
		op.Code = OpFCVTDH
	case typeHalf<<2 | 0:
		op.Code = OpFCVTHS
	case typeHalf<<2 | 1:
		op.Code = OpFCVTHD
	default:
		return Op{}, false
	}
	return op, true
}

// fpCompare decodes FCMP and FCMPE. Compared with zero, Rm should be 0; it is
// ignored.
func fpCompare(w uint32, op Op) (Op, bool) {
	if bits(w, 15, 14) != 0 || bits(w, 2, 0) != 0 {
		return Op{}, false
	}
	op.Sh = uint8(bits(w, 4, 4))
	if bits(w, 3, 3) != 0 {
		return fpPair(w, op, OpFCMPZ32)
	}
	return fpPair(w, op, OpFCMP32)
}

func fpImmediate(w uint32, op Op) (Op, bool) {
	const cmodeFloat = 15
	double := bits(w, 22, 22)
	op.Code = OpFMOVI
	op.Imm = simd.ExpandImm(double, cmodeFloat, uint8(bits(w, 20, 13)))
	if double == 0 {
		op.Imm &= 1<<32 - 1
	}
	return op, bits(w, 9, 5) == 0
}

// fpInteger decodes conversions to and from integers, and moves.
func fpInteger(w uint32, op Op) (Op, bool) {
	opcode, mode := bits(w, 18, 16), bits(w, 20, 19)
	switch {
	case opcode < 2: // FCVTNS to FCVTZU
		return fpToInt(w, op, float.Rounding(mode), opcode)
	case opcode < 4 && mode == 0:
		return fpFromInt(w, op)
	case opcode < 6 && mode == 0: // FCVTAS, FCVTAU
		return fpToInt(w, op, float.TieAway, opcode)
	case opcode >= 6:
		return fpMove(w, op)
	}
	return Op{}, false
}

// fpFixed decodes conversions to and from fixed-point numbers.
func fpFixed(w uint32, op Op) (Op, bool) {
	fbits := 64 - bits(w, 15, 10)
	if bits(w, 31, 31) == 0 && fbits > 32 {
		return Op{}, false
	}
	op.Imm = uint64(fbits)
	switch bits(w, 20, 16) {
	case 0b11000, 0b11001: // FCVTZS, FCVTZU
		return fpToInt(w, op, float.Zero, bits(w, 16, 16))
	case 0b00010, 0b00011: // SCVTF, UCVTF
		return fpFromInt(w, op)
	}
	return Op{}, false
}

// fpToInt decodes a conversion to a signed integer, or to an unsigned one if
// the low bit of u is set.
func fpToInt(w uint32, op Op, m float.Rounding, u uint32) (Op, bool) {
	types := [4]float.Int{float.S32, float.U32, float.S64, float.U64}
	op.Sh, op.Cond = uint8(m), uint8(types[bits(w, 31, 31)<<1|u&1])
	op.Rd = W(bits(w, 4, 0))
	return fpPair(w, op, OpFCVTI32)
}

func fpFromInt(w uint32, op Op) (Op, bool) {
	codes := [4]uint16{OpSCVTFW32, OpUCVTFW32, OpSCVTFX32, OpUCVTFX32}
	op.Rn = ZR(bits(w, 9, 5))
	return fpPair(w, op, codes[bits(w, 31, 31)<<1|bits(w, 16, 16)])
}

// fpMove decodes FMOV between general and vector registers.
func fpMove(w uint32, op Op) (Op, bool) {
	code := [2]uint16{OpFMOVTo32, OpFMOVFrom32}
	to := bits(w, 16, 16) // to the vector register
	switch sf := bits(w, 31, 31); bits(w, 20, 19)<<3 | bits(w, 23, 22)<<1 | sf {
	case 0, 1<<1 | 1:
		op.Code = sel(code[to], sf)
	case 1<<3 | typeTop<<1 | 1:
		op.Code = [2]uint16{OpFMOVTopTo, OpFMOVTopFrom}[to]
	default:
		return Op{}, false
	}
	if to != 0 {
		op.Rn = ZR(bits(w, 9, 5))
	} else {
		op.Rd = W(bits(w, 4, 0))
	}
	return op, true
}
