package soft_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/soft/oracle"
)

const integerAnswers = "testdata/integer.txt"

// integerCase is a line of integer.txt: X0 to X3 and NZCV before and after.
type integerCase struct {
	word          uint32
	text          string
	before, after [5]uint64
}

const integerLine = "%x %x %x %x %x = %x %x %x %x %x"

func (c *integerCase) fields() []any {
	var f []any
	for k := range c.before {
		f = append(f, &c.before[k])
	}
	for k := range c.after {
		f = append(f, &c.after[k])
	}
	return f
}

// readInteger gives the comment, the instructions, as cases without numbers,
// and the cases of integer.txt.
func readInteger(t *testing.T) (comment string, heads, cases []integerCase) {
	t.Helper()
	f, err := os.Open(integerAnswers)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var head integerCase
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		switch {
		case strings.HasPrefix(line, "#"):
			comment += line + "\n"
		case strings.Contains(line, " = "):
			c := head
			if _, err := fmt.Sscanf(line, integerLine, c.fields()...); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			cases = append(cases, c)
		case line != "":
			head.text = line
			if _, err := fmt.Sscanf(line, "%x", &head.word); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			heads = append(heads, head)
		}
	}
	return comment, heads, cases
}

// TestIntegerAnswers is mistakes 1 to 5: register 31, upper halves, shift
// amounts and immediates, carry polarity, division.
func TestIntegerAnswers(t *testing.T) {
	if *update {
		updateInteger(t)
	}
	_, heads, cases := readInteger(t)
	if len(heads) < 100 || len(cases) < 5*len(heads) {
		t.Errorf("%d cases for %d instructions", len(cases), len(heads))
	}
	m, err := oracle.NewMachine(soft.New(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i, got := range answerInteger(t, m, cases) {
		if c := cases[i]; got != c.after {
			t.Errorf("%s of %x: got %x, want %x", c.text, c.before, got, c.after)
		}
	}
}

// answerInteger is what the cases leave behind on r.
func answerInteger(t *testing.T, r oracle.Runner, cases []integerCase) [][5]uint64 {
	t.Helper()
	vs := make([]*oracle.Vector, len(cases))
	for i, c := range cases {
		v := &oracle.Vector{CPU: oracle.BaseCPU, Slot: i, Words: []uint32{c.word}}
		copy(v.Regs.X[:], c.before[:4])
		v.Regs.NZCV, v.Regs.SP = c.before[4]<<28, oracle.Scratch
		vs[i] = v
	}
	results, err := r.Run(vs)
	if err != nil {
		t.Fatal(err)
	}
	after := make([][5]uint64, len(results))
	for i := range results {
		copy(after[i][:], results[i].Regs.X[:4])
		after[i][4] = results[i].Regs.NZCV >> 28
	}
	return after
}

// updateInteger writes the file anew, with cases that QEMU answers.
func updateInteger(t *testing.T) {
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	q, err := oracle.NewQEMU(filepath.Join(dir, "arcbox-test"))
	if err != nil {
		t.Fatal(err)
	}
	comment, heads, _ := readInteger(t)
	cases := integerInputs(heads)
	for i, after := range answerInteger(t, q, cases) {
		cases[i].after = after
	}
	var out strings.Builder
	out.WriteString(comment)
	for i, c := range cases {
		if i == 0 || c.text != cases[i-1].text {
			fmt.Fprintf(&out, "\n%s\n", c.text)
		}
		var fields []any
		for _, f := range c.fields() {
			fields = append(fields, *f.(*uint64))
		}
		fmt.Fprintf(&out, integerLine+"\n", fields...)
	}
	if err := os.WriteFile(integerAnswers, []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// integerInputs makes six cases for every instruction, of values at which
// carries, signs and sizes change.
func integerInputs(heads []integerCase) []integerCase {
	edges := []uint64{
		0, 1, 2, 31, 32, 33, 63, 64, 0x7f, 0x80, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 32,
		0x7fffffffffffffff, 1 << 63, ^uint64(0), ^uint64(0) - 1, 0xffffffff00000000, 0xffffffff80000000,
		0x0123456789abcdef, 0xfedcba9876543210, 0xaaaaaaaa55555555,
	}
	r := rand.New(rand.NewPCG(64, 31))
	var cases []integerCase
	for _, head := range heads {
		for range 6 {
			c := head
			for k := range 4 {
				c.before[k] = edges[r.IntN(len(edges))]
			}
			c.before[4] = r.Uint64N(16)
			cases = append(cases, c)
		}
	}
	return cases
}
