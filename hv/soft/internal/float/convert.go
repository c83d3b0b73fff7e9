package float

import "math/bits"

// convert is FPConvert.
func (e *Env) convert(to, from *format, v uint64, m Rounding) uint64 {
	x := e.unpack(from, v)
	switch {
	case x.kind&nan != 0:
		return e.convertNaN(to, from, v, x)
	case x.kind == inf && to.alt:
		e.FPSR |= IOC
		return to.maxNormal(x.neg)
	case x.kind == inf:
		return to.infinity(x.neg)
	case x.kind == zero:
		return to.zero(x.neg)
	}
	return e.round(to, m, x.neg, x.exp, x.sig)
}

// convertNaN is FPConvertNaN and what FPConvert does around it.
func (e *Env) convertNaN(to, from *format, v uint64, x num) uint64 {
	if x.kind == snan || to.alt {
		e.FPSR |= IOC
	}
	switch {
	case to.alt:
		return to.zero(x.neg)
	case e.FPCR&DN != 0:
		return to.defaultNaN()
	}
	payload := from.fraction(v) << (63 - from.frac) >> (63 - to.frac)
	return to.sign(x.neg) | to.defaultNaN() | payload
}

// halfFormat is the binary16 format that FPCR selects.
func (e *Env) halfFormat() *format {
	if e.FPCR&AHP != 0 {
		return &halfAlt
	}
	return &half
}

// split cuts a finite number's magnitude at the binary point. rest holds the
// first 64 bits after it, jammed. x.exp must be less than 64.
func split(x num) (whole, rest uint64) {
	s := uint(63 - x.exp)
	if s >= 64 {
		return 0, shiftJam(x.sig, s-64)
	}
	return x.sig >> s, x.sig << (64 - s)
}

// roundWhole rounds a number cut by split to an integer. carry is set if the
// result is 2^64.
func roundWhole(m Rounding, neg bool, whole, rest uint64) (r, carry uint64) {
	const half = 1 << 63
	up := false
	switch m {
	case TieEven:
		up = rest > half || rest == half && whole&1 != 0
	case TieAway:
		up = rest >= half
	case Up:
		up = rest != 0 && !neg
	case Down:
		up = rest != 0 && neg
	}
	return bits.Add64(whole, bit(up), 0)
}

// toInt is FPToFixed: v * 2^fbits rounded to an integer of width bits, 32 or
// 64, saturated, and zero extended to 64 bits.
func (e *Env) toInt(f *format, v uint64, t Int, fbits uint, m Rounding) uint64 {
	x := e.unpack(f, v)
	if x.kind == zero {
		return 0
	}
	if x.kind&nan != 0 {
		e.FPSR |= IOC
		return 0
	}
	x.exp += int32(fbits)
	if x.kind == inf || x.exp >= 64 {
		return e.saturate(t, x.neg)
	}
	whole, rest := split(x)
	r, carry := roundWhole(m, x.neg, whole, rest)
	if carry != 0 || r > t.limit(x.neg) {
		return e.saturate(t, x.neg)
	}
	if rest != 0 {
		e.FPSR |= IXC
	}
	if x.neg {
		r = -r & t.mask()
	}
	return r
}

func (e *Env) saturate(t Int, neg bool) uint64 {
	e.FPSR |= IOC
	r := t.limit(neg)
	if neg {
		r = -r & t.mask()
	}
	return r
}

// fromInt is FixedToFP: (-1)^neg * mag / 2^fbits.
func (e *Env) fromInt(f *format, neg bool, mag uint64, fbits uint) uint64 {
	if mag == 0 {
		return f.zero(false)
	}
	lz := bits.LeadingZeros64(mag)
	return e.round(f, e.Mode(), neg, int32(63-lz)-int32(fbits), mag<<uint(lz))
}

// roundInt is FPRoundInt.
func (e *Env) roundInt(f *format, v uint64, m Rounding, exact bool) uint64 {
	x := e.unpack(f, v)
	switch {
	case x.kind&nan != 0:
		return e.nan(f, v, x.kind)
	case x.kind == zero:
		return f.zero(x.neg)
	case x.kind == inf || x.exp >= int32(f.frac):
		return v
	}
	whole, rest := split(x)
	r, _ := roundWhole(m, x.neg, whole, rest)
	if rest != 0 && exact {
		e.FPSR |= IXC
	}
	if r == 0 {
		return f.zero(x.neg)
	}
	lz := bits.LeadingZeros64(r)
	return e.round(f, m, x.neg, int32(63-lz), r<<uint(lz))
}

// Int is an integer type to convert to.
type Int uint8

const (
	S32 Int = iota
	S64
	U32
	U64
)

// limit is the largest magnitude that t holds with this sign.
func (t Int) limit(neg bool) uint64 {
	switch t {
	case S32:
		return 1<<31 - 1 + bit(neg)
	case S64:
		return 1<<63 - 1 + bit(neg)
	case U32:
		return (1<<32 - 1) * bit(!neg)
	}
	return -bit(!neg)
}

func (t Int) mask() uint64 {
	if t == S32 || t == U32 {
		return 1<<32 - 1
	}
	return 1<<64 - 1
}
