package cpu

// Indexes into State.Sys. Values are internal and may change.
const (
	SysSCTLR      uint8 = 0
	SysTTBR0      uint8 = 1
	SysTTBR1      uint8 = 2
	SysTCR        uint8 = 3
	SysMAIR       uint8 = 4
	SysAMAIR      uint8 = 5
	SysVBAR       uint8 = 6
	SysCPACR      uint8 = 7
	SysACTLR      uint8 = 8
	SysESR        uint8 = 9
	SysFAR        uint8 = 10
	SysELR        uint8 = 11
	SysSPSR       uint8 = 12
	SysAFSR0      uint8 = 13
	SysAFSR1      uint8 = 14
	SysPAR        uint8 = 15
	SysCONTEXTIDR uint8 = 16
	SysTPIDR      uint8 = 17
	SysTPIDREL0   uint8 = 18
	SysTPIDRRO    uint8 = 19
	SysSPEL0      uint8 = 20
	SysSPEL1      uint8 = 21
	SysCSSELR     uint8 = 22
	SysCNTKCTL    uint8 = 23
	SysCNTVCtl    uint8 = 24
	SysCNTVCval   uint8 = 25
	SysCNTPCtl    uint8 = 26
	SysCNTPCval   uint8 = 27
	SysMDSCR      uint8 = 28
	SysMDCCINT    uint8 = 29
	SysOSDLR      uint8 = 30
	SysOSLock     uint8 = 31
	SysOSDTRRX    uint8 = 32
	SysOSDTRTX    uint8 = 33
	SysOSECCR     uint8 = 34
	SysDBGPRCR    uint8 = 35
	SysDBGClaim   uint8 = 36
	SysMIDR       uint8 = 37
	SysMPIDR      uint8 = 38
	SysREVIDR     uint8 = 39
	SysPFR0       uint8 = 40
	SysPFR1       uint8 = 41
	SysDFR0       uint8 = 42
	SysISAR0      uint8 = 43
	SysISAR1      uint8 = 44
	SysMMFR0      uint8 = 45
	SysMMFR1      uint8 = 46
	SysMMFR2      uint8 = 47
	SysCTR        uint8 = 48
	SysCLIDR      uint8 = 49

	// SysDBG is the first of 64 debug registers: DBGBVRn, DBGBCRn, DBGWVRn and
	// DBGWCRn are at SysDBG + 4*n, + 1, + 2 and + 3.
	SysDBG uint8 = 128
)
