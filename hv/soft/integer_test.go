package soft_test

import (
	"math/rand/v2"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

var integerAnswers = answerFile{"testdata/integer.txt", "%x %x %x %x %x = %x %x %x %x %x"}

// integerCase is a line of integer.txt: X0 to X3 and NZCV before and after.
type integerCase struct {
	instruction
	before, after [5]uint64
}

func (c *integerCase) fields() []*uint64 {
	var f []*uint64
	for k := range c.before {
		f = append(f, &c.before[k])
	}
	for k := range c.after {
		f = append(f, &c.after[k])
	}
	return f
}

// TestIntegerAnswers is mistakes 1 to 5: register 31, upper halves, shift
// amounts and immediates, carry polarity, division.
func TestIntegerAnswers(t *testing.T) {
	if *update {
		updateInteger(t)
	}
	_, heads, cases := readAnswers[integerCase](t, integerAnswers)
	if len(heads) < 100 || len(cases) < 5*len(heads) {
		t.Errorf("%d cases for %d instructions", len(cases), len(heads))
	}
	for i, g := range onEngine(t, integerVectors(cases)) {
		if c, got := cases[i], integerLeft(&g); got != c.after {
			t.Errorf("%s of %x: got %x, want %x", c.text, c.before, got, c.after)
		}
	}
}

// integerVectors are the cases as both sides run them.
func integerVectors(cases []integerCase) []*oracle.Vector {
	vs := make([]*oracle.Vector, len(cases))
	for i, c := range cases {
		v := &oracle.Vector{CPU: oracle.BaseCPU, Slot: i, Words: []uint32{c.word}}
		copy(v.Regs.X[:], c.before[:4])
		v.Regs.NZCV, v.Regs.SP = c.before[4]<<28, oracle.Scratch
		vs[i] = v
	}
	return vs
}

// integerLeft is what a case left behind.
func integerLeft(r *oracle.Result) (after [5]uint64) {
	copy(after[:], r.Regs.X[:4])
	after[4] = r.Regs.NZCV >> 28
	return after
}

// updateInteger writes the file anew, with cases that QEMU answers.
func updateInteger(t *testing.T) {
	comment, heads, _ := readAnswers[integerCase](t, integerAnswers)
	cases := integerInputs(heads)
	for i, g := range onQEMU(t, integerVectors(cases)) {
		cases[i].after = integerLeft(&g)
	}
	writeAnswers(t, integerAnswers, comment, cases)
}

// integerInputs makes six cases for every instruction, of values at which
// carries, signs and sizes change.
func integerInputs(heads []instruction) []integerCase {
	edges := []uint64{
		0, 1, 2, 31, 32, 33, 63, 64, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32,
		0x7fffffffffffffff, 1 << 63, ^uint64(0), ^uint64(0) - 1, 0xffffffff00000000, 0xffffffff80000000,
		0x0123456789abcdef, 0xfedcba9876543210, 0xaaaaaaaa55555555,
	}
	r := rand.New(rand.NewPCG(64, 31))
	var cases []integerCase
	for _, head := range heads {
		for range 6 {
			c := integerCase{instruction: head}
			for k := range 4 {
				c.before[k] = edges[r.IntN(len(edges))]
			}
			c.before[4] = r.Uint64N(16)
			cases = append(cases, c)
		}
	}
	return cases
}
