package float

import "math/bits"

// A format is one of the interchange formats.
type format struct {
	width uint   // bits in all
	frac  uint   // fraction bits
	bias  int32  // exponent bias
	limit uint64 // the first pattern, sign aside, that is too large for a finite value
	half  bool   // binary16: FZ does not apply (FPUnpackCV, FPRoundCV)
	alt   bool   // no infinities or NaNs (FPCR.AHP)
}

var (
	half    = format{width: 16, frac: 10, bias: 15, limit: 0x1f << 10, half: true}
	halfAlt = format{width: 16, frac: 10, bias: 15, limit: 0x20 << 10, half: true, alt: true}
	single  = format{width: 32, frac: 23, bias: 127, limit: 0xff << 23}
	double  = format{width: 64, frac: 52, bias: 1023, limit: 0x7ff << 52}
)

func (f *format) sign(neg bool) uint64 {
	if neg {
		return 1 << (f.width - 1)
	}
	return 0
}

func (f *format) zero(neg bool) uint64      { return f.sign(neg) }
func (f *format) infinity(neg bool) uint64  { return f.sign(neg) | f.limit }
func (f *format) maxNormal(neg bool) uint64 { return f.sign(neg) | (f.limit - 1) }
func (f *format) quiet() uint64             { return 1 << (f.frac - 1) }
func (f *format) defaultNaN() uint64        { return f.limit | f.quiet() }
func (f *format) one() uint64               { return uint64(f.bias) << f.frac }
func (f *format) negative(v uint64) bool    { return v>>(f.width-1)&1 != 0 }
func (f *format) fraction(v uint64) uint64  { return v & (1<<f.frac - 1) }
func (f *format) magnitude(v uint64) uint64 { return v & (1<<(f.width-1) - 1) }
func (f *format) negate(v uint64) uint64    { return v ^ 1<<(f.width-1) }
func (f *format) two() uint64               { return f.one() + 1<<f.frac }
func (f *format) onePointFive() uint64      { return f.one() | f.quiet() }
func (f *format) three() uint64             { return f.two() | f.quiet() }

// A kind is a number's class; kinds combine, to ask about two operands at once.
type kind uint8

const (
	zero   kind = 1
	finite kind = 2 // and not zero
	inf    kind = 4
	qnan   kind = 8
	snan   kind = 16
	nan         = qnan | snan
)

// A num is an unpacked number. If it is finite its magnitude is
// sig * 2^(exp-63), and bit 63 of sig is set.
type num struct {
	sig  uint64
	exp  int32
	kind kind
	neg  bool
}

// unpack is FPUnpack: it flushes subnormal inputs if FPCR says so.
func (e *Env) unpack(f *format, v uint64) num {
	mag := f.magnitude(v)
	n := num{neg: f.negative(v), kind: finite}
	switch {
	case mag >= f.limit:
		n.kind = infOrNaN(f, mag)
	case mag>>f.frac != 0:
		n.exp = int32(mag>>f.frac) - f.bias
		n.sig = 1<<63 | mag<<(63-f.frac)
	case mag == 0:
		n.kind = zero
	case e.FPCR&FZ != 0 && !f.half:
		e.FPSR |= IDC
		n.kind = zero
	default:
		n.sig = mag << (63 - f.frac)
		lz := bits.LeadingZeros64(n.sig)
		n.sig <<= uint(lz)
		n.exp = 1 - f.bias - int32(lz)
	}
	return n
}

func infOrNaN(f *format, mag uint64) kind {
	switch {
	case mag == f.limit:
		return inf
	case mag&f.quiet() != 0:
		return qnan
	}
	return snan
}

// increment is what to add to a significand so that dropping its low drop
// bits afterwards rounds it.
func increment(m Rounding, neg bool, sig uint64, drop uint) uint64 {
	half := uint64(1) << (drop - 1)
	switch m {
	case TieEven:
		return half - 1 + sig>>drop&1
	case TieAway:
		return half
	case Up:
		if !neg {
			return 2*half - 1
		}
	case Down:
		if neg {
			return 2*half - 1
		}
	}
	return 0
}

// round is FPRound: it packs the value sig * 2^(exp-63), of which bit 63 is
// set and bit 0 stands for everything below. Tininess is detected before
// rounding.
func (e *Env) round(f *format, m Rounding, neg bool, exp int32, sig uint64) uint64 {
	be := exp + f.bias
	tiny := be < 1
	if tiny {
		if e.FPCR&FZ != 0 && !f.half {
			e.FPSR |= UFC
			return f.zero(neg)
		}
		sig = shiftJam(sig, uint(1-be))
		be = 1
	}
	drop := 63 - f.frac
	rest := sig << (64 - drop)
	sum, carry := bits.Add64(sig, increment(m, neg, sig, drop), 0)
	// The significand's leading one adds itself to the exponent field.
	r := uint64(be-1)<<f.frac + (sum>>drop | carry<<(64-drop))
	if r >= f.limit {
		return e.overflow(f, m, neg)
	}
	if rest != 0 {
		e.FPSR |= IXC
		if tiny {
			e.FPSR |= UFC
		}
		if m == Odd {
			r |= 1
		}
	}
	return f.sign(neg) | r
}

func (e *Env) overflow(f *format, m Rounding, neg bool) uint64 {
	if f.alt {
		e.FPSR |= IOC
		return f.maxNormal(neg)
	}
	e.FPSR |= OFC | IXC
	if overflowsToInf(m, neg) {
		return f.infinity(neg)
	}
	return f.maxNormal(neg)
}

func overflowsToInf(m Rounding, neg bool) bool {
	switch m {
	case TieEven, TieAway:
		return true
	case Up:
		return !neg
	case Down:
		return neg
	}
	return false
}

// shiftJam is x >> n with bit 0 set if any bit was lost.
func shiftJam(x uint64, n uint) uint64 {
	if n >= 64 {
		return bit(x != 0)
	}
	return x>>n | bit(x<<(64-n) != 0)
}

// shiftJam128 is shiftJam of hi:lo.
func shiftJam128(hi, lo uint64, n uint) (uint64, uint64) {
	switch {
	case n == 0:
		return hi, lo
	case n < 64:
		return hi >> n, hi<<(64-n) | lo>>n | bit(lo<<(64-n) != 0)
	case n < 128:
		return 0, shiftJam(hi, n-64) | bit(lo != 0)
	}
	return 0, bit(hi|lo != 0)
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// invalid is the result of an invalid operation.
func (e *Env) invalid(f *format) uint64 {
	e.FPSR |= IOC
	return f.defaultNaN()
}

// nan is FPProcessNaN, for a v of kind k, which is a NaN.
func (e *Env) nan(f *format, v uint64, k kind) uint64 {
	if k == snan {
		e.FPSR |= IOC
	}
	if e.FPCR&DN != 0 {
		return f.defaultNaN()
	}
	return v | f.quiet()
}

// nan2 is FPProcessNaNs, when x or y is a NaN: the first signalling NaN wins,
// or else the first NaN.
func (e *Env) nan2(f *format, a, b uint64, x, y kind) uint64 {
	if x == snan || x == qnan && y != snan {
		return e.nan(f, a, x)
	}
	return e.nan(f, b, y)
}

// nan3 is FPProcessNaNs3.
func (e *Env) nan3(f *format, a, b, c uint64, x, y, z kind) uint64 {
	if x == snan || y != snan && z != snan && x == qnan {
		return e.nan(f, a, x)
	}
	return e.nan2(f, b, c, y, z)
}
