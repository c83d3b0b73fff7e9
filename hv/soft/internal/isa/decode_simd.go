package isa

import (
	mathbits "math/bits"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
)

// Advanced SIMD and cryptographic instructions, by the encoding classes of Arm
// ARM C4.1.96. A class is a table from its opcode bits to an operation and the
// set of shapes that are allocated; everything else is UNDEFINED. Vector and
// scalar forms share a row: they differ in the shape alone.
//
// Operations find their simd.Shape in Sh. Of an instruction that widens or
// narrows it is the shape of the narrow elements.

// shapes is a set of simd.Shape.
type shapes uint16

// The sets that occur: v is vectors of either width, f full ones only, s
// scalars. A vector of one doubleword exists for no instruction; narrow
// doublewords do (PMULL).
const (
	vB, vH, vS     = shapes(0x110), shapes(0x220), shapes(0x440)
	fB, fS, fD     = shapes(0x100), shapes(0x400), shapes(0x800)
	hD             = shapes(0x080)
	sB, sH, sS, sD = shapes(1), shapes(2), shapes(4), shapes(8)
	vBH, vHS, vBHS = vB | vH, vH | vS, vB | vH | vS
	vBHSD, vSD     = vB | vH | vS | fD, vS | fD
	sHS, sSD       = sH | sS, sS | sD
	sBHS, sBHSD    = sB | sH | sS, sB | sH | sS | sD
	integer, arith = vBHSD | sD, vBHSD | sBHSD
	floating       = vSD | sSD
)

// entry is one row of a class.
type entry struct {
	code   uint16
	shapes shapes
}

// op makes an operation on the three registers of w, if s is allowed.
func (e entry) op(w uint32, s simd.Shape) (Op, bool) {
	return Op{
		Code: e.code, Sh: uint8(s),
		Rd: uint8(bits(w, 4, 0)), Rn: uint8(bits(w, 9, 5)), Rm: uint8(bits(w, 20, 16)),
	}, e.shapes>>s&1 != 0
}

// width is the width part of an instruction's shape: bit 28 says scalar, and
// bit 30 is Q otherwise.
func width(w uint32) simd.Shape {
	switch {
	case bits(w, 28, 28) != 0:
		return simd.Scalar
	case bits(w, 30, 30) != 0:
		return simd.Full
	}
	return simd.Half
}

// sized is the shape of instructions with the element size in bits 23:22.
func sized(w uint32) simd.Shape {
	return width(w) | simd.Shape(bits(w, 23, 22))
}

// floatSized is the shape of those with sz, 0 for words and 1 for doublewords,
// in bit 22.
func floatSized(w uint32) simd.Shape {
	return width(w) | simd.S + simd.Shape(bits(w, 22, 22))
}

// simdClasses are tried in order, those that code uses most first. A modified
// immediate has the place of a shift of elements of no size; the others are
// disjoint.
var simdClasses = []struct {
	mask, value uint32
	decode      func(w uint32) (Op, bool)
}{
	{0x8f200400, 0x0e200400, threeSame},
	{0x9ff80400, 0x0f000400, modifiedImmediate},
	{0x8fe08400, 0x0e000400, copyElement},
	{0x8f208400, 0x0e008400, threeSameExtra},
	{0x8f3e0c00, 0x0e200800, twoRegisters},
	{0x9f3e0c00, 0x0e300800, acrossLanes},
	{0xdf3e0c00, 0x5e300800, scalarPair},
	{0x8f800400, 0x0f000400, shiftImmediate},
	{0x8f200c00, 0x0e200000, threeDifferent},
	{0x8f000400, 0x0f000000, byElement},
	{0xbfe08400, 0x2e000000, extract},
	{0xbf208c00, 0x0e000800, permute},
	{0xbfe08c00, 0x0e000000, tableLookup},
	{0xfffe0c00, 0x4e280800, aes},
	{0xffe08c00, 0x5e000000, shaThree},
	{0xfffe0c00, 0x5e280800, shaTwo},
	{0xffe0f000, 0xce608000, sha512Three},
	{0xfffffc00, 0xcec08000, sha512Two},
}

// decodeSIMD decodes an Advanced SIMD or cryptographic instruction (bits 27:25
// are 111). What it reports false for is UNDEFINED.
func decodeSIMD(w uint32) (Op, bool) {
	if bits(w, 30, 28)&5 == 1 { // a scalar without the bit that tells it from FADD and its kind
		return Op{}, false
	}
	for _, c := range simdClasses {
		if w&c.mask == c.value {
			return c.decode(w)
		}
	}
	return Op{}, false
}

// threeSame: an opcode in bits 15:11 and U in bit 29. The bitwise operations
// have an opcode to share and take size as part of it; floating point, from
// opcode 24 on, takes its upper bit.
func threeSame(w uint32) (Op, bool) {
	u, opcode := bits(w, 29, 29), bits(w, 15, 11)
	switch {
	case opcode == 3:
		return bitwise[u<<2|bits(w, 23, 22)].op(w, sized(w)&^3)
	case opcode >= 24:
		return floatSame[u<<1|bits(w, 23, 23)][opcode-24].op(w, floatSized(w))
	}
	return integerSame[u][opcode].op(w, sized(w))
}

var bitwise = [8]entry{
	{OpVAND, vB}, {OpVBIC, vB}, {OpVORR, vB}, {OpVORN, vB},
	{OpVEOR, vB}, {OpVBSL, vB}, {OpVBIT, vB}, {OpVBIF, vB},
}

var integerSame = [2][24]entry{{
	0x00: {OpVSHADD, vBHS}, 0x01: {OpVSQADD, arith}, 0x02: {OpVSRHADD, vBHS},
	0x04: {OpVSHSUB, vBHS}, 0x05: {OpVSQSUB, arith}, 0x06: {OpVCMGT, integer}, 0x07: {OpVCMGE, integer},
	0x08: {OpVSSHL, integer}, 0x09: {OpVSQSHL, arith}, 0x0a: {OpVSRSHL, integer}, 0x0b: {OpVSQRSHL, arith},
	0x0c: {OpVSMAX, vBHS}, 0x0d: {OpVSMIN, vBHS}, 0x0e: {OpVSABD, vBHS}, 0x0f: {OpVSABA, vBHS},
	0x10: {OpVADD, integer}, 0x11: {OpVCMTST, integer}, 0x12: {OpVMLA, vBHS}, 0x13: {OpVMUL, vBHS},
	0x14: {OpVSMAXP, vBHS}, 0x15: {OpVSMINP, vBHS}, 0x16: {OpVSQDMULH, vHS | sHS}, 0x17: {OpVADDP, vBHSD},
}, {
	0x00: {OpVUHADD, vBHS}, 0x01: {OpVUQADD, arith}, 0x02: {OpVURHADD, vBHS},
	0x04: {OpVUHSUB, vBHS}, 0x05: {OpVUQSUB, arith}, 0x06: {OpVCMHI, integer}, 0x07: {OpVCMHS, integer},
	0x08: {OpVUSHL, integer}, 0x09: {OpVUQSHL, arith}, 0x0a: {OpVURSHL, integer}, 0x0b: {OpVUQRSHL, arith},
	0x0c: {OpVUMAX, vBHS}, 0x0d: {OpVUMIN, vBHS}, 0x0e: {OpVUABD, vBHS}, 0x0f: {OpVUABA, vBHS},
	0x10: {OpVSUB, integer}, 0x11: {OpVCMEQ, integer}, 0x12: {OpVMLS, vBHS}, 0x13: {OpVPMUL, vB},
	0x14: {OpVUMAXP, vBHS}, 0x15: {OpVUMINP, vBHS}, 0x16: {OpVSQRDMULH, vHS | sHS},
}}

// floatSame is indexed by U:a and opcode - 24.
var floatSame = [4][8]entry{{
	{OpVFMAXNM, vSD}, {OpVFMLA, vSD}, {OpVFADD, vSD}, {OpVFMULX, floating},
	{OpVFCMEQ, floating}, {}, {OpVFMAX, vSD}, {OpVFRECPS, floating},
}, {
	{OpVFMINNM, vSD}, {OpVFMLS, vSD}, {OpVFSUB, vSD}, {},
	{}, {}, {OpVFMIN, vSD}, {OpVFRSQRTS, floating},
}, {
	{OpVFMAXNMP, vSD}, {}, {OpVFADDP, vSD}, {OpVFMUL, vSD},
	{OpVFCMGE, floating}, {OpVFACGE, floating}, {OpVFMAXP, vSD}, {OpVFDIV, vSD},
}, {
	{OpVFMINNMP, vSD}, {}, {OpVFABD, floating}, {},
	{OpVFCMGT, floating}, {OpVFACGT, floating}, {OpVFMINP, vSD}, {},
}}

// threeSameExtra: an opcode in bits 14:11 and U in bit 29. It has extensions to
// Armv8.0, of which FEAT_RDM is here.
func threeSameExtra(w uint32) (Op, bool) {
	return extra[bits(w, 29, 29)][bits(w, 14, 11)].op(w, sized(w))
}

var extra = [2][16]entry{1: {{OpVSQRDMLAH, vHS | sHS}, {OpVSQRDMLSH, vHS | sHS}}}

// threeDifferent: an opcode in bits 15:12 and U in bit 29.
func threeDifferent(w uint32) (Op, bool) {
	return different[bits(w, 29, 29)][bits(w, 15, 12)].op(w, sized(w))
}

var different = [2][16]entry{{
	{OpVSADDL, vBHS}, {OpVSADDW, vBHS}, {OpVSSUBL, vBHS}, {OpVSSUBW, vBHS},
	{OpVADDHN, vBHS}, {OpVSABAL, vBHS}, {OpVSUBHN, vBHS}, {OpVSABDL, vBHS},
	{OpVSMLAL, vBHS}, {OpVSQDMLAL, vHS | sHS}, {OpVSMLSL, vBHS}, {OpVSQDMLSL, vHS | sHS},
	{OpVSMULL, vBHS}, {OpVSQDMULL, vHS | sHS}, {OpVPMULL, vB | hD | fD}, {},
}, {
	{OpVUADDL, vBHS}, {OpVUADDW, vBHS}, {OpVUSUBL, vBHS}, {OpVUSUBW, vBHS},
	{OpVRADDHN, vBHS}, {OpVUABAL, vBHS}, {OpVRSUBHN, vBHS}, {OpVUABDL, vBHS},
	{OpVUMLAL, vBHS}, {}, {OpVUMLSL, vBHS}, {},
	{OpVUMULL, vBHS}, {}, {}, {},
}}

// byElement: an opcode in bits 15:12 and U in bit 29. Cond is the index, which
// H, L and M in bits 11, 21 and 20 spell; of a doubleword H alone, of a word
// H:L, and of a halfword all three, so that it has but 4 bits for the register.
func byElement(w uint32) (Op, bool) {
	e := elements[bits(w, 29, 29)][bits(w, 15, 12)]
	s := sized(w)
	if e.shapes&fD != 0 { // floating point: bit 23 is 1, or it is half precision
		s = floatSized(w)
		if bits(w, 23, 23) == 0 {
			return Op{}, false
		}
	}
	op, ok := e.op(w, s)
	h, l, m := bits(w, 11, 11), bits(w, 21, 21), bits(w, 20, 20)
	switch s & 3 {
	case simd.H:
		op.Rm &= 15
		op.Cond = uint8(h<<2 | l<<1 | m)
	case simd.S:
		op.Cond = uint8(h<<1 | l)
	default:
		op.Cond = uint8(h)
		ok = ok && l == 0
	}
	return op, ok
}

var elements = [2][16]entry{{
	0x1: {OpVFMLAElem, floating}, 0x2: {OpVSMLALElem, vHS}, 0x3: {OpVSQDMLALElem, vHS | sHS},
	0x5: {OpVFMLSElem, floating}, 0x6: {OpVSMLSLElem, vHS}, 0x7: {OpVSQDMLSLElem, vHS | sHS},
	0x8: {OpVMULElem, vHS}, 0x9: {OpVFMULElem, floating}, 0xa: {OpVSMULLElem, vHS}, 0xb: {OpVSQDMULLElem, vHS | sHS},
	0xc: {OpVSQDMULHElem, vHS | sHS}, 0xd: {OpVSQRDMULHElem, vHS | sHS},
}, {
	0x0: {OpVMLAElem, vHS}, 0x2: {OpVUMLALElem, vHS}, 0x4: {OpVMLSElem, vHS}, 0x6: {OpVUMLSLElem, vHS},
	0x9: {OpVFMULXElem, floating}, 0xa: {OpVUMULLElem, vHS},
	0xd: {OpVSQRDMLAHElem, vHS | sHS}, 0xf: {OpVSQRDMLSHElem, vHS | sHS},
}}

// twoRegisters: an opcode in bits 16:12 and U in bit 29; those of floating
// point take the upper bit of size as well.
func twoRegisters(w uint32) (Op, bool) {
	u, size, opcode := bits(w, 29, 29), bits(w, 23, 22), bits(w, 16, 12)
	if e := integerTwo[u][opcode]; e.shapes != 0 {
		if e.code == OpVNOT && size == 1 {
			return entry{OpVRBIT, vB}.op(w, sized(w)&^3)
		}
		return e.op(w, sized(w))
	}
	s := floatSized(w)
	if opcode == 0x16 || opcode == 0x17 { // converts between formats: the narrow one is H or S
		s--
	}
	return floatTwo[u<<1|size>>1][opcode].op(w, s)
}

var integerTwo = [2][32]entry{{
	0x00: {OpVREV64, vBHS}, 0x01: {OpVREV16, vB}, 0x02: {OpVSADDLP, vBHS}, 0x03: {OpVSUQADD, arith},
	0x04: {OpVCLS, vBHS}, 0x05: {OpVCNT, vB}, 0x06: {OpVSADALP, vBHS}, 0x07: {OpVSQABS, arith},
	0x08: {OpVCMGTZero, integer}, 0x09: {OpVCMEQZero, integer}, 0x0a: {OpVCMLTZero, integer}, 0x0b: {OpVABS, integer},
	0x12: {OpVXTN, vBHS}, 0x14: {OpVSQXTN, vBHS | sBHS},
}, {
	0x00: {OpVREV32, vBH}, 0x02: {OpVUADDLP, vBHS}, 0x03: {OpVUSQADD, arith},
	0x04: {OpVCLZ, vBHS}, 0x05: {OpVNOT, vB}, 0x06: {OpVUADALP, vBHS}, 0x07: {OpVSQNEG, arith},
	0x08: {OpVCMGEZero, integer}, 0x09: {OpVCMLEZero, integer}, 0x0b: {OpVNEG, integer},
	0x12: {OpVSQXTUN, vBHS | sBHS}, 0x13: {OpVSHLL, vBHS}, 0x14: {OpVUQXTN, vBHS | sBHS},
}}

// floatTwo is indexed by U:a and opcode.
var floatTwo = [4][32]entry{{
	0x16: {OpVFCVTN, vHS}, 0x17: {OpVFCVTL, vHS}, 0x18: {OpVFRINTN, vSD}, 0x19: {OpVFRINTM, vSD},
	0x1a: {OpVFCVTNS, floating}, 0x1b: {OpVFCVTMS, floating}, 0x1c: {OpVFCVTAS, floating}, 0x1d: {OpVSCVTF, floating},
}, {
	0x0c: {OpVFCMGTZero, floating}, 0x0d: {OpVFCMEQZero, floating}, 0x0e: {OpVFCMLTZero, floating}, 0x0f: {OpVFABS, vSD},
	0x18: {OpVFRINTP, vSD}, 0x19: {OpVFRINTZ, vSD}, 0x1a: {OpVFCVTPS, floating}, 0x1b: {OpVFCVTZS, floating},
	0x1c: {OpVURECPE, vS}, 0x1d: {OpVFRECPE, floating}, 0x1f: {OpVFRECPX, sSD},
}, {
	0x16: {OpVFCVTXN, vS | sS}, 0x18: {OpVFRINTA, vSD}, 0x19: {OpVFRINTX, vSD},
	0x1a: {OpVFCVTNU, floating}, 0x1b: {OpVFCVTMU, floating}, 0x1c: {OpVFCVTAU, floating}, 0x1d: {OpVUCVTF, floating},
}, {
	0x0c: {OpVFCMGEZero, floating}, 0x0d: {OpVFCMLEZero, floating}, 0x0f: {OpVFNEG, vSD},
	0x19: {OpVFRINTI, vSD}, 0x1a: {OpVFCVTPU, floating}, 0x1b: {OpVFCVTZU, floating},
	0x1c: {OpVURSQRTE, vS}, 0x1d: {OpVFRSQRTE, floating}, 0x1f: {OpVFSQRT, vSD},
}}

// acrossLanes reduces a vector to a scalar.
func acrossLanes(w uint32) (Op, bool) {
	u, opcode := bits(w, 29, 29), bits(w, 16, 12)
	if e := integerAcross[u][opcode]; e.shapes != 0 {
		return e.op(w, sized(w))
	}
	return floatAcross[u<<1|bits(w, 23, 23)][opcode].op(w, floatSized(w))
}

var integerAcross = [2][32]entry{{
	0x03: {OpVSADDLV, vBH | fS}, 0x0a: {OpVSMAXV, vBH | fS}, 0x1a: {OpVSMINV, vBH | fS}, 0x1b: {OpVADDV, vBH | fS},
}, {
	0x03: {OpVUADDLV, vBH | fS}, 0x0a: {OpVUMAXV, vBH | fS}, 0x1a: {OpVUMINV, vBH | fS},
}}

var floatAcross = [4][32]entry{
	2: {0x0c: {OpVFMAXNMV, fS}, 0x0f: {OpVFMAXV, fS}},
	3: {0x0c: {OpVFMINNMV, fS}, 0x0f: {OpVFMINV, fS}},
}

// scalarPair reduces the two lowest elements. These are pairwise operations of
// a register with itself on the scalar shape.
func scalarPair(w uint32) (op Op, ok bool) {
	u, opcode := bits(w, 29, 29), bits(w, 16, 12)
	if u == 0 && opcode == 0x1b {
		op, ok = entry{OpVADDP, sD}.op(w, sized(w))
	} else {
		op, ok = floatPair[u<<1|bits(w, 23, 23)][opcode].op(w, floatSized(w))
	}
	op.Rm = op.Rn
	return op, ok
}

var floatPair = [4][32]entry{
	2: {0x0c: {OpVFMAXNMP, sSD}, 0x0d: {OpVFADDP, sSD}, 0x0f: {OpVFMAXP, sSD}},
	3: {0x0c: {OpVFMINNMP, sSD}, 0x0f: {OpVFMINP, sSD}},
}

// shiftImmediate: an opcode in bits 15:11 and U in bit 29. The highest bit of
// bits 22:19 is the element size, and bits 22:16 less that size are a shift to
// the left, or twice the size less those bits a shift to the right (or the
// number of fraction bits), which goes to Imm.
func shiftImmediate(w uint32) (Op, bool) {
	opcode, imm := bits(w, 15, 11), bits(w, 22, 16)
	if imm < 8 {
		return Op{}, false
	}
	size := mathbits.Len32(imm) - 4
	sh := 16<<size - imm
	if leftShifts>>opcode&1 != 0 {
		sh = imm - 8<<size
	}
	op, ok := shifts[bits(w, 29, 29)][opcode].op(w, width(w)|simd.Shape(size))
	op.Imm = uint64(sh)
	return op, ok
}

// leftShifts is the set of opcodes that shift to the left.
const leftShifts = 1<<0x0a | 1<<0x0c | 1<<0x0e | 1<<0x14

var shifts = [2][32]entry{{
	0x00: {OpVSSHR, integer}, 0x02: {OpVSSRA, integer}, 0x04: {OpVSRSHR, integer}, 0x06: {OpVSRSRA, integer},
	0x0a: {OpVSHL, integer}, 0x0e: {OpVSQSHLImm, arith},
	0x10: {OpVSHRN, vBHS}, 0x11: {OpVRSHRN, vBHS}, 0x12: {OpVSQSHRN, vBHS | sBHS}, 0x13: {OpVSQRSHRN, vBHS | sBHS},
	0x14: {OpVSSHLL, vBHS}, 0x1c: {OpVSCVTF, floating}, 0x1f: {OpVFCVTZS, floating},
}, {
	0x00: {OpVUSHR, integer}, 0x02: {OpVUSRA, integer}, 0x04: {OpVURSHR, integer}, 0x06: {OpVURSRA, integer},
	0x08: {OpVSRI, integer}, 0x0a: {OpVSLI, integer}, 0x0c: {OpVSQSHLU, arith}, 0x0e: {OpVUQSHLImm, arith},
	0x10: {OpVSQSHRUN, vBHS | sBHS}, 0x11: {OpVSQRSHRUN, vBHS | sBHS}, 0x12: {OpVUQSHRN, vBHS | sBHS}, 0x13: {OpVUQRSHRN, vBHS | sBHS},
	0x14: {OpVUSHLL, vBHS}, 0x1c: {OpVUCVTF, floating}, 0x1f: {OpVFCVTZU, floating},
}}

// modifiedImmediate: bits 18:16 and 9:5 are eight bits of immediate, which the
// fields cmode and op expand to the 64 bits of Imm. With odd cmodes below 12,
// op chooses between ORR and BIC; with others it complements, or is part of
// what cmode says.
func modifiedImmediate(w uint32) (Op, bool) {
	inv, cmode := bits(w, 29, 29), bits(w, 15, 12)
	imm8 := uint8(bits(w, 18, 16)<<5 | bits(w, 9, 5))
	e := entry{OpVMOVI, vB}
	switch {
	case cmode < 12 && cmode&1 != 0 && inv != 0:
		e.code, inv = OpVBICImm, 0
	case cmode < 12 && cmode&1 != 0:
		e.code = OpVORRImm
	case cmode == 15 && inv != 0:
		e.shapes = fB // FMOV of doublewords
	}
	op, ok := e.op(w, width(w)|simd.B)
	op.Imm = simd.ExpandImm(inv, cmode, imm8)
	if cmode < 14 && inv != 0 {
		op.Imm = ^op.Imm
	}
	return op, ok && bits(w, 11, 11) == 0 // otherwise FMOV of halfwords
}

// copyElement moves single elements. The lowest 1 in bits 20:16 is the element
// size, and the bits above it are the index, which goes to Cond.
func copyElement(w uint32) (Op, bool) {
	imm5, imm4 := bits(w, 20, 16), bits(w, 14, 11)
	size := mathbits.TrailingZeros32(imm5)
	if size > 3 {
		return Op{}, false
	}
	s := width(w) | simd.Shape(size)
	var e entry
	switch {
	case bits(w, 30, 28) == 6:
		e = entry{OpVINS, vBHSD}
	case bits(w, 29, 29) != 0:
	case bits(w, 28, 28) == 0:
		e = copies[bits(w, 30, 30)][imm4]
	case imm4 == 0:
		e = entry{OpVDUP, sBHSD}
	}
	op, ok := e.op(w, s)
	op.Cond = uint8(imm5 >> (size + 1))
	op.Imm = uint64(imm4 >> size)
	switch e.code {
	case OpVDUPGeneral, OpVINSGeneral:
		op.Rn = ZR(bits(w, 9, 5))
	case OpVSMOV32, OpVSMOV64, OpVUMOV:
		op.Rd = W(bits(w, 4, 0))
	}
	return op, ok
}

// copies is indexed by Q and imm4. With Q, UMOV and SMOV write an X register.
var copies = [2][16]entry{{
	0: {OpVDUP, vBHS}, 1: {OpVDUPGeneral, vBHS}, 5: {OpVSMOV32, vBH}, 7: {OpVUMOV, vBHS},
}, {
	0: {OpVDUP, vBHSD}, 1: {OpVDUPGeneral, vBHSD}, 3: {OpVINSGeneral, vBHSD}, 5: {OpVSMOV64, vBHS}, 7: {OpVUMOV, fD},
}}

// extract (EXT): bits 14:11 are the first byte taken, of 8 or of 16.
func extract(w uint32) (Op, bool) {
	e, i := entry{OpVEXT, vB}, bits(w, 14, 11)
	if i >= 8 {
		e.shapes = fB
	}
	op, ok := e.op(w, width(w)|simd.B)
	op.Imm = uint64(i)
	return op, ok
}

// permute: an opcode in bits 14:12.
func permute(w uint32) (Op, bool) { return permutes[bits(w, 14, 12)].op(w, sized(w)) }

var permutes = [8]entry{
	1: {OpVUZP1, vBHSD}, 2: {OpVTRN1, vBHSD}, 3: {OpVZIP1, vBHSD},
	5: {OpVUZP2, vBHSD}, 6: {OpVTRN2, vBHSD}, 7: {OpVZIP2, vBHSD},
}

// tableLookup (TBL, TBX): the number of table registers goes to Imm.
func tableLookup(w uint32) (Op, bool) {
	e := entry{OpVTBL, vB}
	if bits(w, 12, 12) != 0 {
		e.code = OpVTBX
	}
	op, ok := e.op(w, width(w)|simd.B)
	op.Imm = uint64(bits(w, 14, 13)) + 1
	return op, ok
}

// The cryptographic classes have no sizes: an opcode and registers.
func aes(w uint32) (Op, bool)         { return aesTwo[bits(w, 16, 12)].op(w, 0) }
func shaThree(w uint32) (Op, bool)    { return sha[bits(w, 14, 12)].op(w, 0) }
func shaTwo(w uint32) (Op, bool)      { return shaUpdate[bits(w, 16, 12)].op(w, 0) }
func sha512Three(w uint32) (Op, bool) { return sha512[bits(w, 11, 10)].op(w, 0) }
func sha512Two(w uint32) (Op, bool)   { return entry{OpVSHA512SU0, 1}.op(w, 0) }

var aesTwo = [32]entry{4: {OpVAESE, 1}, 5: {OpVAESD, 1}, 6: {OpVAESMC, 1}, 7: {OpVAESIMC, 1}}

var sha = [8]entry{
	{OpVSHA1C, 1}, {OpVSHA1P, 1}, {OpVSHA1M, 1}, {OpVSHA1SU0, 1},
	{OpVSHA256H, 1}, {OpVSHA256H2, 1}, {OpVSHA256SU1, 1}, {},
}

var shaUpdate = [32]entry{{OpVSHA1H, 1}, {OpVSHA1SU1, 1}, {OpVSHA256SU0, 1}}

var sha512 = [4]entry{{OpVSHA512H, 1}, {OpVSHA512H2, 1}, {OpVSHA512SU1, 1}, {}}
