package float

// The operations that always go the long way.

// MulX32 is FMULX: a * b, but infinity times zero is two.
func (e *Env) MulX32(a, b uint32) uint32 {
	return uint32(e.mul(&single, uint64(a), uint64(b), true))
}

// MulX64 is MulX32 for binary64.
func (e *Env) MulX64(a, b uint64) uint64 { return e.mul(&double, a, b, true) }

// Max32 is FMAX: a NaN operand makes the result a NaN, and +0 is more than -0.
func (e *Env) Max32(a, b uint32) uint32 {
	return uint32(e.max(&single, uint64(a), uint64(b), false))
}

// Min32 is FMIN.
func (e *Env) Min32(a, b uint32) uint32 {
	return uint32(e.max(&single, uint64(a), uint64(b), true))
}

// MaxNum32 is FMAXNM: Max32, but a number wins over a quiet NaN.
func (e *Env) MaxNum32(a, b uint32) uint32 {
	return uint32(e.maxNum(&single, uint64(a), uint64(b), false))
}

// MinNum32 is FMINNM.
func (e *Env) MinNum32(a, b uint32) uint32 {
	return uint32(e.maxNum(&single, uint64(a), uint64(b), true))
}

// Max64 is Max32 for binary64.
func (e *Env) Max64(a, b uint64) uint64 { return e.max(&double, a, b, false) }

// Min64 is Min32 for binary64.
func (e *Env) Min64(a, b uint64) uint64 { return e.max(&double, a, b, true) }

// MaxNum64 is MaxNum32 for binary64.
func (e *Env) MaxNum64(a, b uint64) uint64 { return e.maxNum(&double, a, b, false) }

// MinNum64 is MinNum32 for binary64.
func (e *Env) MinNum64(a, b uint64) uint64 { return e.maxNum(&double, a, b, true) }

// Eq32 is FPCompareEQ: only a signalling NaN raises IOC.
func (e *Env) Eq32(a, b uint32) bool { return e.Compare32(a, b, false) == Equal }

// Ge32 is FPCompareGE, a >= b: any NaN raises IOC. FACGE clears the signs first.
func (e *Env) Ge32(a, b uint32) bool {
	c := e.Compare32(a, b, true)
	return c == Equal || c == Greater
}

// Gt32 is FPCompareGT, a > b: any NaN raises IOC.
func (e *Env) Gt32(a, b uint32) bool { return e.Compare32(a, b, true) == Greater }

// Eq64 is Eq32 for binary64.
func (e *Env) Eq64(a, b uint64) bool { return e.Compare64(a, b, false) == Equal }

// Ge64 is Ge32 for binary64.
func (e *Env) Ge64(a, b uint64) bool {
	c := e.Compare64(a, b, true)
	return c == Equal || c == Greater
}

// Gt64 is Gt32 for binary64.
func (e *Env) Gt64(a, b uint64) bool { return e.Compare64(a, b, true) == Greater }

// RoundInt32 rounds to an integral binary32; exact says whether that may
// raise IXC (FRINTX does; the other FRINT instructions do not).
func (e *Env) RoundInt32(v uint32, m Rounding, exact bool) uint32 {
	return uint32(e.roundInt(&single, uint64(v), m, exact))
}

// RoundInt64 is RoundInt32 for binary64.
func (e *Env) RoundInt64(v uint64, m Rounding, exact bool) uint64 {
	return e.roundInt(&double, v, m, exact)
}

// ToInt32 converts the binary32 v, times 2^fbits, to an integer of type t. It
// saturates, NaNs give 0, and both raise IOC. The result is zero extended
// from t's width. fbits is at most 64.
func (e *Env) ToInt32(v uint32, t Int, fbits uint, m Rounding) uint64 {
	return e.toInt(&single, uint64(v), t, fbits, m)
}

// ToInt64 is ToInt32 for a binary64.
func (e *Env) ToInt64(v uint64, t Int, fbits uint, m Rounding) uint64 {
	return e.toInt(&double, v, t, fbits, m)
}

// FromInt32 converts v / 2^fbits to binary32. fbits is at most 64.
func (e *Env) FromInt32(v int64, fbits uint) uint32 {
	if v < 0 {
		return uint32(e.fromInt(&single, true, -uint64(v), fbits))
	}
	return uint32(e.fromInt(&single, false, uint64(v), fbits))
}

// FromUint32 is FromInt32 for an unsigned integer.
func (e *Env) FromUint32(v uint64, fbits uint) uint32 {
	return uint32(e.fromInt(&single, false, v, fbits))
}

// FromUint64 is FromInt64 for an unsigned integer.
func (e *Env) FromUint64(v uint64, fbits uint) uint64 {
	return e.fromInt(&double, false, v, fbits)
}

// From16To32 converts a binary16, of the kind FPCR.AHP says, to binary32.
func (e *Env) From16To32(v uint16) uint32 {
	return uint32(e.convert(&single, e.halfFormat(), uint64(v), TieEven))
}

// From16To64 is From16To32 to binary64.
func (e *Env) From16To64(v uint16) uint64 {
	return e.convert(&double, e.halfFormat(), uint64(v), TieEven)
}

// From32To16 converts to a binary16 of the kind FPCR.AHP says.
func (e *Env) From32To16(v uint32) uint16 {
	return uint16(e.convert(e.halfFormat(), &single, uint64(v), e.Mode()))
}

// From64To16 is From32To16 from binary64, rounding once.
func (e *Env) From64To16(v uint64) uint16 {
	return uint16(e.convert(e.halfFormat(), &double, v, e.Mode()))
}

// From64To32Odd is FCVTXN: From64To32, rounding to odd.
func (e *Env) From64To32Odd(v uint64) uint32 {
	return uint32(e.convert(&single, &double, v, Odd))
}

// RecipEstimate32 is FRECPE: 1/a to 8 bits.
func (e *Env) RecipEstimate32(a uint32) uint32 { return uint32(e.recip(&single, uint64(a))) }

// RecipEstimate64 is RecipEstimate32 for binary64.
func (e *Env) RecipEstimate64(a uint64) uint64 { return e.recip(&double, a) }

// RSqrtEstimate32 is FRSQRTE: the reciprocal of a's root, to 8 bits.
func (e *Env) RSqrtEstimate32(a uint32) uint32 { return uint32(e.rsqrt(&single, uint64(a))) }

// RSqrtEstimate64 is RSqrtEstimate32 for binary64.
func (e *Env) RSqrtEstimate64(a uint64) uint64 { return e.rsqrt(&double, a) }

// RecipStep32 is FRECPS: 2 - a*b, rounded once.
func (e *Env) RecipStep32(a, b uint32) uint32 {
	return uint32(e.step(&single, uint64(a), uint64(b), 0))
}

// RecipStep64 is RecipStep32 for binary64.
func (e *Env) RecipStep64(a, b uint64) uint64 { return e.step(&double, a, b, 0) }

// RSqrtStep32 is FRSQRTS: (3 - a*b)/2, rounded once.
func (e *Env) RSqrtStep32(a, b uint32) uint32 {
	return uint32(e.step(&single, uint64(a), uint64(b), 1))
}

// RSqrtStep64 is RSqrtStep32 for binary64.
func (e *Env) RSqrtStep64(a, b uint64) uint64 { return e.step(&double, a, b, 1) }

// RecipX32 is FRECPX: a power of two near 1/a.
func (e *Env) RecipX32(a uint32) uint32 { return uint32(e.recipX(&single, uint64(a))) }

// RecipX64 is RecipX32 for binary64.
func (e *Env) RecipX64(a uint64) uint64 { return e.recipX(&double, a) }
