package float

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// These tests hold every operation that Berkeley TestFloat knows to its
// companion SoftFloat, value and flags, over TestFloat's level 1 cases. -short
// reads only the first of the many fused multiply-add cases; ARCBOX_FLOAT_LEVEL=2
// takes level 2, which is many hours.

// generator is the path of testfloat_gen.
var generator = sync.OnceValues(func() (string, error) {
	cmd := exec.Command("sh", "testdata/testfloat.sh")
	var diag bytes.Buffer
	cmd.Stderr = &diag
	out, err := cmd.Output()
	if err != nil {
		log := strings.TrimSpace(diag.String())
		return "", fmt.Errorf("cannot build testfloat_gen: %w: %s", err, log[max(0, len(log)-400):])
	}
	return strings.TrimSpace(string(out)), nil
})

// An operation computes one line's result from its operands.
type operation func(e *Env, in [3]uint64) uint64

// tfCase is one TestFloat function and our operation for it.
type tfCase struct {
	name  string
	op    operation
	modes []tfMode
	nan   uint64   // the result's infinity, if any NaN will do for a NaN
	args  []string // further arguments
}

type tfMode struct {
	arg  string
	mode Rounding
}

// fpcrModes are the modes that FPCR can select, allModes those of the
// instructions that name one.
var (
	fpcrModes = []tfMode{{"-rnear_even", TieEven}, {"-rmax", Up}, {"-rmin", Down}, {"-rminMag", Zero}}
	allModes  = append(fpcrModes[:4:4], tfMode{"-rnear_maxMag", TieAway})
	anyMode   = fpcrModes[:1]
	oddMode   = []tfMode{{"-rodd", Odd}}
)

func op32(f func(*Env, uint32, uint32) uint32) operation {
	return func(e *Env, in [3]uint64) uint64 { return uint64(f(e, uint32(in[0]), uint32(in[1]))) }
}

func op64(f func(*Env, uint64, uint64) uint64) operation {
	return func(e *Env, in [3]uint64) uint64 { return f(e, in[0], in[1]) }
}

// rel is a comparison that holds for the results in want.
func rel(f func(e *Env, in [3]uint64) uint32, want ...uint32) operation {
	return func(e *Env, in [3]uint64) uint64 {
		got := f(e, in)
		for _, w := range want {
			if got == w {
				return 1
			}
		}
		return 0
	}
}

func arithmetic() []tfCase {
	return []tfCase{
		{name: "f32_add", modes: fpcrModes, op: op32((*Env).Add32)},
		{name: "f64_add", modes: fpcrModes, op: op64((*Env).Add64)},
		{name: "f32_sub", modes: fpcrModes, op: op32((*Env).Sub32)},
		{name: "f64_sub", modes: fpcrModes, op: op64((*Env).Sub64)},
		{name: "f32_mul", modes: fpcrModes, op: op32((*Env).Mul32)},
		{name: "f64_mul", modes: fpcrModes, op: op64((*Env).Mul64)},
		{name: "f32_div", modes: fpcrModes, op: op32((*Env).Div32)},
		{name: "f64_div", modes: fpcrModes, op: op64((*Env).Div64)},
		{name: "f32_sqrt", modes: fpcrModes, op: func(e *Env, in [3]uint64) uint64 {
			return uint64(e.Sqrt32(uint32(in[0])))
		}},
		{name: "f64_sqrt", modes: fpcrModes, op: func(e *Env, in [3]uint64) uint64 { return e.Sqrt64(in[0]) }},
		// SoftFloat chooses among several NaNs in another order: see nan_test.go.
		{name: "f32_mulAdd", modes: fpcrModes, nan: exp32, op: func(e *Env, in [3]uint64) uint64 {
			return uint64(e.MulAdd32(uint32(in[2]), uint32(in[0]), uint32(in[1])))
		}},
		{name: "f64_mulAdd", modes: fpcrModes, nan: exp64, op: func(e *Env, in [3]uint64) uint64 {
			return e.MulAdd64(in[2], in[0], in[1])
		}},
	}
}

func comparisons() []tfCase {
	var cs []tfCase
	for _, signal := range []bool{false, true} {
		c32 := func(e *Env, in [3]uint64) uint32 { return e.Compare32(uint32(in[0]), uint32(in[1]), signal) }
		c64 := func(e *Env, in [3]uint64) uint32 { return e.Compare64(in[0], in[1], signal) }
		eq, quiet := "_eq", "_quiet"
		if signal {
			eq, quiet = "_eq_signaling", ""
		}
		cs = append(cs,
			tfCase{name: "f32" + eq, modes: anyMode, op: rel(c32, Equal)},
			tfCase{name: "f64" + eq, modes: anyMode, op: rel(c64, Equal)},
			tfCase{name: "f32_lt" + quiet, modes: anyMode, op: rel(c32, Less)},
			tfCase{name: "f64_lt" + quiet, modes: anyMode, op: rel(c64, Less)},
			tfCase{name: "f32_le" + quiet, modes: anyMode, op: rel(c32, Less, Equal)},
			tfCase{name: "f64_le" + quiet, modes: anyMode, op: rel(c64, Less, Equal)},
		)
	}
	return cs
}

func conversions() []tfCase {
	conv := func(f func(e *Env, v uint64) uint64) operation {
		return func(e *Env, in [3]uint64) uint64 { return f(e, in[0]) }
	}
	return []tfCase{
		{name: "f16_to_f32", modes: anyMode, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.From16To32(uint16(v))) })},
		{name: "f16_to_f64", modes: anyMode, op: conv(func(e *Env, v uint64) uint64 { return e.From16To64(uint16(v)) })},
		{name: "f32_to_f64", modes: anyMode, op: conv(func(e *Env, v uint64) uint64 { return e.From32To64(uint32(v)) })},
		{name: "f32_to_f16", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.From32To16(uint32(v))) })},
		{name: "f64_to_f16", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.From64To16(v)) })},
		{name: "f64_to_f32", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.From64To32(v)) })},
		{name: "f64_to_f32", modes: oddMode, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.From64To32Odd(v)) })},
		{name: "i32_to_f32", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.FromInt32(int64(int32(v)), 0)) })},
		{name: "i32_to_f64", modes: anyMode, op: conv(func(e *Env, v uint64) uint64 { return e.FromInt64(int64(int32(v)), 0) })},
		{name: "i64_to_f32", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.FromInt32(int64(v), 0)) })},
		{name: "i64_to_f64", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return e.FromInt64(int64(v), 0) })},
		{name: "ui32_to_f32", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.FromUint32(v, 0)) })},
		{name: "ui32_to_f64", modes: anyMode, op: conv(func(e *Env, v uint64) uint64 { return e.FromUint64(v, 0) })},
		{name: "ui64_to_f32", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return uint64(e.FromUint32(v, 0)) })},
		{name: "ui64_to_f64", modes: fpcrModes, op: conv(func(e *Env, v uint64) uint64 { return e.FromUint64(v, 0) })},
	}
}

// integral are the operations that take their rounding mode as an argument.
func integral() []tfCase {
	var cs []tfCase
	for _, m := range allModes {
		modes := []tfMode{m}
		for _, exact := range []bool{false, true} {
			args := []string{"-notexact"}
			if exact {
				args = []string{"-exact"}
			}
			cs = append(cs,
				tfCase{name: "f32_roundToInt", modes: modes, args: args, op: func(e *Env, in [3]uint64) uint64 {
					return uint64(e.RoundInt32(uint32(in[0]), m.mode, exact))
				}},
				tfCase{name: "f64_roundToInt", modes: modes, args: args, op: func(e *Env, in [3]uint64) uint64 {
					return e.RoundInt64(in[0], m.mode, exact)
				}})
		}
		for t, name := range map[Int]string{S32: "i32", S64: "i64", U32: "ui32", U64: "ui64"} {
			cs = append(cs,
				tfCase{name: "f32_to_" + name, modes: modes, args: []string{"-exact"}, op: func(e *Env, in [3]uint64) uint64 {
					return e.ToInt32(uint32(in[0]), t, 0, m.mode)
				}},
				tfCase{name: "f64_to_" + name, modes: modes, args: []string{"-exact"}, op: func(e *Env, in [3]uint64) uint64 {
					return e.ToInt64(in[0], t, 0, m.mode)
				}})
		}
	}
	return cs
}

func TestAgainstTestFloat(t *testing.T) {
	gen, err := generator()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	groups := [][]tfCase{arithmetic(), comparisons(), conversions(), integral()}
	for _, cs := range groups {
		for _, c := range cs {
			for _, m := range c.modes {
				t.Run(c.name+m.arg+strings.Join(c.args, ""), func(t *testing.T) {
					t.Parallel()
					c.run(t, gen, m)
				})
			}
		}
	}
}

// run holds c to what testfloat_gen prints for mode m.
func (c *tfCase) run(t *testing.T, gen string, m tfMode) {
	args := append([]string{"-tininessbefore", m.arg, c.name}, c.args...)
	if level := os.Getenv("ARCBOX_FLOAT_LEVEL"); level != "" {
		args = append(args, "-level", level)
	}
	cmd := exec.Command(gen, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	limit := -1
	if testing.Short() {
		limit = 200000
	}
	n := c.check(t, out, m.mode, limit)
	if n < 300 {
		t.Errorf("only %d cases", n)
	}
	if n == limit || t.Failed() {
		cmd.Process.Kill()
		cmd.Wait() // it was killed
	} else if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// check reads cases and returns how many there were, stopping at limit.
func (c *tfCase) check(t *testing.T, r io.Reader, m Rounding, limit int) int {
	s := bufio.NewScanner(r)
	n := 0
	for n != limit && s.Scan() {
		n++
		in, want, flags := parseCase(s.Bytes())
		for _, before := range []uint32{0, IXC} {
			e := Env{FPSR: before}
			if m < TieAway {
				e.FPCR = uint32(m) << 22
			}
			got := c.op(&e, in)
			if (got != want && !c.sameNaN(got, want)) || e.FPSR != flags|before {
				t.Errorf("%s: got %#x flags %#x, before them %#x", s.Text(), got, e.FPSR, before)
				return n
			}
		}
	}
	return n
}

func (c *tfCase) sameNaN(a, b uint64) bool {
	magnitude := uint64(1)<<bits.Len64(c.nan) - 1
	return c.nan != 0 && a&magnitude > c.nan && b&magnitude > c.nan
}

// parseCase splits a line: operands, result, flags, all hexadecimal.
func parseCase(line []byte) (in [3]uint64, want uint64, flags uint32) {
	var f [5]uint64
	n := 0
	for _, ch := range line {
		switch {
		case ch == ' ':
			n++
		case ch <= '9':
			f[n] = f[n]<<4 | uint64(ch-'0')
		default:
			f[n] = f[n]<<4 | uint64(ch-'A'+10)
		}
	}
	copy(in[:], f[:n-1])
	return in, f[n-1], flagsOf(f[n])
}

// flagsOf translates SoftFloat's flags to FPSR's.
func flagsOf(f uint64) uint32 {
	var r uint32
	for i, flag := range []uint32{IXC, UFC, OFC, DZC, IOC} {
		if f>>i&1 != 0 {
			r |= flag
		}
	}
	return r
}
