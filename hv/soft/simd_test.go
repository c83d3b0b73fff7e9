package soft_test

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

const (
	simdAnswers = "testdata/simd.txt"
	simdComment = `# Advanced SIMD and cryptography, one instruction at a time: every row of the
# semantic table in every shape it has, and the answers of qemu-aarch64 -cpu
# max, QEMU 7.2.
#
# An instruction's line is followed by its cases, all hexadecimal:
#
#	FPCR V0 V1 V2 X1 = V0 X0 FPSR
#
# where a V is its high and its low half. The registers above are those of
# simdRest; X0 is all ones before. go test -run TestSIMDAnswers -update writes
# the file anew, for the rows that then are.
`
	simdLine = "%x %016x%016x %016x%016x %016x%016x %x = %016x%016x %x %x"
	simdScan = "%x %16x%16x %16x%16x %16x%16x %x = %16x%16x %x %x"
)

// simdCase is one line: what an instruction is given and what it leaves, in
// the order of the file.
type simdCase struct {
	word   uint32
	text   string
	before struct {
		fpcr uint64
		v    [6]uint64 // high half first
		x1   uint64
	}
	after struct {
		v        [2]uint64
		x0, fpsr uint64
	}
}

func (c *simdCase) fields() []any {
	b, a := &c.before, &c.after
	return []any{&b.fpcr, &b.v[0], &b.v[1], &b.v[2], &b.v[3], &b.v[4], &b.v[5], &b.x1, &a.v[0], &a.v[1], &a.x0, &a.fpsr}
}

// simdRest is what V3 and those above hold, register and half.
func simdRest(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 }

// readSIMD gives the cases of simd.txt.
func readSIMD(t *testing.T) (cases []simdCase) {
	t.Helper()
	f, err := os.Open(simdAnswers)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var head simdCase
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		switch {
		case line == "" || line[0] == '#':
		case strings.Contains(line, "="):
			c := head
			if _, err := fmt.Sscanf(line, simdScan, c.fields()...); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			cases = append(cases, c)
		default:
			head.text = line
			if _, err := fmt.Sscanf(line, "%x", &head.word); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	return cases
}

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
	cases := readSIMD(t)
	rows := map[uint16]bool{}
	for _, c := range cases {
		rows[isa.Decode(c.word, 0).Code] = true
	}
	for code := uint16(isa.OpVAND); code <= isa.OpVSHA512SU1; code++ {
		if !rows[code] {
			t.Errorf("no case of row %s", isa.Name(code))
		}
	}
	m, err := oracle.NewMachine(soft.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, got := range answerSIMD(t, m, cases) {
		if c := cases[i]; got.after != c.after {
			t.Errorf("%s of %x: got %x, want %x", c.text, c.before, got.after, c.after)
		}
	}
}

// updateSIMD writes the file anew, with cases that QEMU answers.
func updateSIMD(t *testing.T) {
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	q, err := oracle.NewQEMU(filepath.Join(dir, "arcbox-test"))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1985, 754))
	forms, order := simdForms()
	var cases []simdCase
	for _, f := range order {
		cases = append(cases, simdInput(r, forms[f]))
	}
	var out strings.Builder
	out.WriteString(simdComment)
	for _, c := range answerSIMD(t, q, cases) {
		fmt.Fprintf(&out, "\n%s\n", c.text)
		var fields []any
		for _, f := range c.fields() {
			fields = append(fields, *f.(*uint64))
		}
		fmt.Fprintf(&out, simdLine+"\n", fields...)
	}
	if err := os.WriteFile(simdAnswers, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// simdInput makes a case of lanes that are edge values of floating point, or
// of integers for rows that do not look at FPCR.
func simdInput(r *rand.Rand, w uint32) simdCase {
	op := isa.Decode(w, 0)
	c := simdCase{word: w, text: fmt.Sprintf("%08x %s", w, isa.Name(op.Code))}
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

// answerSIMD is the cases with what they leave behind on r.
func answerSIMD(t *testing.T, r oracle.Runner, cases []simdCase) []simdCase {
	t.Helper()
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
	results, err := r.Run(vs)
	if err != nil {
		t.Fatal(err)
	}
	answers := append([]simdCase{}, cases...)
	for i := range results {
		g, a := &results[i].Regs, &answers[i].after
		a.v, a.x0, a.fpsr = [2]uint64{g.V[1], g.V[0]}, g.X[0], g.FPSR
	}
	return answers
}
