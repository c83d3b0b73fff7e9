// Package float is the Arm architecture's floating-point arithmetic: IEEE 754
// binary32 and binary64 as FADD, FMUL, FMADD and the rest compute it, bit for
// bit and flag for flag, and the conversions among them, binary16 and
// integers. Section names in the comments, such as FPRound, are those of the
// pseudocode in the Arm Architecture Reference Manual (DDI 0487), part J1.
//
// Values travel as their bit patterns. An operation takes the rounding mode
// and the flush, default NaN and half-precision controls from its Env's FPCR
// and adds the exceptions it raises to its FPSR; exceptions never trap. Half
// precision is a storage format only: FEAT_FP16's arithmetic is not here, nor
// are FEAT_AFP's controls (FPCR.FIZ, AH and NEP are taken as 0).
//
// # Determinism
//
// Everything is computed with integers, but for the short cuts in hard.go,
// which use the host's arithmetic for single operations whose result and
// flags IEEE 754 leaves no choice about. Results are the same on every host.
//
// # Use
//
// An Env belongs to one goroutine, that of its vCPU. No method allocates.
package float

// Env is a vCPU's floating-point state: the two registers in their
// architectural layout. The zero Env is the state that a vCPU resets to.
type Env struct {
	FPCR uint32 // control: FPCRMask says which bits may be set
	FPSR uint32 // status: the cumulative flags, and QC, which this package leaves alone
}

// Bits of FPCR.
const (
	AHP   = 1 << 26 // binary16 has no infinities or NaNs, and twice the range
	DN    = 1 << 25 // a NaN result is always the default NaN
	FZ    = 1 << 24 // subnormal inputs and outputs become zeros
	rmode = 3 << 22

	// FPCRMask has the bits of FPCR that exist: writes to others are ignored.
	FPCRMask = AHP | DN | FZ | rmode
)

// Cumulative flags in FPSR.
const (
	IOC = 1 << 0  // invalid operation
	DZC = 1 << 1  // division by zero
	OFC = 1 << 2  // overflow
	UFC = 1 << 3  // underflow: tiny before rounding, and inexact or flushed
	IXC = 1 << 4  // inexact
	IDC = 1 << 7  // a subnormal input was flushed
	QC  = 1 << 27 // saturation, set by AdvSIMD

	// FPSRMask has the bits of FPSR that exist.
	FPSRMask = IOC | DZC | OFC | UFC | IXC | IDC | QC
)

// Rounding is a rounding mode. The first four values are FPCR.RMode's.
type Rounding uint8

const (
	TieEven Rounding = 0 // to nearest, ties to even
	Up      Rounding = 1 // towards plus infinity
	Down    Rounding = 2 // towards minus infinity
	Zero    Rounding = 3 // towards zero
	TieAway Rounding = 4 // to nearest, ties away from zero (FRINTA, FCVTAS)
	Odd     Rounding = 5 // to odd when inexact (FCVTXN)
)

// Mode is the rounding mode that FPCR selects.
func (e *Env) Mode() Rounding { return Rounding(e.FPCR >> 22 & 3) }

// NZCV results of Compare32 and Compare64, in bits 3 to 0.
const (
	Less      = 0b1000
	Equal     = 0b0110
	Greater   = 0b0010
	Unordered = 0b0011
)

// Sign bits.
const (
	Sign32 = 1 << 31
	Sign64 = 1 << 63
)
