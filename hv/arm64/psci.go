package arm64

// PSCI function identifiers (DEN 0022, chapter 5), given in W0 of an HVC or SMC.
const (
	PSCIVersion           = 0x8400_0000
	PSCICPUSuspend32      = 0x8400_0001
	PSCICPUSuspend64      = 0xc400_0001
	PSCICPUOff            = 0x8400_0002
	PSCICPUOn32           = 0x8400_0003
	PSCICPUOn64           = 0xc400_0003
	PSCIAffinityInfo32    = 0x8400_0004
	PSCIAffinityInfo64    = 0xc400_0004
	PSCIMigrate32         = 0x8400_0005
	PSCIMigrate64         = 0xc400_0005
	PSCIMigrateInfoType   = 0x8400_0006
	PSCIMigrateInfoCPU32  = 0x8400_0007
	PSCIMigrateInfoCPU64  = 0xc400_0007
	PSCISystemOff         = 0x8400_0008
	PSCISystemReset       = 0x8400_0009
	PSCIFeatures          = 0x8400_000a
	PSCICPUFreeze         = 0x8400_000b
	PSCICPUDefaultSusp32  = 0x8400_000c
	PSCICPUDefaultSusp64  = 0xc400_000c
	PSCINodeHWState32     = 0x8400_000d
	PSCINodeHWState64     = 0xc400_000d
	PSCISystemSuspend32   = 0x8400_000e
	PSCISystemSuspend64   = 0xc400_000e
	PSCISetSuspendMode    = 0x8400_000f
	PSCIStatResidency32   = 0x8400_0010
	PSCIStatResidency64   = 0xc400_0010
	PSCIStatCount32       = 0x8400_0011
	PSCIStatCount64       = 0xc400_0011
	PSCISystemReset2x32   = 0x8400_0012
	PSCISystemReset2x64   = 0xc400_0012
	SMCCCVersion          = 0x8000_0000
	SMCCCArchFeatures     = 0x8000_0001
	SMCCCArchSOCID        = 0x8000_0002
	SMCCCArchWorkaround1  = 0x8000_8000
	SMCCCArchWorkaround2  = 0x8000_7fff
	SMCCCArchWorkaround3  = 0x8000_3fff
	SMCCCVendorHypCallUID = 0x8600_ff01
)

// PSCI return values (DEN 0022, section 5.2.2), sign-extended into X0.
const (
	PSCISuccess           int64 = 0
	PSCINotSupported      int64 = -1
	PSCIInvalidParameters int64 = -2
	PSCIDenied            int64 = -3
	PSCIAlreadyOn         int64 = -4
	PSCIOnPending         int64 = -5
	PSCIInternalFailure   int64 = -6
	PSCINotPresent        int64 = -7
	PSCIDisabled          int64 = -8
	PSCIInvalidAddress    int64 = -9
)

// Answers of AFFINITY_INFO.
const (
	PSCIAffinityOn        = 0
	PSCIAffinityOff       = 1
	PSCIAffinityOnPending = 2
)
