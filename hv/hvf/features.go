//go:build (darwin && arm64 && cgo) || macshim

package hvf

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// midr is what the guest reads as MIDR_EL1: implementer Apple, part 0, the value
// of every Apple VM. The cores of one Mac differ, and a vCPU moves between them.
const midr = 0x610f_0000

// A field is four bits of an ID register from lsb on; value replaces them.
type field struct {
	lsb   uint
	value uint64
}

// A feature is an ID register that the framework tells, by its hv_feature_reg_t.
type feature struct {
	enc     hv.SysReg
	feature uint32
	fields  []field // what guests see otherwise than the Mac has it
	fixed   bool    // the framework lets nobody change it
}

// features hides what the framework announces but does not carry through for a
// guest: SVE and SME fault (seen on M5 with macOS 26), MTE has no tags
// behind it, the performance monitors, tracing and MPAM only trap. Pointer
// authentication works and stays. GICv3's registers are there, the framework's
// or ours.
var features = []feature{
	{enc: arm64.ID_AA64DFR0_EL1, feature: 0, fields: []field{
		{lsb: 4},  // TraceVer
		{lsb: 8},  // PMUVer
		{lsb: 32}, // PMSVer
		{lsb: 40}, // TraceFilt
		{lsb: 44}, // TraceBuffer
		{lsb: 52}, // BRBE
	}},
	{enc: arm64.ID_AA64DFR1_EL1, feature: 1},
	{enc: arm64.ID_AA64ISAR0_EL1, feature: 2},
	{enc: arm64.ID_AA64ISAR1_EL1, feature: 3},
	{enc: arm64.ID_AA64MMFR0_EL1, feature: 4},
	{enc: arm64.ID_AA64MMFR1_EL1, feature: 5},
	{enc: arm64.ID_AA64MMFR2_EL1, feature: 6},
	{enc: arm64.ID_AA64PFR0_EL1, feature: 7, fields: []field{
		{lsb: 24, value: 1}, // GIC
		{lsb: 32},           // SVE
		{lsb: 40},           // MPAM
	}},
	{enc: arm64.ID_AA64PFR1_EL1, feature: 8, fields: []field{
		{lsb: 8},  // MTE
		{lsb: 16}, // MPAM_frac
		{lsb: 24}, // SME
	}},
	{enc: arm64.CTR_EL0, feature: 9, fixed: true},
	{enc: arm64.CLIDR_EL1, feature: 10, fixed: true},
	{enc: arm64.DCZID_EL0, feature: 11, fixed: true},
}

// visible is what guests see of the Mac's value.
func (f *feature) visible(v uint64) uint64 {
	for _, x := range f.fields {
		v = v&^(0xf<<x.lsb) | x.value<<x.lsb
	}
	return v
}
