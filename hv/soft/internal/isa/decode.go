package isa

// Decode turns the instruction word w at address pc into an operation.
func Decode(w uint32, pc uint64) Op {
	var op Op
	var ok bool
	switch bits(w, 28, 25) {
	case 8, 9:
		op, ok = decodeImm(w, pc)
	case 10, 11:
		op, ok = decodeBranch(w, pc)
	case 4, 6, 12, 14:
		op, ok = decodeMem(w, pc)
	case 5, 13:
		op, ok = decodeReg(w)
	case 7, 15:
		if op, ok = decodeFP(w); !ok {
			op, ok = decodeSIMD(w)
		}
	}
	if !ok {
		return Op{Code: OpUNDEF, Imm: uint64(w)}
	}
	return op
}
