package float

import "testing"

// Bit patterns that the tests name.
const (
	q1, q2, q3 = 0x7fc00001, 0xffc00002, 0x7fc00003 // quiet NaNs
	s1, s2, s3 = 0x7f800001, 0xff800002, 0x7f800003 // signalling NaNs
	quieted    = 1 << 22
	dflt       = 0x7fc00000
	inf32      = 0x7f800000
	one32      = 0x3f800000
	two32      = 0x40000000
	sub32      = 0x00000001 // subnormal
	min32      = 0x00800000 // the least normal number
	max32      = 0x7f7fffff
)

func TestAnswersForNaNsAndTheirLikes(t *testing.T) {
	mulAdd := func(a, n, m uint32) func(*Env) uint32 {
		return func(e *Env) uint32 { return e.MulAdd32(a, n, m) }
	}
	op := func(f func(*Env, uint32, uint32) uint32, a, b uint32) func(*Env) uint32 {
		return func(e *Env) uint32 { return f(e, a, b) }
	}
	tests := []struct {
		name  string
		fpcr  uint32
		op    func(*Env) uint32
		want  uint32
		flags uint32
	}{
		{"first of two quiet NaNs", 0, op((*Env).Add32, q1, q2), q1, 0},
		{"signalling second beats quiet first", 0, op((*Env).Add32, q1, s2), s2 | quieted, IOC},
		{"first of two signalling NaNs", 0, op((*Env).Mul32, s1, s2), s1 | quieted, IOC},
		{"subtraction keeps a NaN's sign", 0, op((*Env).Sub32, one32, q1), q1, 0},
		{"default NaN for a quiet NaN", DN, op((*Env).Add32, q2, one32), dflt, 0},
		{"default NaN for a signalling NaN", DN, op((*Env).Div32, one32, s1), dflt, IOC},
		{"infinity minus infinity is the positive default NaN", 0, op((*Env).Sub32, inf32, inf32), dflt, IOC},
		{"root of minus one", 0, func(e *Env) uint32 { return e.Sqrt32(one32 | Sign32) }, dflt, IOC},
		{"root of minus zero", 0, func(e *Env) uint32 { return e.Sqrt32(Sign32) }, Sign32, 0},

		{"addend's NaN comes first", 0, mulAdd(q1, q2, q3), q1, 0},
		{"then the multiplicand's", 0, mulAdd(one32, q2, q3), q2, 0},
		{"signalling multiplier beats quiet others", 0, mulAdd(q1, q2, s3), s3 | quieted, IOC},
		{"signalling addend beats signalling factors", 0, mulAdd(s1, s2, s3), s1 | quieted, IOC},
		{"infinity times zero plus a quiet NaN", 0, mulAdd(q1, inf32, 0), dflt, IOC},
		{"infinity times zero plus a signalling NaN", 0, mulAdd(s1, 0, inf32), s1 | quieted, IOC},
		{"infinity times zero plus one", 0, mulAdd(one32, 0, inf32), dflt, IOC},
		{"zero times a quiet NaN plus infinity", 0, mulAdd(inf32, 0, q2), q2, 0},
		{"minus infinity plus infinity times one", 0, mulAdd(inf32|Sign32, inf32, one32), dflt, IOC},

		{"extended product of infinity and minus zero", 0, op((*Env).MulX32, inf32, Sign32), two32 | Sign32, 0},
		{"maximum of zeros", 0, op((*Env).Max32, Sign32, 0), 0, 0},
		{"minimum of zeros", 0, op((*Env).Min32, 0, Sign32), Sign32, 0},
		{"maximum with a quiet NaN", 0, op((*Env).Max32, one32, q1), q1, 0},
		{"maxNum prefers the number", 0, op((*Env).MaxNum32, one32, q1), one32, 0},
		{"maxNum of minus infinity and a quiet NaN", 0, op((*Env).MaxNum32, q1, inf32|Sign32), inf32 | Sign32, 0},
		{"maxNum with a signalling NaN", 0, op((*Env).MaxNum32, one32, s1), s1 | quieted, IOC},
		{"minNum of quiet and signalling", 0, op((*Env).MinNum32, q1, s2), s2 | quieted, IOC},
		{"minNum of quiet NaNs", 0, op((*Env).MinNum32, q1, q2), q1, 0},
		{"minNum of zero and a quiet NaN keeps the zero's sign", 0, op((*Env).MinNum32, q1, Sign32), Sign32, 0},

		{"reciprocal step of zero and infinity", 0, op((*Env).RecipStep32, 0, inf32), two32, 0},
		{"reciprocal step negates its first NaN", 0, op((*Env).RecipStep32, q1, one32), q1 | Sign32, 0},
		{"root step of infinity and zero", 0, op((*Env).RSqrtStep32, inf32|Sign32, 0), 0x3fc00000, 0},
		{"root step of ones", 0, op((*Env).RSqrtStep32, one32, one32), one32, 0},
		{"reciprocal step rounds once", 0, op((*Env).RecipStep32, one32+1, one32), one32 - 2, 0},
		{"reciprocal exponent of zero", 0, func(e *Env) uint32 { return e.RecipX32(Sign32) }, 0xff000000, 0},
		{"reciprocal exponent of one and a half", 0, func(e *Env) uint32 { return e.RecipX32(0x3fc00000) }, two32, 0},
		{"reciprocal exponent of infinity", 0, func(e *Env) uint32 { return e.RecipX32(inf32) }, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Env{FPCR: tt.fpcr}
			if got := tt.op(&e); got != tt.want || e.FPSR != tt.flags {
				t.Errorf("got %#x flags %#x, want %#x flags %#x", got, e.FPSR, tt.want, tt.flags)
			}
		})
	}
}

func TestFlushToZero(t *testing.T) {
	const up, zero = uint32(Up) << 22, uint32(Zero) << 22
	tests := []struct {
		name  string
		fpcr  uint32
		op    func(*Env) uint64
		want  uint64
		flags uint32
	}{
		{"subnormal inputs are kept without FZ", 0, func(e *Env) uint64 { return uint64(e.Add32(sub32, sub32)) }, 2, 0},
		{"subnormal inputs are flushed", FZ, func(e *Env) uint64 { return uint64(e.Add32(sub32, one32)) }, one32, IDC},
		{"they are even beside a NaN", FZ, func(e *Env) uint64 { return uint64(e.Mul32(q1, sub32)) }, q1, IDC},
		{"tiny output becomes a zero of its sign", FZ, func(e *Env) uint64 { return uint64(e.Mul32(min32|Sign32, one32-1)) }, Sign32, UFC},
		{"tiny although it would round up to a normal number", FZ | up, func(e *Env) uint64 { return uint64(e.Mul32(min32+1, one32-2)) }, 0, UFC},
		{"exact subnormal difference is flushed", FZ, func(e *Env) uint64 { return uint64(e.Sub32(min32+1, min32)) }, 0, UFC},
		{"exact subnormal difference without FZ raises nothing", 0, func(e *Env) uint64 { return uint64(e.Sub32(min32+1, min32)) }, 1, 0},
		{"division by a flushed subnormal", FZ, func(e *Env) uint64 { return uint64(e.Div32(one32, sub32)) }, inf32, IDC | DZC},
		{"root of a flushed negative subnormal", FZ, func(e *Env) uint64 { return uint64(e.Sqrt32(sub32 | Sign32)) }, Sign32, IDC},
		{"compare sees equal zeros", FZ, func(e *Env) uint64 { return uint64(e.Compare32(sub32, sub32|Sign32, false)) }, Equal, IDC},
		{"maximum of a subnormal and a negative zero", FZ, func(e *Env) uint64 { return uint64(e.Max32(sub32|Sign32, Sign32)) }, Sign32, IDC},
		{"maxNum of a subnormal and a NaN", FZ, func(e *Env) uint64 { return uint64(e.MaxNum32(q1, sub32)) }, 0, IDC},
		{"round to integral upwards", FZ | up, func(e *Env) uint64 { return uint64(e.RoundInt32(sub32, Up, true)) }, 0, IDC},
		{"conversion to an integer is exact", FZ, func(e *Env) uint64 { return e.ToInt32(sub32, S64, 0, Up) }, 0, IDC},
		{"widening flushes its input", FZ, func(e *Env) uint64 { return e.From32To64(sub32 | Sign32) }, Sign64, IDC},
		{"narrowing flushes its output", FZ | zero, func(e *Env) uint64 { return uint64(e.From64To32(0x3800000000000000)) }, 0, UFC},
		{"half precision inputs are not flushed", FZ, func(e *Env) uint64 { return uint64(e.From16To32(1)) }, 0x33800000, 0},
		{"half precision outputs are not flushed", FZ, func(e *Env) uint64 { return uint64(e.From32To16(0x33800000)) }, 1, 0},
		{"fused multiply-add flushes its addend", FZ, func(e *Env) uint64 { return uint64(e.MulAdd32(sub32, one32, one32)) }, one32, IDC},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Env{FPCR: tt.fpcr}
			if got := tt.op(&e); got != tt.want || e.FPSR != tt.flags {
				t.Errorf("got %#x flags %#x, want %#x flags %#x", got, e.FPSR, tt.want, tt.flags)
			}
		})
	}
}

func TestAlternativeHalfPrecision(t *testing.T) {
	tests := []struct {
		name  string
		op    func(*Env) uint64
		want  uint64
		flags uint32
	}{
		{"exponent 31 is a number", func(e *Env) uint64 { return uint64(e.From16To32(0x7c00)) }, 0x47800000, 0},
		{"the largest number", func(e *Env) uint64 { return uint64(e.From16To32(0xffff)) }, 0xc7ffe000, 0},
		{"65536 fits", func(e *Env) uint64 { return uint64(e.From32To16(0x47800000)) }, 0x7c00, 0},
		{"overflow is invalid and saturates", func(e *Env) uint64 { return uint64(e.From32To16(0x48000000)) }, 0x7fff, IOC},
		{"rounding up to 2^17 overflows", func(e *Env) uint64 { return uint64(e.From32To16(0x47fff000)) }, 0x7fff, IOC},
		{"infinity saturates", func(e *Env) uint64 { return uint64(e.From32To16(inf32 | Sign32)) }, 0xffff, IOC},
		{"a NaN becomes a zero of its sign", func(e *Env) uint64 { return uint64(e.From32To16(q2)) }, 0x8000, IOC},
		{"inexact", func(e *Env) uint64 { return uint64(e.From64To16(0x3ff0000000000001)) }, 0x3c00, IXC},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := Env{FPCR: AHP}
			if got := tt.op(&e); got != tt.want || e.FPSR != tt.flags {
				t.Errorf("got %#x flags %#x, want %#x flags %#x", got, e.FPSR, tt.want, tt.flags)
			}
		})
	}
}
