package simd

import "math/bits"

// The SHA functions take four 32-bit (or two 64-bit) words of the hash state
// or of the message schedule in a register, the first one lowest (FIPS 180-4).

// words are a register's four 32-bit elements.
func (d *Vec) words() (a, b, c, e uint32) {
	return uint32(d[0]), uint32(d[0] >> 32), uint32(d[1]), uint32(d[1] >> 32)
}

func join(a, b, c, e uint32) Vec {
	return Vec{uint64(a) | uint64(b)<<32, uint64(c) | uint64(e)<<32}
}

func ch[T uint32 | uint64](x, y, z T) T  { return z ^ x&(y^z) }
func maj[T uint32 | uint64](x, y, z T) T { return x&y | (x|y)&z }
func parity(x, y, z uint32) uint32       { return x ^ y ^ z }

// Sha1c, Sha1p and Sha1m do four rounds with choose, parity and majority:
// d holds a to d, element 0 of n holds e, m the schedule plus the constant.
func Sha1c(d, n, m *Vec) { sha1Rounds(d, n, m, ch[uint32]) }
func Sha1p(d, n, m *Vec) { sha1Rounds(d, n, m, parity) }
func Sha1m(d, n, m *Vec) { sha1Rounds(d, n, m, maj[uint32]) }

func sha1Rounds(d, n, m *Vec, f func(x, y, z uint32) uint32) {
	a, b, c, e := d.words()
	y := uint32(n[0])
	for i := range uint(4) {
		t := y + bits.RotateLeft32(a, 5) + f(b, c, e) + uint32(m.Lane(2, i))
		a, b, c, e, y = t, a, bits.RotateLeft32(b, 30), c, e
	}
	*d = join(a, b, c, e)
}

// Sha1h turns element 0 left by 30 bits.
func Sha1h(d, n *Vec) { *d = Vec{uint64(bits.RotateLeft32(uint32(n[0]), 30))} }

// Sha1su0 and Sha1su1 are the two halves of the schedule update.
func Sha1su0(d, n, m *Vec) { *d = Vec{d[0] ^ d[1] ^ m[0], d[1] ^ n[0] ^ m[1]} }

func Sha1su1(d, n *Vec) {
	a, b, c, e := (&Vec{d[0] ^ (n[0]>>32 | n[1]<<32), d[1] ^ n[1]>>32}).words()
	a = bits.RotateLeft32(a, 1)
	*d = join(a, bits.RotateLeft32(b, 1), bits.RotateLeft32(c, 1), bits.RotateLeft32(e, 1)^bits.RotateLeft32(a, 1))
}

// Sha256h does four rounds on abcd = d, efgh = n and gives the new abcd;
// Sha256h2 takes efgh = d, the old abcd = n and gives the new efgh.
func Sha256h(d, n, m *Vec)  { *d, _ = sha256Rounds(d, n, m) }
func Sha256h2(d, n, m *Vec) { _, *d = sha256Rounds(n, d, m) }

func sha256Rounds(abcd, efgh, w *Vec) (x, y Vec) {
	a, b, c, d := abcd.words()
	e, f, g, h := efgh.words()
	for i := range uint(4) {
		t := h + sum1(e) + ch(e, f, g) + uint32(w.Lane(2, i))
		h, g, f, e, d, c, b, a = g, f, e, d+t, c, b, a, t+sum0(a)+maj(a, b, c)
	}
	return join(a, b, c, d), join(e, f, g, h)
}

func sum0(x uint32) uint32 {
	return bits.RotateLeft32(x, -2) ^ bits.RotateLeft32(x, -13) ^ bits.RotateLeft32(x, -22)
}

func sum1(x uint32) uint32 {
	return bits.RotateLeft32(x, -6) ^ bits.RotateLeft32(x, -11) ^ bits.RotateLeft32(x, -25)
}

func sigma0(x uint32) uint32 { return bits.RotateLeft32(x, -7) ^ bits.RotateLeft32(x, -18) ^ x>>3 }
func sigma1(x uint32) uint32 { return bits.RotateLeft32(x, -17) ^ bits.RotateLeft32(x, -19) ^ x>>10 }

// Sha256su0 and Sha256su1 are the two halves of the schedule update.
func Sha256su0(d, n *Vec) {
	a, b, c, e := d.words()
	*d = join(a+sigma0(b), b+sigma0(c), c+sigma0(e), e+sigma0(uint32(n[0])))
}

func Sha256su1(d, n, m *Vec) {
	a, b, c, e := d.words()
	_, n1, n2, n3 := n.words()
	m0, _, m2, m3 := m.words()
	a, b = a+n1+sigma1(m2), b+n2+sigma1(m3)
	*d = join(a, b, c+n3+sigma1(a), e+m0+sigma1(b))
}

// Sha512h and Sha512h2 each do half of two rounds, Sha512su0 and Sha512su1
// half of the schedule update.
func Sha512h(d, n, m *Vec) {
	hi := d[1] + bigSum1(m[1]) + ch(m[1], n[0], n[1])
	t := hi + m[0]
	lo := d[0] + bigSum1(t) + ch(t, m[1], n[0])
	*d = Vec{lo, hi}
}

func Sha512h2(d, n, m *Vec) {
	hi := d[1] + bigSum0(m[0]) + maj(n[0], m[1], m[0])
	lo := d[0] + bigSum0(hi) + maj(hi, m[0], m[1])
	*d = Vec{lo, hi}
}

func Sha512su0(d, n *Vec) { *d = Vec{d[0] + bigSigma0(d[1]), d[1] + bigSigma0(n[0])} }

func Sha512su1(d, n, m *Vec) {
	*d = Vec{d[0] + bigSigma1(n[0]) + m[0], d[1] + bigSigma1(n[1]) + m[1]}
}

func bigSum0(x uint64) uint64 {
	return bits.RotateLeft64(x, -28) ^ bits.RotateLeft64(x, -34) ^ bits.RotateLeft64(x, -39)
}

func bigSum1(x uint64) uint64 {
	return bits.RotateLeft64(x, -14) ^ bits.RotateLeft64(x, -18) ^ bits.RotateLeft64(x, -41)
}

func bigSigma0(x uint64) uint64 { return bits.RotateLeft64(x, -1) ^ bits.RotateLeft64(x, -8) ^ x>>7 }
func bigSigma1(x uint64) uint64 { return bits.RotateLeft64(x, -19) ^ bits.RotateLeft64(x, -61) ^ x>>6 }
