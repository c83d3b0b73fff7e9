package isa

// decodeReg decodes data processing on registers.
func decodeReg(w uint32) (Op, bool) {
	if w>>28&1 == 0 {
		switch {
		case w>>24&1 == 0:
			return logicalShifted(w)
		case w>>21&1 == 0:
			return addSubShifted(w)
		default:
			return addSubExtended(w)
		}
	}
	switch bits(w, 24, 21) {
	case 0:
		return addSubCarry(w)
	case 2:
		return conditionalCompare(w)
	case 4:
		return conditionalSelect(w)
	case 6:
		if w>>30&1 == 1 {
			return oneSource(w)
		}
		return twoSource(w)
	}
	if w>>24&1 == 1 {
		return threeSource(w)
	}
	return Op{}, false
}

// shiftedOperand fills in the registers and the shift; ok is false for an
// amount that a 32-bit operation does not have.
func shiftedOperand(w uint32) (op Op, ok bool) {
	op = Op{Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16), Sh: uint8(bits(w, 15, 10)), Cond: uint8(bits(w, 23, 22))}
	return op, w>>31 == 1 || op.Sh < 32
}

func logicalShifted(w uint32) (Op, bool) {
	op, ok := shiftedOperand(w)
	opc := bits(w, 30, 29)
	if op.Sh == 0 && w>>21&1 == 0 {
		op.Code = [4]uint16{OpANDR32, OpORRR32, OpEORR32, OpANDSR32}[opc]
		if opc == 1 && op.Rn == zrIndex {
			op.Code = OpMOVR32
		}
	} else {
		op.Code = [4]uint16{OpANDSH32, OpORRSH32, OpEORSH32, OpANDSSH32}[opc]
		op.Imm2 = -uint64(w >> 21 & 1)
	}
	op.Code = sel(op.Code, w>>31)
	return op, ok
}

func addSubShifted(w uint32) (Op, bool) {
	op, ok := shiftedOperand(w)
	opc := bits(w, 30, 29)
	switch {
	case op.Sh == 0:
		op.Code = [4]uint16{OpADDR32, OpADDSR32, OpSUBR32, OpSUBSR32}[opc]
	case opc == 0 && op.Cond == 0:
		op.Code = OpADDLSL32
	default:
		op.Code = [4]uint16{OpADDSH32, OpADDSSH32, OpSUBSH32, OpSUBSSH32}[opc]
	}
	op.Code = sel(op.Code, w>>31)
	return op, ok && bits(w, 23, 22) != 3
}

func addSubExtended(w uint32) (Op, bool) {
	if bits(w, 23, 22) != 0 || bits(w, 12, 10) > 4 {
		return Op{}, false
	}
	op := Op{Rd: SP(w), Rn: SP(w >> 5), Rm: ZR(w >> 16), Cond: uint8(bits(w, 15, 13)), Sh: uint8(bits(w, 12, 10))}
	if w>>29&1 == 1 {
		op.Rd = W(w)
	}
	op.Code = sel([4]uint16{OpADDX32, OpADDSX32, OpSUBX32, OpSUBSX32}[bits(w, 30, 29)], w>>31)
	return op, true
}

func addSubCarry(w uint32) (Op, bool) {
	op := Op{Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16)}
	op.Code = sel([4]uint16{OpADC32, OpADCS32, OpSBC32, OpSBCS32}[bits(w, 30, 29)], w>>31)
	return op, bits(w, 15, 10) == 0
}

func conditionalCompare(w uint32) (Op, bool) {
	op := Op{Rn: ZR(w >> 5), Sh: uint8(w & 15), Cond: uint8(bits(w, 15, 12))}
	if w>>11&1 == 1 {
		op.Imm, op.Rm = uint64(bits(w, 20, 16)), zrIndex
	} else {
		op.Rm = ZR(w >> 16)
	}
	op.Code = sel([2]uint16{OpCCMN32, OpCCMP32}[w>>30&1], w>>31)
	return op, w>>29&1 == 1 && w>>10&1 == 0 && w>>4&1 == 0
}

func conditionalSelect(w uint32) (Op, bool) {
	op := Op{Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16), Cond: uint8(bits(w, 15, 12))}
	op.Code = sel([4]uint16{OpCSEL32, OpCSINC32, OpCSINV32, OpCSNEG32}[w>>29&2|w>>10&1], w>>31)
	return op, w>>29&1 == 0 && w>>11&1 == 0
}

func oneSource(w uint32) (Op, bool) {
	if w>>29&1 != 0 || bits(w, 20, 16) != 0 {
		return Op{}, false
	}
	sf := w >> 31
	op := Op{Rd: W(w), Rn: ZR(w >> 5)}
	switch bits(w, 15, 10) {
	case 0:
		op.Code = sel(OpRBIT32, sf)
	case 1:
		op.Code = sel(OpREV1632, sf)
	case 2:
		op.Code = sel(OpREV3232, sf)
	case 3:
		op.Code = OpREV64
		return op, sf == 1
	case 4:
		op.Code = sel(OpCLZ32, sf)
	case 5:
		op.Code = sel(OpCLS32, sf)
	default:
		return Op{}, false
	}
	return op, true
}

func twoSource(w uint32) (Op, bool) {
	if w>>29&1 != 0 {
		return Op{}, false
	}
	sf, opcode := w>>31, bits(w, 15, 10)
	op := Op{Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16)}
	switch {
	case opcode == 2:
		op.Code = sel(OpUDIV32, sf)
	case opcode == 3:
		op.Code = sel(OpSDIV32, sf)
	case opcode >= 8 && opcode <= 11:
		op.Code = sel([4]uint16{OpLSLV32, OpLSRV32, OpASRV32, OpRORV32}[opcode&3], sf)
	case opcode >= 16 && opcode <= 23:
		return checksum(op, opcode, sf)
	default:
		return Op{}, false
	}
	return op, true
}

// checksum decodes CRC32 and CRC32C; only their doubleword forms have sf set.
func checksum(op Op, opcode, sf uint32) (Op, bool) {
	op.Code = [8]uint16{OpCRC328, OpCRC3216, OpCRC3232, OpCRC3264, OpCRC32C8, OpCRC32C16, OpCRC32C32, OpCRC32C64}[opcode&7]
	return op, (opcode&3 == 3) == (sf == 1)
}

func threeSource(w uint32) (Op, bool) {
	if bits(w, 30, 29) != 0 {
		return Op{}, false
	}
	op := Op{Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16), Ra: ZR(w >> 10)}
	sf, sub := w>>31, w>>15&1
	kind := bits(w, 23, 21)
	switch kind {
	case 0:
		op.Code = sel([2]uint16{OpMADD32, OpMSUB32}[sub], sf)
		if sub == 0 && op.Ra == zrIndex {
			op.Code = sel(OpMUL32, sf)
		}
		return op, true
	case 1:
		op.Code = [2]uint16{OpSMADDL, OpSMSUBL}[sub]
	case 5:
		op.Code = [2]uint16{OpUMADDL, OpUMSUBL}[sub]
	case 2, 6: // SMULH and UMULH ignore Ra
		op.Code = [2]uint16{OpSMULH, OpUMULH}[kind>>2]
		return op, sf == 1 && sub == 0
	default:
		return Op{}, false
	}
	return op, sf == 1
}
