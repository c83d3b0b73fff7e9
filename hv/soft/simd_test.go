package soft_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

var simdAnswers = answerFile{"testdata/simd.txt", "%x %016x%016x %016x%016x %016x%016x %x = %016x%016x %x %x"}

// simdCase is one line: what an instruction is given and what it leaves, in
// the order of the file.
type simdCase struct {
	instruction
	before struct {
		fpcr uint64
		v    [6]uint64 // high half first
		x1   uint64
	}
	after simdAfter
}

type simdAfter struct {
	v        [2]uint64 // high half first
	x0, fpsr uint64
}

func (c *simdCase) fields() []*uint64 {
	b, a := &c.before, &c.after
	return []*uint64{&b.fpcr, &b.v[0], &b.v[1], &b.v[2], &b.v[3], &b.v[4], &b.v[5], &b.x1, &a.v[0], &a.v[1], &a.x0, &a.fpsr}
}

// simdRest is what V3 and those above hold, register and half.
func simdRest(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 }

// simdForm is a row of the semantic table in one shape.
type simdForm struct {
	code  uint16
	shape uint8
}

// simdForms are the rows and shapes that words of the vector space decode to,
// with a word on V0, V1 and V2 (and X0 or X1) for each, in the table's order.
func simdForms() (forms map[simdForm]uint32, order []simdForm) {
	forms = map[simdForm]uint32{}
	r := rand.New(rand.NewPCG(2024, 7))
	for range 6_000_000 {
		w := r.Uint32()&0xf1ffffff | 7<<25
		switch {
		case r.IntN(32) == 0:
			w = 0xce608000 | r.Uint32()&0xa00c00 // SHA512
		case w>>28&5 == 1: // that is a scalar floating-point instruction
			w |= 1 << 30
		}
		w = w&^0x3ff | 1<<5
		if r.IntN(2) == 0 {
			w = w&^(31<<16) | 2<<16
		}
		op := isa.Decode(w, 0)
		f := simdForm{op.Code, op.Sh}
		if op.Code < isa.OpVAND || op.Code > isa.OpVSHA512SU1 || forms[f] != 0 {
			continue
		}
		forms[f] = w
		order = append(order, f)
	}
	slices.SortFunc(order, func(a, b simdForm) int {
		return cmp.Or(cmp.Compare(a.code, b.code), cmp.Compare(a.shape, b.shape))
	})
	return forms, order
}

// TestSIMDAnswers executes every row in every shape on the engine.
func TestSIMDAnswers(t *testing.T) {
	if *update {
		updateSIMD(t)
	}
	_, _, cases := readAnswers[simdCase](t, simdAnswers)
	rows := map[uint16]bool{}
	for _, c := range cases {
		rows[isa.Decode(c.word, 0).Code] = true
	}
	for code := uint16(isa.OpVAND); code <= isa.OpVSHA512SU1; code++ {
		if !rows[code] {
			t.Errorf("no case of row %s", isa.Name(code))
		}
	}
	for i, g := range onEngine(t, simdVectors(cases)) {
		if c, got := cases[i], simdLeft(&g); got != c.after {
			t.Errorf("%s of %x: got %x, want %x", c.text, c.before, got, c.after)
		}
	}
}

// updateSIMD writes the file anew, with cases that QEMU answers.
func updateSIMD(t *testing.T) {
	comment, _, _ := readAnswers[simdCase](t, simdAnswers)
	r := rand.New(rand.NewPCG(1985, 754))
	forms, order := simdForms()
	var cases []simdCase
	for _, f := range order {
		cases = append(cases, simdInput(r, forms[f]))
	}
	for i, g := range onQEMU(t, simdVectors(cases)) {
		cases[i].after = simdLeft(&g)
	}
	writeAnswers(t, simdAnswers, comment, cases)
}

// simdInput makes a case of lanes that are edge values of floating point, or
// of integers for rows that do not look at FPCR.
func simdInput(r *rand.Rand, w uint32) simdCase {
	op := isa.Decode(w, 0)
	c := simdCase{instruction: instruction{w, fmt.Sprintf("%08x %s", w, isa.Name(op.Code))}}
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], w)
	if inst, err := arm64asm.Decode(b[:]); err == nil {
		c.text = fmt.Sprintf("%08x %s", w, arm64asm.GNUSyntax(inst))
	}
	c.before.fpcr = r.Uint64N(32) * r.Uint64N(2) << 22
	c.before.x1 = uint64(int64(r.Uint64()) >> r.IntN(64))
	for i := range c.before.v {
		c.before.v[i] = simdLane(r, op)
	}
	return c
}

func simdLane(r *rand.Rand, op isa.Op) (x uint64) {
	if name := isa.Name(op.Code); strings.HasPrefix(name, "VF") && simd.Shape(op.Sh)&3 == simd.D {
		return fpDoubles[r.IntN(len(fpDoubles))]
	} else if strings.HasPrefix(name, "VF") && r.IntN(4) != 0 {
		return fpSingles[r.IntN(len(fpSingles))]<<32 | fpSingles[r.IntN(len(fpSingles))]
	}
	edges := []uint64{0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x40, r.Uint64() & 0xff, r.Uint64() & 0x1f}
	for range 8 {
		x = x<<8 | edges[r.IntN(len(edges))]
	}
	return x
}

// simdVectors are the cases as both sides run them.
func simdVectors(cases []simdCase) []*oracle.Vector {
	vs := make([]*oracle.Vector, len(cases))
	for i, c := range cases {
		v := &oracle.Vector{CPU: oracle.MaxCPU, Slot: i, Words: []uint32{c.word}}
		for k := range v.Regs.V {
			v.Regs.V[k] = simdRest(k)
		}
		for k, half := range c.before.v {
			v.Regs.V[k^1] = half
		}
		v.Regs.FPCR, v.Regs.X[0], v.Regs.X[1], v.Regs.SP = c.before.fpcr, ^uint64(0), c.before.x1, oracle.Scratch
		vs[i] = v
	}
	return vs
}

// simdLeft is what a case left behind.
func simdLeft(r *oracle.Result) simdAfter {
	g := &r.Regs
	return simdAfter{[2]uint64{g.V[1], g.V[0]}, g.X[0], g.FPSR}
}
