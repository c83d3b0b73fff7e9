package soft_test

import (
	"fmt"
	"math/bits"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// A basic is one instruction with X1 to X3 and NZCV before it, and what X0,
// all ones before, and NZCV must be after.
type basic struct {
	text          string
	word          uint32
	x1, x2, x3    uint64
	nzcv          uint64
	want, wantCon uint64 // X0 and NZCV
}

func (b basic) run(t *testing.T, m *bench) {
	t.Helper()
	for r, v := range map[hv.Reg]uint64{hv.X0: ^uint64(0), hv.X0 + 1: b.x1, hv.X0 + 2: b.x2, hv.X0 + 3: b.x3} {
		m.reg(t, r, v)
	}
	if left := m.atWithFlags(t, b.nzcv, b.word); left != 0xfff {
		t.Errorf("%s: left by %#x", b.text, left)
		return
	}
	x0, nzcv := m.x(t, hv.X0), m.x(t, hv.CPSR)>>28
	if x0 != b.want || nzcv != b.wantCon {
		t.Errorf("%s of %#x %#x %#x, NZCV %04b: %#x, NZCV %04b; want %#x, %04b",
			b.text, b.x1, b.x2, b.x3, b.nzcv, x0, nzcv, b.want, b.wantCon)
	}
}

const (
	lowest   = 1 << 63
	lowest32 = 1 << 31
	ones     = ^uint64(0)
)

// TestUpperHalvesAreZeroed is mistake 2: what has a 32-bit destination writes all
// 64 bits of it.
func TestUpperHalvesAreZeroed(t *testing.T) {
	m := newGuest(t, pageEL1, pageEL1)
	for _, b := range []basic{
		{text: "add w0, w1, w2", word: 0x0b020020, x1: ones, x2: 2, want: 1},
		{text: "sub w0, w1, w2", word: 0x4b020020, x1: 0, x2: 1, want: 0xffffffff},
		{text: "mvn w0, w2", word: 0x2a2203e0, x2: 0, want: 0xffffffff},
		{text: "mov w0, #-1", word: 0x12800000, want: 0xffffffff},
		{text: "movk w0, #1", word: 0x72800020, want: 0xffff0001},
		{text: "csel w0, w1, w2, eq", word: 0x1a820020, x1: ones, x2: ones - 1, want: 0xfffffffe},
		{text: "csinv w0, w1, w2, eq", word: 0x5a820020, x2: 0, want: 0xffffffff},
		{text: "bfxil w0, w1, #4, #8", word: 0x33042c20, x1: 0, want: 0xffffff00},
		{text: "sbfx w0, w1, #4, #4", word: 0x13041c20, x1: 0x80, want: 0xfffffff8},
		{text: "ror w0, w1, #1", word: 0x13810420, x1: 1, want: 0x80000000},
		{text: "lsl w0, w1, w2", word: 0x1ac22020, x1: ones, x2: 36, want: 0xfffffff0},
		{text: "asr w0, w1, w2", word: 0x1ac22820, x1: lowest32, x2: 31, want: 0xffffffff},
		{text: "clz w0, w1", word: 0x5ac01020, x1: 0xffffffff_00000000, want: 32},
		{text: "rev w0, w1", word: 0x5ac00820, x1: 0x1122334455667788, want: 0x88776655},
		{text: "madd w0, w1, w2, w3", word: 0x1b020c20, x1: ones, x2: ones, x3: ones, want: 0},
		{text: "sdiv w0, w1, w2", word: 0x1ac20c20, x1: 0xfffffffe, x2: 1, want: 0xfffffffe},
		{text: "crc32b w0, w1, w2", word: 0x1ac24020, x1: ones, x2: 0, want: 0x2dfd1072},
	} {
		b.run(t, m)
	}
	load := newGuest(t, pageEL1, pageEL1)
	copy(load.ram[dataPage-ramBase:], "\x80\x90\xa0\xb0\xc0\xd0\xe0\xf0")
	for _, b := range []basic{
		{text: "ldr w0, [x1]", word: 0xb9400020, x1: window, want: 0xb0a09080},
		{text: "ldrsb w0, [x1]", word: 0x39c00020, x1: window, want: 0xffffff80},
		{text: "ldrsh w0, [x1]", word: 0x79c00020, x1: window, want: 0xffff9080},
		{text: "ldrsw x0, [x1]", word: 0xb9800020, x1: window, want: 0xffffffffb0a09080},
		{text: "ldxr w0, [x1]", word: 0x885f7c20, x1: window, want: 0xb0a09080},
	} {
		b.run(t, load)
	}
}

// TestBitmaskImmediates is mistake 3: every N:immr:imms of both widths gives the
// pattern that the manual's definition does, or is undefined.
func TestBitmaskImmediates(t *testing.T) {
	m := newGuest(t, pageEL1, pageEL1)
	for _, width := range []uint{32, 64} {
		for field := range uint32(1 << 13) {
			n, immr, imms := field>>12, field>>6&63, field&63
			word := 0x320003e0 | field<<10 // orr x0, xzr, #imm
			if width == 64 {
				word |= 1 << 31
			}
			text := fmt.Sprintf("orr of %d bits, N %d immr %d imms %d", width, n, immr, imms)
			want, ok := bitmask(n, immr, imms, width)
			if !ok {
				if left := m.at(t, word); left != 0x200 || arm64.EC(m.get(t, arm64.ESR_EL1)) != arm64.ECUnknown {
					t.Fatalf("%s left by %#x, want an undefined instruction", text, left)
				}
				continue
			}
			basic{text: text, word: word, want: want}.run(t, m)
			if t.Failed() {
				return
			}
		}
	}
	for _, b := range []basic{
		{text: "extr x0, x1, x2, #0", word: 0x93c20020, x1: 5, x2: 7, want: 7},
		{text: "extr x0, x1, x2, #63", word: 0x93c2fc20, x1: 1, x2: lowest, want: 3},
		{text: "lsl x0, x1, x2", word: 0x9ac22020, x1: 3, x2: 65, want: 6},
		{text: "ror w0, w1, w2", word: 0x1ac22c20, x1: 1, x2: 33, want: lowest32},
		{text: "add x0, x1, x2, asr #63", word: 0x8b82fc20, x1: 1, x2: lowest, want: 0},
		{text: "lsr w0, w1, #31", word: 0x531f7c20, x1: ones, want: 1},
	} {
		b.run(t, m)
	}
}

// bitmask is the manual's definition (Arm ARM, DecodeBitMasks) bit by bit: an
// element of 2 to 64 bits, imms+1 of them ones, rotated right by immr, repeated.
func bitmask(n, immr, imms uint32, width uint) (pattern uint64, ok bool) {
	size := uint(1) << max(bits.Len32(n<<6|^imms&63)-1, 0)
	set := uint(imms) & (size - 1)
	if size < 2 || size > width || set == size-1 {
		return 0, false
	}
	for bit := range width {
		if (bit+uint(immr))%size <= set {
			pattern |= 1 << bit
		}
	}
	return pattern, true
}

// TestCarriesAndConditions is mistake 4: C is not-borrow after a subtraction, and
// a conditional comparison whose condition fails takes its own flags.
func TestCarriesAndConditions(t *testing.T) {
	const n, z, c, v = 8, 4, 2, 1
	m := newGuest(t, pageEL1, pageEL1)
	for _, b := range []basic{
		{text: "adds x0, x1, x2", word: 0xab020020, x1: ones, x2: 1, want: 0, wantCon: z | c},
		{text: "adds x0, x1, x2", word: 0xab020020, x1: lowest - 1, x2: 1, want: lowest, wantCon: n | v},
		{text: "subs x0, x1, x2", word: 0xeb020020, x1: 1, x2: 1, want: 0, wantCon: z | c},
		{text: "subs x0, x1, x2", word: 0xeb020020, x1: 0, x2: 1, want: ones, wantCon: n},
		{text: "subs x0, x1, x2", word: 0xeb020020, x1: lowest, x2: 1, want: lowest - 1, wantCon: c | v},
		{text: "subs w0, w1, w2", word: 0x6b020020, x1: lowest32, x2: 1, want: lowest32 - 1, wantCon: c | v},
		{text: "adc x0, x1, x2", word: 0x9a020020, x1: 1, x2: 2, nzcv: c, want: 4, wantCon: c},
		{text: "adcs x0, x1, x2", word: 0xba020020, x1: ones, x2: ones, nzcv: c, want: ones, wantCon: n | c},
		{text: "sbc x0, x1, x2", word: 0xda020020, x1: 5, x2: 2, want: 2},
		{text: "sbc x0, x1, x2", word: 0xda020020, x1: 5, x2: 2, nzcv: c, want: 3, wantCon: c},
		{text: "sbcs x0, x1, x2", word: 0xfa020020, x1: 0, x2: 0, want: ones, wantCon: n},
		{text: "ngcs w0, w2", word: 0x7a0203e0, x2: 0, nzcv: c, want: 0, wantCon: z | c},
		{text: "ccmp x1, x2, #5, eq", word: 0xfa420025, x1: 1, x2: 1, want: ones, wantCon: 5},
		{text: "ccmp x1, x2, #5, ne", word: 0xfa421025, x1: 1, x2: 1, want: ones, wantCon: z | c},
		{text: "ccmn x1, #1, #10, eq", word: 0xba41082a, x1: ones, nzcv: z, want: ones, wantCon: z | c},
		{text: "ccmn x1, #1, #10, eq", word: 0xba41082a, x1: ones, want: ones, wantCon: 10},
		{text: "ands x0, x1, x2", word: 0xea020020, x1: lowest, x2: ones, nzcv: c | v, want: lowest, wantCon: n},
		{text: "cset x0, al as csinc nv", word: 0x9a9ff7e0, want: 0},
		{text: "fcmp d0, #0.0", word: 0x1e602008, want: ones, wantCon: z | c},
	} {
		b.run(t, m)
	}
	m.reg(t, hv.X0+1, 0x7ff8_0000_0000_0000)
	if left := m.atWithFlags(t, n, 0x9e670021, 0x1e602028); left != 0xfff || m.x(t, hv.CPSR)>>28 != c|v {
		t.Errorf("fcmp d1 of a NaN with 0: left by %#x, NZCV %04b; want %04b", left, m.x(t, hv.CPSR)>>28, c|v)
	}
}

// TestDivisionsAndHighProducts is mistake 5.
func TestDivisionsAndHighProducts(t *testing.T) {
	m := newGuest(t, pageEL1, pageEL1)
	for _, b := range []basic{
		{text: "sdiv x0, x1, x2", word: 0x9ac20c20, x1: lowest, x2: ones, want: lowest},
		{text: "sdiv w0, w1, w2", word: 0x1ac20c20, x1: lowest32, x2: 0xffffffff, want: lowest32},
		{text: "sdiv x0, x1, x2", word: 0x9ac20c20, x1: 7, x2: 0, want: 0},
		{text: "udiv x0, x1, x2", word: 0x9ac20820, x1: 7, x2: 0, want: 0},
		{text: "udiv w0, w1, w2", word: 0x1ac20820, x1: 7, x2: 1 << 32, want: 0},
		{text: "sdiv x0, x1, x2", word: 0x9ac20c20, x1: ones - 6, x2: 2, want: ones - 2},
		{text: "udiv x0, x1, x2", word: 0x9ac20820, x1: ones, x2: lowest, want: 1},
		{text: "smulh x0, x1, x2", word: 0x9b427c20, x1: ones, x2: ones, want: 0},
		{text: "smulh x0, x1, x2", word: 0x9b427c20, x1: lowest, x2: lowest, want: 1 << 62},
		{text: "umulh x0, x1, x2", word: 0x9bc27c20, x1: ones, x2: ones, want: ones - 1},
		{text: "smull x0, w1, w2", word: 0x9b227c20, x1: 0xffffffff, x2: 1<<32 | 5, want: ones - 4},
		{text: "umaddl x0, w1, w2, x3", word: 0x9ba20c20, x1: ones, x2: ones, x3: 1, want: 0xfffffffe_00000002},
		{text: "smsubl x0, w1, w2, x3", word: 0x9b228c20, x1: 0xffffffff, x2: 1, x3: 0, want: 1},
	} {
		b.run(t, m)
	}
}
