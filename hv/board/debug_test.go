package board

import (
	"testing"
)

// fakeTables are descriptors by physical address.
type fakeTables map[uint64]uint64

func (f fakeTables) word(pa uint64) (uint64, bool) {
	d, ok := f[pa]
	return d, ok
}

func TestTablesOfEveryGranuleTranslate(t *testing.T) {
	const (
		t0sz25   = 25
		t1sz16   = 16 << 16
		tg0of16K = 2 << 14
		tg1of4K  = 2 << 30
		tg1of64K = 3 << 30
		on       = 1
	)
	words := fakeTables{
		// 4 KiB, 39 bits, from level 1: a 1 GiB block, a table of a table of a page.
		0x1000: 0x4000_0000 | 1, 0x1008: 0x2003, 0x2000: 0x3003, 0x2008: 0x8020_0001, 0x3008: 0x5003, 0x3010: 0x5001, 0x3018: 0,
		// 4 KiB, 48 bits, from level 0, for the upper half.
		0x9ff8: 0xa003, 0xaff8: 0xb003, 0xbff8: 0xc003, 0xcff8: 0x7003,
		// 64 KiB, 48 bits, from level 1 whose index has 6 bits.
		0x1_0000 + 63*8: 0x2_0003, 0x2_0000 + 8191*8: 0xe000_0001,
		// 16 KiB, 39 bits, from level 1 whose index has 3 bits.
		0x4_0000 + 8: 0x4_4003, 0x4_4000 + 8: 0x4_8003, 0x4_8000 + 16: 0x1_8000_0003,
	}
	lower := tables{sctlr: on, tcr: t0sz25, ttbr0: 0x1000}
	tests := []struct {
		name string
		t    tables
		va   uint64
		pa   uint64 // 0 for no translation
	}{
		{"MMU off", tables{}, 0x1234, 0x1234},
		{"a block of 1 GiB", lower, 0x123_4567, 0x4123_4567},
		{"a block of 2 MiB", lower, 1<<30 + 0x20_0123, 0x8020_0123},
		{"a page", lower, 1<<30 + 0x1123, 0x5123},
		{"a page with the bits of a block", lower, 1<<30 + 0x2123, 0},
		{"an empty descriptor", lower, 1<<30 + 0x3000, 0},
		{"a table outside memory", lower, 4 << 30, 0},
		{"an address beyond the tables", lower, 1 << 40, 0},
		{"a tag is passed over", lower, 0x5a<<56 | 0x123, 0x4000_0123},
		{"ASID and CnP in the base", tables{sctlr: on, tcr: t0sz25, ttbr0: 7<<48 | 0x1001}, 0x123, 0x4000_0123},
		{"the upper half", tables{sctlr: on, tcr: t1sz16 | tg1of4K, ttbr1: 0x9000}, 0xffff_ffff_ffff_fabc, 0x7abc},
		{"64 KiB", tables{sctlr: on, tcr: t1sz16 | tg1of64K, ttbr1: 0x1_0000}, 0xffff_ffff_e000_4321, 0xe000_4321},
		{"16 KiB", tables{sctlr: on, tcr: t0sz25 | tg0of16K, ttbr0: 0x4_0000}, 1<<36 | 1<<25 | 2<<14 | 0x3fff, 0x1_8000_3fff},
		{"no granule", tables{sctlr: on, tcr: t0sz25 | 3<<14, ttbr0: 0x1000}, 0x123, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if pa, ok := tt.t.translate(words.word, tt.va); ok != (tt.pa != 0) || ok && pa != tt.pa {
				t.Errorf("%#x is %#x, %v; want %#x", tt.va, pa, ok, tt.pa)
			}
		})
	}
}

// FuzzTranslate: whatever the guest has in its registers and tables, a walk reads
// a bounded number of descriptors.
func FuzzTranslate(f *testing.F) {
	f.Add(uint64(1), uint64(25), uint64(0x1000), uint64(0x123), uint64(0x1003))
	f.Add(uint64(1), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, sctlr, tcr, ttbr, va, word uint64) {
		reads := 0
		regs := tables{sctlr, tcr, ttbr, ttbr}
		regs.translate(func(uint64) (uint64, bool) { reads++; return word, true }, va)
		if reads > 4 {
			t.Fatalf("%d descriptors are read", reads)
		}
	})
}
