package isa

// Row offsets of the addressing modes, in the order of isa/table's modes.
const (
	modePre  = 1
	modePost = 2
	modeRX   = 3
	modeRUW  = 4
	modeRSW  = 5
)

// decodeMem decodes loads and stores.
func decodeMem(w uint32, pc uint64) (Op, bool) {
	vector := w>>26&1 == 1
	switch bits(w, 29, 28) {
	case 0:
		if vector {
			return vectorStructure(w)
		}
		if w>>24&1 == 0 {
			return exclusive(w)
		}
	case 1:
		if w>>24&1 == 0 {
			return loadLiteral(w, pc)
		}
	case 2:
		return pair(w)
	case 3:
		return single(w)
	}
	return Op{}, false
}

func loadLiteral(w uint32, pc uint64) (Op, bool) {
	op := Op{Rn: zrIndex, Imm: pc + sext(uint64(bits(w, 23, 5))<<2, 21)}
	opc := w >> 30
	if w>>26&1 == 1 {
		op.Rd = uint8(w & 31)
		op.Code = [4]uint16{OpLDRV32, OpLDRV64, OpLDRV128, 0}[opc]
		return op, opc != 3
	}
	op.Rd = W(w)
	op.Code = [4]uint16{OpLDRW, OpLDRX, OpLDRSW, OpNOP}[opc] // 3 is PRFM
	return op, true
}

// pairBases are the first rows of pairs by opc<<1 | load; scale is the log2 of
// the unit's size.
var (
	pairBases       = [8]struct{ code, scale uint16 }{{OpSTP32, 2}, {OpLDP32, 2}, {}, {OpLDPSW, 2}, {OpSTP64, 3}, {OpLDP64, 3}}
	vectorPairBases = [8]struct{ code, scale uint16 }{{OpSTPV32, 2}, {OpLDPV32, 2}, {OpSTPV64, 3}, {OpLDPV64, 3}, {OpSTPV128, 4}, {OpLDPV128, 4}}
)

func pair(w uint32) (Op, bool) {
	vector, load := w>>26&1 == 1, w>>22&1
	base := pairBases[w>>30<<1|load]
	op := Op{Rd: ZR(w), Ra: ZR(w >> 10), Rn: SP(w >> 5)}
	switch {
	case vector:
		base = vectorPairBases[w>>30<<1|load]
	case load == 1:
		op.Rd, op.Ra = W(w), W(w>>10)
	}
	mode := bits(w, 24, 23)
	if base.scale == 0 || mode == 0 && !vector && w>>30 == 1 {
		return Op{}, false // mode 0 is LDNP and STNP, which have no LDPSW
	}
	op.Imm = sext(uint64(bits(w, 21, 15)), 7) << base.scale
	op.Code = base.code + [4]uint16{0, modePost, 0, modePre}[mode]
	return op, true
}

// singleBases are the first rows of single accesses by size<<2 | opc.
var singleBases = [16]uint16{
	OpSTRB, OpLDRB, OpLDRSB64, OpLDRSB32,
	OpSTRH, OpLDRH, OpLDRSH64, OpLDRSH32,
	OpSTRW, OpLDRW, OpLDRSW, 0,
	OpSTRX, OpLDRX, 0, 0, // 14 is PRFM
}

const prefetch = 14

// vectorSingleBases are the same for vector registers, and their scales: Q has
// size 0 and opc 2 or 3.
var vectorSingleBases = [16]struct{ code, scale uint16 }{
	{OpSTRV8, 0}, {OpLDRV8, 0}, {OpSTRV128, 4}, {OpLDRV128, 4},
	{OpSTRV16, 1}, {OpLDRV16, 1}, {}, {},
	{OpSTRV32, 2}, {OpLDRV32, 2}, {}, {},
	{OpSTRV64, 3}, {OpLDRV64, 3}, {}, {},
}

// single decodes loads and stores of one register, prefetches and, where they
// share the space, atomic operations.
func single(w uint32) (Op, bool) {
	size, opc := w>>30, bits(w, 23, 22)
	if w>>26&1 == 1 {
		v := vectorSingleBases[size<<2|opc]
		if v.code == 0 {
			return Op{}, false
		}
		return addressed(w, Op{Rd: uint8(w & 31)}, v.code, uint32(v.scale))
	}
	if w>>24&1 == 0 && w>>21&1 == 1 && bits(w, 11, 10) == 0 {
		return atomicOp(w)
	}
	op := Op{Rd: W(w)}
	if opc == 0 {
		op.Rd = ZR(w)
	}
	kind := size<<2 | opc
	if kind == prefetch {
		return prefetched(w)
	}
	if singleBases[kind] == 0 {
		return Op{}, false
	}
	return addressed(w, op, singleBases[kind], size)
}

// prefetched decodes PRFM and PRFUM, which do nothing: they have no write-back
// and no unprivileged form.
func prefetched(w uint32) (Op, bool) {
	if w>>24&1 == 1 {
		return Op{Code: OpNOP}, true
	}
	if w>>21&1 == 1 {
		return Op{Code: OpNOP}, bits(w, 11, 10) == 2 && w>>14&1 == 1
	}
	return Op{Code: OpNOP}, bits(w, 11, 10) == 0
}

// addressed adds the address to op: base is its first row, scale the log2 of
// the access size.
func addressed(w uint32, op Op, base uint16, scale uint32) (Op, bool) {
	op.Code, op.Rn = base, SP(w>>5)
	if w>>24&1 == 1 {
		op.Imm = uint64(bits(w, 21, 10)) << scale
		return op, true
	}
	if w>>21&1 == 1 {
		return indexed(w, op, scale)
	}
	op.Imm = sext(uint64(bits(w, 20, 12)), 9)
	switch bits(w, 11, 10) {
	case 1:
		op.Code += modePost
	case 2:
		op.Code = unprivileged[base]
		return op, op.Code != 0
	case 3:
		op.Code += modePre
	}
	return op, true
}

// unprivileged gives the LDTR and STTR rows; vector registers have none.
var unprivileged = map[uint16]uint16{
	OpSTRB: OpSTRBUser, OpSTRH: OpSTRHUser, OpSTRW: OpSTRWUser, OpSTRX: OpSTRXUser,
	OpLDRB: OpLDRBUser, OpLDRH: OpLDRHUser, OpLDRW: OpLDRWUser, OpLDRX: OpLDRXUser,
	OpLDRSB32: OpLDRSB32User, OpLDRSB64: OpLDRSB64User,
	OpLDRSH32: OpLDRSH32User, OpLDRSH64: OpLDRSH64User, OpLDRSW: OpLDRSWUser,
}

// indexed decodes a register offset.
func indexed(w uint32, op Op, scale uint32) (Op, bool) {
	if bits(w, 11, 10) != 2 {
		return Op{}, false
	}
	op.Rm = ZR(w >> 16)
	if w>>12&1 == 1 {
		op.Sh = uint8(scale)
	}
	switch bits(w, 15, 13) {
	case 2:
		op.Code += modeRUW
	case 3, 7:
		op.Code += modeRX
	case 6:
		op.Code += modeRSW
	default:
		return Op{}, false
	}
	return op, true
}

// Values of Cond in OpLSE: the operation.
const (
	LSEAdd  = 0
	LSEClr  = 1
	LSEEor  = 2
	LSESet  = 3
	LSESMax = 4
	LSESMin = 5
	LSEUMax = 6
	LSEUMin = 7
	LSESwap = 8
)

// atomicOp decodes LDADD and its like, and SWP: Sh is the log2 of the size,
// Cond one of LSEAdd and so on, Rm the operand, Rd takes the old value.
func atomicOp(w uint32) (Op, bool) {
	op := Op{Code: OpLSE, Rd: W(w), Rn: SP(w >> 5), Rm: ZR(w >> 16), Sh: uint8(w >> 30), Cond: uint8(bits(w, 15, 12))}
	return op, op.Cond <= LSESwap // above: LDAPR, 64-byte accesses
}

// exclusive decodes exclusive, ordered and compare-and-swap accesses.
func exclusive(w uint32) (Op, bool) {
	size, o2, load, o1, o0 := w>>30, w>>23&1, w>>22&1, w>>21&1, w>>15&1
	switch {
	case o2 == 0 && (o1 == 0 || size >= 2):
		return exclusiveAccess(w, size, load, o1)
	case o2 == 0:
		return compareAndSwapPair(w)
	case o1 == 0 && o0 == 1:
		return ordered(w, size, load)
	case o1 == 1:
		op := Op{Code: OpCAS, Rd: ZR(w), Rn: SP(w >> 5), Rm: W(w >> 16), Ra: ZR(w >> 16), Sh: uint8(size)}
		return op, bits(w, 14, 10) == 31
	}
	return Op{}, false // LDLAR and STLLR: limited ordering regions
}

// Bits of Cond in OpLDX and OpSTX.
const (
	ExclusivePair    = 1
	ExclusiveOrdered = 2 // load-acquire or store-release
)

// exclusiveAccess decodes LDXR and STXR with their pairs: Sh is the log2 of the
// size of one register, Rd and Ra the data, Rm the status.
func exclusiveAccess(w, size, load, pair uint32) (Op, bool) {
	op := Op{Rn: SP(w >> 5), Sh: uint8(size), Cond: uint8(pair | w>>15&1<<1)}
	if load == 1 {
		op.Code, op.Rd, op.Ra = OpLDX, W(w), W(w>>10)
	} else {
		op.Code, op.Rd, op.Ra, op.Rm = OpSTX, ZR(w), ZR(w>>10), W(w>>16)
	}
	return op, true
}

func compareAndSwapPair(w uint32) (Op, bool) {
	op := Op{Code: OpCASP, Rd: uint8(w & 31), Rn: SP(w >> 5), Rm: uint8(bits(w, 20, 16)), Sh: uint8(2 + w>>30&1)}
	return op, w>>31 == 0 && bits(w, 14, 10) == 31 && op.Rd&1 == 0 && op.Rm&1 == 0
}

// ordered decodes LDAR and STLR.
func ordered(w, size, load uint32) (Op, bool) {
	if load == 1 {
		return Op{Code: [4]uint16{OpLDARB, OpLDARH, OpLDARW, OpLDARX}[size], Rd: W(w), Rn: SP(w >> 5)}, true
	}
	return Op{Code: [4]uint16{OpSTLRB, OpSTLRH, OpSTLRW, OpSTLRX}[size], Rd: ZR(w), Rn: SP(w >> 5)}, true
}

// Structure describes a LD1 to LD4 or ST1 to ST4, packed into Imm2 of OpVLD and
// OpVST by Pack. Rd is the first register; Imm is added to the base afterwards when
// Rm is the zero register and Back is set, else Rm is.
type Structure struct {
	Regs   uint8 // registers in one structure, or of LD1 and ST1 in all: 1 to 4
	Inter  bool  // elements are interleaved
	Size   uint8 // log2 of the element's bytes
	Q      bool  // 128-bit registers
	Single bool  // one lane, Lane
	Lane   uint8
	Repl   bool // LD1R to LD4R: one element to all lanes
	Back   bool // write-back
}

// Pack puts s into a word, from which UnpackStructure takes it.
func (s Structure) Pack() uint64 {
	v := uint64(s.Regs) | uint64(s.Size)<<8 | uint64(s.Lane)<<16
	for k, b := range []bool{s.Inter, s.Q, s.Single, s.Repl, s.Back} {
		if b {
			v |= 1 << (24 + k)
		}
	}
	return v
}

// UnpackStructure is the inverse of Pack.
func UnpackStructure(v uint64) Structure {
	flag := func(k uint) bool { return v>>(24+k)&1 == 1 }
	return Structure{uint8(v), flag(0), uint8(v >> 8), flag(1), flag(2), uint8(v >> 16), flag(3), flag(4)}
}

// vectorStructure decodes LD1 to LD4 and ST1 to ST4 in all forms.
func vectorStructure(w uint32) (Op, bool) {
	back := w>>23&1 == 1
	if w>>31 == 1 || !back && bits(w, 20, 16) != 0 {
		return Op{}, false
	}
	s := Structure{Q: w>>30&1 == 1, Back: back}
	ok := false
	if w>>24&1 == 0 {
		ok = w>>21&1 == 0 && multipleStructures(w, &s)
	} else {
		ok = singleStructure(w, &s)
	}
	op := Op{Code: OpVST, Rd: uint8(w & 31), Rn: SP(w >> 5), Rm: zrIndex, Imm2: s.Pack()}
	if w>>22&1 == 1 {
		op.Code = OpVLD
	}
	if rm := bits(w, 20, 16); back && rm != 31 {
		op.Rm = ZR(rm)
	} else if back {
		op.Imm = s.Bytes()
	}
	return op, ok
}

// Bytes is how much memory the structure takes.
func (s Structure) Bytes() uint64 {
	if s.Single || s.Repl {
		return uint64(s.Regs) << s.Size
	}
	if s.Q {
		return uint64(s.Regs) * 16
	}
	return uint64(s.Regs) * 8
}

func multipleStructures(w uint32, s *Structure) bool {
	s.Size = uint8(bits(w, 11, 10))
	switch bits(w, 15, 12) {
	case 0:
		s.Regs, s.Inter = 4, true
	case 2:
		s.Regs = 4
	case 4:
		s.Regs, s.Inter = 3, true
	case 6:
		s.Regs = 3
	case 7:
		s.Regs = 1
	case 8:
		s.Regs, s.Inter = 2, true
	case 10:
		s.Regs = 2
	default:
		return false
	}
	return !s.Inter || s.Size < 3 || s.Q
}

func singleStructure(w uint32, s *Structure) bool {
	opcode, size, load := bits(w, 15, 13), bits(w, 11, 10), w>>22&1 == 1
	bitS := w >> 12 & 1
	s.Regs = uint8(opcode&1<<1|w>>21&1) + 1
	if opcode >= 6 {
		s.Repl, s.Size = true, uint8(size)
		return load && bitS == 0
	}
	s.Single = true
	q := w >> 30 & 1
	switch opcode >> 1 {
	case 0:
		s.Lane = uint8(q<<3 | bitS<<2 | size)
		return true
	case 1:
		s.Size, s.Lane = 1, uint8(q<<2|bitS<<1|size>>1)
		return size&1 == 0
	}
	if size == 1 {
		s.Size, s.Lane = 3, uint8(q)
		return bitS == 0
	}
	s.Size, s.Lane = 2, uint8(q<<1|bitS)
	return size == 0
}
