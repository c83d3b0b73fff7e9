package simd

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"
)

// Numbers that the tests need.
const (
	one32, two32, three32 = 0x3f800000, 0x40000000, 0x40400000
	inf32, nan32, snan32  = 0x7f800000, 0x7fc00000, 0x7f800001
	one64, two64, three64 = 0x3ff0000000000000, 0x4000000000000000, 0x4008000000000000
	half64                = 0x3fe0000000000000
	sign32, sign64        = float.Sign32, float.Sign64
)

func words(a, b, c, d uint32) Vec { return join(a, b, c, d) }

// What a lane computes is for package float to prove; these are the ways in
// which a vector is more than lanes.
func TestVectorsOfFloatingPoint(t *testing.T) {
	type binary = func(e *float.Env, d, n, m *Vec, s Shape)
	ones := words(one32, one32, one32, one32)
	tests := []struct {
		name    string
		run     binary
		s       Shape
		d, n, m Vec
		want    Vec
		flags   uint32
	}{
		{"a scalar clears what is above it", Fadd, Scalar | S, Vec{9, 9}, ones, ones, Vec{two32}, 0},
		{"elements left out raise nothing", Fdiv, Half | S, Vec{}, ones, words(one32, one32, 0, 0), words(one32, one32, 0, 0), 0},
		{"elements that take part do", Fdiv, Full | S, Vec{}, ones, words(one32, one32, 0, one32), words(one32, one32, inf32, one32), float.DZC},
		{"doublewords", Fmul, Full | D, Vec{}, Vec{two64, three64}, Vec{half64, one64}, Vec{one64, three64}, 0},
		{"a product added", Fmla, Full | D, Vec{one64, 0}, Vec{one64, one64}, Vec{two64, two64}, Vec{three64, two64}, 0},
		{"a product subtracted", Fmls, Full | D, Vec{three64, two64}, Vec{one64, one64}, Vec{two64, one64}, Vec{one64, one64}, 0},
		{"a NaN factor is negated", Fmls, Scalar | S, Vec{one32}, Vec{nan32}, Vec{one32}, Vec{nan32 | sign32}, 0},
		{"the sign of a NaN difference is cleared", Fabd, Scalar | S, Vec{}, Vec{nan32 | sign32}, Vec{one32}, Vec{nan32}, 0},
		{"equality is all ones", Fcmeq, Half | S, Vec{}, words(one32, nan32, 0, 0), words(one32, nan32, 0, 0), Vec{0xffffffff}, 0},
		{"order with a NaN is false and invalid", Fcmge, Scalar | S, Vec{}, Vec{nan32}, Vec{one32}, Vec{}, float.IOC},
		{"magnitudes compare", Facgt, Full | D, Vec{}, Vec{two64 | sign64, one64}, Vec{one64, two64 | sign64}, Vec{^uint64(0), 0}, 0},
		{"neighbours", Faddp, Full | S, Vec{}, words(one32, 0, two32, one32), ones, words(one32, three32, two32, two32), 0},
		{"neighbours of one register", Faddp, Scalar | D, Vec{}, Vec{one64, two64}, Vec{one64, two64}, Vec{three64}, 0},
		{"neighbouring words of one register", Fmaxp, Scalar | S, Vec{}, words(one32, two32, 0, 0), words(one32, two32, 0, 0), Vec{two32}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e float.Env
			d := tt.d
			if tt.run(&e, &d, &tt.n, &tt.m, tt.s); d != tt.want || e.FPSR != tt.flags {
				t.Errorf("%x, FPSR %#x, want %x, FPSR %#x", d, e.FPSR, tt.want, tt.flags)
			}
		})
	}
}

func TestConversionsOfVectors(t *testing.T) {
	tests := []struct {
		name  string
		run   func(e *float.Env, d, n *Vec)
		n     Vec
		want  Vec
		flags uint32
	}{
		{"greater than zero", func(e *float.Env, d, n *Vec) { FcmgtZero(e, d, n, Full|S) }, words(one32, 0, one32|sign32, sign32), words(0xffffffff, 0, 0, 0), 0},
		{"at least zero", func(e *float.Env, d, n *Vec) { FcmgeZero(e, d, n, Full|S) }, words(one32, 0, one32|sign32, sign32), words(0xffffffff, 0xffffffff, 0, 0xffffffff), 0},
		{"equal to zero", func(e *float.Env, d, n *Vec) { FcmeqZero(e, d, n, Full|S) }, words(one32, 0, snan32, sign32), words(0, 0xffffffff, 0, 0xffffffff), float.IOC},
		{"at most zero", func(e *float.Env, d, n *Vec) { FcmleZero(e, d, n, Full|S) }, words(one32, 0, one32|sign32, nan32), words(0, 0xffffffff, 0xffffffff, 0), float.IOC},
		{"less than zero", func(e *float.Env, d, n *Vec) { FcmltZero(e, d, n, Full|S) }, words(one32, 0, one32|sign32, sign32), words(0, 0, 0xffffffff, 0), 0},
		{"halfwords to words, upper half", func(e *float.Env, d, n *Vec) { Fcvtl(e, d, n, Full|H) }, Vec{0, 0x3c00_4000_4200_0000}, words(0, three32, two32, one32), 0},
		{"words to doublewords", func(e *float.Env, d, n *Vec) { Fcvtl(e, d, n, Half|S) }, words(one32, three32, 0, 0), Vec{one64, three64}, 0},
		{"doublewords to words above d", func(e *float.Env, d, n *Vec) { Fcvtn(e, d, n, Full|S) }, Vec{one64, two64}, Vec{7, one32 | two32<<32}, 0},
		{"words to halfwords", func(e *float.Env, d, n *Vec) { Fcvtn(e, d, n, Half|H) }, words(0, three32, two32, one32), Vec{0x3c00_4000_4200_0000}, 0},
		{"a scalar rounded to odd", func(e *float.Env, d, n *Vec) { Fcvtxn(e, d, n, Scalar|S) }, Vec{one64 + 1, 1}, Vec{one32 | 1}, float.IXC},
		{"both rounded to odd", func(e *float.Env, d, n *Vec) { Fcvtxn(e, d, n, Half|S) }, Vec{one64 + 1, two64}, Vec{one32 | 1 | two32<<32}, float.IXC},
		{"fixed point and back", func(e *float.Env, d, n *Vec) {
			Fcvts(e, d, n, Full|D, 4, float.Zero)
			Scvtf(e, d, d, Full|D, 4)
		}, Vec{one64, three64 | sign64}, Vec{one64, three64 | sign64}, 0},
		{"negative to unsigned", func(e *float.Env, d, n *Vec) { Fcvtu(e, d, n, Half|S, 0, float.Zero) }, words(one32|sign32, two32, 0, 0), words(0, 2, 0, 0), float.IOC},
		{"unsigned words", func(e *float.Env, d, n *Vec) { Ucvtf(e, d, n, Half|S, 31) }, words(1<<31, 0, 0, 0), words(one32, 0, 0, 0), 0},
		{"whole numbers", func(e *float.Env, d, n *Vec) { Frint(e, d, n, Full|D, float.TieAway, false) }, Vec{half64, half64 | sign64}, Vec{one64, one64 | sign64}, 0},
		{"whole numbers, inexact", func(e *float.Env, d, n *Vec) { Frint(e, d, n, Full|D, e.Mode(), true) }, Vec{half64, one64}, Vec{0, one64}, float.IXC},
		{"greatest of four", func(e *float.Env, d, n *Vec) { Fmaxv(e, d, n) }, words(one32, 0, three32, two32), Vec{three32}, 0},
		{"least of four", func(e *float.Env, d, n *Vec) { Fminv(e, d, n) }, words(one32, two32, three32, one32|sign32), Vec{one32 | sign32}, 0},
		{"greatest number of four", func(e *float.Env, d, n *Vec) { Fmaxnmv(e, d, n) }, words(one32, nan32, three32, two32), Vec{three32}, 0},
		{"least number of four", func(e *float.Env, d, n *Vec) { Fminnmv(e, d, n) }, words(one32, nan32, three32, two32), Vec{one32}, 0},
		{"roots", func(e *float.Env, d, n *Vec) { Fsqrt(e, d, n, Full|S) }, words(one32, 0x40800000, one32, one32), words(one32, two32, one32, one32), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var e float.Env
			d := Vec{7, 7}
			if tt.run(&e, &d, &tt.n); d != tt.want || e.FPSR != tt.flags {
				t.Errorf("%x, FPSR %#x, want %x, FPSR %#x", d, e.FPSR, tt.want, tt.flags)
			}
		})
	}
}

func TestImmediatesExpand(t *testing.T) {
	tests := []struct {
		name      string
		op, cmode uint32
		imm8      uint8
		want      uint64
	}{
		{"words", 0, 0, 0xab, 0x000000ab_000000ab},
		{"words shifted by 24", 0, 6, 0xab, 0xab000000_ab000000},
		{"halfwords", 0, 8, 0xab, 0x00ab_00ab_00ab_00ab},
		{"halfwords shifted by 8", 0, 10, 0xab, 0xab00_ab00_ab00_ab00},
		{"words with ones below", 0, 12, 0xab, 0x0000abff_0000abff},
		{"words with more ones below", 0, 13, 0xab, 0x00abffff_00abffff},
		{"bytes", 0, 14, 0xab, 0xabababab_abababab},
		{"a mask of bytes", 1, 14, 0xa1, 0xff00ff00_000000ff},
		{"one, single", 0, 15, 0x70, one32<<32 | one32},
		{"minus three, single", 0, 15, 0x88, (three32|sign32)<<32 | three32 | sign32},
		{"one, double", 1, 15, 0x70, one64},
		{"minus three, double", 1, 15, 0x88, three64 | sign64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ExpandImm(tt.op, tt.cmode, tt.imm8); got != tt.want {
				t.Errorf("%#x, want %#x", got, tt.want)
			}
		})
	}
}
