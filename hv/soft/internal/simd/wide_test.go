package simd

import (
	"math/big"
	"math/rand/v2"
	"testing"
)

// A lengthening instruction in unbounded integers: wideN says that n already
// has wide elements.
type lengthening struct {
	name   string
	run    func(d, n, m *Vec, s Shape) uint32
	signed bool
	wideN  bool
	limit  limit
	want   func(a, b, d *big.Int) *big.Int
}

func plus(a, b, _ *big.Int) *big.Int    { return num().Add(a, b) }
func minus(a, b, _ *big.Int) *big.Int   { return num().Sub(a, b) }
func product(a, b, _ *big.Int) *big.Int { return num().Mul(a, b) }
func far(a, b, _ *big.Int) *big.Int     { return apart(a, b) }
func added(f func(a, b, d *big.Int) *big.Int) func(a, b, d *big.Int) *big.Int {
	return func(a, b, d *big.Int) *big.Int { return num().Add(d, f(a, b, nil)) }
}
func taken(f func(a, b, d *big.Int) *big.Int) func(a, b, d *big.Int) *big.Int {
	return func(a, b, d *big.Int) *big.Int { return num().Sub(d, f(a, b, nil)) }
}
func doubled(a, b, _ *big.Int) *big.Int { return num().Lsh(num().Mul(a, b), 1) }

var lengthenings = []lengthening{
	{"signed add long", plain(Saddl), true, false, wraps, plus},
	{"unsigned add long", plain(Uaddl), false, false, wraps, plus},
	{"signed subtract long", plain(Ssubl), true, false, wraps, minus},
	{"unsigned subtract long", plain(Usubl), false, false, wraps, minus},
	{"signed add wide", plain(Saddw), true, true, wraps, plus},
	{"unsigned add wide", plain(Uaddw), false, true, wraps, plus},
	{"signed subtract wide", plain(Ssubw), true, true, wraps, minus},
	{"unsigned subtract wide", plain(Usubw), false, true, wraps, minus},
	{"signed multiply long", plain(Smull), true, false, wraps, product},
	{"unsigned multiply long", plain(Umull), false, false, wraps, product},
	{"signed multiply-add long", plain(Smlal), true, false, wraps, added(product)},
	{"unsigned multiply-add long", plain(Umlal), false, false, wraps, added(product)},
	{"signed multiply-subtract long", plain(Smlsl), true, false, wraps, taken(product)},
	{"unsigned multiply-subtract long", plain(Umlsl), false, false, wraps, taken(product)},
	{"signed difference long", plain(Sabdl), true, false, wraps, far},
	{"unsigned difference long", plain(Uabdl), false, false, wraps, far},
	{"signed accumulated difference long", plain(Sabal), true, false, wraps, added(far)},
	{"unsigned accumulated difference long", plain(Uabal), false, false, wraps, added(far)},
}

func TestLengtheningMatchesUnboundedIntegers(t *testing.T) {
	for _, ref := range lengthenings {
		t.Run(ref.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, 12))
			for _, s := range []Shape{Half | B, Half | H, Half | S, Full | B, Full | H, Full | S} {
				for range 300 {
					lengthen(t, ref, s, operand(r), operand(r), operand(r))
				}
			}
		})
	}
}

func lengthen(t *testing.T, ref lengthening, s Shape, d, n, m Vec) {
	t.Helper()
	var want Vec
	from, wide := uint(0), s&3+1|Full
	if s.full() {
		from = wide.count()
	}
	for i := range wide.count() {
		a := element(&n, s, from+i, ref.signed)
		if ref.wideN {
			a = element(&n, wide, i, ref.signed)
		}
		x, _ := fit(ref.want(a, element(&m, s, from+i, ref.signed), element(&d, wide, i, true)), 16<<s.size(), ref.limit)
		want.SetLane(wide.size(), i, x)
	}
	got := d
	if ref.run(&got, &n, &m, s); got != want {
		t.Fatalf("shape %#x d %x n %x m %x: %x, want %x", s, d, n, m, got, want)
	}
}

func TestDoublingProductsSaturateInEachStep(t *testing.T) {
	const least, most = 0x80000000, 0x7fffffff
	tests := []struct {
		name    string
		run     func(d, n, m *Vec, s Shape) uint32
		d, n, m uint64
		want    uint64
		sat     uint32
	}{
		{"the square of the least number", Sqdmull, 0, 0x8000, 0x8000, most, QC},
		{"an ordinary product", Sqdmull, 0, 0x4000, 0x0003, 0x18000, 0},
		{"a sum after a saturated product", Sqdmlal, 0xffffffff, 0x8000, 0x8000, most - 1, QC},
		{"a sum that saturates", Sqdmlal, most, 1, 1, most, QC},
		{"a difference that saturates", Sqdmlsl, least, 1, 1, least, QC},
		{"a difference that does not", Sqdmlsl, 7, 1, 1, 5, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := Vec{tt.d, 5}
			sat := tt.run(&d, &Vec{tt.n | 0x8000<<16}, &Vec{tt.m | 0x8000<<16}, Scalar|H)
			if d != (Vec{tt.want}) || sat != tt.sat {
				t.Errorf("%x, FPSR %#x, want %x, FPSR %#x", d, sat, tt.want, tt.sat)
			}
		})
	}
}

// narrowing is an instruction that takes wide elements of n, and of m if it
// has one, to narrow ones.
type narrowing struct {
	name   string
	run    func(d, n, m *Vec, s Shape) uint32
	signed bool
	limit  limit
	want   func(a, b *big.Int, bits uint) *big.Int
}

func upper(f func(a, b, d *big.Int) *big.Int, round bool) func(a, b *big.Int, bits uint) *big.Int {
	return func(a, b *big.Int, bits uint) *big.Int {
		x := f(a, b, nil)
		if round {
			x = num().Add(x, num().Lsh(one, bits-1))
		}
		return num().Rsh(x, bits)
	}
}

func same(a, _ *big.Int, _ uint) *big.Int { return a }

// by3 makes a shift to the right by 3 an instruction like the others.
func by3(f func(d, n *Vec, s Shape, sh uint) uint32) func(d, n, m *Vec, s Shape) uint32 {
	return func(d, n, _ *Vec, s Shape) uint32 { return f(d, n, s, 3) }
}

func plainShift(f func(d, n *Vec, s Shape, sh uint)) func(d, n *Vec, s Shape, sh uint) uint32 {
	return func(d, n *Vec, s Shape, sh uint) uint32 { f(d, n, s, sh); return 0 }
}

func down3(a, _ *big.Int, _ uint) *big.Int  { return num().Rsh(a, 3) }
func round3(a, _ *big.Int, _ uint) *big.Int { return num().Rsh(num().Add(a, big.NewInt(4)), 3) }

var narrowings = []narrowing{
	{"truncate", unary(Xtn), true, wraps, same},
	{"signed saturate", unarySat(Sqxtn), true, signedLimit, same},
	{"unsigned saturate", unarySat(Uqxtn), false, unsignedLimit, same},
	{"signed to unsigned saturate", unarySat(Sqxtun), true, unsignedLimit, same},
	{"upper half of a sum", plain(Addhn), false, wraps, upper(plus, false)},
	{"upper half of a difference", plain(Subhn), false, wraps, upper(minus, false)},
	{"rounded upper half of a sum", plain(Raddhn), false, wraps, upper(plus, true)},
	{"rounded upper half of a difference", plain(Rsubhn), false, wraps, upper(minus, true)},
	{"shift", by3(plainShift(Shrn)), true, wraps, down3},
	{"rounding shift", by3(plainShift(Rshrn)), true, wraps, round3},
	{"signed saturating shift", by3(Sqshrn), true, signedLimit, down3},
	{"signed saturating rounding shift", by3(Sqrshrn), true, signedLimit, round3},
	{"unsigned saturating shift", by3(Uqshrn), false, unsignedLimit, down3},
	{"unsigned saturating rounding shift", by3(Uqrshrn), false, unsignedLimit, round3},
	{"signed to unsigned shift", by3(Sqshrun), true, unsignedLimit, down3},
	{"signed to unsigned rounding shift", by3(Sqrshrun), true, unsignedLimit, round3},
}

func TestNarrowingMatchesUnboundedIntegers(t *testing.T) {
	for _, ref := range narrowings {
		t.Run(ref.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(13, 14))
			for _, s := range []Shape{Half | B, Half | H, Half | S, Full | B, Full | H, Full | S} {
				for range 300 {
					shorten(t, ref, s, operand(r), operand(r), operand(r))
				}
			}
		})
	}
}

func shorten(t *testing.T, ref narrowing, s Shape, d, n, m Vec) {
	t.Helper()
	want, from, wide := Vec{}, uint(0), s&3+1|Full
	if s.full() {
		want, from = Vec{d[0]}, wide.count()
	}
	var wantQC uint32
	for i := range wide.count() {
		a, b := element(&n, wide, i, ref.signed), element(&m, wide, i, ref.signed)
		x, over := fit(ref.want(a, b, 8<<s.size()), 8<<s.size(), ref.limit)
		want.SetLane(s.size(), from+i, x)
		if over {
			wantQC = QC
		}
	}
	got := d
	if sat := ref.run(&got, &n, &m, s); got != want || sat != wantQC {
		t.Fatalf("shape %#x d %x n %x m %x: %x, FPSR %#x, want %x, FPSR %#x", s, d, n, m, got, sat, want, wantQC)
	}
}

// immediate is a shift by sh bits that keeps the element size.
type immediate struct {
	name   string
	run    func(d, n *Vec, s Shape, sh uint) uint32
	left   bool
	signed bool
	limit  limit
	want   func(a, d *big.Int, sh, bits uint) *big.Int
}

func down(a, _ *big.Int, sh, _ uint) *big.Int { return num().Rsh(a, sh) }
func rounded(a, _ *big.Int, sh, _ uint) *big.Int {
	return num().Rsh(num().Add(a, num().Lsh(one, sh-1)), sh)
}
func up(a, _ *big.Int, sh, _ uint) *big.Int { return num().Lsh(a, sh) }
func onto(f func(a, d *big.Int, sh, bits uint) *big.Int) func(a, d *big.Int, sh, bits uint) *big.Int {
	return func(a, d *big.Int, sh, bits uint) *big.Int { return num().Add(d, f(a, d, sh, bits)) }
}

var immediates = []immediate{
	{"left", plainShift(Shl), true, false, wraps, up},
	{"unsigned right", plainShift(Ushr), false, false, wraps, down},
	{"signed right", plainShift(Sshr), false, true, wraps, down},
	{"unsigned rounding", plainShift(Urshr), false, false, wraps, rounded},
	{"signed rounding", plainShift(Srshr), false, true, wraps, rounded},
	{"unsigned accumulating", plainShift(Usra), false, false, wraps, onto(down)},
	{"signed accumulating", plainShift(Ssra), false, true, wraps, onto(down)},
	{"unsigned rounding and accumulating", plainShift(Ursra), false, false, wraps, onto(rounded)},
	{"signed rounding and accumulating", plainShift(Srsra), false, true, wraps, onto(rounded)},
	{"signed saturating", SqshlImm, true, true, signedLimit, up},
	{"unsigned saturating", UqshlImm, true, false, unsignedLimit, up},
	{"signed to unsigned saturating", Sqshlu, true, true, unsignedLimit, up},
	{"left and insert", plainShift(Sli), true, false, wraps, func(a, d *big.Int, sh, _ uint) *big.Int {
		return num().Or(num().Lsh(a, sh), num().And(d, num().Sub(num().Lsh(one, sh), one)))
	}},
	{"right and insert", plainShift(Sri), false, false, wraps, func(a, d *big.Int, sh, bits uint) *big.Int {
		kept := num().Lsh(num().Rsh(d, bits-sh), bits-sh)
		return num().Or(num().Rsh(a, sh), kept)
	}},
}

func TestShiftsByImmediatesMatchUnboundedIntegers(t *testing.T) {
	for _, ref := range immediates {
		t.Run(ref.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(15, 16))
			for _, s := range allShapes {
				for sh := range uint(8) << s.size() {
					if !ref.left {
						sh++
					}
					shiftBy(t, ref, s, sh, operand(r), operand(r))
				}
			}
		})
	}
}

func shiftBy(t *testing.T, ref immediate, s Shape, sh uint, d, n Vec) {
	t.Helper()
	var want Vec
	var wantQC uint32
	for i := range s.count() {
		x, over := fit(ref.want(element(&n, s, i, ref.signed), element(&d, s, i, false), sh, 8<<s.size()), 8<<s.size(), ref.limit)
		want.SetLane(s.size(), i, x)
		if over {
			wantQC = QC
		}
	}
	got := d
	if sat := ref.run(&got, &n, s, sh); got != want || sat != wantQC {
		t.Fatalf("shape %#x by %d d %x n %x: %x, FPSR %#x, want %x, FPSR %#x", s, sh, d, n, got, sat, want, wantQC)
	}
}
