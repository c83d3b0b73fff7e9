package simd

import "math/bits"

// Fill writes x to both halves, as far as the shape goes (MOVI, MVNI, FMOV).
func (d *Vec) Fill(s Shape, x uint64) { d.put(s, x, x) }

// OrrImm and BicImm set and clear the bits of x in both halves.
func OrrImm(d *Vec, s Shape, x uint64) { d.put(s, d[0]|x, d[1]|x) }
func BicImm(d *Vec, s Shape, x uint64) { d.put(s, d[0]&^x, d[1]&^x) }

// ExpandImm is the 64 bits that a modified immediate stands for: imm8 with the
// fields cmode (4 bits) and op of its instruction (Arm ARM, AdvSIMDExpandImm).
// MVNI and BIC take the complement of the result that op 0 gives.
func ExpandImm(op, cmode uint32, imm8 uint8) uint64 {
	x := uint64(imm8)
	switch {
	case cmode < 8:
		return x << (cmode >> 1 * 8) * lsbs[S]
	case cmode < 12:
		return x << (cmode >> 1 & 1 * 8) * lsbs[H]
	case cmode == 12:
		return (x<<8 | 0xff) * lsbs[S]
	case cmode == 13:
		return (x<<16 | 0xffff) * lsbs[S]
	case cmode == 14 && op == 0:
		return x * lsbs[B]
	case cmode == 14:
		return byteMask(x)
	case op == 0:
		return float32Imm(x) * lsbs[S]
	}
	return float64Imm(x)
}

// byteMask makes a byte of ones of each bit of x.
func byteMask(x uint64) (r uint64) {
	for ; x != 0; x &= x - 1 {
		r |= 0xff << (8 * bits.TrailingZeros64(x))
	}
	return r
}

// float32Imm and float64Imm are the numbers of VFPExpandImm: a sign, three bits
// of exponent and four of fraction.
func float32Imm(x uint64) uint64 {
	exp := uint64(0x80)
	if x>>6&1 != 0 {
		exp = 0x7c
	}
	return x>>7<<31 | (exp|x>>4&3)<<23 | x&15<<19
}

func float64Imm(x uint64) uint64 {
	exp := uint64(0x400)
	if x>>6&1 != 0 {
		exp = 0x3fc
	}
	return x>>7<<63 | (exp|x>>4&3)<<52 | x&15<<48
}
