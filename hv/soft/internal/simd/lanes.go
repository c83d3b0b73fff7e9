package simd

import "math/bits"

// Per element size: the bits of one element, and in a 64-bit word the lowest
// bit, the highest bit, and all bits of the even-numbered elements.
var (
	ones = [4]uint64{1<<8 - 1, 1<<16 - 1, 1<<32 - 1, ^uint64(0)}
	lsbs = [4]uint64{0x0101010101010101, 0x0001000100010001, 0x0000000100000001, 1}
	msbs = [4]uint64{0x8080808080808080, 0x8000800080008000, 0x8000000080000000, 1 << 63}
	even = [4]uint64{0x00ff00ff00ff00ff, 0x0000ffff0000ffff, 0x00000000ffffffff, ^uint64(0)}
)

// lanes computes on all elements of a 64-bit word at once. Carries are kept
// from crossing into the next element by working around each highest bit
// (Warren, Hacker's Delight, 2-18).
//
// What its comparisons return is a mask: all bits of each element for which
// the relation holds.
type lanes struct {
	msb  uint64 // the highest bit of each element
	bits uint   // element size in bits
}

func (s Shape) lanes() lanes { return lanes{msbs[s&3], 8 << (s & 3)} }

// lsb is the lowest bit of each element.
func (l lanes) lsb() uint64 { return l.msb >> ((l.bits - 1) & 63) }

func (l lanes) add(a, b uint64) uint64 { return (a&^l.msb + b&^l.msb) ^ (a^b)&l.msb }
func (l lanes) sub(a, b uint64) uint64 { return ((a | l.msb) - b&^l.msb) ^ (a^^b)&l.msb }

// fill widens highest bits to masks of their elements.
func (l lanes) fill(t uint64) uint64 { return t | (t - t>>((l.bits-1)&63)) }

// sign is the mask of negative elements.
func (l lanes) sign(a uint64) uint64 { return l.fill(a & l.msb) }

func (l lanes) tst(a, b uint64) uint64 { return l.fill((a&b&^l.msb + ^l.msb | a&b) & l.msb) }
func (l lanes) eq(a, b uint64) uint64  { return ^l.tst(a^b, a^b) }

// less is unsigned a < b: the borrows of a-b.
func (l lanes) less(a, b uint64) uint64 {
	return l.fill((^a&b | ^(a^b)&l.sub(a, b)) & l.msb)
}

func (l lanes) hi(a, b uint64) uint64 { return l.less(b, a) }
func (l lanes) hs(a, b uint64) uint64 { return ^l.less(a, b) }
func (l lanes) gt(a, b uint64) uint64 { return l.less(b^l.msb, a^l.msb) }
func (l lanes) ge(a, b uint64) uint64 { return ^l.less(a^l.msb, b^l.msb) }

// choose takes a where mask is set and b elsewhere.
func choose(mask, a, b uint64) uint64 { return b ^ mask&(a^b) }

func (l lanes) umax(a, b uint64) uint64 { return choose(l.hi(a, b), a, b) }
func (l lanes) umin(a, b uint64) uint64 { return choose(l.hi(a, b), b, a) }
func (l lanes) smax(a, b uint64) uint64 { return choose(l.gt(a, b), a, b) }
func (l lanes) smin(a, b uint64) uint64 { return choose(l.gt(a, b), b, a) }

func (l lanes) neg(a, _ uint64) uint64  { return l.sub(0, a) }
func (l lanes) abs(a, _ uint64) uint64  { m := l.sign(a); return l.sub(a^m, m) }
func (l lanes) uabd(a, b uint64) uint64 { return l.sub(l.umax(a, b), l.umin(a, b)) }
func (l lanes) sabd(a, b uint64) uint64 { return l.sub(l.smax(a, b), l.smin(a, b)) }

// Averages, rounded down (uhadd) and up (urhadd); signed operands are biased
// to unsigned ones and back. uhsub is half the difference, which may borrow.
func (l lanes) uhadd(a, b uint64) uint64  { return l.add(a&b, (a^b)>>1&^l.msb) }
func (l lanes) urhadd(a, b uint64) uint64 { return l.sub(a|b, (a^b)>>1&^l.msb) }
func (l lanes) uhsub(a, b uint64) uint64  { return l.sub(a, l.urhadd(a, b)) }
func (l lanes) shadd(a, b uint64) uint64  { return l.uhadd(a^l.msb, b^l.msb) ^ l.msb }
func (l lanes) srhadd(a, b uint64) uint64 { return l.urhadd(a^l.msb, b^l.msb) ^ l.msb }
func (l lanes) shsub(a, b uint64) uint64  { return l.uhsub(a^l.msb, b^l.msb) }

func (l lanes) mul(a, b uint64) uint64 {
	if l.bits == 64 {
		return a * b
	}
	var r uint64
	for sh := uint(0); sh < 64; sh += l.bits {
		r |= (a >> sh) * (b >> sh) & (1<<l.bits - 1) << sh
	}
	return r
}

// Shifts by the same amount, 0 to bits.
func (l lanes) shl(a uint64, n uint) uint64 { return a << n & (l.lsb() * (l.one() << n & l.one())) }
func (l lanes) shr(a uint64, n uint) uint64 { return a >> n & (l.lsb() * (l.one() >> n)) }

func (l lanes) sar(a uint64, n uint) uint64 {
	n = min(n, l.bits-1)
	m := a & l.msb
	return l.shr(a, n) | (m-m>>n)<<1
}

// Rounding shifts to the right, by at least 1, add the last bit dropped.
func (l lanes) shrRound(a uint64, n uint) uint64 { return l.add(l.shr(a, n), a>>(n-1)&l.lsb()) }
func (l lanes) sarRound(a uint64, n uint) uint64 { return l.add(l.sar(a, n), a>>(n-1)&l.lsb()) }

// one is the bits of a single element.
func (l lanes) one() uint64 { return ^uint64(0) >> (64 - l.bits) }

// clz and cls count leading zeros and copies of the sign.
func (l lanes) clz(a, _ uint64) uint64 {
	return l.each(a, func(x uint64) uint64 { return uint64(bits.LeadingZeros64(x)) - uint64(64-l.bits) })
}

func (l lanes) cls(a, _ uint64) uint64 {
	a ^= l.sar(a, 1) // sign bits become zeros below the highest bit, which is one too few
	return l.sub(l.clz(a, 0), l.lsb())
}

// cnt is for bytes alone: it adds bits to pairs, pairs to fours, fours to bytes.
func (l lanes) cnt(a, _ uint64) uint64 {
	const pair, four = 0x5555555555555555, 0x3333333333333333
	a -= a >> 1 & pair
	a = a&four + a>>2&four
	return (a + a>>4) & (lsbs[B] * 15)
}

// each applies f to every element, zero-extended, and keeps the low bits.
func (l lanes) each(a uint64, f func(uint64) uint64) (r uint64) {
	m := l.one()
	for sh := uint(0); sh < 64; sh += l.bits {
		r |= f(a>>sh&m) & m << sh
	}
	return r
}

// Saturating operations give the result and the mask of saturated elements.
func (l lanes) uqadd(a, b uint64) (r, sat uint64) {
	sum := l.add(a, b)
	sat = l.less(sum, a)
	return sum | sat, sat
}

func (l lanes) uqsub(a, b uint64) (r, sat uint64) {
	sat = l.less(a, b)
	return l.sub(a, b) &^ sat, sat
}

func (l lanes) sqadd(a, b uint64) (r, sat uint64) {
	sum := l.add(a, b)
	sat = l.sign(^(a ^ b) & (a ^ sum))
	return choose(sat, l.bound(a), sum), sat
}

func (l lanes) sqsub(a, b uint64) (r, sat uint64) {
	diff := l.sub(a, b)
	sat = l.sign((a ^ b) & (a ^ diff))
	return choose(sat, l.bound(a), diff), sat
}

// bound is the least number where a is negative and the greatest elsewhere.
func (l lanes) bound(a uint64) uint64 { return l.sign(a) ^ ^l.msb }

func (l lanes) sqneg(a, _ uint64) (r, sat uint64) { return l.sqsub(0, a) }

func (l lanes) sqabs(a, _ uint64) (r, sat uint64) {
	m := l.sign(a)
	return l.sqsub(a^m, m)
}

// suqadd adds unsigned b to signed a, usqadd signed b to unsigned a.
func (l lanes) suqadd(a, b uint64) (r, sat uint64) {
	sum := l.add(a, b)
	sat = l.less(sum^l.msb, a^l.msb)
	return choose(sat, ^l.msb, sum), sat
}

func (l lanes) usqadd(a, b uint64) (r, sat uint64) {
	up, over := l.uqadd(a, b&^l.sign(b))
	down, under := l.uqsub(a, l.sub(0, b)&l.sign(b))
	return choose(l.sign(b), down, up), over | under
}

// compress moves the even elements of the size together into bits 31:0, and
// expand is its inverse: it puts zeros between the elements of bits 31:0.
func compress(x uint64, size uint) uint64 {
	x &= even[size&3]
	switch size {
	case 0:
		x = (x | x>>8) & 0x0000ffff0000ffff
		fallthrough
	case 1:
		x = (x | x>>16) & 0xffffffff
	}
	return x
}

func expand(x uint64, size uint) uint64 {
	x &= 0xffffffff
	switch size {
	case 0:
		x = (x | x<<16) & 0x0000ffff0000ffff
		x = (x | x<<8) & 0x00ff00ff00ff00ff
	case 1:
		x = (x | x<<16) & 0x0000ffff0000ffff
	}
	return x
}
