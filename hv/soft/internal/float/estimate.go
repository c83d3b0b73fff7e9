package float

import "math/bits"

// recipEstimate is RecipEstimate: for a number a/512 between 0.5 and 1, its
// reciprocal times 256.
func recipEstimate(a uint64) uint64 {
	return (1<<19/(2*a+1) + 1) / 2
}

// rsqrtEstimate is RecipSqrtEstimate: for a number a/512 between 0.25 and 1,
// the reciprocal of its root, times 256.
func rsqrtEstimate(a uint64) uint64 {
	if a < 256 {
		a = 2*a + 1
	} else {
		a = (a&^1 + 1) * 2
	}
	b := uint64(512)
	for a*(b+1)*(b+1) < 1<<28 {
		b++
	}
	return (b + 1) / 2
}

// recip is FPRecipEstimate.
func (e *Env) recip(f *format, v uint64) uint64 {
	x := e.unpack(f, v)
	switch {
	case x.kind&nan != 0:
		return e.nan(f, v, x.kind)
	case x.kind == inf:
		return f.zero(x.neg)
	case x.kind == zero:
		e.FPSR |= DZC
		return f.infinity(x.neg)
	case x.exp < -f.bias-1: // below 2^-128 (2^-1024)
		return e.overflow(f, e.Mode(), x.neg)
	case x.exp >= f.bias-1 && e.FPCR&FZ != 0: // from 2^126 (2^1022)
		e.FPSR |= UFC
		return f.zero(x.neg)
	}
	// The estimate is a significand of 9 bits, and 2^-(exp+1) its weight.
	be := f.bias - 1 - x.exp
	sig := recipEstimate(x.sig>>55) << 55
	if be < 1 {
		sig >>= uint(1 - be)
		be = 1
	}
	return f.sign(x.neg) | (uint64(be-1)<<f.frac + sig>>(63-f.frac))
}

// rsqrt is FPRSqrtEstimate.
func (e *Env) rsqrt(f *format, v uint64) uint64 {
	x := e.unpack(f, v)
	switch {
	case x.kind&nan != 0:
		return e.nan(f, v, x.kind)
	case x.kind == zero:
		e.FPSR |= DZC
		return f.infinity(x.neg)
	case x.neg:
		return e.invalid(f)
	case x.kind == inf:
		return f.zero(false)
	}
	be := x.exp + f.bias
	a := x.sig >> 55
	if be&1 != 0 {
		a >>= 1
	}
	exp := uint64(3*f.bias-1-be) >> 1
	return exp<<f.frac | rsqrtEstimate(a)&0xff<<(f.frac-8)
}

// recipX is FPRecpX: a power of two near the reciprocal.
func (e *Env) recipX(f *format, v uint64) uint64 {
	x := e.unpack(f, v)
	if x.kind&nan != 0 {
		return e.nan(f, v, x.kind)
	}
	exp := f.magnitude(v) &^ (1<<f.frac - 1)
	if exp == 0 {
		return f.sign(x.neg) | (f.limit - 1<<f.frac)
	}
	return f.sign(x.neg) | (f.limit ^ exp)
}

// RecipEstimateU32 is UnsignedRecipEstimate (URECPE): 2^31 * 2^32/v, for a v
// taken as a fraction of 2^32, or all ones if v is below one half.
func RecipEstimateU32(v uint32) uint32 {
	if v>>31 == 0 {
		return 1<<32 - 1
	}
	return uint32(recipEstimate(uint64(v>>23))) << 23
}

// RSqrtEstimateU32 is UnsignedRSqrtEstimate (URSQRTE); all ones if v, taken
// as a fraction of 2^32, is below one quarter.
func RSqrtEstimateU32(v uint32) uint32 {
	if bits.LeadingZeros32(v) > 1 {
		return 1<<32 - 1
	}
	return uint32(rsqrtEstimate(uint64(v>>23))) << 23
}
