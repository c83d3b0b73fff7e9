package simd

import (
	"hash/crc32"
	"math/bits"
)

// Pmul multiplies polynomials over GF(2), bytes by bytes, and keeps the low
// byte of each product.
func Pmul(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.pmul) }

// pmul adds the multiples of a by the bits of b, one bit of every element at a
// time.
func (l lanes) pmul(a, b uint64) (r uint64) {
	for i := range l.bits {
		r ^= l.shl(a, i) & l.fill(b<<(l.bits-1-i)&l.msb)
	}
	return r
}

// Pmull keeps the whole product: bytes to halfwords, or doublewords to a
// register.
func Pmull(d, n, m *Vec, s Shape) {
	if s&3 != D {
		long(d, n, m, s, false, lanes.pmul)
		return
	}
	i := uint(s & Full >> 3)
	d[1], d[0] = carryless(n[i], m[i])
}

// carryless multiplies polynomials over GF(2). It takes every fifth bit of
// each factor, so that the integer product has at most 13 ones to add in a
// place and the carries stay below the next place that counts.
func carryless(a, b uint64) (hi, lo uint64) {
	const fifth = 0x1084210842108421 // bits 0, 5, 10, ... 60
	var as [5]uint64
	var bs [10]uint64 // twice, to count modulo 5
	for i := range 5 {
		as[i], bs[i], bs[i+5] = a&(fifth<<i), b&(fifth<<i), b&(fifth<<i)
	}
	for r := range 5 {
		var h, l uint64
		for i := range 5 {
			ph, pl := bits.Mul64(as[i], bs[5+r-i])
			h ^= ph
			l ^= pl
		}
		lo |= l & (fifth << r)
		hi |= h & (fifth << ((r + 1) % 5)) // bit 64+k has the residue of k+4
	}
	return hi, lo
}

// The two polynomials of the CRC32 instructions.
var ieee, castagnoli = crc32.IEEETable, crc32.MakeTable(crc32.Castagnoli)

// CRC32 continues crc over the low size bytes of x, lowest first, and CRC32C
// does so with Castagnoli's polynomial. Neither inverts anything.
func CRC32(crc uint32, x uint64, size uint) uint32  { return checksum(ieee, crc, x, size) }
func CRC32C(crc uint32, x uint64, size uint) uint32 { return checksum(castagnoli, crc, x, size) }

func checksum(t *crc32.Table, crc uint32, x uint64, size uint) uint32 {
	for ; size > 0; size-- {
		crc = t[byte(crc)^byte(x)] ^ crc>>8
		x >>= 8
	}
	return crc
}
