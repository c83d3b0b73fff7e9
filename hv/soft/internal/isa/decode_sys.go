package isa

// decodeBranch decodes branches, exception generation and system instructions.
func decodeBranch(w uint32, pc uint64) (Op, bool) {
	switch {
	case w&0x7c000000 == 0x14000000:
		op := Op{Code: OpB, Imm: pc + sext(uint64(w&0x3ffffff)<<2, 28)}
		if w>>31 == 1 {
			op.Code, op.Imm2 = OpBL, pc+4
		}
		return op, true
	case w&0xff000010 == 0x54000000:
		return Op{Code: OpBCOND, Cond: uint8(w & 15), Imm: near(w, pc)}, true
	case w&0x7e000000 == 0x34000000:
		base := [2]uint16{OpCBZ32, OpCBNZ32}[w>>24&1]
		return Op{Code: sel(base, w>>31), Rn: ZR(w), Imm: near(w, pc)}, true
	case w&0x7e000000 == 0x36000000:
		op := Op{Code: [2]uint16{OpTBZ, OpTBNZ}[w>>24&1], Rn: ZR(w), Imm2: 1 << (bits(w, 23, 19) | w>>31<<5)}
		op.Imm = pc + sext(uint64(bits(w, 18, 5))<<2, 16)
		return op, true
	case w>>24 == 0xd4:
		return exception(w)
	case w>>22 == 0xd5000000>>22:
		return system(w)
	case w>>25 == 0xd6000000>>25:
		return branchRegister(w, pc)
	}
	return Op{}, false
}

// near is the target of a 19-bit offset.
func near(w uint32, pc uint64) uint64 { return pc + sext(uint64(bits(w, 23, 5))<<2, 21) }

func branchRegister(w uint32, pc uint64) (Op, bool) {
	if w == 0xd69f03e0 {
		return Op{Code: OpERET}, true
	}
	switch w &^ 0x3e0 {
	case 0xd61f0000, 0xd65f0000: // BR and RET
		return Op{Code: OpBR, Rn: ZR(w >> 5)}, true
	case 0xd63f0000:
		return Op{Code: OpBLR, Rn: ZR(w >> 5), Imm2: pc + 4}, true
	}
	return Op{}, false
}

// exception decodes SVC, HVC, SMC and BRK. HLT and DCPSn are undefined without
// external debug.
func exception(w uint32) (Op, bool) {
	op := Op{Imm: uint64(bits(w, 20, 5))}
	switch w & 0xe0001f {
	case 0x000001:
		op.Code = OpSVC
	case 0x000002:
		op.Code = OpHVC
	case 0x000003:
		op.Code = OpSMC
	case 0x200000:
		op.Code = OpBRK
	default:
		return Op{}, false
	}
	return op, true
}

// Encodings of system registers, Op0<<14 | Op1<<11 | CRn<<7 | CRm<<3 | Op2, that
// have operations of their own.
const (
	sysNZCV  = 3<<14 | 3<<11 | 4<<7 | 2<<3 | 0
	sysDAIF  = 3<<14 | 3<<11 | 4<<7 | 2<<3 | 1
	sysFPCR  = 3<<14 | 3<<11 | 4<<7 | 4<<3 | 0
	sysFPSR  = 3<<14 | 3<<11 | 4<<7 | 4<<3 | 1
	sysSPEL0 = 3<<14 | 0<<11 | 4<<7 | 1<<3 | 0
	sysDCZVA = 1<<14 | 3<<11 | 7<<7 | 4<<3 | 1
)

var readRows = map[uint32]uint16{sysNZCV: OpMRSNZCV, sysDAIF: OpMRSDAIF, sysFPCR: OpMRSFPCR, sysFPSR: OpMRSFPSR, sysSPEL0: OpMRSSP0}

var writeRows = map[uint32]uint16{sysNZCV: OpMSRNZCV, sysDAIF: OpMSRDAIF, sysFPCR: OpMSRFPCR, sysFPSR: OpMSRFPSR, sysSPEL0: OpMSRSP0, sysDCZVA: OpZVA}

// system decodes MSR, MRS, SYS, hints and barriers. In OpMRS, OpMSR and OpSYS
// Imm is the register's encoding; block building knows which exist.
func system(w uint32) (Op, bool) {
	enc := w >> 5 & 0xffff
	read := w>>21&1 == 1
	if enc>>14 == 0 {
		if read || w&31 != 31 {
			return Op{}, false
		}
		return pstateOrHint(w)
	}
	op := Op{Imm: uint64(enc), Rd: ZR(w)}
	switch {
	case enc>>14 == 1 && read:
		return Op{}, false // SYSL: none exists
	case enc>>14 == 1:
		op.Code = OpSYS
	case read:
		op.Code, op.Rd = OpMRS, W(w)
	default:
		op.Code = OpMSR
	}
	rows := writeRows
	if read {
		rows = readRows
	}
	if row, ok := rows[enc]; ok {
		op.Code = row
	}
	return op, true
}

// pstateOrHint decodes the space of Op0 0 with Rt 31.
func pstateOrHint(w uint32) (Op, bool) {
	op1, crn, crm, op2 := bits(w, 18, 16), bits(w, 15, 12), bits(w, 11, 8), bits(w, 7, 5)
	switch {
	case op1 == 3 && crn == 2:
		return hint(crm<<3 | op2), true
	case op1 == 3 && crn == 3:
		return barrier(crm, op2)
	case op1 == 0 && crn == 4 && op2 == 5:
		return Op{Code: OpSPSEL, Imm: uint64(crm & 1)}, true
	case op1 == 3 && crn == 4 && op2 == 6:
		return Op{Code: OpDAIFSET, Imm: uint64(crm) << 6}, true
	case op1 == 3 && crn == 4 && op2 == 7:
		return Op{Code: OpDAIFCLR, Imm: uint64(crm) << 6}, true
	}
	return Op{}, false
}

// hint decodes the hints; those of extensions that are absent do nothing.
func hint(n uint32) Op {
	switch n {
	case 1:
		return Op{Code: OpYIELD}
	case 2:
		return Op{Code: OpWFE}
	case 3:
		return Op{Code: OpWFI}
	case 4:
		return Op{Code: OpSEV}
	case 5:
		return Op{Code: OpSEVL}
	}
	return Op{Code: OpNOP}
}

func barrier(crm, op2 uint32) (Op, bool) {
	switch op2 {
	case 2:
		return Op{Code: OpCLREX}, true
	case 4:
		return Op{Code: OpDSB}, true
	case 5: // the low bits of CRm say what it orders: 1 loads, 2 stores
		return Op{Code: [4]uint16{OpDMB, OpDMBLD, OpDMBST, OpDMB}[crm&3]}, true
	case 6:
		return Op{Code: OpISB}, true
	}
	return Op{}, false
}
