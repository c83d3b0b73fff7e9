package float

import "math/bits"

// add is FPAdd, or FPSub if sub is set.
func (e *Env) add(f *format, a, b uint64, sub bool) uint64 {
	x, y := e.unpack(f, a), e.unpack(f, b)
	if (x.kind|y.kind)&nan != 0 {
		return e.nan2(f, a, b, x.kind, y.kind)
	}
	y.neg = y.neg != sub
	switch {
	case x.kind&y.kind == finite && x.neg == y.neg:
		return e.addSame(f, x, y)
	case x.kind&y.kind == finite:
		return e.addOpposite(f, x, y)
	}
	return e.addSpecial(f, x, y)
}

// addSame adds finite numbers of the same sign.
func (e *Env) addSame(f *format, x, y num) uint64 {
	if x.exp < y.exp {
		x, y = y, x
	}
	sum, carry := bits.Add64(x.sig, shiftJam(y.sig, uint(x.exp-y.exp)), 0)
	if carry != 0 {
		sum = 1<<63 | sum>>1 | sum&1
		x.exp++
	}
	return e.round(f, e.Mode(), x.neg, x.exp, sum)
}

// addOpposite adds finite numbers of opposite signs.
func (e *Env) addOpposite(f *format, x, y num) uint64 {
	if x.exp < y.exp || x.exp == y.exp && x.sig < y.sig {
		x, y = y, x
	}
	diff := x.sig - shiftJam(y.sig, uint(x.exp-y.exp))
	if diff == 0 {
		return f.zero(e.Mode() == Down)
	}
	lz := bits.LeadingZeros64(diff)
	return e.round(f, e.Mode(), x.neg, x.exp-int32(lz), diff<<uint(lz))
}

// addSpecial adds when x or y is an infinity or a zero and neither is a NaN.
func (e *Env) addSpecial(f *format, x, y num) uint64 {
	switch {
	case x.kind&y.kind == inf && x.neg != y.neg:
		return e.invalid(f)
	case x.kind == inf:
		return f.infinity(x.neg)
	case y.kind == inf:
		return f.infinity(y.neg)
	case x.kind == finite:
		return e.round(f, e.Mode(), x.neg, x.exp, x.sig)
	case y.kind == finite:
		return e.round(f, e.Mode(), y.neg, y.exp, y.sig)
	case x.neg == y.neg:
		return f.zero(x.neg)
	}
	return f.zero(e.Mode() == Down)
}

// mul is FPMul, or FPMulX if extended is set: infinity times zero is then two.
func (e *Env) mul(f *format, a, b uint64, extended bool) uint64 {
	x, y := e.unpack(f, a), e.unpack(f, b)
	neg, kinds := x.neg != y.neg, x.kind|y.kind
	switch {
	case kinds == finite:
		hi, lo, exp := product(x, y)
		return e.round(f, e.Mode(), neg, exp, hi|bit(lo != 0))
	case kinds&nan != 0:
		return e.nan2(f, a, b, x.kind, y.kind)
	case kinds == inf|zero && extended:
		return f.sign(neg) | f.two()
	case kinds == inf|zero:
		return e.invalid(f)
	case kinds&inf != 0:
		return f.infinity(neg)
	}
	return f.zero(neg)
}

// product multiplies finite numbers exactly: the magnitude is
// hi:lo * 2^(exp-127), and bit 63 of hi is set.
func product(x, y num) (hi, lo uint64, exp int32) {
	hi, lo = bits.Mul64(x.sig, y.sig)
	exp = x.exp + y.exp + 1
	if hi>>63 == 0 {
		hi, lo = hi<<1|lo>>63, lo<<1
		exp--
	}
	return hi, lo, exp
}

// div is FPDiv.
func (e *Env) div(f *format, a, b uint64) uint64 {
	x, y := e.unpack(f, a), e.unpack(f, b)
	neg := x.neg != y.neg
	switch {
	case (x.kind|y.kind)&nan != 0:
		return e.nan2(f, a, b, x.kind, y.kind)
	case x.kind&y.kind == finite:
		sig, exp := quotient(x, y)
		return e.round(f, e.Mode(), neg, exp, sig)
	case x.kind == y.kind:
		return e.invalid(f)
	case y.kind == zero:
		if x.kind == finite {
			e.FPSR |= DZC
		}
		return f.infinity(neg)
	case x.kind == inf:
		return f.infinity(neg)
	}
	return f.zero(neg)
}

// quotient divides finite numbers; the result is as round wants it.
func quotient(x, y num) (sig uint64, exp int32) {
	var rem uint64
	if x.sig >= y.sig {
		sig, rem = bits.Div64(x.sig>>1, x.sig<<63, y.sig)
		return sig | bit(rem != 0), x.exp - y.exp
	}
	sig, rem = bits.Div64(x.sig, 0, y.sig)
	return sig | bit(rem != 0), x.exp - y.exp - 1
}

// sqrt is FPSqrt.
func (e *Env) sqrt(f *format, a uint64) uint64 {
	x := e.unpack(f, a)
	switch {
	case x.kind&nan != 0:
		return e.nan(f, a, x.kind)
	case x.kind == zero:
		return f.zero(x.neg)
	case x.neg:
		return e.invalid(f)
	case x.kind == inf:
		return f.infinity(false)
	}
	// The root of sig * 2^63, or of twice that to make the exponent even.
	hi, lo := x.sig>>1, x.sig<<63
	if x.exp&1 != 0 {
		hi, lo = x.sig, 0
	}
	root := squareRoot(hi, lo, 61-f.frac)
	return e.round(f, e.Mode(), false, x.exp>>1, root)
}

// squareRoot finds the root of hi:lo, which is at least 2^126, down to bit
// last; if that is not all of it, bit 0 is set.
func squareRoot(hi, lo uint64, last uint) uint64 {
	var root uint64
	for b := uint64(1) << 63; b >= 1<<last; b >>= 1 {
		h, l := bits.Mul64(root|b, root|b)
		if h < hi || h == hi && l <= lo {
			root |= b
		}
	}
	h, l := bits.Mul64(root, root)
	return root | bit(h != hi || l != lo)
}

// mulAdd is FPMulAdd: a + b*c, rounded once, and divided by 2^halve before.
func (e *Env) mulAdd(f *format, a, b, c uint64, halve int32) uint64 {
	x, y, z := e.unpack(f, a), e.unpack(f, b), e.unpack(f, c)
	infTimesZero := y.kind|z.kind == inf|zero
	neg := y.neg != z.neg
	switch {
	case x.kind == qnan && infTimesZero:
		return e.invalid(f)
	case (x.kind|y.kind|z.kind)&nan != 0:
		return e.nan3(f, a, b, c, x.kind, y.kind, z.kind)
	case infTimesZero, x.kind == inf && (y.kind|z.kind)&inf != 0 && x.neg != neg:
		return e.invalid(f)
	case x.kind == inf:
		return f.infinity(x.neg)
	case (y.kind|z.kind)&inf != 0:
		return f.infinity(neg)
	case y.kind&z.kind == finite:
		return e.addProduct(f, x, y, z, halve)
	case x.kind == finite:
		return e.round(f, e.Mode(), x.neg, x.exp-halve, x.sig)
	case x.neg == neg:
		return f.zero(neg)
	}
	return f.zero(e.Mode() == Down)
}

// wide is a finite number whose magnitude is hi:lo * 2^(exp-127), with the
// top bit of hi set.
type wide struct {
	hi, lo uint64
	exp    int32
	neg    bool
}

// addProduct is x + y*z for finite y and z and a finite or zero x.
func (e *Env) addProduct(f *format, x, y, z num, halve int32) uint64 {
	var p wide
	p.hi, p.lo, p.exp = product(y, z)
	p.neg = y.neg != z.neg
	if x.kind == finite {
		var some bool
		p, some = sum(p, wide{hi: x.sig, exp: x.exp, neg: x.neg})
		if !some {
			return f.zero(e.Mode() == Down)
		}
	}
	return e.round(f, e.Mode(), p.neg, p.exp-halve, p.hi|bit(p.lo != 0))
}

// sum adds, keeping what falls off the end as a one in the last bit. It
// reports whether anything is left.
func sum(p, q wide) (wide, bool) {
	if p.exp < q.exp || p.exp == q.exp && (p.hi < q.hi || p.hi == q.hi && p.lo < q.lo) {
		p, q = q, p
	}
	q.hi, q.lo = shiftJam128(q.hi, q.lo, uint(p.exp-q.exp))
	var c uint64
	if p.neg == q.neg {
		p.lo, c = bits.Add64(p.lo, q.lo, 0)
		p.hi, c = bits.Add64(p.hi, q.hi, c)
		if c != 0 {
			p.hi, p.lo = shiftJam128(p.hi, p.lo, 1)
			p.hi |= 1 << 63
			p.exp++
		}
		return p, true
	}
	p.lo, c = bits.Sub64(p.lo, q.lo, 0)
	p.hi, _ = bits.Sub64(p.hi, q.hi, c)
	return normalize(p)
}

func normalize(p wide) (wide, bool) {
	if p.hi == 0 {
		p.hi, p.lo = p.lo, 0
		p.exp -= 64
	}
	lz := uint(bits.LeadingZeros64(p.hi))
	p.hi = p.hi<<lz | p.lo>>(64-lz)
	p.lo <<= lz
	p.exp -= int32(lz)
	return p, p.hi != 0
}

// step is 2 - a*b (FPRecipStepFused), or (3 - a*b)/2 (FPRSqrtStepFused) if
// halve is 1. Infinity times zero counts as zero.
func (e *Env) step(f *format, a, b uint64, halve int32) uint64 {
	a = f.negate(a)
	x, y := e.unpack(f, a), e.unpack(f, b)
	switch {
	case (x.kind|y.kind)&nan != 0:
		return e.nan2(f, a, b, x.kind, y.kind)
	case x.kind|y.kind == inf|zero && halve != 0:
		return f.onePointFive()
	case x.kind|y.kind == inf|zero:
		return f.two()
	case (x.kind|y.kind)&inf != 0:
		return f.infinity(x.neg != y.neg)
	}
	addend := f.two()
	if halve != 0 {
		addend = f.three()
	}
	return e.mulAdd(f, addend, a, b, halve)
}
