package simd

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// limit is what a reference does with a result that does not fit its element.
type limit int

const (
	wraps limit = iota
	signedLimit
	unsignedLimit
)

// reference is an instruction on one element in unbounded integers: a, b and d
// are the elements of n, m and the old destination.
type reference struct {
	name    string
	run     func(d, n, m *Vec, s Shape) uint32
	a, b, d bool // which of them are signed
	limit   limit
	want    func(a, b, d *big.Int, bits uint) *big.Int
}

// plain makes an operation that cannot saturate one that says so.
func plain(f func(d, n, m *Vec, s Shape)) func(d, n, m *Vec, s Shape) uint32 {
	return func(d, n, m *Vec, s Shape) uint32 { f(d, n, m, s); return 0 }
}

func unary(f func(d, n *Vec, s Shape)) func(d, n, m *Vec, s Shape) uint32 {
	return func(d, n, _ *Vec, s Shape) uint32 { f(d, n, s); return 0 }
}

func unarySat(f func(d, n *Vec, s Shape) uint32) func(d, n, m *Vec, s Shape) uint32 {
	return func(d, n, _ *Vec, s Shape) uint32 { return f(d, n, s) }
}

var (
	num  = func() *big.Int { return new(big.Int) }
	one  = big.NewInt(1)
	ints = []reference{
		{"add", plain(Add), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Add(a, b) }},
		{"sub", plain(Sub), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Sub(a, b) }},
		{"mul", plain(Mul), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Mul(a, b) }},
		{"mla", plain(Mla), true, true, false, wraps, func(a, b, d *big.Int, _ uint) *big.Int { return num().Add(d, num().Mul(a, b)) }},
		{"mls", plain(Mls), true, true, false, wraps, func(a, b, d *big.Int, _ uint) *big.Int { return num().Sub(d, num().Mul(a, b)) }},
		{"signed halving add", plain(Shadd), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Add(a, b)) }},
		{"unsigned halving add", plain(Uhadd), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Add(a, b)) }},
		{"signed halving subtract", plain(Shsub), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Sub(a, b)) }},
		{"unsigned halving subtract", plain(Uhsub), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Sub(a, b)) }},
		{"signed rounding halving add", plain(Srhadd), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Add(num().Add(a, b), one)) }},
		{"unsigned rounding halving add", plain(Urhadd), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return half(num().Add(num().Add(a, b), one)) }},
		{"signed absolute difference", plain(Sabd), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return apart(a, b) }},
		{"unsigned absolute difference", plain(Uabd), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return apart(a, b) }},
		{"signed accumulated difference", plain(Saba), true, true, false, wraps, func(a, b, d *big.Int, _ uint) *big.Int { return num().Add(d, apart(a, b)) }},
		{"unsigned accumulated difference", plain(Uaba), false, false, false, wraps, func(a, b, d *big.Int, _ uint) *big.Int { return num().Add(d, apart(a, b)) }},
		{"equal", plain(Cmeq), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(a.Cmp(b) == 0) }},
		{"signed greater", plain(Cmgt), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(a.Cmp(b) > 0) }},
		{"signed greater or equal", plain(Cmge), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(a.Cmp(b) >= 0) }},
		{"higher", plain(Cmhi), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(a.Cmp(b) > 0) }},
		{"higher or same", plain(Cmhs), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(a.Cmp(b) >= 0) }},
		{"bits in common", plain(Cmtst), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return truth(num().And(a, b).Sign() != 0) }},
		{"greater than zero", unary(CmgtZero), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return truth(a.Sign() > 0) }},
		{"at least zero", unary(CmgeZero), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return truth(a.Sign() >= 0) }},
		{"equal to zero", unary(CmeqZero), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return truth(a.Sign() == 0) }},
		{"at most zero", unary(CmleZero), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return truth(a.Sign() <= 0) }},
		{"less than zero", unary(CmltZero), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return truth(a.Sign() < 0) }},
		{"signed maximum", plain(Smax), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return larger(a, b) }},
		{"unsigned maximum", plain(Umax), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return larger(a, b) }},
		{"signed minimum", plain(Smin), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Sub(num().Add(a, b), larger(a, b)) }},
		{"unsigned minimum", plain(Umin), false, false, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Sub(num().Add(a, b), larger(a, b)) }},
		{"absolute value", unary(Abs), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return num().Abs(a) }},
		{"negation", unary(Neg), true, true, false, wraps, func(a, _, _ *big.Int, _ uint) *big.Int { return num().Neg(a) }},
		{"leading zeros", unary(Clz), false, false, false, wraps, func(a, _, _ *big.Int, bits uint) *big.Int { return big.NewInt(int64(bits) - int64(a.BitLen())) }},
		{"leading signs", unary(Cls), true, true, false, wraps, func(a, _, _ *big.Int, bits uint) *big.Int {
			return big.NewInt(int64(bits) - 1 - int64(signless(a).BitLen()))
		}},
		{"signed saturating add", Sqadd, true, true, false, signedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Add(a, b) }},
		{"signed saturating subtract", Sqsub, true, true, false, signedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Sub(a, b) }},
		{"unsigned saturating add", Uqadd, false, false, false, unsignedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Add(a, b) }},
		{"unsigned saturating subtract", Uqsub, false, false, false, unsignedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return num().Sub(a, b) }},
		{"saturating negation", unarySat(Sqneg), true, true, false, signedLimit, func(a, _, _ *big.Int, _ uint) *big.Int { return num().Neg(a) }},
		{"saturating absolute value", unarySat(Sqabs), true, true, false, signedLimit, func(a, _, _ *big.Int, _ uint) *big.Int { return num().Abs(a) }},
		{"unsigned to signed accumulate", unarySat(Suqadd), false, false, true, signedLimit, func(a, _, d *big.Int, _ uint) *big.Int { return num().Add(a, d) }},
		{"signed to unsigned accumulate", unarySat(Usqadd), true, true, false, unsignedLimit, func(a, _, d *big.Int, _ uint) *big.Int { return num().Add(a, d) }},
		{"signed shift", plain(Sshl), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, false) }},
		{"unsigned shift", plain(Ushl), false, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, false) }},
		{"signed rounding shift", plain(Srshl), true, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, true) }},
		{"unsigned rounding shift", plain(Urshl), false, true, false, wraps, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, true) }},
		{"signed saturating shift", Sqshl, true, true, false, signedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, false) }},
		{"unsigned saturating shift", Uqshl, false, true, false, unsignedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, false) }},
		{"signed saturating rounding shift", Sqrshl, true, true, false, signedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, true) }},
		{"unsigned saturating rounding shift", Uqrshl, false, true, false, unsignedLimit, func(a, b, _ *big.Int, _ uint) *big.Int { return shiftedBy(a, b, true) }},
	}
)

func half(x *big.Int) *big.Int { return num().Rsh(x, 1) }

func apart(a, b *big.Int) *big.Int { return num().Abs(num().Sub(a, b)) }

func truth(b bool) *big.Int {
	if b {
		return big.NewInt(-1)
	}
	return num()
}

func larger(a, b *big.Int) *big.Int {
	if a.Cmp(b) >= 0 {
		return a
	}
	return b
}

// signless is x without the copies of its sign: x, or -1-x.
func signless(x *big.Int) *big.Int {
	if x.Sign() < 0 {
		return num().Not(x)
	}
	return x
}

// shiftedBy shifts by the low byte of b, signed.
func shiftedBy(a, b *big.Int, round bool) *big.Int {
	n := int(int8(num().And(b, big.NewInt(255)).Uint64()))
	if n >= 0 {
		return num().Lsh(a, uint(n))
	}
	if round {
		a = num().Add(a, num().Lsh(one, uint(-n-1)))
	}
	return num().Rsh(a, uint(-n))
}

// element reads an element into an unbounded integer.
func element(v *Vec, s Shape, i uint, signed bool) *big.Int {
	if signed {
		return big.NewInt(v.signed(s.size(), i))
	}
	return num().SetUint64(v.Lane(s.size(), i))
}

// fit limits x to an element, and says whether it had to.
func fit(x *big.Int, bits uint, how limit) (uint64, bool) {
	lo, hi := num(), num().Sub(num().Lsh(one, bits), one)
	if how == signedLimit {
		lo, hi = num().Neg(num().Lsh(one, bits-1)), num().Sub(num().Lsh(one, bits-1), one)
	}
	over := how != wraps && (x.Cmp(lo) < 0 || x.Cmp(hi) > 0)
	if over && x.Cmp(lo) < 0 {
		x = lo
	} else if over {
		x = hi
	}
	return num().And(x, num().Sub(num().Lsh(one, bits), one)).Uint64(), over
}

var allShapes = []Shape{
	Scalar | B, Scalar | H, Scalar | S, Scalar | D,
	Half | B, Half | H, Half | S, Full | B, Full | H, Full | S, Full | D,
}

// operand is a register whose bytes are often those that lie at a limit.
func operand(r *rand.Rand) (v Vec) {
	edges := []uint64{0, 1, 0x7f, 0x80, 0xff, 0xfe}
	for i := range uint(16) {
		x := r.Uint64()
		if r.IntN(3) > 0 {
			x = edges[r.IntN(len(edges))]
		}
		v.SetLane(0, i, x)
	}
	return v
}

func TestElementsMatchUnboundedIntegers(t *testing.T) {
	for _, ref := range ints {
		t.Run(ref.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			for _, s := range allShapes {
				for range 300 {
					check(t, ref, s, operand(r), operand(r), operand(r))
				}
			}
		})
	}
}

func check(t *testing.T, ref reference, s Shape, d, n, m Vec) {
	t.Helper()
	var want Vec
	var wantQC uint32
	for i := range s.count() {
		x := ref.want(element(&n, s, i, ref.a), element(&m, s, i, ref.b), element(&d, s, i, ref.d), 8<<s.size())
		e, over := fit(x, 8<<s.size(), ref.limit)
		want.SetLane(s.size(), i, e)
		if over {
			wantQC = QC
		}
	}
	got := d
	gotQC := ref.run(&got, &n, &m, s)
	if got != want || gotQC != wantQC {
		t.Fatalf("shape %#x d %x n %x m %x: %x, FPSR %#x, want %x, FPSR %#x", s, d, n, m, got, gotQC, want, wantQC)
	}
	alone, both := n, n
	ref.run(&alone, &n, &m, s)
	if ref.run(&both, &both, &m, s); both != alone {
		t.Fatalf("shape %#x n %x m %x: %x when d is n, want %x", s, n, m, both, alone)
	}
}
