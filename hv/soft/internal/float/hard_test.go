package float

import "testing"

// FuzzShortCuts holds the operations of hard.go to the integer arithmetic that
// they leave out, for any operands, control and flags.
func FuzzShortCuts(f *testing.F) {
	for _, v := range []uint64{0, 1, 0x000fffffffffffff, 0x0010000000000000, 0x0020000000000001,
		0x3ff0000000000001, 0x7fefffffffffffff, 0x7ff0000000000000, 0x7ff0000000000001, 0x38100000007fffff, 0x0080000100800001} {
		for _, fpsr := range []uint32{0, IXC} {
			f.Add(v, uint64(0x3ff8000000000001), v^1<<63, uint32(0), fpsr)
			f.Add(v, v+1, uint64(0x4340000000000001), uint32(FZ), fpsr)
			f.Add(v^1<<63, uint64(0xbff8000000000001), v+3, uint32(rmode), fpsr)
		}
	}
	f.Fuzz(func(t *testing.T, a, b, c uint64, fpcr, fpsr uint32) {
		for _, s := range shortCuts(a, b, c) {
			got, want := Env{FPCR: fpcr & FPCRMask, FPSR: fpsr & FPSRMask}, Env{FPCR: fpcr & FPCRMask, FPSR: fpsr & FPSRMask}
			r, w := s.short(&got), s.long(&want)
			if r != w || got != want {
				t.Errorf("%s of %#x %#x %#x in %+v: %#x, want %#x in %+v", s.name, a, b, c, got, r, w, want)
			}
		}
	})
}

type shortCut struct {
	name        string
	short, long func(e *Env) uint64
}

func shortCuts(a, b, c uint64) []shortCut {
	a32, b32, c32 := uint32(a), uint32(b), uint32(c)
	al, bl, cl := uint64(a32), uint64(b32), uint64(c32)
	return []shortCut{
		{"add32", func(e *Env) uint64 { return uint64(e.Add32(a32, b32)) }, func(e *Env) uint64 { return e.add(&single, al, bl, false) }},
		{"add64", func(e *Env) uint64 { return e.Add64(a, b) }, func(e *Env) uint64 { return e.add(&double, a, b, false) }},
		{"sub32", func(e *Env) uint64 { return uint64(e.Sub32(a32, b32)) }, func(e *Env) uint64 { return e.add(&single, al, bl, true) }},
		{"sub64", func(e *Env) uint64 { return e.Sub64(a, b) }, func(e *Env) uint64 { return e.add(&double, a, b, true) }},
		{"mul32", func(e *Env) uint64 { return uint64(e.Mul32(a32, b32)) }, func(e *Env) uint64 { return e.mul(&single, al, bl, false) }},
		{"mul64", func(e *Env) uint64 { return e.Mul64(a, b) }, func(e *Env) uint64 { return e.mul(&double, a, b, false) }},
		{"div32", func(e *Env) uint64 { return uint64(e.Div32(a32, b32)) }, func(e *Env) uint64 { return e.div(&single, al, bl) }},
		{"div64", func(e *Env) uint64 { return e.Div64(a, b) }, func(e *Env) uint64 { return e.div(&double, a, b) }},
		{"sqrt32", func(e *Env) uint64 { return uint64(e.Sqrt32(a32)) }, func(e *Env) uint64 { return e.sqrt(&single, al) }},
		{"sqrt64", func(e *Env) uint64 { return e.Sqrt64(a) }, func(e *Env) uint64 { return e.sqrt(&double, a) }},
		{"muladd32", func(e *Env) uint64 { return uint64(e.MulAdd32(a32, b32, c32)) }, func(e *Env) uint64 { return e.mulAdd(&single, al, bl, cl, 0) }},
		{"muladd64", func(e *Env) uint64 { return e.MulAdd64(a, b, c) }, func(e *Env) uint64 { return e.mulAdd(&double, a, b, c, 0) }},
		{"32to64", func(e *Env) uint64 { return e.From32To64(a32) }, func(e *Env) uint64 { return e.convert(&double, &single, al, TieEven) }},
		{"64to32", func(e *Env) uint64 { return uint64(e.From64To32(a)) }, func(e *Env) uint64 { return e.convert(&single, &double, a, e.Mode()) }},
		{"compare32", func(e *Env) uint64 { return uint64(e.Compare32(a32, b32, true)) }, func(e *Env) uint64 { return uint64(e.compare(&single, al, bl, true)) }},
		{"compare64", func(e *Env) uint64 { return uint64(e.Compare64(a, b, false)) }, func(e *Env) uint64 { return uint64(e.compare(&double, a, b, false)) }},
		{"fromint64", func(e *Env) uint64 { return e.FromInt64(int64(a), 0) }, func(e *Env) uint64 { return e.fromInt(&double, int64(a) < 0, abs(int64(a)), 0) }},
	}
}

func abs(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}
