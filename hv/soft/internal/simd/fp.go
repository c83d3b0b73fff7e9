package simd

import "github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"

// Floating-point instructions work element by element through package float,
// in the mode of e and with their exceptions added to e. Elements are words or
// doublewords.

type (
	binary32 func(e *float.Env, a, b uint32) uint32
	binary64 func(e *float.Env, a, b uint64) uint64
	unary32  func(e *float.Env, a uint32) uint32
	unary64  func(e *float.Env, a uint64) uint64
)

// each2 applies f or g, whichever fits the elements, to all that the shape
// covers: those it leaves out raise no exceptions.
func each2(e *float.Env, d, n, m *Vec, s Shape, f binary32, g binary64) {
	var r Vec
	if s&3 == D {
		for i := range s.count() {
			r[i&1] = g(e, n[i&1], m[i&1])
		}
		*d = r
		return
	}
	for i := range s.count() {
		r.SetLane(2, i, uint64(f(e, uint32(n.Lane(2, i)), uint32(m.Lane(2, i)))))
	}
	*d = r
}

// each1 is each2 for one operand.
func each1(e *float.Env, d, n *Vec, s Shape, f unary32, g unary64) {
	var r Vec
	size := s.size()
	for i := range s.count() {
		if size == 3 {
			r[i&1] = g(e, n[i&1])
		} else {
			r.SetLane(2, i, uint64(f(e, uint32(n.Lane(2, i)))))
		}
	}
	*d = r
}

// Arithmetic.
func Fadd(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Add32, (*float.Env).Add64)
}
func Fsub(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Sub32, (*float.Env).Sub64)
}
func Fmul(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Mul32, (*float.Env).Mul64)
}
func Fmulx(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).MulX32, (*float.Env).MulX64)
}
func Fdiv(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Div32, (*float.Env).Div64)
}
func Fmax(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Max32, (*float.Env).Max64)
}
func Fmin(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).Min32, (*float.Env).Min64)
}
func Fmaxnm(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).MaxNum32, (*float.Env).MaxNum64)
}
func Fminnm(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).MinNum32, (*float.Env).MinNum64)
}
func Frecps(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).RecipStep32, (*float.Env).RecipStep64)
}
func Frsqrts(e *float.Env, d, n, m *Vec, s Shape) {
	each2(e, d, n, m, s, (*float.Env).RSqrtStep32, (*float.Env).RSqrtStep64)
}

// Fabd clears the sign of the difference, also of a NaN.
func Fabd(e *float.Env, d, n, m *Vec, s Shape) {
	Fsub(e, d, n, m, s)
	Fabs(d, d, s)
}

// Fmla adds the product to d, rounding once; Fmls negates n first, even a NaN.
func Fmla(e *float.Env, d, n, m *Vec, s Shape) {
	r := *d
	size := s.size()
	for i := range s.count() {
		a, b, c := d.Lane(size, i), n.Lane(size, i), m.Lane(size, i)
		if size == 3 {
			r[i&1] = e.MulAdd64(a, b, c)
		} else {
			r.SetLane(2, i, uint64(e.MulAdd32(uint32(a), uint32(b), uint32(c))))
		}
	}
	d.put(s, r[0], r[1])
}

func Fmls(e *float.Env, d, n, m *Vec, s Shape) {
	var t Vec
	Fneg(&t, n, s)
	Fmla(e, d, &t, m, s)
}

// Fabs and Fneg touch the sign alone and raise nothing.
func Fabs(d, n *Vec, s Shape) { l := s.lanes(); d.put(s, n[0]&^l.msb, n[1]&^l.msb) }
func Fneg(d, n *Vec, s Shape) { l := s.lanes(); d.put(s, n[0]^l.msb, n[1]^l.msb) }

// compare gives all ones where f or g holds.
func compare(e *float.Env, d, n, m *Vec, s Shape, f func(e *float.Env, a, b uint32) bool, g func(e *float.Env, a, b uint64) bool) {
	var r Vec
	size := s.size()
	for i := range s.count() {
		a, b := n.Lane(size, i), m.Lane(size, i)
		if size == 3 && g(e, a, b) || size != 3 && f(e, uint32(a), uint32(b)) {
			r.SetLane(size, i, ^uint64(0))
		}
	}
	*d = r
}

// Comparisons; with a NaN they are false. Fcmeq alone takes a quiet one as
// valid.
func Fcmeq(e *float.Env, d, n, m *Vec, s Shape) {
	compare(e, d, n, m, s, (*float.Env).Eq32, (*float.Env).Eq64)
}
func Fcmge(e *float.Env, d, n, m *Vec, s Shape) {
	compare(e, d, n, m, s, (*float.Env).Ge32, (*float.Env).Ge64)
}
func Fcmgt(e *float.Env, d, n, m *Vec, s Shape) {
	compare(e, d, n, m, s, (*float.Env).Gt32, (*float.Env).Gt64)
}

// Facge and Facgt compare magnitudes.
func Facge(e *float.Env, d, n, m *Vec, s Shape) {
	var a, b Vec
	Fabs(&a, n, s)
	Fabs(&b, m, s)
	Fcmge(e, d, &a, &b, s)
}

func Facgt(e *float.Env, d, n, m *Vec, s Shape) {
	var a, b Vec
	Fabs(&a, n, s)
	Fabs(&b, m, s)
	Fcmgt(e, d, &a, &b, s)
}

// Comparisons with zero.
func FcmeqZero(e *float.Env, d, n *Vec, s Shape) { Fcmeq(e, d, n, &Vec{}, s) }
func FcmgeZero(e *float.Env, d, n *Vec, s Shape) { Fcmge(e, d, n, &Vec{}, s) }
func FcmgtZero(e *float.Env, d, n *Vec, s Shape) { Fcmgt(e, d, n, &Vec{}, s) }
func FcmleZero(e *float.Env, d, n *Vec, s Shape) { Fcmge(e, d, &Vec{}, n, s) }
func FcmltZero(e *float.Env, d, n *Vec, s Shape) { Fcmgt(e, d, &Vec{}, n, s) }

// One source.
func Fsqrt(e *float.Env, d, n *Vec, s Shape) {
	each1(e, d, n, s, (*float.Env).Sqrt32, (*float.Env).Sqrt64)
}
func Frecpe(e *float.Env, d, n *Vec, s Shape) {
	each1(e, d, n, s, (*float.Env).RecipEstimate32, (*float.Env).RecipEstimate64)
}
func Frsqrte(e *float.Env, d, n *Vec, s Shape) {
	each1(e, d, n, s, (*float.Env).RSqrtEstimate32, (*float.Env).RSqrtEstimate64)
}
func Frecpx(e *float.Env, d, n *Vec, s Shape) {
	each1(e, d, n, s, (*float.Env).RecipX32, (*float.Env).RecipX64)
}

// Frint rounds to whole numbers in the mode m; exact as for float.RoundInt32.
func Frint(e *float.Env, d, n *Vec, s Shape, m float.Rounding, exact bool) {
	each1(e, d, n, s,
		func(e *float.Env, a uint32) uint32 { return e.RoundInt32(a, m, exact) },
		func(e *float.Env, a uint64) uint64 { return e.RoundInt64(a, m, exact) })
}

// Fcvts and Fcvtu convert to signed and unsigned integers (or fixed-point
// numbers with fbits after the point) of the element size.
func Fcvts(e *float.Env, d, n *Vec, s Shape, fbits uint, m float.Rounding) {
	toInt(e, d, n, s, float.S32, float.S64, fbits, m)
}

func Fcvtu(e *float.Env, d, n *Vec, s Shape, fbits uint, m float.Rounding) {
	toInt(e, d, n, s, float.U32, float.U64, fbits, m)
}

func toInt(e *float.Env, d, n *Vec, s Shape, word, double float.Int, fbits uint, m float.Rounding) {
	each1(e, d, n, s,
		func(e *float.Env, a uint32) uint32 { return uint32(e.ToInt32(a, word, fbits, m)) },
		func(e *float.Env, a uint64) uint64 { return e.ToInt64(a, double, fbits, m) })
}

// Scvtf and Ucvtf convert back.
func Scvtf(e *float.Env, d, n *Vec, s Shape, fbits uint) {
	each1(e, d, n, s,
		func(e *float.Env, a uint32) uint32 { return e.FromInt32(int64(int32(a)), fbits) },
		func(e *float.Env, a uint64) uint64 { return e.FromInt64(int64(a), fbits) })
}

func Ucvtf(e *float.Env, d, n *Vec, s Shape, fbits uint) {
	each1(e, d, n, s,
		func(e *float.Env, a uint32) uint32 { return e.FromUint32(uint64(a), fbits) },
		func(e *float.Env, a uint64) uint64 { return e.FromUint64(a, fbits) })
}

// Fcvtl converts the narrow elements, halfwords or words, to the next longer
// format.
func Fcvtl(e *float.Env, d, n *Vec, s Shape) {
	lo, hi := extend(n, s, false)
	if s&3 == S {
		*d = Vec{e.From32To64(uint32(lo)), e.From32To64(uint32(hi))}
		return
	}
	src := Vec{lo, hi}
	for i := range uint(4) {
		d.SetLane(2, i, uint64(e.From16To32(uint16(src.Lane(2, i)))))
	}
}

// Fcvtn converts to the next shorter format, to narrow elements of halfwords
// or words.
func Fcvtn(e *float.Env, d, n *Vec, s Shape) {
	if s&3 == S {
		narrow(d, uint64(e.From64To32(n[0])), uint64(e.From64To32(n[1])), s)
		return
	}
	var t Vec
	for i := range uint(4) {
		t.SetLane(2, i, uint64(e.From32To16(uint32(n.Lane(2, i)))))
	}
	narrow(d, t[0], t[1], s)
}

// Fcvtxn converts doublewords to words, rounding to odd.
func Fcvtxn(e *float.Env, d, n *Vec, s Shape) {
	lo, hi := uint64(e.From64To32Odd(n[0])), uint64(0)
	if s&(Half|Full) != 0 {
		hi = uint64(e.From64To32Odd(n[1]))
	}
	narrow(d, lo, hi, s)
}

// neighbours are the operands of a pairwise operation, as in pairs.
func neighbours(n, m *Vec, s Shape) (a, b Vec) {
	Uzp1(&a, n, m, s)
	Uzp2(&b, n, m, s)
	return a, b
}

func Faddp(e *float.Env, d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Fadd(e, d, &a, &b, s) }
func Fmaxp(e *float.Env, d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Fmax(e, d, &a, &b, s) }
func Fminp(e *float.Env, d, n, m *Vec, s Shape) { a, b := neighbours(n, m, s); Fmin(e, d, &a, &b, s) }
func Fmaxnmp(e *float.Env, d, n, m *Vec, s Shape) {
	a, b := neighbours(n, m, s)
	Fmaxnm(e, d, &a, &b, s)
}
func Fminnmp(e *float.Env, d, n, m *Vec, s Shape) {
	a, b := neighbours(n, m, s)
	Fminnm(e, d, &a, &b, s)
}

// Fmaxv and its likes reduce four words: neighbours, then the two results
// (Arm ARM, Reduce).
func Fmaxv(e *float.Env, d, n *Vec) {
	var t Vec
	Fmaxp(e, &t, n, n, Full|S)
	Fmaxp(e, d, &t, &t, Scalar|S)
}
func Fminv(e *float.Env, d, n *Vec) {
	var t Vec
	Fminp(e, &t, n, n, Full|S)
	Fminp(e, d, &t, &t, Scalar|S)
}
func Fmaxnmv(e *float.Env, d, n *Vec) {
	var t Vec
	Fmaxnmp(e, &t, n, n, Full|S)
	Fmaxnmp(e, d, &t, &t, Scalar|S)
}
func Fminnmv(e *float.Env, d, n *Vec) {
	var t Vec
	Fminnmp(e, &t, n, n, Full|S)
	Fminnmp(e, d, &t, &t, Scalar|S)
}
