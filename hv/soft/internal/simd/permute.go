package simd

import "math/bits"

// Instructions that move elements and compute nothing.

// Dup copies element i of n everywhere, DupGeneral the low bits of x.
func Dup(d, n *Vec, s Shape, i uint) { DupGeneral(d, n.Lane(s.size(), i), s) }

func DupGeneral(d *Vec, x uint64, s Shape) {
	size := s.size()
	r := x & ones[size] * lsbs[size]
	d.put(s, r, r)
}

// Ins copies element j of n to element i of d and leaves the others.
func Ins(d, n *Vec, s Shape, i, j uint) { d.SetLane(s.size(), i, n.Lane(s.size(), j)) }

// Smov gives element i sign-extended. (Umov is Lane, and Ins from a general
// register SetLane.)
func Smov(n *Vec, s Shape, i uint) uint64 { return uint64(n.signed(s.size(), i)) }

// Ext takes bytes from m:n beginning at byte i of n.
func Ext(d, n, m *Vec, s Shape, i uint) {
	if !s.full() {
		*d = Vec{window(n[0], m[0], i)}
		return
	}
	if i < 8 {
		*d = Vec{window(n[0], n[1], i), window(n[1], m[0], i)}
		return
	}
	*d = Vec{window(n[1], m[0], i-8), window(m[0], m[1], i-8)}
}

// window is 8 bytes of hi:lo from byte i, at most 7, on.
func window(lo, hi uint64, i uint) uint64 { return lo>>(8*i) | hi<<(64-8*i) }

// Rev16, Rev32 and Rev64 reverse the elements within 16, 32 and 64 bits.
func Rev16(d, n *Vec, s Shape) { d.put(s, swap(n[0], 8), swap(n[1], 8)) }
func Rev32(d, n *Vec, s Shape) { d.put(s, rev32(n[0], s), rev32(n[1], s)) }
func Rev64(d, n *Vec, s Shape) { d.put(s, rev64(n[0], s), rev64(n[1], s)) }

// swap exchanges neighbours of w bits.
func swap(x uint64, w uint) uint64 {
	m := even[bits.TrailingZeros(w)-3]
	return x>>w&m | x&m<<w
}

func rev32(x uint64, s Shape) uint64 {
	if s&3 == B {
		x = swap(x, 8)
	}
	return swap(x, 16)
}

func rev64(x uint64, s Shape) uint64 {
	switch s & 3 {
	case B:
		return bits.ReverseBytes64(x)
	case H:
		x = swap(x, 16)
	}
	return bits.RotateLeft64(x, 32)
}

// Rbit reverses the bits of each byte.
func Rbit(d, n *Vec, s Shape) {
	d.put(s, bits.ReverseBytes64(bits.Reverse64(n[0])), bits.ReverseBytes64(bits.Reverse64(n[1])))
}

// Uzp1 gathers the even elements of m:n, Uzp2 the odd ones.
func Uzp1(d, n, m *Vec, s Shape) { d[0], d[1] = unzip(n, m, s, 0) }
func Uzp2(d, n, m *Vec, s Shape) { d[0], d[1] = unzip(n, m, s, 1) }

func unzip(n, m *Vec, s Shape, odd uint) (lo, hi uint64) {
	size := s.size()
	if size == 3 {
		return n[odd&1], m[odd&1]
	}
	sh := odd * 8 << size
	a, b, c, e := compress(n[0]>>sh, size), compress(n[1]>>sh, size), compress(m[0]>>sh, size), compress(m[1]>>sh, size)
	if s.full() {
		return a | b<<32, c | e<<32
	}
	return a | c<<32, 0
}

// Zip1 interleaves the low halves of n and m, Zip2 the high halves.
func Zip1(d, n, m *Vec, s Shape) { zip(d, n[0], m[0], s, 0) }

func Zip2(d, n, m *Vec, s Shape) {
	if s.full() {
		zip(d, n[1], m[1], s, 0)
		return
	}
	zip(d, n[0], m[0], s, 32)
}

// zip interleaves a and b from bit sh on.
func zip(d *Vec, a, b uint64, s Shape, sh uint) {
	size := s.size()
	if size == 3 {
		*d = Vec{a, b}
		return
	}
	w := uint(8) << size
	d.put(s, expand(a>>sh, size)|expand(b>>sh, size)<<w, expand(a>>32, size)|expand(b>>32, size)<<w)
}

// Trn1 takes the even elements of n and m in turn, Trn2 the odd ones.
func Trn1(d, n, m *Vec, s Shape) {
	size := s.size()
	if size == 3 {
		*d = Vec{n[0], m[0]}
		return
	}
	k, w := even[size], uint(8)<<size
	d.put(s, n[0]&k|m[0]&k<<w, n[1]&k|m[1]&k<<w)
}

func Trn2(d, n, m *Vec, s Shape) {
	size := s.size()
	if size == 3 {
		*d = Vec{n[1], m[1]}
		return
	}
	k, w := even[size], uint(8)<<size
	d.put(s, n[0]>>w&k|m[0]&^k, n[1]>>w&k|m[1]&^k)
}

// Tbl looks the bytes of m up in a table of count registers, which begins with
// register n and wraps from v[31] to v[0]. An index outside gives 0, or with
// Tbx leaves the byte of d.
func Tbl(v *[32]Vec, d, n, m, count uint, s Shape) { lookup(v, d, n, m, count, s, Vec{}) }
func Tbx(v *[32]Vec, d, n, m, count uint, s Shape) { lookup(v, d, n, m, count, s, v[d&31]) }

func lookup(v *[32]Vec, d, n, m, count uint, s Shape, otherwise Vec) {
	r, index := otherwise, v[m&31]
	for i := range uint(16) {
		if x := uint(index.Lane(0, i)); x < 16*count {
			r.SetLane(0, i, v[(n+x>>4)&31].Lane(0, x&15))
		}
	}
	v[d&31].put(s, r[0], r[1])
}
