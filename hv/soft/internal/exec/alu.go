package exec

import "math/bits"

// Kinds of shift as encoded; 3 is a rotation.
const (
	shiftLSL = 0
	shiftLSR = 1
	shiftASR = 2
)

func shift64(v uint64, kind, n uint8) uint64 {
	n &= 63
	switch kind {
	case shiftLSL:
		return v << n
	case shiftLSR:
		return v >> n
	case shiftASR:
		return uint64(int64(v) >> n)
	}
	return bits.RotateLeft64(v, -int(n))
}

func shift32(v uint32, kind, n uint8) uint32 {
	n &= 31
	switch kind {
	case shiftLSL:
		return v << n
	case shiftLSR:
		return v >> n
	case shiftASR:
		return uint32(int32(v) >> n)
	}
	return bits.RotateLeft32(v, -int(n))
}

// extend is ExtendReg of the Arm ARM: UXTB to UXTX are 0 to 3, SXTB to SXTX 4
// to 7.
func extend(v uint64, option, shift uint8) uint64 {
	switch option {
	case 0:
		v = uint64(uint8(v))
	case 1:
		v = uint64(uint16(v))
	case 2:
		v = uint64(uint32(v))
	case 4:
		v = uint64(int8(v))
	case 5:
		v = uint64(int16(v))
	case 6:
		v = uint64(int32(v))
	}
	return v << (shift & 7)
}
