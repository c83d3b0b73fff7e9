package arm64

import "testing"

func TestName(t *testing.T) {
	tests := []struct {
		enc  SysReg
		want string
	}{
		{0xc080, "SCTLR_EL1"},
		{0xdf11, "CNTP_CTL_EL0"},
		{FPCR_EL0, "FPCR"},
		{DBGWCR(3), "DBGWCR3_EL1"},
		{Encode(3, 7, 15, 2, 1), "S3_7_C15_C2_1"},
	}
	for _, tt := range tests {
		if got := Name(tt.enc); got != tt.want {
			t.Errorf("Name(%#x) = %s, want %s", tt.enc, got, tt.want)
		}
	}
}

func TestDataAbortRoundTrip(t *testing.T) {
	tests := []struct {
		name string
		d    DataAbort
		iss  uint64
	}{
		{"a byte store of XZR", DataAbort{Valid: true, Size: 1, Reg: 31, Write: true, FSC: 7}, 1<<24 | 31<<16 | 1<<6 | 7},
		{"a signed word load to X", DataAbort{Valid: true, Size: 4, Reg: 3, Signed: true, Wide: true, FSC: 5}, 1<<24 | 2<<22 | 1<<21 | 3<<16 | 1<<15 | 5},
		{"no syndrome", DataAbort{Size: 1, FSC: 0x21}, 0x21},
	}
	for _, tt := range tests {
		if got := tt.d.ISS(); got != tt.iss {
			t.Errorf("%s: ISS %#x, want %#x", tt.name, got, tt.iss)
		}
		if got := DecodeDataAbort(tt.iss); got != tt.d {
			t.Errorf("%s: decoded %+v, want %+v", tt.name, got, tt.d)
		}
	}
}

func TestSysTrapRoundTrip(t *testing.T) {
	want := SysTrap{Sys: ICC_SGI1R_EL1, Reg: 7, Read: true}
	iss := uint64(3<<20 | 5<<17 | 0<<14 | 12<<10 | 7<<5 | 11<<1 | 1)
	if got := want.ISS(); got != iss {
		t.Errorf("ISS %#x, want %#x", got, iss)
	}
	if got := DecodeSysTrap(iss); got != want {
		t.Errorf("decoded %+v, want %+v", got, want)
	}
}

func TestIsID(t *testing.T) {
	for enc, want := range map[SysReg]bool{
		ID_AA64PFR0_EL1: true, Encode(3, 0, 0, 7, 7): true, MIDR_EL1: false, CTR_EL0: false, SCTLR_EL1: false,
		Encode(3, 0, 0, 8, 0): false,
	} {
		if IsID(enc) != want {
			t.Errorf("IsID(%s) = %v", Name(enc), !want)
		}
	}
}
