package isa

// Decode turns the instruction word w at address pc into an operation.
func Decode(w uint32, pc uint64) Op {
	if w>>25&7 == 7 {
		return decodeFPSIMD(w)
	}
	return Op{Code: OpUNDEF, Imm: uint64(w)}
}

// decodeFPSIMD decodes data processing with floating point or vectors.
func decodeFPSIMD(w uint32) Op {
	if op, ok := decodeFP(w); ok {
		return op
	}
	if op, ok := decodeSIMD(w); ok {
		return op
	}
	return Op{Code: OpUNDEF, Imm: uint64(w)}
}
