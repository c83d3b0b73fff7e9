package soft_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

var fpAnswers = answerFile{"testdata/fp.txt", "%x %x %x %x %x %x = %x %x %x %x %x"}

// fpBefore and fpAfter are what a line of fp.txt has on the two sides of its
// equals sign, in that order.
type fpBefore struct {
	fpcr, nzcv, v1, v2, v3, x1 uint64
}

type fpAfter struct {
	hi, lo, x0, nzcv, fpsr uint64
}

// fpHigh is the upper half of V1 to V3.
const fpHigh = 0x1122334455667788

// fpCase is a line: an instruction, what it is given and what it leaves.
type fpCase struct {
	instruction
	before fpBefore
	after  fpAfter
}

func (c *fpCase) fields() []*uint64 {
	b, a := &c.before, &c.after
	return []*uint64{&b.fpcr, &b.nzcv, &b.v1, &b.v2, &b.v3, &b.x1, &a.hi, &a.lo, &a.x0, &a.nzcv, &a.fpsr}
}

// TestFPAnswers executes scalar floating point on the engine.
func TestFPAnswers(t *testing.T) {
	if *update {
		updateFP(t)
	}
	_, heads, cases := readAnswers[fpCase](t, fpAnswers)
	if len(cases) < 5*len(heads) || len(heads) < 100 {
		t.Errorf("%d cases for %d instructions", len(cases), len(heads))
	}
	for i, g := range onEngine(t, fpVectors(cases)) {
		if c, got := cases[i], fpLeft(&g); got != c.after {
			t.Errorf("%s of %+x: got %+x, want %+x", c.text, c.before, got, c.after)
		}
	}
}

// updateFP writes the file anew, with cases that QEMU answers.
func updateFP(t *testing.T) {
	comment, heads, _ := readAnswers[fpCase](t, fpAnswers)
	r := rand.New(rand.NewPCG(1985, 754))
	var cases []fpCase
	for _, head := range heads {
		cases = append(cases, fpInputs(r, head)...)
	}
	for i, g := range onQEMU(t, fpVectors(cases)) {
		cases[i].after = fpLeft(&g)
	}
	writeAnswers(t, fpAnswers, comment, cases)
}

// fpVectors are the cases as both sides run them.
func fpVectors(cases []fpCase) []*oracle.Vector {
	vs := make([]*oracle.Vector, len(cases))
	for i, c := range cases {
		b := &c.before
		v := &oracle.Vector{CPU: oracle.BaseCPU, Slot: i, Words: []uint32{c.word}}
		v.Regs.FPCR, v.Regs.NZCV, v.Regs.X[0], v.Regs.X[1] = b.fpcr, b.nzcv<<28, ^uint64(0), b.x1
		copy(v.Regs.V[:], []uint64{^uint64(0), ^uint64(0), b.v1, fpHigh, b.v2, fpHigh, b.v3, fpHigh})
		v.Regs.SP = oracle.Scratch
		vs[i] = v
	}
	return vs
}

// fpLeft is what a case left behind.
func fpLeft(r *oracle.Result) fpAfter {
	g := &r.Regs
	return fpAfter{g.V[1], g.V[0], g.X[0], g.NZCV >> 28, g.FPSR}
}

// Operands that make a difference, of the width in the instruction's text.
var (
	fpDoubles = []uint64{
		0, 1 << 63, 1, 0x800fffffffffffff, 0x0010000000000000, 0x3ff0000000000000, 0xbff8000000000000, 0x4004000000000000,
		0x7fefffffffffffff, 0xffefffffffffffff, 0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000001,
		0xfff8000000000002, 0x7ff0000000000003, 0xfff4000000000004, 0x41dfffffffe00000, 0xc3e0000000000000,
		0x43e0000000000000, 0x36a0000000000000, 0x47efffffffffffff, 0x40effe0000000000, 0x3fe0000000000001,
	}
	fpSingles = []uint64{
		0, 1 << 31, 1, 0x807fffff, 0x00800000, 0x3f800000, 0xbfc00000, 0x40200000, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000,
		0x7fc00001, 0xffc00002, 0x7f800003, 0xffa00004, 0x4effffff, 0xcf000000, 0x5f000000, 0x477ff000, 0x33800001, 0x3f000001,
	}
	fpHalves = []uint64{0, 0x8001, 0x03ff, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x7e01, 0xfd02}
)

// fpInputs makes cases for head's instruction: at default settings first, then
// at others.
func fpInputs(r *rand.Rand, head instruction) []fpCase {
	pool := fpDoubles
	switch {
	case strings.Contains(head.text, "s1"):
		pool = fpSingles
	case strings.Contains(head.text, "h1"):
		pool = fpHalves
	}
	cases := make([]fpCase, 8)
	for i := range cases {
		c := fpCase{instruction: head}
		b := &c.before
		b.v1, b.v2, b.v3 = pool[r.IntN(len(pool))], pool[r.IntN(len(pool))], pool[r.IntN(len(pool))]
		b.x1 = uint64(int64(r.Uint64()) >> r.IntN(64))
		b.nzcv = r.Uint64N(16)
		if i >= 3 {
			b.fpcr = r.Uint64N(32) << 22
		}
		cases[i] = c
	}
	return cases
}
