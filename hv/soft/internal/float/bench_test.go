package float

import (
	"math"
	"testing"
)

// BenchmarkOps times operations on ordinary numbers, in the state that a
// program is in after its first inexact result (IXC set) and before.
func BenchmarkOps(b *testing.B) {
	x, y := math.Float64bits(1.1), math.Float64bits(0.9)
	x32, y32 := math.Float32bits(1.1), math.Float32bits(0.9)
	ops := []struct {
		name string
		op   func(e *Env)
	}{
		{"add64", func(e *Env) { e.Add64(x, y) }},
		{"mul64", func(e *Env) { e.Mul64(x, y) }},
		{"div64", func(e *Env) { e.Div64(x, y) }},
		{"sqrt64", func(e *Env) { e.Sqrt64(x) }},
		{"muladd64", func(e *Env) { e.MulAdd64(x, y, x) }},
		{"add32", func(e *Env) { e.Add32(x32, y32) }},
		{"mul32", func(e *Env) { e.Mul32(x32, y32) }},
		{"muladd32", func(e *Env) { e.MulAdd32(x32, y32, x32) }},
		{"compare64", func(e *Env) { e.Compare64(x, y, false) }},
		{"toint64", func(e *Env) { e.ToInt64(x, S32, 0, Zero) }},
		{"fromint64", func(e *Env) { e.FromInt64(12345, 0) }},
	}
	for _, state := range []struct {
		name string
		fpcr uint32
		fpsr uint32
	}{{"after", 0, IXC}, {"first", 0, 0}, {"upward", 1 << 22, IXC}} {
		for _, o := range ops {
			b.Run(o.name+"/"+state.name, func(b *testing.B) {
				e := &Env{FPCR: state.fpcr}
				for b.Loop() {
					e.FPSR = state.fpsr
					o.op(e)
				}
			})
		}
	}
}
