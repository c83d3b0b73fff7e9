package simd

import "math/bits"

// sbox and its inverse (FIPS 197, 5.1.1), computed at start from their
// definition: the inverse in GF(2^8), then an affine map.
var sbox, unsbox = sboxes()

func sboxes() (box, un [256]byte) {
	p, q := byte(1), byte(1) // q is always 1/p; 3 generates the field, 0xf6 is 1/3
	for {
		p ^= byte(double(uint64(p)))
		q = times(q, 0xf6)
		s := q ^ bits.RotateLeft8(q, 1) ^ bits.RotateLeft8(q, 2) ^ bits.RotateLeft8(q, 3) ^ bits.RotateLeft8(q, 4) ^ 0x63
		box[p], un[s] = s, p
		if p == 1 {
			box[0], un[0x63] = 0x63, 0
			return box, un
		}
	}
}

func times(a, b byte) (r byte) {
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			r ^= a
		}
		a = byte(double(uint64(a)))
	}
	return r
}

// double multiplies each byte by x modulo x^8+x^4+x^3+x+1.
func double(x uint64) uint64 { return x<<1&^lsbs[0] ^ x>>7&lsbs[0]*0x1b }

// rotate turns each 32-bit column right by n bits.
func rotate(x uint64, n uint) uint64 {
	m := lsbs[2] * (1<<(32-n) - 1)
	return x>>n&m | x<<(32-n)&^m
}

// Aese adds the round key m to the state d, then shifts rows and substitutes
// bytes; Aesd does the inverse. Byte 4*column+row of a register is the state's.
//
// Row 1 moves left by a column, row 2 by two, row 3 by three: the bytes of row
// 2 come from the other half, and those of row 1 and 3 from the words in the
// middle, x, and at the ends, y. To the right, x and y change places.
func Aese(d, m *Vec) {
	a, b := d[0]^m[0], d[1]^m[1]
	x, y := a>>32|b<<32, b>>32|a<<32
	*d = Vec{substitute(rows(a, x, b, y), &sbox), substitute(rows(b, y, a, x), &sbox)}
}

func Aesd(d, m *Vec) {
	a, b := d[0]^m[0], d[1]^m[1]
	x, y := a>>32|b<<32, b>>32|a<<32
	*d = Vec{substitute(rows(a, y, b, x), &unsbox), substitute(rows(b, x, a, y), &unsbox)}
}

// rows takes each row of two columns from its own word.
func rows(r0, r1, r2, r3 uint64) uint64 {
	const row = 0x000000ff_000000ff
	return r0&row | r1&(row<<8) | r2&(row<<16) | r3&(row<<24)
}

func substitute(x uint64, box *[256]byte) uint64 {
	return uint64(box[byte(x)]) | uint64(box[byte(x>>8)])<<8 |
		uint64(box[byte(x>>16)])<<16 | uint64(box[byte(x>>24)])<<24 |
		uint64(box[byte(x>>32)])<<32 | uint64(box[byte(x>>40)])<<40 |
		uint64(box[byte(x>>48)])<<48 | uint64(box[byte(x>>56)])<<56
}

// Aesmc mixes the columns of n, Aesimc does the inverse.
func Aesmc(d, n *Vec)  { *d = Vec{mix(n[0]), mix(n[1])} }
func Aesimc(d, n *Vec) { *d = Vec{unmix(n[0]), unmix(n[1])} }

// mix multiplies columns by 3x^3+x^2+x+2.
func mix(x uint64) uint64 {
	t := double(x)
	return t ^ rotate(x^t, 8) ^ rotate(x, 16) ^ rotate(x, 24)
}

// unmix multiplies them by its inverse, which is itself times 4x^2+5.
func unmix(x uint64) uint64 { return mix(x ^ double(double(x^rotate(x, 16)))) }
