package cpu

import "testing"

func TestFlagsRoundTrip(t *testing.T) {
	var s State
	for f := range uint8(16) {
		s.SetFlags(f)
		if got := s.Flags(); got != f {
			t.Errorf("flags %04b came back as %04b", f, got)
		}
	}
}

// holds is the condition table of the Arm ARM (C1.2.4) over N, Z, C and V.
func holds(cond, f uint8) bool {
	n, z, c, v := f&8 != 0, f&4 != 0, f&2 != 0, f&1 != 0
	return [16]bool{z, !z, c, !c, n, !n, v, !v, c && !z, !c || z, n == v, n != v, !z && n == v, z || n != v, true, true}[cond]
}

func TestConditions(t *testing.T) {
	var s State
	for f := range uint8(16) {
		s.SetFlags(f)
		for cond := range uint8(16) {
			if got := s.Test(cond); got != holds(cond, f) {
				t.Errorf("condition %d with NZCV %04b is %v", cond, f, got)
			}
		}
	}
}

func TestNeighbouringPagesHaveTheirOwnTLBEntries(t *testing.T) {
	for page := range uint64(1 << 22) {
		for _, va := range []uint64{page << 12, 0xfffffffc00000000 | page<<12} {
			if TLBIndex(va) == TLBIndex(va+4096) {
				t.Fatalf("pages %#x and the next share entry %d", va, TLBIndex(va))
			}
		}
	}
}

func TestFlushedTLBMatchesNoAccess(t *testing.T) {
	var tlb TLB
	tlb.Flush()
	for _, va := range []uint64{0, 1, 0xfff, 0x1000, 0x400000, ^uint64(0), ^uint64(0) - 6, 1 << 63} {
		e := tlb[TLBIndex(va)]
		for n := uint64(1); n <= 16; n *= 2 {
			if tag := (va + n - 1) &^ 0xfff; e.Rd == tag || e.Wr == tag {
				t.Errorf("%d bytes at %#x hit an empty table", n, va)
			}
		}
	}
}
