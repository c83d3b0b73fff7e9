package isa

import mathbits "math/bits"

// decodeImm decodes data processing with an immediate.
func decodeImm(w uint32, pc uint64) (Op, bool) {
	switch bits(w, 25, 23) {
	case 0, 1:
		return address(w, pc), true
	case 2:
		return addSubImm(w), true
	case 4:
		return logicalImm(w)
	case 5:
		return moveWide(w)
	case 6:
		return bitfield(w)
	case 7:
		return extractReg(w)
	}
	return Op{}, false // 3 is ADDG and SUBG: memory tagging
}

// address decodes ADR and ADRP.
func address(w uint32, pc uint64) Op {
	imm := sext(uint64(bits(w, 23, 5))<<2|uint64(bits(w, 30, 29)), 21)
	if w>>31 == 1 {
		return Op{Code: OpMOVI, Rd: W(w), Imm: pc&^0xfff + imm<<12}
	}
	return Op{Code: OpMOVI, Rd: W(w), Imm: pc + imm}
}

func addSubImm(w uint32) Op {
	op := Op{Rn: SP(w >> 5), Imm: uint64(bits(w, 21, 10))}
	if w>>22&1 == 1 {
		op.Imm <<= 12
	}
	switch bits(w, 30, 29) {
	case 0:
		op.Code, op.Rd = OpADDI32, SP(w)
	case 1:
		op.Code, op.Rd = OpADDSI32, W(w)
	case 2:
		op.Code, op.Rd, op.Imm = OpADDI32, SP(w), -op.Imm
	case 3:
		op.Code, op.Rd = OpSUBSI32, W(w)
	}
	op.Code = sel(op.Code, w>>31)
	return op
}

func logicalImm(w uint32) (Op, bool) {
	mask, _, ok := bitMasks(w)
	if !ok {
		return Op{}, false
	}
	op := Op{Rd: SP(w), Rn: ZR(w >> 5), Imm: mask}
	opc := bits(w, 30, 29)
	op.Code = sel([4]uint16{OpANDI32, OpORRI32, OpEORI32, OpANDSI32}[opc], w>>31)
	if opc == 3 {
		op.Rd = W(w)
	}
	if opc == 1 && op.Rn == zrIndex {
		op.Code = OpMOVI
	}
	return op, true
}

// bitMasks is DecodeBitMasks of the Arm ARM on the fields N, imms and immr:
// wmask is the immediate of a logical operation, tmask marks the bits that a
// bitfield move copies. ok is false for reserved combinations.
func bitMasks(w uint32) (wmask, tmask uint64, ok bool) {
	sf, n, immr, imms := w>>31, w>>22&1, bits(w, 21, 16), bits(w, 15, 10)
	length := 31 - mathbits.LeadingZeros32(n<<6|^imms&0x3f)
	if length < 1 || n == 1 && sf == 0 {
		return 0, 0, false
	}
	esize := uint(1) << length
	levels := uint32(esize - 1)
	if bits(w, 28, 23) == 0x24 && imms&levels == levels {
		return 0, 0, false // all ones is no logical immediate
	}
	s, r := imms&levels, immr&levels
	ones := func(n uint32) uint64 { return ^uint64(0) >> (63 - n&63) } // n+1 of them
	welem, telem := ones(s), ones((s-r)&levels)
	if r != 0 {
		welem = (welem>>r | welem<<(esize-uint(r))) & ones(levels)
	}
	for e := uint(0); e < 64; e += esize {
		wmask |= welem << e
		tmask |= telem << e
	}
	if sf == 0 {
		wmask, tmask = uint64(uint32(wmask)), uint64(uint32(tmask))
	}
	return wmask, tmask, true
}

// moveWide decodes MOVN, MOVZ and MOVK.
func moveWide(w uint32) (Op, bool) {
	sf, hw := w>>31, bits(w, 22, 21)
	if sf == 0 && hw > 1 {
		return Op{}, false
	}
	v := uint64(bits(w, 20, 5)) << (16 * hw)
	op := Op{Code: OpMOVI, Rd: W(w), Imm: v}
	switch bits(w, 30, 29) {
	case 0:
		op.Imm = ^v
		if sf == 0 {
			op.Imm = uint64(uint32(^v))
		}
	case 1:
		return Op{}, false
	case 3:
		op.Code, op.Rn, op.Imm2 = sel(OpMOVK32, sf), ZR(w), ^(uint64(0xffff) << (16 * hw))
	}
	return op, true
}

// bitfield decodes SBFM, BFM and UBFM into shifts and field moves.
func bitfield(w uint32) (Op, bool) {
	sf, immr, imms := w>>31, bits(w, 21, 16), bits(w, 15, 10)
	size := uint32(32) << sf
	if w>>22&1 != sf || immr >= size || imms >= size {
		return Op{}, false
	}
	op := Op{Rd: W(w), Rn: ZR(w >> 5)}
	switch bits(w, 30, 29) {
	case 0: // the field goes to the top, then down with its sign
		op.Code, op.Sh = sel(OpSBFX32, sf), uint8(size-1-imms)
		if imms >= immr {
			op.Cond = uint8(size - 1 - imms + immr)
		} else {
			op.Cond = uint8(immr - imms - 1)
		}
	case 1:
		wmask, tmask, _ := bitMasks(w)
		op.Code, op.Ra, op.Sh, op.Imm = sel(OpBFM32, sf), ZR(w), uint8(immr), wmask&tmask
	case 2:
		unsignedField(&op, sf, size, immr, imms)
	case 3:
		return Op{}, false
	}
	return op, true
}

func unsignedField(op *Op, sf, size, immr, imms uint32) {
	switch {
	case imms == size-1:
		op.Code, op.Sh = sel(OpLSRI32, sf), uint8(immr)
	case imms >= immr:
		op.Code, op.Sh, op.Imm = sel(OpUBFX32, sf), uint8(immr), 1<<(imms-immr+1)-1
	case imms+1 == immr:
		op.Code, op.Sh = sel(OpLSLI32, sf), uint8(size-immr)
	default:
		op.Code, op.Sh, op.Imm = sel(OpUBFIZ32, sf), uint8(size-immr), 1<<(imms+1)-1
	}
}

func extractReg(w uint32) (Op, bool) {
	sf, imms := w>>31, bits(w, 15, 10)
	if bits(w, 30, 29) != 0 || w>>21&1 != 0 || w>>22&1 != sf || imms >= 32<<sf {
		return Op{}, false
	}
	return Op{Code: sel(OpEXTR32, sf), Rd: W(w), Rn: ZR(w >> 5), Rm: ZR(w >> 16), Sh: uint8(imms)}, true
}
