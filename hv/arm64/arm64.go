// Package arm64 holds facts of the A64 architecture that every engine and the
// board share: system register encodings, exception syndromes, PSTATE and the
// function numbers of PSCI. Values and names are those of the Arm Architecture
// Reference Manual (DDI 0487), the Power State Coordination Interface
// (DEN 0022) and the SMC Calling Convention (DEN 0028).
package arm64

// PSTATE as SPSR_EL1 lays it out.
const (
	PSRN    = 1 << 31
	PSRZ    = 1 << 30
	PSRC    = 1 << 29
	PSRV    = 1 << 28
	PSRPAN  = 1 << 22
	PSRSS   = 1 << 21 // software step
	PSRIL   = 1 << 20 // illegal execution state
	PSRD    = 1 << 9  // debug exceptions masked
	PSRA    = 1 << 8  // SError masked
	PSRI    = 1 << 7  // IRQ masked
	PSRF    = 1 << 6  // FIQ masked
	PSRDAIF = PSRD | PSRA | PSRI | PSRF
	PSRM32  = 1 << 4 // AArch32
	PSRMode = 0x1f

	ModeEL0t = 0x0
	ModeEL1t = 0x4
	ModeEL1h = 0x5
)

// Exception classes, ESR_ELx bits 31:26.
const (
	ECUnknown       = 0x00
	ECWFx           = 0x01
	ECFP            = 0x07 // access to SIMD or floating point trapped by CPACR_EL1
	ECIllegal       = 0x0e // illegal execution state
	ECSVC           = 0x15
	ECHVC           = 0x16
	ECSMC           = 0x17
	ECSysReg        = 0x18 // trapped MSR, MRS or system instruction
	ECInstrAbortEL0 = 0x20 // from a lower exception level
	ECInstrAbort    = 0x21
	ECPCAlign       = 0x22
	ECDataAbortEL0  = 0x24 // from a lower exception level
	ECDataAbort     = 0x25
	ECSPAlign       = 0x26
	ECFPExc         = 0x2c
	ECSError        = 0x2f
	ECBreakEL0      = 0x30
	ECBreak         = 0x31
	ECStepEL0       = 0x32
	ECStep          = 0x33
	ECWatchEL0      = 0x34
	ECWatch         = 0x35
	ECBRK           = 0x3c
)

// Fields of ESR_ELx.
const (
	ESRECShift = 26
	ESRIL      = 1 << 25 // the instruction is 32 bits long
	ESRISSMask = 1<<25 - 1
)

// ESR makes a syndrome of a 32-bit instruction from class and ISS.
func ESR(ec, iss uint64) uint64 { return ec<<ESRECShift | ESRIL | iss&ESRISSMask }

// EC is the exception class of a syndrome.
func EC(esr uint64) uint64 { return esr >> ESRECShift & 0x3f }

// Fields of the ISS of a data abort, and FnV for instruction aborts too.
const (
	ISSISV   = 1 << 24
	ISSSSE   = 1 << 21
	ISSSF    = 1 << 15
	ISSAR    = 1 << 14
	ISSFnV   = 1 << 10
	ISSCM    = 1 << 8 // cache maintenance or address translation
	ISSS1PTW = 1 << 7
	ISSWnR   = 1 << 6
	ISSFSC   = 0x3f

	issSASShift = 22
	issSRTShift = 16
)

// Fault status codes; the first four take the level of the walk in bits 1:0.
const (
	FSCAddressSize = 0x00
	FSCTranslation = 0x04
	FSCAccessFlag  = 0x08
	FSCPermission  = 0x0c
	FSCExternal    = 0x10 // synchronous external abort, not on a walk
	FSCWalk        = 0x14 // synchronous external abort on a walk, with level
	FSCAlignment   = 0x21
	FSCDebug       = 0x22
	FSCExclusive   = 0x35 // unsupported exclusive or atomic access
)

// DataAbort is a decoded data abort syndrome.
type DataAbort struct {
	Valid  bool  // ISV: Size, Reg, Signed and Wide hold
	Size   uint8 // bytes, 1 to 8
	Reg    uint8 // SRT; 31 is XZR
	Signed bool  // SSE
	Wide   bool  // SF
	Write  bool  // WnR
	FSC    uint8
}

// DecodeDataAbort decodes the ISS of a data abort. It ignores the class.
func DecodeDataAbort(esr uint64) DataAbort {
	return DataAbort{
		Valid:  esr&ISSISV != 0,
		Size:   1 << (esr >> issSASShift & 3),
		Reg:    uint8(esr >> issSRTShift & 31),
		Signed: esr&ISSSSE != 0,
		Wide:   esr&ISSSF != 0,
		Write:  esr&ISSWnR != 0,
		FSC:    uint8(esr & ISSFSC),
	}
}

// ISS is the inverse of DecodeDataAbort. A size that is no power of two up to
// 8 gives the next smaller one.
func (d DataAbort) ISS() uint64 {
	iss := uint64(d.FSC) & ISSFSC
	if d.Write {
		iss |= ISSWnR
	}
	if !d.Valid {
		return iss
	}
	iss |= ISSISV | uint64(d.Reg&31)<<issSRTShift
	for s := d.Size >> 1; s != 0 && iss>>issSASShift&3 != 3; s >>= 1 {
		iss += 1 << issSASShift
	}
	if d.Signed {
		iss |= ISSSSE
	}
	if d.Wide {
		iss |= ISSSF
	}
	return iss
}

// SysTrap is a decoded syndrome of class ECSysReg.
type SysTrap struct {
	Sys  SysReg
	Reg  uint8 // Rt; 31 is XZR
	Read bool  // MRS
}

// DecodeSysTrap decodes the ISS of a trapped system register access.
func DecodeSysTrap(esr uint64) SysTrap {
	return SysTrap{
		Sys:  Encode(uint8(esr>>20), uint8(esr>>14), uint8(esr>>10), uint8(esr>>1), uint8(esr>>17)),
		Reg:  uint8(esr >> 5 & 31),
		Read: esr&1 != 0,
	}
}

// ISS is the inverse of DecodeSysTrap.
func (t SysTrap) ISS() uint64 {
	s := uint64(t.Sys)
	iss := s>>14&3<<20 | s&7<<17 | s>>11&7<<14 | s>>7&15<<10 | uint64(t.Reg&31)<<5 | s>>3&15<<1
	if t.Read {
		iss |= 1
	}
	return iss
}
