package simd

import "github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"

// Three registers, or two, of the same element size.

// And, Bic, Orr, Orn and Eor are bitwise.
func And(d, n, m *Vec, s Shape) { d.put(s, n[0]&m[0], n[1]&m[1]) }
func Bic(d, n, m *Vec, s Shape) { d.put(s, n[0]&^m[0], n[1]&^m[1]) }
func Orr(d, n, m *Vec, s Shape) { d.put(s, n[0]|m[0], n[1]|m[1]) }
func Orn(d, n, m *Vec, s Shape) { d.put(s, n[0]|^m[0], n[1]|^m[1]) }
func Eor(d, n, m *Vec, s Shape) { d.put(s, n[0]^m[0], n[1]^m[1]) }

// Bsl selects by the bits of d, Bit and Bif by those of m.
func Bsl(d, n, m *Vec, s Shape) { d.put(s, choose(d[0], n[0], m[0]), choose(d[1], n[1], m[1])) }
func Bit(d, n, m *Vec, s Shape) { d.put(s, choose(m[0], n[0], d[0]), choose(m[1], n[1], d[1])) }
func Bif(d, n, m *Vec, s Shape) { d.put(s, choose(m[0], d[0], n[0]), choose(m[1], d[1], n[1])) }

// Not is bitwise too.
func Not(d, n *Vec, s Shape) { d.put(s, ^n[0], ^n[1]) }

// Add, Sub and Cmeq are the hot ones and call nothing indirectly.
func Add(d, n, m *Vec, s Shape) {
	l := s.lanes()
	d.put(s, l.add(n[0], m[0]), l.add(n[1], m[1]))
}

func Sub(d, n, m *Vec, s Shape) {
	l := s.lanes()
	d.put(s, l.sub(n[0], m[0]), l.sub(n[1], m[1]))
}

func Cmeq(d, n, m *Vec, s Shape) {
	l := s.lanes()
	d.put(s, l.eq(n[0], m[0]), l.eq(n[1], m[1]))
}

// both applies f to the two halves of a register.
func both(d, n, m *Vec, s Shape, f func(l lanes, a, b uint64) uint64) {
	l := s.lanes()
	d.put(s, f(l, n[0], m[0]), f(l, n[1], m[1]))
}

// Comparisons give all ones or zeros.
func Cmtst(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.tst) }
func Cmgt(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.gt) }
func Cmge(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.ge) }
func Cmhi(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.hi) }
func Cmhs(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.hs) }

// Comparisons with zero.
func CmgtZero(d, n *Vec, s Shape) { Cmgt(d, n, &Vec{}, s) }
func CmgeZero(d, n *Vec, s Shape) { Cmge(d, n, &Vec{}, s) }
func CmeqZero(d, n *Vec, s Shape) { Cmeq(d, n, &Vec{}, s) }
func CmleZero(d, n *Vec, s Shape) { Cmge(d, &Vec{}, n, s) }
func CmltZero(d, n *Vec, s Shape) { Cmgt(d, &Vec{}, n, s) }

func Smax(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.smax) }
func Smin(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.smin) }
func Umax(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.umax) }
func Umin(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.umin) }

func Shadd(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.shadd) }
func Shsub(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.shsub) }
func Srhadd(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.srhadd) }
func Uhadd(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.uhadd) }
func Uhsub(d, n, m *Vec, s Shape)  { both(d, n, m, s, lanes.uhsub) }
func Urhadd(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.urhadd) }

// Absolute differences, and added to d.
func Sabd(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.sabd) }
func Uabd(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.uabd) }

func Saba(d, n, m *Vec, s Shape) {
	var t Vec
	Sabd(&t, n, m, s)
	Add(d, d, &t, s)
}

func Uaba(d, n, m *Vec, s Shape) {
	var t Vec
	Uabd(&t, n, m, s)
	Add(d, d, &t, s)
}

// Mul keeps the low half of each product; Mla and Mls add it to or subtract it
// from d.
func Mul(d, n, m *Vec, s Shape) { both(d, n, m, s, lanes.mul) }

func Mla(d, n, m *Vec, s Shape) {
	var t Vec
	Mul(&t, n, m, s)
	Add(d, d, &t, s)
}

func Mls(d, n, m *Vec, s Shape) {
	var t Vec
	Mul(&t, n, m, s)
	Sub(d, d, &t, s)
}

// One source.
func Abs(d, n *Vec, s Shape) { both(d, n, n, s, lanes.abs) }
func Neg(d, n *Vec, s Shape) { both(d, n, n, s, lanes.neg) }
func Clz(d, n *Vec, s Shape) { both(d, n, n, s, lanes.clz) }
func Cls(d, n *Vec, s Shape) { both(d, n, n, s, lanes.cls) }
func Cnt(d, n *Vec, s Shape) { both(d, n, n, s, lanes.cnt) }

// saturate is both for operations that can saturate. Elements that the shape
// leaves out do not count: their saturation is masked.
func saturate(d, n, m *Vec, s Shape, f func(l lanes, a, b uint64) (r, sat uint64)) uint32 {
	l, k := s.lanes(), &keep[s&15]
	lo, sat0 := f(l, n[0], m[0])
	hi, sat1 := f(l, n[1], m[1])
	d[0], d[1] = lo&k[0], hi&k[1]
	return qc(sat0&k[0] | sat1&k[1])
}

// qc is QC unless sat is 0.
func qc(sat uint64) uint32 { return uint32((sat|-sat)>>63) * QC }

func Sqadd(d, n, m *Vec, s Shape) uint32 { return saturate(d, n, m, s, lanes.sqadd) }
func Sqsub(d, n, m *Vec, s Shape) uint32 { return saturate(d, n, m, s, lanes.sqsub) }
func Uqadd(d, n, m *Vec, s Shape) uint32 { return saturate(d, n, m, s, lanes.uqadd) }
func Uqsub(d, n, m *Vec, s Shape) uint32 { return saturate(d, n, m, s, lanes.uqsub) }
func Sqneg(d, n *Vec, s Shape) uint32    { return saturate(d, n, n, s, lanes.sqneg) }
func Sqabs(d, n *Vec, s Shape) uint32    { return saturate(d, n, n, s, lanes.sqabs) }

// Suqadd adds unsigned n to signed d, Usqadd signed n to unsigned d.
func Suqadd(d, n *Vec, s Shape) uint32 { return saturate(d, d, n, s, lanes.suqadd) }
func Usqadd(d, n *Vec, s Shape) uint32 { return saturate(d, d, n, s, lanes.usqadd) }

// Sqdmulh keeps the high half of twice the product, Sqrdmulh rounded.
func Sqdmulh(d, n, m *Vec, s Shape) uint32  { return mulHigh(d, n, m, s, 0) }
func Sqrdmulh(d, n, m *Vec, s Shape) uint32 { return mulHigh(d, n, m, s, 1) }

// mulHigh adds half a unit of the result, scaled by round, before it drops
// the low half. Only the square of the least number saturates.
func mulHigh(d, n, m *Vec, s Shape, round int64) uint32 {
	var r Vec
	var sat uint64
	size, bits := s.size(), 8<<s.size()
	top := int64(1)<<(bits-1) - 1
	for i := range s.count() {
		p := n.signed(size, i) * m.signed(size, i) // at most 2^62
		h := (p>>(bits-2) + round) >> 1
		if h > top {
			h, sat = top, 1
		}
		r.SetLane(size, i, uint64(h))
	}
	*d = r
	return qc(sat)
}

// Sqrdmlah adds the rounded high half of twice the product to d, Sqrdmlsh subtracts
// the product before it rounds (FEAT_RDM).
func Sqrdmlah(d, n, m *Vec, s Shape) uint32 { return accumulateHigh(d, n, m, s, 1) }
func Sqrdmlsh(d, n, m *Vec, s Shape) uint32 { return accumulateHigh(d, n, m, s, -1) }

// accumulateHigh rounds and saturates once, at the end. All is halved, so that
// 64 bits hold the sum.
func accumulateHigh(d, n, m *Vec, s Shape, sign int64) uint32 {
	r, sat := Vec{}, uint64(0)
	size, bits := s.size(), 8<<s.size()
	top := int64(1)<<(bits-1) - 1
	for i := range s.count() {
		sum := d.signed(size, i)<<(bits-1) + sign*n.signed(size, i)*m.signed(size, i) + 1<<(bits-2)
		h := sum >> (bits - 1)
		if clamped := max(min(h, top), -top-1); clamped != h {
			h, sat = clamped, 1
		}
		r.SetLane(size, i, uint64(h))
	}
	*d = r
	return qc(sat)
}

// Urecpe estimates 1/n and Ursqrte 1/sqrt(n) of fractions below 1; elements
// are words.
func Urecpe(d, n *Vec, s Shape)  { words32(d, n, s, float.RecipEstimateU32) }
func Ursqrte(d, n *Vec, s Shape) { words32(d, n, s, float.RSqrtEstimateU32) }

func words32(d, n *Vec, s Shape, f func(uint32) uint32) {
	both(d, n, n, s, func(l lanes, a, _ uint64) uint64 {
		return l.each(a, func(x uint64) uint64 { return uint64(f(uint32(x))) })
	})
}
