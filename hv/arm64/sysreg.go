package arm64

import "fmt"

// SysReg is a system register as MSR and MRS encode it:
// Op0<<14 | Op1<<11 | CRn<<7 | CRm<<3 | Op2.
type SysReg = uint16

// Encode gives the encoding of a system register from its fields, each
// truncated to its width.
func Encode(op0, op1, crn, crm, op2 uint8) SysReg {
	return SysReg(op0&3)<<14 | SysReg(op1&7)<<11 | SysReg(crn&15)<<7 | SysReg(crm&15)<<3 | SysReg(op2&7)
}

// System registers, named as in the Arm ARM. FPCR_EL0 and FPSR_EL0 are
// the registers that assembly calls FPCR and FPSR.
const (
	MIDR_EL1          SysReg = 3<<14 | 0<<11 | 0<<7 | 0<<3 | 0
	MPIDR_EL1         SysReg = 3<<14 | 0<<11 | 0<<7 | 0<<3 | 5
	REVIDR_EL1        SysReg = 3<<14 | 0<<11 | 0<<7 | 0<<3 | 6
	ID_PFR0_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 0
	ID_PFR1_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 1
	ID_DFR0_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 2
	ID_AFR0_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 3
	ID_MMFR0_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 4
	ID_MMFR1_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 5
	ID_MMFR2_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 6
	ID_MMFR3_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 1<<3 | 7
	ID_ISAR0_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 0
	ID_ISAR1_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 1
	ID_ISAR2_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 2
	ID_ISAR3_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 3
	ID_ISAR4_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 4
	ID_ISAR5_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 5
	ID_MMFR4_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 6
	ID_ISAR6_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 2<<3 | 7
	MVFR0_EL1         SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 0
	MVFR1_EL1         SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 1
	MVFR2_EL1         SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 2
	ID_PFR2_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 4
	ID_DFR1_EL1       SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 5
	ID_MMFR5_EL1      SysReg = 3<<14 | 0<<11 | 0<<7 | 3<<3 | 6
	ID_AA64PFR0_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 0
	ID_AA64PFR1_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 1
	ID_AA64PFR2_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 2
	ID_AA64ZFR0_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 4
	ID_AA64SMFR0_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 5
	ID_AA64FPFR0_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 4<<3 | 7
	ID_AA64DFR0_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 5<<3 | 0
	ID_AA64DFR1_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 5<<3 | 1
	ID_AA64AFR0_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 5<<3 | 4
	ID_AA64AFR1_EL1   SysReg = 3<<14 | 0<<11 | 0<<7 | 5<<3 | 5
	ID_AA64ISAR0_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 6<<3 | 0
	ID_AA64ISAR1_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 6<<3 | 1
	ID_AA64ISAR2_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 6<<3 | 2
	ID_AA64ISAR3_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 6<<3 | 3
	ID_AA64MMFR0_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 7<<3 | 0
	ID_AA64MMFR1_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 7<<3 | 1
	ID_AA64MMFR2_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 7<<3 | 2
	ID_AA64MMFR3_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 7<<3 | 3
	ID_AA64MMFR4_EL1  SysReg = 3<<14 | 0<<11 | 0<<7 | 7<<3 | 4
	SCTLR_EL1         SysReg = 3<<14 | 0<<11 | 1<<7 | 0<<3 | 0
	ACTLR_EL1         SysReg = 3<<14 | 0<<11 | 1<<7 | 0<<3 | 1
	CPACR_EL1         SysReg = 3<<14 | 0<<11 | 1<<7 | 0<<3 | 2
	TTBR0_EL1         SysReg = 3<<14 | 0<<11 | 2<<7 | 0<<3 | 0
	TTBR1_EL1         SysReg = 3<<14 | 0<<11 | 2<<7 | 0<<3 | 1
	TCR_EL1           SysReg = 3<<14 | 0<<11 | 2<<7 | 0<<3 | 2
	APIAKeyLo_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 1<<3 | 0
	APIAKeyHi_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 1<<3 | 1
	APIBKeyLo_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 1<<3 | 2
	APIBKeyHi_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 1<<3 | 3
	APDAKeyLo_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 2<<3 | 0
	APDAKeyHi_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 2<<3 | 1
	APDBKeyLo_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 2<<3 | 2
	APDBKeyHi_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 2<<3 | 3
	APGAKeyLo_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 3<<3 | 0
	APGAKeyHi_EL1     SysReg = 3<<14 | 0<<11 | 2<<7 | 3<<3 | 1
	SPSR_EL1          SysReg = 3<<14 | 0<<11 | 4<<7 | 0<<3 | 0
	ELR_EL1           SysReg = 3<<14 | 0<<11 | 4<<7 | 0<<3 | 1
	SP_EL0            SysReg = 3<<14 | 0<<11 | 4<<7 | 1<<3 | 0
	SPSel             SysReg = 3<<14 | 0<<11 | 4<<7 | 2<<3 | 0
	CurrentEL         SysReg = 3<<14 | 0<<11 | 4<<7 | 2<<3 | 2
	PAN               SysReg = 3<<14 | 0<<11 | 4<<7 | 2<<3 | 3
	ICC_PMR_EL1       SysReg = 3<<14 | 0<<11 | 4<<7 | 6<<3 | 0
	AFSR0_EL1         SysReg = 3<<14 | 0<<11 | 5<<7 | 1<<3 | 0
	AFSR1_EL1         SysReg = 3<<14 | 0<<11 | 5<<7 | 1<<3 | 1
	ESR_EL1           SysReg = 3<<14 | 0<<11 | 5<<7 | 2<<3 | 0
	FAR_EL1           SysReg = 3<<14 | 0<<11 | 6<<7 | 0<<3 | 0
	PAR_EL1           SysReg = 3<<14 | 0<<11 | 7<<7 | 4<<3 | 0
	MAIR_EL1          SysReg = 3<<14 | 0<<11 | 10<<7 | 2<<3 | 0
	AMAIR_EL1         SysReg = 3<<14 | 0<<11 | 10<<7 | 3<<3 | 0
	VBAR_EL1          SysReg = 3<<14 | 0<<11 | 12<<7 | 0<<3 | 0
	ISR_EL1           SysReg = 3<<14 | 0<<11 | 12<<7 | 1<<3 | 0
	ICC_IAR0_EL1      SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 0
	ICC_EOIR0_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 1
	ICC_HPPIR0_EL1    SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 2
	ICC_BPR0_EL1      SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 3
	ICC_AP0R0_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 4
	ICC_AP0R1_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 5
	ICC_AP0R2_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 6
	ICC_AP0R3_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 8<<3 | 7
	ICC_AP1R0_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 9<<3 | 0
	ICC_AP1R1_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 9<<3 | 1
	ICC_AP1R2_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 9<<3 | 2
	ICC_AP1R3_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 9<<3 | 3
	ICC_DIR_EL1       SysReg = 3<<14 | 0<<11 | 12<<7 | 11<<3 | 1
	ICC_RPR_EL1       SysReg = 3<<14 | 0<<11 | 12<<7 | 11<<3 | 3
	ICC_SGI1R_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 11<<3 | 5
	ICC_ASGI1R_EL1    SysReg = 3<<14 | 0<<11 | 12<<7 | 11<<3 | 6
	ICC_SGI0R_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 11<<3 | 7
	ICC_IAR1_EL1      SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 0
	ICC_EOIR1_EL1     SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 1
	ICC_HPPIR1_EL1    SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 2
	ICC_BPR1_EL1      SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 3
	ICC_CTLR_EL1      SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 4
	ICC_SRE_EL1       SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 5
	ICC_IGRPEN0_EL1   SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 6
	ICC_IGRPEN1_EL1   SysReg = 3<<14 | 0<<11 | 12<<7 | 12<<3 | 7
	CONTEXTIDR_EL1    SysReg = 3<<14 | 0<<11 | 13<<7 | 0<<3 | 1
	TPIDR_EL1         SysReg = 3<<14 | 0<<11 | 13<<7 | 0<<3 | 4
	CNTKCTL_EL1       SysReg = 3<<14 | 0<<11 | 14<<7 | 1<<3 | 0
	CCSIDR_EL1        SysReg = 3<<14 | 1<<11 | 0<<7 | 0<<3 | 0
	CLIDR_EL1         SysReg = 3<<14 | 1<<11 | 0<<7 | 0<<3 | 1
	AIDR_EL1          SysReg = 3<<14 | 1<<11 | 0<<7 | 0<<3 | 7
	CSSELR_EL1        SysReg = 3<<14 | 2<<11 | 0<<7 | 0<<3 | 0
	CTR_EL0           SysReg = 3<<14 | 3<<11 | 0<<7 | 0<<3 | 1
	DCZID_EL0         SysReg = 3<<14 | 3<<11 | 0<<7 | 0<<3 | 7
	NZCV              SysReg = 3<<14 | 3<<11 | 4<<7 | 2<<3 | 0
	DAIF              SysReg = 3<<14 | 3<<11 | 4<<7 | 2<<3 | 1
	FPCR_EL0          SysReg = 3<<14 | 3<<11 | 4<<7 | 4<<3 | 0
	FPSR_EL0          SysReg = 3<<14 | 3<<11 | 4<<7 | 4<<3 | 1
	DSPSR_EL0         SysReg = 3<<14 | 3<<11 | 4<<7 | 5<<3 | 0
	DLR_EL0           SysReg = 3<<14 | 3<<11 | 4<<7 | 5<<3 | 1
	TPIDR_EL0         SysReg = 3<<14 | 3<<11 | 13<<7 | 0<<3 | 2
	TPIDRRO_EL0       SysReg = 3<<14 | 3<<11 | 13<<7 | 0<<3 | 3
	CNTFRQ_EL0        SysReg = 3<<14 | 3<<11 | 14<<7 | 0<<3 | 0
	CNTPCT_EL0        SysReg = 3<<14 | 3<<11 | 14<<7 | 0<<3 | 1
	CNTVCT_EL0        SysReg = 3<<14 | 3<<11 | 14<<7 | 0<<3 | 2
	CNTP_TVAL_EL0     SysReg = 3<<14 | 3<<11 | 14<<7 | 2<<3 | 0
	CNTP_CTL_EL0      SysReg = 3<<14 | 3<<11 | 14<<7 | 2<<3 | 1
	CNTP_CVAL_EL0     SysReg = 3<<14 | 3<<11 | 14<<7 | 2<<3 | 2
	CNTV_TVAL_EL0     SysReg = 3<<14 | 3<<11 | 14<<7 | 3<<3 | 0
	CNTV_CTL_EL0      SysReg = 3<<14 | 3<<11 | 14<<7 | 3<<3 | 1
	CNTV_CVAL_EL0     SysReg = 3<<14 | 3<<11 | 14<<7 | 3<<3 | 2
	SP_EL1            SysReg = 3<<14 | 4<<11 | 4<<7 | 1<<3 | 0
	OSDTRRX_EL1       SysReg = 2<<14 | 0<<11 | 0<<7 | 0<<3 | 2
	MDCCINT_EL1       SysReg = 2<<14 | 0<<11 | 0<<7 | 2<<3 | 0
	OSDTRTX_EL1       SysReg = 2<<14 | 0<<11 | 0<<7 | 3<<3 | 2
	MDSCR_EL1         SysReg = 2<<14 | 0<<11 | 0<<7 | 2<<3 | 2
	OSECCR_EL1        SysReg = 2<<14 | 0<<11 | 0<<7 | 6<<3 | 2
	MDRAR_EL1         SysReg = 2<<14 | 0<<11 | 1<<7 | 0<<3 | 0
	OSLAR_EL1         SysReg = 2<<14 | 0<<11 | 1<<7 | 0<<3 | 4
	OSLSR_EL1         SysReg = 2<<14 | 0<<11 | 1<<7 | 1<<3 | 4
	OSDLR_EL1         SysReg = 2<<14 | 0<<11 | 1<<7 | 3<<3 | 4
	DBGPRCR_EL1       SysReg = 2<<14 | 0<<11 | 1<<7 | 4<<3 | 4
	DBGCLAIMSET_EL1   SysReg = 2<<14 | 0<<11 | 7<<7 | 8<<3 | 6
	DBGCLAIMCLR_EL1   SysReg = 2<<14 | 0<<11 | 7<<7 | 9<<3 | 6
	DBGAUTHSTATUS_EL1 SysReg = 2<<14 | 0<<11 | 7<<7 | 14<<3 | 6
	MDCCSR_EL0        SysReg = 2<<14 | 3<<11 | 0<<7 | 1<<3 | 0
	DBGDTR_EL0        SysReg = 2<<14 | 3<<11 | 0<<7 | 4<<3 | 0
	DBGDTRRX_EL0      SysReg = 2<<14 | 3<<11 | 0<<7 | 5<<3 | 0
)

// DBGBVR is the address of breakpoint n, 0 to 15.
func DBGBVR(n uint8) SysReg { return Encode(2, 0, 0, n, 4) }

// DBGBCR is the control register of breakpoint n.
func DBGBCR(n uint8) SysReg { return Encode(2, 0, 0, n, 5) }

// DBGWVR is the address of watchpoint n.
func DBGWVR(n uint8) SysReg { return Encode(2, 0, 0, n, 6) }

// DBGWCR is the control register of watchpoint n.
func DBGWCR(n uint8) SysReg { return Encode(2, 0, 0, n, 7) }

// IsID says whether enc lies in the space of identification registers
// (Op0 3, Op1 0, CRn 0, CRm 1 to 7), where reserved encodings read as zero at EL1.
func IsID(enc SysReg) bool {
	return enc>>7 == 3<<7 && enc>>3&15 >= 1 && enc>>3&15 <= 7
}

// Name is the register's name in the Arm ARM or, for one that this package
// does not list, the assembler's generic S<op0>_<op1>_C<n>_C<m>_<op2>.
func Name(enc SysReg) string {
	if n, ok := names[enc]; ok {
		return n
	}
	op0, crm, op2 := enc>>14, enc>>3&15, enc&7
	if enc>>7 == 2<<7 && op2 >= 4 { // Op0 2, Op1 0, CRn 0: debug
		return fmt.Sprintf("%s%d_EL1", [...]string{"DBGBVR", "DBGBCR", "DBGWVR", "DBGWCR"}[op2-4], crm)
	}
	return fmt.Sprintf("S%d_%d_C%d_C%d_%d", op0, enc>>11&7, enc>>7&15, crm, op2)
}

var names = map[SysReg]string{
	MIDR_EL1:          "MIDR_EL1",
	MPIDR_EL1:         "MPIDR_EL1",
	REVIDR_EL1:        "REVIDR_EL1",
	ID_PFR0_EL1:       "ID_PFR0_EL1",
	ID_PFR1_EL1:       "ID_PFR1_EL1",
	ID_DFR0_EL1:       "ID_DFR0_EL1",
	ID_AFR0_EL1:       "ID_AFR0_EL1",
	ID_MMFR0_EL1:      "ID_MMFR0_EL1",
	ID_MMFR1_EL1:      "ID_MMFR1_EL1",
	ID_MMFR2_EL1:      "ID_MMFR2_EL1",
	ID_MMFR3_EL1:      "ID_MMFR3_EL1",
	ID_ISAR0_EL1:      "ID_ISAR0_EL1",
	ID_ISAR1_EL1:      "ID_ISAR1_EL1",
	ID_ISAR2_EL1:      "ID_ISAR2_EL1",
	ID_ISAR3_EL1:      "ID_ISAR3_EL1",
	ID_ISAR4_EL1:      "ID_ISAR4_EL1",
	ID_ISAR5_EL1:      "ID_ISAR5_EL1",
	ID_MMFR4_EL1:      "ID_MMFR4_EL1",
	ID_ISAR6_EL1:      "ID_ISAR6_EL1",
	MVFR0_EL1:         "MVFR0_EL1",
	MVFR1_EL1:         "MVFR1_EL1",
	MVFR2_EL1:         "MVFR2_EL1",
	ID_PFR2_EL1:       "ID_PFR2_EL1",
	ID_DFR1_EL1:       "ID_DFR1_EL1",
	ID_MMFR5_EL1:      "ID_MMFR5_EL1",
	ID_AA64PFR0_EL1:   "ID_AA64PFR0_EL1",
	ID_AA64PFR1_EL1:   "ID_AA64PFR1_EL1",
	ID_AA64PFR2_EL1:   "ID_AA64PFR2_EL1",
	ID_AA64ZFR0_EL1:   "ID_AA64ZFR0_EL1",
	ID_AA64SMFR0_EL1:  "ID_AA64SMFR0_EL1",
	ID_AA64FPFR0_EL1:  "ID_AA64FPFR0_EL1",
	ID_AA64DFR0_EL1:   "ID_AA64DFR0_EL1",
	ID_AA64DFR1_EL1:   "ID_AA64DFR1_EL1",
	ID_AA64AFR0_EL1:   "ID_AA64AFR0_EL1",
	ID_AA64AFR1_EL1:   "ID_AA64AFR1_EL1",
	ID_AA64ISAR0_EL1:  "ID_AA64ISAR0_EL1",
	ID_AA64ISAR1_EL1:  "ID_AA64ISAR1_EL1",
	ID_AA64ISAR2_EL1:  "ID_AA64ISAR2_EL1",
	ID_AA64ISAR3_EL1:  "ID_AA64ISAR3_EL1",
	ID_AA64MMFR0_EL1:  "ID_AA64MMFR0_EL1",
	ID_AA64MMFR1_EL1:  "ID_AA64MMFR1_EL1",
	ID_AA64MMFR2_EL1:  "ID_AA64MMFR2_EL1",
	ID_AA64MMFR3_EL1:  "ID_AA64MMFR3_EL1",
	ID_AA64MMFR4_EL1:  "ID_AA64MMFR4_EL1",
	SCTLR_EL1:         "SCTLR_EL1",
	ACTLR_EL1:         "ACTLR_EL1",
	CPACR_EL1:         "CPACR_EL1",
	TTBR0_EL1:         "TTBR0_EL1",
	TTBR1_EL1:         "TTBR1_EL1",
	TCR_EL1:           "TCR_EL1",
	APIAKeyLo_EL1:     "APIAKeyLo_EL1",
	APIAKeyHi_EL1:     "APIAKeyHi_EL1",
	APIBKeyLo_EL1:     "APIBKeyLo_EL1",
	APIBKeyHi_EL1:     "APIBKeyHi_EL1",
	APDAKeyLo_EL1:     "APDAKeyLo_EL1",
	APDAKeyHi_EL1:     "APDAKeyHi_EL1",
	APDBKeyLo_EL1:     "APDBKeyLo_EL1",
	APDBKeyHi_EL1:     "APDBKeyHi_EL1",
	APGAKeyLo_EL1:     "APGAKeyLo_EL1",
	APGAKeyHi_EL1:     "APGAKeyHi_EL1",
	SPSR_EL1:          "SPSR_EL1",
	ELR_EL1:           "ELR_EL1",
	SP_EL0:            "SP_EL0",
	SPSel:             "SPSel",
	CurrentEL:         "CurrentEL",
	PAN:               "PAN",
	ICC_PMR_EL1:       "ICC_PMR_EL1",
	AFSR0_EL1:         "AFSR0_EL1",
	AFSR1_EL1:         "AFSR1_EL1",
	ESR_EL1:           "ESR_EL1",
	FAR_EL1:           "FAR_EL1",
	PAR_EL1:           "PAR_EL1",
	MAIR_EL1:          "MAIR_EL1",
	AMAIR_EL1:         "AMAIR_EL1",
	VBAR_EL1:          "VBAR_EL1",
	ISR_EL1:           "ISR_EL1",
	ICC_IAR0_EL1:      "ICC_IAR0_EL1",
	ICC_EOIR0_EL1:     "ICC_EOIR0_EL1",
	ICC_HPPIR0_EL1:    "ICC_HPPIR0_EL1",
	ICC_BPR0_EL1:      "ICC_BPR0_EL1",
	ICC_AP0R0_EL1:     "ICC_AP0R0_EL1",
	ICC_AP0R1_EL1:     "ICC_AP0R1_EL1",
	ICC_AP0R2_EL1:     "ICC_AP0R2_EL1",
	ICC_AP0R3_EL1:     "ICC_AP0R3_EL1",
	ICC_AP1R0_EL1:     "ICC_AP1R0_EL1",
	ICC_AP1R1_EL1:     "ICC_AP1R1_EL1",
	ICC_AP1R2_EL1:     "ICC_AP1R2_EL1",
	ICC_AP1R3_EL1:     "ICC_AP1R3_EL1",
	ICC_DIR_EL1:       "ICC_DIR_EL1",
	ICC_RPR_EL1:       "ICC_RPR_EL1",
	ICC_SGI1R_EL1:     "ICC_SGI1R_EL1",
	ICC_ASGI1R_EL1:    "ICC_ASGI1R_EL1",
	ICC_SGI0R_EL1:     "ICC_SGI0R_EL1",
	ICC_IAR1_EL1:      "ICC_IAR1_EL1",
	ICC_EOIR1_EL1:     "ICC_EOIR1_EL1",
	ICC_HPPIR1_EL1:    "ICC_HPPIR1_EL1",
	ICC_BPR1_EL1:      "ICC_BPR1_EL1",
	ICC_CTLR_EL1:      "ICC_CTLR_EL1",
	ICC_SRE_EL1:       "ICC_SRE_EL1",
	ICC_IGRPEN0_EL1:   "ICC_IGRPEN0_EL1",
	ICC_IGRPEN1_EL1:   "ICC_IGRPEN1_EL1",
	CONTEXTIDR_EL1:    "CONTEXTIDR_EL1",
	TPIDR_EL1:         "TPIDR_EL1",
	CNTKCTL_EL1:       "CNTKCTL_EL1",
	CCSIDR_EL1:        "CCSIDR_EL1",
	CLIDR_EL1:         "CLIDR_EL1",
	AIDR_EL1:          "AIDR_EL1",
	CSSELR_EL1:        "CSSELR_EL1",
	CTR_EL0:           "CTR_EL0",
	DCZID_EL0:         "DCZID_EL0",
	NZCV:              "NZCV",
	DAIF:              "DAIF",
	FPCR_EL0:          "FPCR",
	FPSR_EL0:          "FPSR",
	DSPSR_EL0:         "DSPSR_EL0",
	DLR_EL0:           "DLR_EL0",
	TPIDR_EL0:         "TPIDR_EL0",
	TPIDRRO_EL0:       "TPIDRRO_EL0",
	CNTFRQ_EL0:        "CNTFRQ_EL0",
	CNTPCT_EL0:        "CNTPCT_EL0",
	CNTVCT_EL0:        "CNTVCT_EL0",
	CNTP_TVAL_EL0:     "CNTP_TVAL_EL0",
	CNTP_CTL_EL0:      "CNTP_CTL_EL0",
	CNTP_CVAL_EL0:     "CNTP_CVAL_EL0",
	CNTV_TVAL_EL0:     "CNTV_TVAL_EL0",
	CNTV_CTL_EL0:      "CNTV_CTL_EL0",
	CNTV_CVAL_EL0:     "CNTV_CVAL_EL0",
	SP_EL1:            "SP_EL1",
	OSDTRRX_EL1:       "OSDTRRX_EL1",
	MDCCINT_EL1:       "MDCCINT_EL1",
	OSDTRTX_EL1:       "OSDTRTX_EL1",
	MDSCR_EL1:         "MDSCR_EL1",
	OSECCR_EL1:        "OSECCR_EL1",
	MDRAR_EL1:         "MDRAR_EL1",
	OSLAR_EL1:         "OSLAR_EL1",
	OSLSR_EL1:         "OSLSR_EL1",
	OSDLR_EL1:         "OSDLR_EL1",
	DBGPRCR_EL1:       "DBGPRCR_EL1",
	DBGCLAIMSET_EL1:   "DBGCLAIMSET_EL1",
	DBGCLAIMCLR_EL1:   "DBGCLAIMCLR_EL1",
	DBGAUTHSTATUS_EL1: "DBGAUTHSTATUS_EL1",
	MDCCSR_EL0:        "MDCCSR_EL0",
	DBGDTR_EL0:        "DBGDTR_EL0",
	DBGDTRRX_EL0:      "DBGDTRRX_EL0",
}
