package float

import (
	"math"
	"math/bits"
)

// The operations below are what FADD and the rest do on binary32 and
// binary64. The hot ones first try the host's arithmetic, whose results IEEE
// 754 fixes for one operation on finite numbers rounded to nearest, and go
// the long way, over integers, unless they can prove that the flags are fixed
// as well:
//
//   - FPCR asks for round to nearest and does not flush (plain), so that
//     subnormal inputs raise nothing;
//   - the result is finite, and neither subnormal nor the least normal number
//     except where that is always exact, so that there was no NaN, infinity,
//     overflow or underflow; and
//   - the result is exact, or IXC, which is cumulative, is already set.
//
// The explicit conversions to float64 and float32 forbid the compiler to fuse
// operations, here and where these functions are inlined (Go specification,
// "Floating-point operators").

// plain reports whether FPCR asks for round to nearest without flushing.
func (e *Env) plain() bool { return e.FPCR&(FZ|rmode) == 0 }

// inexact reports whether one more inexact result changes nothing.
func (e *Env) inexact() bool { return e.FPSR&IXC != 0 }

const (
	exp32 = 0xff << 23
	exp64 = 0x7ff << 52
)

// normal32 reports a finite magnitude of at least twice the least normal
// number: nothing that rounds to it is tiny.
func normal32(r uint32) bool { return r<<1-4<<23 < exp32<<1-4<<23 }
func normal64(r uint64) bool { return r<<1-4<<52 < exp64<<1-4<<52 }

// Add32 is a + b.
func (e *Env) Add32(a, b uint32) uint32 {
	x, y := math.Float32frombits(a), math.Float32frombits(b)
	s := float32(x + y)
	r := math.Float32bits(s)
	// Sums that are subnormal or zero are exact.
	if e.plain() && r&exp32 != exp32 && (e.inexact() || exactSum32(x, y, s)) {
		return r
	}
	return uint32(e.add(&single, uint64(a), uint64(b), false))
}

// exactSum32 reports that s, which is x+y rounded, needed no rounding. It is
// Knuth's TwoSum; an overflow on its way makes it say no.
func exactSum32(x, y, s float32) bool {
	v := float32(s - x)
	return float32(float32(x-float32(s-v))+float32(y-v)) == 0
}

func exactSum64(x, y, s float64) bool {
	v := float64(s - x)
	return float64(float64(x-float64(s-v))+float64(y-v)) == 0
}

// Add64 is a + b.
func (e *Env) Add64(a, b uint64) uint64 {
	x, y := math.Float64frombits(a), math.Float64frombits(b)
	s := float64(x + y)
	r := math.Float64bits(s)
	if e.plain() && r&exp64 != exp64 && (e.inexact() || exactSum64(x, y, s)) {
		return r
	}
	return e.add(&double, a, b, false)
}

// Sub32 is a - b.
func (e *Env) Sub32(a, b uint32) uint32 {
	x, y := math.Float32frombits(a), math.Float32frombits(b)
	s := float32(x - y)
	r := math.Float32bits(s)
	if e.plain() && r&exp32 != exp32 && (e.inexact() || exactSum32(x, -y, s)) {
		return r
	}
	return uint32(e.add(&single, uint64(a), uint64(b), true))
}

// Sub64 is a - b.
func (e *Env) Sub64(a, b uint64) uint64 {
	x, y := math.Float64frombits(a), math.Float64frombits(b)
	s := float64(x - y)
	r := math.Float64bits(s)
	if e.plain() && r&exp64 != exp64 && (e.inexact() || exactSum64(x, -y, s)) {
		return r
	}
	return e.add(&double, a, b, true)
}

// Mul32 is a * b.
func (e *Env) Mul32(a, b uint32) uint32 {
	// The product of two 24 bit significands is exact in binary64.
	p := float64(float64(math.Float32frombits(a)) * float64(math.Float32frombits(b)))
	s := float32(p)
	r := math.Float32bits(s)
	if e.plain() && normal32(r) && (e.inexact() || float64(s) == p) {
		return r
	}
	return uint32(e.mul(&single, uint64(a), uint64(b), false))
}

// Mul64 is a * b.
func (e *Env) Mul64(a, b uint64) uint64 {
	p := float64(math.Float64frombits(a) * math.Float64frombits(b))
	r := math.Float64bits(p)
	if e.plain() && normal64(r) && (e.inexact() || exactProduct64(a, b)) {
		return r
	}
	return e.mul(&double, a, b, false)
}

// exactProduct64 reports, of normal numbers, that their significands have at
// most 53 significant bits together. Not every exact product is that short.
func exactProduct64(a, b uint64) bool {
	return bits.TrailingZeros64(a|1<<52)+bits.TrailingZeros64(b|1<<52) >= 53
}

// Div32 is a / b.
func (e *Env) Div32(a, b uint32) uint32 {
	if e.plain() && e.inexact() {
		r := math.Float32bits(math.Float32frombits(a) / math.Float32frombits(b))
		if normal32(r) {
			return r
		}
	}
	return uint32(e.div(&single, uint64(a), uint64(b)))
}

// Div64 is a / b.
func (e *Env) Div64(a, b uint64) uint64 {
	if e.plain() && e.inexact() {
		r := math.Float64bits(math.Float64frombits(a) / math.Float64frombits(b))
		if normal64(r) {
			return r
		}
	}
	return e.div(&double, a, b)
}

// Sqrt32 is the square root of a.
func (e *Env) Sqrt32(a uint32) uint32 {
	if e.plain() && e.inexact() && normal32(a) && a < Sign32 {
		// The root of a binary32 rounded to binary64 and then to binary32
		// is the root rounded once: 53 >= 2*24+2 (Figueroa).
		return math.Float32bits(float32(math.Sqrt(float64(math.Float32frombits(a)))))
	}
	return uint32(e.sqrt(&single, uint64(a)))
}

// Sqrt64 is the square root of a.
func (e *Env) Sqrt64(a uint64) uint64 {
	if e.plain() && e.inexact() && normal64(a) && a < Sign64 {
		return math.Float64bits(math.Sqrt(math.Float64frombits(a)))
	}
	return e.sqrt(&double, a)
}

// MulAdd32 is a + b*c, rounded once. The instructions that subtract negate
// operands before, NaNs included.
func (e *Env) MulAdd32(a, b, c uint32) uint32 {
	if e.plain() && e.inexact() {
		p := float64(float64(math.Float32frombits(b)) * float64(math.Float32frombits(c)))
		s := float64(p + float64(math.Float32frombits(a)))
		r := math.Float32bits(float32(s))
		// p is exact. Rounding s once more changes the result only if s is
		// halfway between two binary32 numbers.
		if normal32(r) && math.Float64bits(s)<<35 != 1<<63 {
			return r
		}
	}
	return uint32(e.mulAdd(&single, uint64(a), uint64(b), uint64(c), 0))
}

// MulAdd64 is a + b*c, rounded once.
func (e *Env) MulAdd64(a, b, c uint64) uint64 {
	if e.plain() && e.inexact() {
		r := math.Float64bits(math.FMA(math.Float64frombits(b), math.Float64frombits(c), math.Float64frombits(a)))
		if normal64(r) {
			return r
		}
	}
	return e.mulAdd(&double, a, b, c, 0)
}

// From32To64 converts to binary64.
func (e *Env) From32To64(v uint32) uint64 {
	if v<<1-2<<23 < exp32<<1-2<<23 { // normal, hence exact
		return math.Float64bits(float64(math.Float32frombits(v)))
	}
	return e.convert(&double, &single, uint64(v), TieEven)
}

// From64To32 converts to binary32.
func (e *Env) From64To32(v uint64) uint32 {
	x := math.Float64frombits(v)
	s := float32(x)
	r := math.Float32bits(s)
	if e.plain() && normal32(r) && (e.inexact() || float64(s) == x) {
		return r
	}
	return uint32(e.convert(&single, &double, v, e.Mode()))
}

// Compare32 compares; the result is Less, Equal, Greater or Unordered. A
// quiet NaN raises IOC only if signal is set (FCMPE, not FCMP).
func (e *Env) Compare32(a, b uint32, signal bool) uint32 {
	if e.FPCR&FZ == 0 && a<<1 <= exp32<<1 && b<<1 <= exp32<<1 { // no NaN
		x, y := math.Float32frombits(a), math.Float32frombits(b)
		return order(x < y, x == y)
	}
	return e.compare(&single, uint64(a), uint64(b), signal)
}

// Compare64 is Compare32 for binary64.
func (e *Env) Compare64(a, b uint64, signal bool) uint32 {
	if e.FPCR&FZ == 0 && a<<1 <= exp64<<1 && b<<1 <= exp64<<1 { // no NaN
		x, y := math.Float64frombits(a), math.Float64frombits(b)
		return order(x < y, x == y)
	}
	return e.compare(&double, a, b, signal)
}

func order(less, equal bool) uint32 {
	switch {
	case less:
		return Less
	case equal:
		return Equal
	}
	return Greater
}

// FromInt64 converts v / 2^fbits to binary64. fbits is at most 64.
func (e *Env) FromInt64(v int64, fbits uint) uint64 {
	if fbits == 0 && uint64(v)+1<<53 <= 1<<54 { // exact
		return math.Float64bits(float64(v))
	}
	if v < 0 {
		return e.fromInt(&double, true, -uint64(v), fbits)
	}
	return e.fromInt(&double, false, uint64(v), fbits)
}
