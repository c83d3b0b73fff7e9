package float

import (
	"math"
	"testing"
)

// The Arm ARM bounds the error of the estimates (J1, RecipEstimate and
// RecipSqrtEstimate): both have 8 bits after a leading one, and are within
// 1/256 of what they stand for.
func TestEstimateTables(t *testing.T) {
	for a := uint64(256); a < 512; a++ {
		r := float64(recipEstimate(a)) / 256
		if x := (float64(a) + 0.5) / 512; math.Abs(r*x-1) > 1.0/256 || r < 1 || r >= 2 {
			t.Errorf("recipEstimate(%d) = %g", a, r)
		}
	}
	for a := uint64(128); a < 512; a++ {
		x := (float64(a) + 0.5) / 512
		if a >= 256 {
			x = (float64(a&^1) + 1) / 512
		}
		r := float64(rsqrtEstimate(a)) / 256
		if math.Abs(r*math.Sqrt(x)-1) > 1.0/256 || r < 1 || r >= 2 {
			t.Errorf("rsqrtEstimate(%d) = %g", a, r)
		}
	}
}

func TestEstimates(t *testing.T) {
	recip32 := func(v uint64) func(*Env) uint64 {
		return func(e *Env) uint64 { return uint64(e.RecipEstimate32(uint32(v))) }
	}
	recip64 := func(v uint64) func(*Env) uint64 { return func(e *Env) uint64 { return e.RecipEstimate64(v) } }
	rsqrt32 := func(v uint64) func(*Env) uint64 {
		return func(e *Env) uint64 { return uint64(e.RSqrtEstimate32(uint32(v))) }
	}
	rsqrt64 := func(v uint64) func(*Env) uint64 { return func(e *Env) uint64 { return e.RSqrtEstimate64(v) } }
	const up, down, toZero = uint32(Up) << 22, uint32(Down) << 22, uint32(Zero) << 22
	tests := []struct {
		name  string
		fpcr  uint32
		op    func(*Env) uint64
		want  uint64
		flags uint32
	}{
		{"reciprocal of one", 0, recip32(one32), 0x3f7f8000, 0},
		{"reciprocal of minus two", 0, recip32(two32 | Sign32), 0xbeff8000, 0},
		{"reciprocal of one, double", 0, recip64(0x3ff0000000000000), 0x3feff00000000000, 0},
		{"reciprocal of a large number is subnormal", 0, recip32(max32), 0x00200000, 0},
		{"reciprocal of 2^126 is subnormal too", 0, recip32(0x7e800000), 0x007fc000, 0},
		{"reciprocal of a large number is flushed", FZ, recip32(max32 | Sign32), Sign32, UFC},
		{"reciprocal of a small subnormal overflows", 0, recip32(0x001fffff), inf32, OFC | IXC},
		{"it is the largest number when rounding to zero", toZero, recip32(0x001fffff), max32, OFC | IXC},
		{"it is infinite when rounding up", up, recip32(1), inf32, OFC | IXC},
		{"not if negative", up, recip32(Sign32 | 1), max32 | Sign32, OFC | IXC},
		{"it is minus infinity when rounding down", down, recip32(Sign32 | 1), inf32 | Sign32, OFC | IXC},
		{"reciprocal of 2^-128", 0, recip32(0x00200000), 0x7f7f8000, 0},
		{"reciprocal of 2^-127", 0, recip32(0x00400000), 0x7eff8000, 0},
		{"reciprocal of a flushed subnormal", FZ, recip32(0x00200000), inf32, IDC | DZC},
		{"reciprocal of minus zero", 0, recip32(Sign32), inf32 | Sign32, DZC},
		{"reciprocal of infinity", 0, recip32(inf32), 0, 0},
		{"reciprocal of a signalling NaN", 0, recip32(s1), s1 | quieted, IOC},

		{"root of one", 0, rsqrt32(one32), 0x3f7f8000, 0},
		{"root of four", 0, rsqrt32(0x40800000), 0x3eff8000, 0},
		{"root of two", 0, rsqrt32(two32), 0x3f348000, 0},
		{"root of four, double", 0, rsqrt64(0x4010000000000000), 0x3fdff00000000000, 0},
		{"root of the least subnormal, 2^-149", 0, rsqrt32(1), 0x64b48000, 0},
		{"root of minus zero", 0, rsqrt32(Sign32), inf32 | Sign32, DZC},
		{"root of minus one", 0, rsqrt32(one32 | Sign32), dflt, IOC},
		{"root of minus infinity", 0, rsqrt32(inf32 | Sign32), dflt, IOC},
		{"root of infinity", 0, rsqrt32(inf32), 0, 0},
		{"root of a flushed subnormal", FZ, rsqrt32(Sign32 | 1), inf32 | Sign32, IDC | DZC},
		{"root of a quiet NaN", DN, rsqrt32(q2), dflt, 0},
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

func TestUnsignedEstimates(t *testing.T) {
	tests := []struct {
		name        string
		v           uint32
		recip, root uint32
	}{
		{"zero", 0, 0xffffffff, 0xffffffff},
		{"just below a quarter", 0x3fffffff, 0xffffffff, 0xffffffff},
		{"a quarter", 0x40000000, 0xffffffff, 0xff800000},
		{"a half", 0x80000000, 0xff800000, 0xb4800000},
		{"all ones", 0xffffffff, 0x80000000, 0x80000000},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := RecipEstimateU32(tt.v); got != tt.recip {
				t.Errorf("reciprocal of %#x: %#x, want %#x", tt.v, got, tt.recip)
			}
			if got := RSqrtEstimateU32(tt.v); got != tt.root {
				t.Errorf("reciprocal root of %#x: %#x, want %#x", tt.v, got, tt.root)
			}
		})
	}
}
