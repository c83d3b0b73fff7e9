package simd

import (
	"math/rand/v2"
	"testing"
)

// counted is a register whose bytes count up from x.
func counted(x uint64) (v Vec) {
	for i := range uint(16) {
		v.SetLane(0, i, x+uint64(i))
	}
	return v
}

// A permutation says which element of m:n each element of the result is,
// elements of m following the count elements of n.
var permutations = []struct {
	name string
	run  func(d, n, m *Vec, s Shape)
	from func(i, count uint) uint
}{
	{"even elements", Uzp1, func(i, _ uint) uint { return 2 * i }},
	{"odd elements", Uzp2, func(i, _ uint) uint { return 2*i + 1 }},
	{"low halves interleaved", Zip1, func(i, c uint) uint { return i/2 + i%2*c }},
	{"high halves interleaved", Zip2, func(i, c uint) uint { return c/2 + i/2 + i%2*c }},
	{"even elements transposed", Trn1, func(i, c uint) uint { return i&^1 + i%2*c }},
	{"odd elements transposed", Trn2, func(i, c uint) uint { return i&^1 + 1 + i%2*c }},
}

func TestPermutationsTakeTheRightElements(t *testing.T) {
	for _, p := range permutations {
		t.Run(p.name, func(t *testing.T) {
			for _, s := range allShapes[4:] {
				n, m, c := counted(0x10), counted(0x80), s.count()
				var want, got Vec
				for i := range c {
					src := &n
					from := p.from(i, c)
					if from >= c {
						src = &m
					}
					want.SetLane(s.size(), i, src.Lane(s.size(), from%c))
				}
				if p.run(&got, &n, &m, s); got != want {
					t.Errorf("shape %#x: %x, want %x", s, got, want)
				}
				if p.run(&n, &n, &m, s); n != want {
					t.Errorf("shape %#x onto a source: %x, want %x", s, n, want)
				}
			}
		})
	}
}

func TestReversalsMirrorElements(t *testing.T) {
	tests := []struct {
		name string
		run  func(d, n *Vec, s Shape)
		unit uint // bytes reversed together
		size Shape
	}{
		{"bytes of halfwords", Rev16, 2, B},
		{"bytes of words", Rev32, 4, B},
		{"halfwords of words", Rev32, 4, H},
		{"bytes of doublewords", Rev64, 8, B},
		{"halfwords of doublewords", Rev64, 8, H},
		{"words of doublewords", Rev64, 8, S},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, s := range []Shape{Half | tt.size, Full | tt.size} {
				n := counted(1)
				var want Vec
				last := tt.unit>>tt.size.size() - 1
				for i := range s.count() {
					want.SetLane(s.size(), i, n.Lane(s.size(), i&^last|last-i&last))
				}
				if tt.run(&n, &n, s); n != want {
					t.Errorf("shape %#x: %x, want %x", s, n, want)
				}
			}
		})
	}
}

func TestExtTakesAWindowOfBytes(t *testing.T) {
	n, m := counted(0), counted(0x10)
	for i := range uint(16) {
		var got Vec
		if Ext(&got, &n, &m, Full|B, i); got != counted(uint64(i)) {
			t.Errorf("from byte %d: %x", i, got)
		}
	}
	for i := range uint(8) {
		m := counted(8)
		var got Vec
		if Ext(&got, &n, &m, Half|B, i); got != (Vec{counted(uint64(i))[0]}) {
			t.Errorf("from byte %d of 8: %x", i, got)
		}
	}
}

func TestTableLookupWrapsAndLeavesWhatIsOutside(t *testing.T) {
	var v [32]Vec
	v[31], v[0], v[1] = counted(0x80), counted(0x90), counted(0xa0)
	v[2] = Vec{0x00_0f_10_1f_20_2f_30_ff, 0}
	tests := []struct {
		name string
		run  func(v *[32]Vec, d, n, m, count uint, s Shape)
		n    uint // how many registers
		s    Shape
		want Vec
	}{
		{"one register", Tbl, 1, Half, Vec{0x80_8f_00_00_00_00_00_00}},
		{"two wrap to v0", Tbl, 2, Half, Vec{0x80_8f_90_9f_00_00_00_00}},
		{"three, and the indexes above", Tbl, 3, Full, Vec{0x80_8f_90_9f_a0_af_00_00, 0x8080808080808080}},
		{"bytes that stay", Tbx, 1, Full, Vec{0x80_8f_55_55_55_55_55_55, 0x8080808080808080}},
		{"bytes that stay in a half", Tbx, 3, Half, Vec{0x80_8f_90_9f_a0_af_55_55}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := v
			w[9] = Vec{0x5555555555555555, 0x5555555555555555}
			if tt.run(&w, 9, 31, 2, tt.n, tt.s|B); w[9] != tt.want {
				t.Errorf("%x, want %x", w[9], tt.want)
			}
		})
	}
}

func TestSingleElementsMove(t *testing.T) {
	n := counted(0xf8)
	var d Vec
	if Dup(&d, &n, Half|H, 3); d != (Vec{0xfffefffefffefffe}) {
		t.Errorf("dup: %x", d)
	}
	if Dup(&d, &n, Scalar|S, 1); d != (Vec{0xfffefdfc}) {
		t.Errorf("scalar dup: %x", d)
	}
	if Ins(&d, &n, Full|B, 15, 0); d != (Vec{0xfffefdfc, 0xf8 << 56}) {
		t.Errorf("ins: %x", d)
	}
	if got := Smov(&n, B, 7); got != ^uint64(0) {
		t.Errorf("smov: %x", got)
	}
}

func TestReductionsCoverEveryElementOfTheShape(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	for _, s := range []Shape{Half | B, Half | H, Full | B, Full | H, Full | S} {
		for range 200 {
			n := operand(r)
			want := [6]*Vec{{}, {}, {}, {}, {}, {}}
			reduce(&n, s, want)
			for i, f := range []func(d, n *Vec, s Shape){Addv, Smaxv, Sminv, Umaxv, Uminv, Saddlv} {
				var got Vec
				if f(&got, &n, s); got != *want[i] {
					t.Fatalf("reduction %d of shape %#x of %x: %x, want %x", i, s, n, got, *want[i])
				}
			}
		}
	}
}

// reduce computes the sum, the bounds and the long sum one element at a time.
func reduce(n *Vec, s Shape, r [6]*Vec) {
	size := s.size()
	sum, smax, smin, umax, umin := int64(0), n.signed(size, 0), n.signed(size, 0), n.Lane(size, 0), n.Lane(size, 0)
	for i := range s.count() {
		sum += n.signed(size, i)
		smax, smin = max(smax, n.signed(size, i)), min(smin, n.signed(size, i))
		umax, umin = max(umax, n.Lane(size, i)), min(umin, n.Lane(size, i))
	}
	for i, x := range []uint64{uint64(sum), uint64(smax), uint64(smin), umax, umin} {
		r[i].SetLane(size, 0, x)
	}
	r[5].SetLane(size+1, 0, uint64(sum))
}
