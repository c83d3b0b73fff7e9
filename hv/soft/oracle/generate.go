package oracle

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// Registers that memory and branch instructions of a vector use, so that they
// hit something: X28 and SP point into the window, X27 is a small index, X26
// points at the vector's code.
const (
	regCode  = 26
	regIndex = 27
	regBase  = 28
)

// A class is an encoding group of A64: the bits of value are fixed, the others
// random, save what fix changes.
type class struct {
	name  string
	value uint32
	mask  uint32
	fix   func(r *rand.Rand, w uint32, at int) uint32
	cpu   string // BaseCPU if empty
}

// Classes are the groups of the Arm ARM's C4.1 that EL0 can use, some twice: at
// large, where most words are unallocated, and with the bits that make them
// defined.
var classes = []class{
	// Data processing, immediate.
	{name: "pc-rel", value: 0x10000000, mask: 0x1f000000},
	{name: "add-sub-imm", value: 0x11000000, mask: 0x1f800000},
	{name: "logical-imm", value: 0x12000000, mask: 0x1f800000},
	{name: "move-wide", value: 0x12800000, mask: 0x1f800000},
	{name: "bitfield", value: 0x13000000, mask: 0x1f800000},
	{name: "bitfield-64", value: 0x93400000, mask: 0x9fc00000},
	{name: "extract", value: 0x13800000, mask: 0x1f800000},
	{name: "extract-64", value: 0x93c00000, mask: 0xffe00000},
	// Data processing, register.
	{name: "logical-shifted", value: 0x0a000000, mask: 0x1f000000},
	{name: "add-sub-shifted", value: 0x0b000000, mask: 0x1f200000},
	{name: "add-sub-extended", value: 0x0b200000, mask: 0x1fe00000},
	{name: "add-sub-carry", value: 0x1a000000, mask: 0x1fe0fc00},
	{name: "cond-compare", value: 0x3a400000, mask: 0x3fe00410},
	{name: "cond-select", value: 0x1a800000, mask: 0x3fe00800},
	{name: "one-source", value: 0x5ac00000, mask: 0x7fffe000},
	{name: "two-source", value: 0x1ac00000, mask: 0x7fe0c000},
	{name: "two-source-any", value: 0x1ac00000, mask: 0x5fe00000},
	{name: "crc32", value: 0x1ac04000, mask: 0x7fe0e000},
	{name: "crc32x", value: 0x9ac04c00, mask: 0xffe0ec00},
	{name: "three-source", value: 0x1b000000, mask: 0x1f000000},
	{name: "three-source-defined", value: 0x9b000000, mask: 0xff400000},
	{name: "register-any", value: 0x0a000000, mask: 0x0e000000},
	// Branches.
	{name: "branch", value: 0x14000000, mask: 0x7c000000, fix: branch26},
	{name: "branch-cond", value: 0x54000000, mask: 0xff000010, fix: branch19},
	{name: "compare-branch", value: 0x34000000, mask: 0x7e000000, fix: branch19},
	{name: "test-branch", value: 0x36000000, mask: 0x7e000000, fix: branch14},
	{name: "branch-register", value: 0xd61f0000, mask: 0xff9ffc1f, fix: rnCode},
	// System.
	{name: "hint", value: 0xd503201f, mask: 0xfffff01f, fix: noWFx},
	{name: "barrier", value: 0xd503309f, mask: 0xfffff09f},
	{name: "fp-control", value: 0xd51b4400, mask: 0xffdfffc0},
	{name: "nzcv", value: 0xd51b4200, mask: 0xffdfffe0},
	// Loads and stores.
	{name: "load-literal", value: 0x18000000, mask: 0x3b000000, fix: literal},
	{name: "pair-no-allocate", value: 0x28000000, mask: 0x3b800000, fix: distinct},
	{name: "pair-post", value: 0x28800000, mask: 0x3b800000, fix: distinct},
	{name: "pair-offset", value: 0x29000000, mask: 0x3b800000, fix: distinct},
	{name: "pair-pre", value: 0x29800000, mask: 0x3b800000, fix: distinct},
	{name: "unscaled", value: 0x38000000, mask: 0x3b200c00, fix: rnBase},
	{name: "post-index", value: 0x38000400, mask: 0x3b200c00, fix: distinct},
	{name: "unprivileged", value: 0x38000800, mask: 0x3b200c00, fix: rnBase},
	{name: "pre-index", value: 0x38000c00, mask: 0x3b200c00, fix: distinct},
	{name: "register-offset", value: 0x38200800, mask: 0x3b200c00, fix: rnBaseRmIndex},
	{name: "unsigned-offset", value: 0x39000000, mask: 0x3b200000, fix: rnBaseNear},
	{name: "exclusive", value: 0x08000000, mask: 0x3fa00000, fix: exclusive},
	{name: "exclusive-pair", value: 0x88200000, mask: 0xbfa00000, fix: exclusive},
	{name: "ordered", value: 0x08808000, mask: 0x3fa08000, fix: exclusive},
	{name: "simd-multiple", value: 0x0c000000, mask: 0xbfbf0000, fix: rnBase},
	{name: "simd-multiple-post", value: 0x0c800000, mask: 0xbfa00000, fix: rnBaseRmPost},
	{name: "simd-single", value: 0x0d000000, mask: 0xbf9f0000, fix: rnBase},
	{name: "simd-single-post", value: 0x0d800000, mask: 0xbf800000, fix: rnBaseRmPost},
	// Floating point.
	{name: "fp-integer", value: 0x1e200000, mask: 0x7f20fc00},
	{name: "fp-fixed", value: 0x1e000000, mask: 0x7f200000},
	{name: "fp-one-source", value: 0x1e204000, mask: 0xff207c00},
	{name: "fp-one-source-double", value: 0x1e604000, mask: 0xffe07c00},
	{name: "fp-compare", value: 0x1e202000, mask: 0xffa0fc07},
	{name: "fp-immediate", value: 0x1e201000, mask: 0xffa01fe0},
	{name: "fp-cond-compare", value: 0x1e200400, mask: 0xffa00c00},
	{name: "fp-two-source", value: 0x1e200800, mask: 0xffa00c00},
	{name: "fp-cond-select", value: 0x1e200c00, mask: 0xffa00c00},
	{name: "fp-three-source", value: 0x1f000000, mask: 0xff800000},
	{name: "fp-any", value: 0x1e000000, mask: 0x7e000000},
	// Advanced SIMD.
	{name: "simd-three-same", value: 0x0e200400, mask: 0x9f200400},
	{name: "simd-three-same-fp", value: 0x0e20c400, mask: 0x9f20c400},
	{name: "simd-three-different", value: 0x0e200000, mask: 0x9f200c00},
	{name: "simd-two-reg-misc", value: 0x0e200800, mask: 0x9f3e0c00},
	{name: "simd-two-reg-fp", value: 0x0e218800, mask: 0x9f3f8c00},
	{name: "simd-across", value: 0x0e300800, mask: 0x9f3e0c00},
	{name: "simd-copy", value: 0x0e000400, mask: 0x9fe08400},
	{name: "simd-immediate", value: 0x0f000400, mask: 0x9ff80c00},
	{name: "simd-shift-imm", value: 0x0f000400, mask: 0x9f800400},
	{name: "simd-indexed", value: 0x0f000000, mask: 0x9f000400, fix: noRDM},
	{name: "simd-table", value: 0x0e000000, mask: 0xbfe08c00},
	{name: "simd-permute", value: 0x0e000800, mask: 0xbf208c00},
	{name: "simd-extract", value: 0x2e000000, mask: 0xbfe08400},
	{name: "scalar-three-same", value: 0x5e200400, mask: 0xdf200400},
	{name: "scalar-three-different", value: 0x5e200000, mask: 0xdf200c00},
	{name: "scalar-two-reg-misc", value: 0x5e200800, mask: 0xdf3e0c00},
	{name: "scalar-two-reg-fp", value: 0x5e218800, mask: 0xdf3f8c00},
	{name: "scalar-pairwise", value: 0x5e300800, mask: 0xdf3e0c00},
	{name: "scalar-copy", value: 0x5e000400, mask: 0xdfe08400},
	{name: "scalar-shift-imm", value: 0x5f000400, mask: 0xdf800400},
	{name: "scalar-indexed", value: 0x5f000000, mask: 0xdf000400, fix: noRDM},
	{name: "simd-any", value: 0x0e000000, mask: 0x8e000000, fix: noRDM},
	// Crypto.
	{name: "aes", value: 0x4e284800, mask: 0xffffcc00},
	{name: "pmull", value: 0x0e20e000, mask: 0xbf20fc00},
	{name: "sha-three", value: 0x5e000000, mask: 0xffe08c00},
	{name: "sha-two", value: 0x5e280800, mask: 0xffffcc00},
	{name: "sha512-three", value: 0xce608000, mask: 0xffe0f000, fix: noRAX1, cpu: MaxCPU},
	{name: "sha512-two", value: 0xcec08000, mask: 0xfffffc00, cpu: MaxCPU},
	// FEAT_RDM.
	{name: "rdm", value: 0x2e008400, mask: 0xbf20f400, cpu: LSECPU},
	{name: "rdm-indexed", value: 0x2f00d000, mask: 0xbf00d400, cpu: LSECPU},
	{name: "rdm-scalar", value: 0x7e008400, mask: 0xff20f400, cpu: LSECPU},
	{name: "rdm-scalar-indexed", value: 0x7f00d000, mask: 0xff00d400, cpu: LSECPU},
	// FEAT_LSE.
	{name: "lse", value: 0x38200000, mask: 0x3f200c00, fix: atomic, cpu: LSECPU},
	{name: "lse-cas", value: 0x08a07c00, mask: 0x3fa07c00, fix: exclusive, cpu: LSECPU},
	{name: "lse-casp", value: 0x08207c00, mask: 0xbfa07c00, fix: exclusive, cpu: LSECPU},
}

// everywhere are classes that mean the same on every model, to surround what
// only some have.
var everywhere = map[string]bool{
	"add-sub-imm": true, "logical-shifted": true, "add-sub-shifted": true, "bitfield-64": true,
	"move-wide": true, "exclusive": true,
}

func setBits(w uint32, lo, width uint, v uint32) uint32 {
	m := uint32(1)<<width - 1
	return w&^(m<<lo) | v&m<<lo
}

// rnBase makes the address register X28 or, one time in eight, SP.
func rnBase(r *rand.Rand, w uint32, _ int) uint32 {
	if r.IntN(8) == 0 {
		return setBits(w, 5, 5, 31)
	}
	return setBits(w, 5, 5, regBase)
}

func rnBaseRmIndex(r *rand.Rand, w uint32, at int) uint32 {
	return setBits(rnBase(r, w, at), 16, 5, regIndex)
}

// rnBaseRmPost picks the post-index forms: by X27 or by an immediate (31).
func rnBaseRmPost(r *rand.Rand, w uint32, at int) uint32 {
	rm := uint32(regIndex)
	if r.IntN(2) == 0 {
		rm = 31
	}
	return setBits(rnBase(r, w, at), 16, 5, rm)
}

// rnBaseNear keeps most unsigned offsets within scratch memory.
func rnBaseNear(r *rand.Rand, w uint32, at int) uint32 {
	w = rnBase(r, w, at)
	if r.IntN(16) == 0 {
		return w
	}
	return setBits(w, 10, 12, uint32(r.IntN(64)))
}

// distinct keeps apart registers whose sameness the architecture leaves
// unpredictable: both destinations of a pair, and the base that is written
// back.
func distinct(r *rand.Rand, w uint32, at int) uint32 {
	w = rnBase(r, w, at)
	if w&31 >= regBase {
		w = setBits(w, 0, 5, uint32(r.IntN(regCode)))
	}
	if w>>27&7 == 5 { // a pair
		w = setBits(w, 10, 5, (w&31+1+uint32(r.IntN(8)))%regCode)
	}
	return w
}

// exclusive mostly sets the should-be-one fields Rs and Rt2, and keeps status
// and data registers apart.
func exclusive(r *rand.Rand, w uint32, at int) uint32 {
	w = rnBase(r, w, at)
	if w>>21&1 == 0 && r.IntN(8) != 0 {
		w = setBits(w, 10, 5, 31)
	}
	if w>>22&1 == 1 && w>>21&1 == 0 && w>>23&1 == 0 {
		w = setBits(w, 16, 5, 31)
	}
	if isCASP(w) {
		w &^= 1<<16 | 1 // odd registers are unallocated
	}
	if w>>16&31 == regBase { // which CAS writes
		w = setBits(w, 16, 5, 12)
	}
	if w>>23&1 == 0 && !isCASP(w) {
		t := w & 31 % 8
		w = setBits(w, 0, 5, t)
		if w>>21&1 == 1 {
			w = setBits(w, 10, 5, t+8)
		}
		if w>>22&1 == 0 {
			w = setBits(w, 16, 5, t+16)
		}
	}
	return w
}

// sameSize gives all exclusives of a vector the size of the first: whether one of
// another size passes the monitor is constrained unpredictable.
func sameSize(words []uint32) {
	const sizes = 3<<30 | 1<<21
	first := -1
	for i, w := range words {
		if !isExclusive(w) {
			continue
		}
		if first < 0 {
			first = i
		}
		words[i] = w&^sizes | words[first]&sizes
		if words[i]>>21&1 == 1 && w>>21&1 == 0 {
			words[i] = setBits(words[i], 10, 5, w&31+8)
		}
	}
}

// noReadBack takes out MRS of FPCR and FPSR where MSR of one stands too: the fields
// of AArch32, which QEMU's models have, would go from there anywhere.
func noReadBack(words []uint32) {
	const value, mask = 0xd51b4400, 0xffffffc0
	const read = 1 << 21
	if !slices.ContainsFunc(words, func(w uint32) bool { return w&mask == value }) {
		return
	}
	for i, w := range words {
		if w&mask == value|read {
			words[i] = nop
		}
	}
}

// isExclusive says whether w is LDXR, STXR, LDXP, STXP or a form with acquire
// or release.
func isExclusive(w uint32) bool { return w&0x3f800000 == 0x08000000 && !isCASP(w) }

// isCASP says whether w is a form of CASP, which lies among the exclusives.
func isCASP(w uint32) bool { return w&0xbfa07c00 == 0x08207c00 }

// atomic excludes LDAPR, which LSECPU has and Armv8.1 has not.
func atomic(r *rand.Rand, w uint32, at int) uint32 {
	w = rnBase(r, w, at)
	if w>>12&0xf >= 9 {
		w = setBits(w, 12, 4, 8) // SWP
	}
	return w &^ (1 << 26)
}

// noRAX1 excludes RAX1, which is of SHA-3 and absent from the engine.
func noRAX1(_ *rand.Rand, w uint32, _ int) uint32 {
	if w>>10&3 == 3 {
		return w &^ (1 << 10)
	}
	return w
}

// noRDM takes from SQRDMLAH and SQRDMLSH, which BaseCPU has not, the bit that tells
// them from others.
func noRDM(_ *rand.Rand, w uint32, _ int) uint32 {
	if w&0xaf20f400 == 0x2e008400 || w&0xaf00d400 == 0x2f00d000 {
		return w &^ (1 << 29)
	}
	return w
}

func rnCode(_ *rand.Rand, w uint32, _ int) uint32 { return setBits(w, 5, 5, regCode) }

// noWFx turns WFE and WFI into NOP: what they wait for differs.
func noWFx(_ *rand.Rand, w uint32, _ int) uint32 {
	if imm := w >> 5 & 0x7f; imm == 2 || imm == 3 {
		return 0xd503201f
	}
	return w
}

// forward is how many words on a branch at word at may go.
func forward(r *rand.Rand, at int) uint32 { return uint32(1 + r.IntN(MaxWords-at)) }

func branch26(r *rand.Rand, w uint32, at int) uint32 { return setBits(w, 0, 26, forward(r, at)) }
func branch19(r *rand.Rand, w uint32, at int) uint32 { return setBits(w, 5, 19, forward(r, at)) }
func branch14(r *rand.Rand, w uint32, at int) uint32 { return setBits(w, 5, 14, forward(r, at)) }

// literal loads from the vector's own code.
func literal(r *rand.Rand, w uint32, _ int) uint32 { return setBits(w, 5, 19, uint32(r.IntN(16))) }

// word makes an instruction of class c at word index at.
func (c *class) word(r *rand.Rand, at int) uint32 {
	w := c.value | r.Uint32()&^c.mask
	if r.IntN(4) != 0 { // most results leave the address registers alone
		free := ^c.mask & 0x1f
		w = w&^free | uint32(r.IntN(regCode))&free
	}
	if c.fix != nil {
		w = c.fix(r, w, at)
	}
	if w&31 == regBase && c.mask&31 == 0 { // else later accesses hit what QEMU's process has there
		w ^= 16
	}
	return w
}

// likely is word, but four times in five one that an independent disassembler
// knows, where it finds one soon: most words of some classes are unallocated.
func (c *class) likely(r *rand.Rand, at int) uint32 {
	w := c.word(r, at)
	if c.cpu != "" || r.IntN(5) == 0 {
		return w
	}
	for range 20 {
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], w)
		if _, err := arm64asm.Decode(b[:]); err == nil {
			break
		}
		w = c.word(r, at)
	}
	return w
}

// A Generator makes vectors of the classes whose names match.
type Generator struct {
	r    *rand.Rand
	base []*class            // of BaseCPU
	more map[string][]*class // of other models
}

// NewGenerator makes the same vectors for the same seed. match says which
// classes to use; nil means all.
func NewGenerator(seed uint64, match func(name string) bool) *Generator {
	g := &Generator{r: rand.New(rand.NewPCG(seed, 0x6f7261636c65)), more: map[string][]*class{}}
	for i := range classes {
		c := &classes[i]
		switch {
		case match != nil && !match(c.name):
		case c.cpu == "":
			g.base = append(g.base, c)
		default:
			g.more[c.cpu] = append(g.more[c.cpu], c)
		}
	}
	return g
}

// Batch makes n vectors for one CPU model, in slots 0 to n-1: mostly the base
// model, now and then (or when no other class was chosen) one of the others.
func (g *Generator) Batch(n int) []*Vector {
	pool, cpu := g.base, BaseCPU
	for _, other := range []string{LSECPU, MaxCPU} {
		if own := g.more[other]; len(own) > 0 && (len(pool) == 0 || g.r.IntN(12) == 0) {
			pool, cpu = g.surround(own), other
		}
	}
	if len(pool) == 0 {
		return nil
	}
	vs := make([]*Vector, n)
	for i := range vs {
		vs[i] = g.vector(i, pool, cpu)
	}
	return vs
}

// surround is the classes of another model, three times, and what may stand
// around them.
func (g *Generator) surround(own []*class) []*class {
	pool := append(append(append([]*class{}, own...), own...), own...)
	for _, c := range g.base {
		if everywhere[c.name] {
			pool = append(pool, c)
		}
	}
	return pool
}

// maxLength is how many instructions of the classes a vector has at most.
const maxLength = 8

// vector makes one: half of them of a single instruction, and half of the longer
// ones of a single class.
func (g *Generator) vector(slot int, pool []*class, cpu string) *Vector {
	r := g.r
	v := &Vector{CPU: cpu, Slot: slot}
	v.Words = g.sequence(pool)
	if r.IntN(4) == 0 {
		v.Words = compareAndBranch(r, v.Words)
	}
	if r.IntN(4) == 0 {
		v.Words = loop(r, v.Words)
	}
	sameSize(v.Words)
	noReadBack(v.Words)
	g.registers(v)
	for i := 0; i < WindowSize; i += 8 {
		binary.LittleEndian.PutUint64(v.Mem[i:], lane(r))
	}
	return v
}

// sequence is the instructions themselves.
func (g *Generator) sequence(pool []*class) (words []uint32) {
	r := g.r
	n, only := 1, pool[r.IntN(len(pool))]
	if r.IntN(2) == 0 {
		n = 2 + r.IntN(maxLength-1)
	}
	mixed := r.IntN(2) == 0
	for at := range n {
		c := only
		if mixed {
			c = pool[r.IntN(len(pool))]
		}
		words = append(words, c.likely(r, at))
	}
	return words
}

// setFlags are instructions that compilers put before B.cond, and that the
// engine may execute together with it.
var setFlags = []class{
	{name: "adds-imm", value: 0x31000000, mask: 0x3f800000},
	{name: "adds", value: 0x2b000000, mask: 0x7fe0fc00},
	{name: "adds-shifted", value: 0x2b000000, mask: 0x3f200000},
	{name: "ands-imm", value: 0x72000000, mask: 0x7fc00000},
	{name: "ands", value: 0x6a000000, mask: 0x7fe0fc00},
}

// compareAndBranch puts a comparison and B.cond somewhere into words.
func compareAndBranch(r *rand.Rand, words []uint32) []uint32 {
	at := r.IntN(len(words) + 1)
	c := &setFlags[r.IntN(len(setFlags))]
	compare := c.word(r, at)
	if r.IntN(2) == 0 {
		compare |= 31 // CMP, CMN, TST
	}
	branch := branch19(r, 0x54000000|uint32(r.IntN(16)), at+1)
	return slices.Insert(words, at, compare, branch)
}

// regCount counts the rounds of a loop.
const regCount = 25

// loop makes words the body of a loop of some rounds, unless they might write
// its counter or branch to a register. The count is taken at the top, which no
// branch of the body leaves out, or with the last branch if the body has none.
func loop(r *rand.Rand, words []uint32) []uint32 {
	branches := false
	for _, w := range words {
		writes := w&31 == regCount || w>>10&31 == regCount || w>>16&31 == regCount || isCASP(w)
		if writes || w&0xfe000000 == 0xd6000000 {
			return words
		}
		branches = branches || w&0x7c000000 == 0x14000000 || w&0xff000000 == 0x54000000 || w&0x7c000000 == 0x34000000
	}
	back := setBits(0, 5, 19, -uint32(len(words)+1))
	start := asm.MovZ(regCount, uint16(2+r.IntN(40)), 0)
	if branches || r.IntN(2) == 0 {
		out := append([]uint32{start, asm.SubImm(regCount, regCount, 1)}, words...)
		return append(out, 0xb5000000|back|regCount) // CBNZ
	}
	out := append([]uint32{start}, words...)
	return append(out, asm.SubsImm(regCount, regCount, 1), 0x54000001|back) // B.NE
}

// registers fills in the state that v starts with.
func (g *Generator) registers(v *Vector) {
	r, s := g.r, &v.Regs
	for i := range s.X {
		s.X[i] = integer(r)
	}
	s.X[regCode] = v.PC() + 4*uint64(MaxWords+r.IntN(MaxWords))
	s.X[regIndex] = uint64(int64(r.IntN(33) - 16))
	s.X[regBase] = address(r)
	s.SP = address(r) &^ 15
	for i := range s.V {
		s.V[i] = lane(r)
	}
	s.NZCV = uint64(r.IntN(16)) << 28
	if r.IntN(2) == 0 {
		s.FPCR = uint64(r.IntN(4))<<22 | uint64(r.IntN(2))<<24 | uint64(r.IntN(2))<<25 | uint64(r.IntN(2))<<26
	}
	if r.IntN(4) == 0 {
		s.FPSR = uint64(r.IntN(2))<<27 | uint64(r.IntN(32)) | uint64(r.IntN(2))<<7
	}
}

// address points into the window, aligned more often than not; now and then
// just before the end of scratch memory, or of one of its pages.
func address(r *rand.Rand) uint64 {
	a := uint64(Scratch + Window + 64 + r.IntN(128))
	if r.IntN(3) != 0 {
		a &^= 15
	}
	switch r.IntN(16) {
	case 0:
		a = Scratch + ScratchSize - uint64(r.IntN(40))
	case 1:
		a = Scratch + uint64(r.IntN(40))
	case 2:
		a |= uint64(r.IntN(256)) << 56 // a tag, which is ignored
	}
	return a
}

// Edge values: of integers, and of the three floating point formats.
var (
	integers = []uint64{
		0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000,
		0xffff_ffff, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1, 1<<64 - 2, 0x5555_5555_5555_5555, 0xaaaa_aaaa_aaaa_aaaa,
	}
	halves = []uint64{
		0, 0x8000, 0x3c00, 0xbc00, 0x0001, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0xfe00, 0x7c01, 0xfd55, 0x4200, 0x3800,
	}
	singles = []uint64{
		0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x0000_0001, 0x8000_0001, 0x007f_ffff, 0x0080_0000, 0x7f7f_ffff, 0xff7f_ffff,
		0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001, 0xffa5_5555, 0x4f00_0000, 0xcf00_0000, 0x4eff_ffff,
		0x4f80_0000, 0x5f00_0000, 0x5f80_0000, 0x3f00_0000, 0x4020_0000, 0x3380_0000, 0x3880_0000, 0x477f_e000, 0x477f_f000, 0x3f7f_ffff, 0x3f80_0001,
	}
	doubles = []uint64{
		0, 1 << 63, 0x3ff0_0000_0000_0000, 0xbff0_0000_0000_0000, 1, 1<<63 | 1, 0x000f_ffff_ffff_ffff, 0x0010_0000_0000_0000,
		0x7fef_ffff_ffff_ffff, 0xffef_ffff_ffff_ffff, 0x7ff0_0000_0000_0000, 0xfff0_0000_0000_0000, 0x7ff8_0000_0000_0000,
		0xfff8_0000_0000_0000, 0x7ff0_0000_0000_0001, 0xfff5_5555_5555_5555, 0x41e0_0000_0000_0000, 0xc1e0_0000_0020_0000,
		0x43e0_0000_0000_0000, 0xc3e0_0000_0000_0000, 0x43f0_0000_0000_0000, 0x41ef_ffff_fff0_0000, 0x3fe0_0000_0000_0000,
		0x4004_0000_0000_0000, 0x3810_0000_0000_0000, 0x47ef_ffff_e000_0000, 0x47ef_ffff_f000_0000, 0x3ca0_0000_0000_0000,
		0x36a0_0000_0000_0000, 0x3690_0000_0000_0000, 0x3fef_ffff_ffff_ffff, 0x3ff0_0000_0000_0001,
	}
)

func pick(r *rand.Rand, from []uint64) uint64 { return from[r.IntN(len(from))] }

// integer is an edge value, a small one, or a random one.
func integer(r *rand.Rand) uint64 {
	switch r.IntN(4) {
	case 0:
		return r.Uint64()
	case 1:
		return r.Uint64() >> r.IntN(64)
	default:
		return pick(r, integers)
	}
}

// lane is 64 bits of a vector register or of memory, as one of the formats.
func lane(r *rand.Rand) uint64 {
	switch r.IntN(6) {
	case 0:
		return integer(r)
	case 1:
		return pick(r, halves) | pick(r, halves)<<16 | pick(r, halves)<<32 | pick(r, halves)<<48
	case 2:
		return pick(r, singles) | pick(r, singles)<<32
	case 3:
		return near(r, pick(r, singles), 23, 32) | near(r, pick(r, singles), 23, 32)<<32
	case 4:
		return near(r, pick(r, doubles), 52, 64)
	default:
		return pick(r, doubles)
	}
}

// near keeps sign and exponent of a value, give or take, with another fraction.
func near(r *rand.Rand, v uint64, fraction, width uint) uint64 {
	v ^= r.Uint64() & (1<<fraction - 1)
	v += uint64(r.IntN(3)-1) << fraction
	return v & (1<<(width-1)<<1 - 1)
}
