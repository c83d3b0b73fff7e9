package isa

import (
	"math/rand/v2"
	"testing"
)

const testPC = 0x4008_0ffc

// checkOp holds an operation to what the executor relies on.
func checkOp(t *testing.T, w uint32, op Op) {
	t.Helper()
	if op.Code >= NumOps {
		t.Fatalf("%08x: code %d does not exist", w, op.Code)
	}
	if Name(op.Code) == "" {
		t.Fatalf("%08x: code %d has no name", w, op.Code)
	}
	if op.Code == OpCUT {
		t.Fatalf("%08x decodes to CUT, which is no instruction", w)
	}
	if AttrOf(op.Code)&FP != 0 {
		return // registers are vectors there, or both
	}
	for _, r := range []uint8{op.Rd, op.Rn, op.Rm, op.Ra} {
		if r > spIndex {
			t.Fatalf("%08x (%s): register index %d", w, Name(op.Code), r)
		}
	}
}

// FuzzDecode: any word decodes, and always alike. Words in a row are tried for
// each input, so that a short run covers much.
func FuzzDecode(f *testing.F) {
	for _, w := range []uint32{0, ^uint32(0), 0xd503201f, 0xf9400000, 0x9b020021, 0x4e208400, 0x1e602820, 0x0c402000} {
		f.Add(w, uint64(testPC))
	}
	f.Fuzz(func(t *testing.T, w uint32, pc uint64) {
		for k := range uint32(64) {
			w := w ^ k*0x0404_1041
			op := Decode(w, pc)
			checkOp(t, w, op)
			if again := Decode(w, pc); again != op {
				t.Fatalf("%08x decodes to %+v and to %+v", w, op, again)
			}
		}
	})
}

// TestRandomWordsDecode is FuzzDecode's promise for a million words.
func TestRandomWordsDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 1_000_000 {
		w := r.Uint32()
		checkOp(t, w, Decode(w, testPC))
	}
}

// TestEveryOperationIsReached: a row that no word decodes to is dead, but for
// those that block building makes.
func TestEveryOperationIsReached(t *testing.T) {
	made := map[uint16]bool{OpCUT: true, OpFPTRAP: true, OpMRSMEM: true, OpMSRMEM: true}
	for _, code := range fusedOps {
		made[code] = true
	}
	var seen [NumOps]bool
	r := rand.New(rand.NewPCG(3, 4))
	for range 4_000_000 {
		seen[Decode(r.Uint32(), testPC).Code] = true
	}
	for range 1_000_000 { // sparse: one source, scalar floating point, vector reductions, AES and SHA
		w := r.Uint32()
		seen[Decode(0x5ac00000|w&0x80003fff, testPC).Code] = true
		seen[Decode(0x1e204000|w&0x80df83ff, testPC).Code] = true
		seen[Decode(0x1e200000|w&0x80dfffff, testPC).Code] = true
		seen[Decode(0x0e300800|w&0x70c1f3ff, testPC).Code] = true
		seen[Decode(0x4e280800|w&0x1000f3ff, testPC).Code] = true
		seen[Decode(0x0e200800|w&0x70c1f3ff, testPC).Code] = true
		seen[Decode(0x0e790800|w&0x7080f3ff, testPC).Code] = true
	}
	for w := uint32(0xd5000000); w < 0xd5400000; w += 3 { // system: sparse
		seen[Decode(w, testPC).Code] = true
	}
	for n := range uint32(32) {
		for _, w := range []uint32{0xd503201f, 0xd503301f, 0xd500401f, 0xd503401f} {
			for crm := range uint32(16) {
				seen[Decode(w|n&7<<5|crm<<8, testPC).Code] = true
			}
		}
		for _, enc := range []uint32{sysNZCV, sysDAIF, sysFPCR, sysFPSR, sysSPEL0, sysDCZVA} {
			seen[Decode(0xd5000000|enc<<5|n, testPC).Code] = true
			seen[Decode(0xd5200000|enc<<5|n, testPC).Code] = true
		}
	}
	for _, w := range []uint32{0xd69f03e0, 0xd61f0000, 0xd63f0000} { // branches to registers: sparse
		seen[Decode(w, testPC).Code] = true
	}
	for code, ok := range seen {
		if !ok && !made[uint16(code)] {
			t.Errorf("no word decodes to %s", Name(uint16(code)))
		}
	}
}

// TestUnallocatedWordsAreUndefined names encodings that a careless decoder
// takes (mistakes 3 and 23 of the engine's list).
func TestUnallocatedWordsAreUndefined(t *testing.T) {
	words := []struct {
		name string
		w    uint32
	}{
		{"and w0, w1 with N set", 0x12400020},
		{"logical immediate of all ones", 0x9240fc20},
		{"sbfm with N unlike sf", 0x13400020},
		{"ubfm w with immr 32", 0x53200020},
		{"movz w with shift 32", 0x52c00020},
		{"movn variant 1", 0x32800020},
		{"extr with N unlike sf", 0x13c20020},
		{"add shifted with ROR", 0x8bc20420},
		{"add w shifted by 32", 0x0b028020},
		{"add extended by 5", 0x8b225420},
		{"ldp x with opc 3", 0xe9400000&^(1<<26) | 3<<30},
		{"ldnp sign-extending", 0x68400020},
		{"casp with an odd register", 0x48217c42},
		{"ldapr: not offered", 0xb8bfc020},
		{"ldtr of a vector", 0x3c400820},
		{"hlt: no halting debug", 0xd4400000},
		{"dcps1", 0xd4a00001},
		{"sb: not offered", 0xd50330ff},
		{"msr pan: not offered", 0xd500409f},
		{"cfinv: not offered", 0xd500401f},
		{"sysl", 0xd5280000},
		{"drps", 0xd6bf03e0},
		{"braa: pointer authentication", 0xd71f0801},
		{"rmif: not offered", 0xba000400},
		{"irg: memory tagging", 0x9adf1020},
		{"ld1 of reserved opcode", 0x0c401000},
		{"ld2 of one doubleword", 0x0c408c00},
		{"crc32x with sf 0", 0x1ac24c20},
		{"rev64 w", 0x5ac00c20},
	}
	for _, tt := range words {
		if op := Decode(tt.w, testPC); op.Code != OpUNDEF {
			t.Errorf("%s (%08x) decodes to %s", tt.name, tt.w, Name(op.Code))
		}
	}
}

// TestRegister31 is mistake 1: which instructions take SP for register 31.
func TestRegister31(t *testing.T) {
	words := []struct {
		name   string
		w      uint32
		rd, rn uint8
	}{
		{"add sp, sp, #0", 0x910003ff, spIndex, spIndex},
		{"adds xzr, sp, #0 (cmn)", 0xb10003ff, sinkIndex, spIndex},
		{"add xzr, xzr, xzr", 0x8b1f03ff, sinkIndex, zrIndex},
		{"add sp, sp, wzr, uxtw", 0x8b3f43ff, spIndex, spIndex},
		{"subs xzr, sp, xzr, uxtx (cmp)", 0xeb3f63ff, sinkIndex, spIndex},
		{"and sp, xzr, #1", 0x924003ff, spIndex, zrIndex},
		{"ands xzr, xzr, #1 (tst)", 0xf24003ff, sinkIndex, zrIndex},
		{"ldr xzr, [sp]", 0xf94003ff, sinkIndex, spIndex},
		{"str xzr, [sp]", 0xf90003ff, zrIndex, spIndex},
		{"csel xzr, xzr, x0, eq", 0x9a8003ff, sinkIndex, zrIndex},
		{"ldxr xzr, [sp]", 0xc85f7fff, sinkIndex, spIndex},
		{"ldadd x0, xzr, [sp]", 0xf82003ff, sinkIndex, spIndex},
	}
	for _, tt := range words {
		if op := Decode(tt.w, testPC); op.Rd != tt.rd || op.Rn != tt.rn {
			t.Errorf("%s: Rd %d, Rn %d, want %d, %d (%s)", tt.name, op.Rd, op.Rn, tt.rd, tt.rn, Name(op.Code))
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	var words [4096]uint32
	for k := range words {
		words[k] = r.Uint32()
	}
	for k := 0; b.Loop(); k++ {
		Decode(words[k%len(words)], testPC)
	}
}
