#include "textflag.h"

// func fence()
TEXT ·fence(SB), NOSPLIT, $0-0
	DMB $0xb
	RET

// func cas8(p *uint8, old, new uint8) bool
TEXT ·cas8(SB), NOSPLIT, $0-17
	MOVD p+0(FP), R0
	MOVBU old+8(FP), R1
	MOVBU new+9(FP), R2
	DMB $0xb
again:
	LDAXRB (R0), R3
	CMPW R1, R3
	BNE done
	STLXRB R2, (R0), R4
	CBNZ R4, again
done:
	CSET EQ, R3
	DMB $0xb
	MOVB R3, ret+16(FP)
	RET

// func cas16(p *uint16, old, new uint16) bool
TEXT ·cas16(SB), NOSPLIT, $0-17
	MOVD p+0(FP), R0
	MOVHU old+8(FP), R1
	MOVHU new+10(FP), R2
	DMB $0xb
again:
	LDAXRH (R0), R3
	CMPW R1, R3
	BNE done
	STLXRH R2, (R0), R4
	CBNZ R4, again
done:
	CSET EQ, R3
	DMB $0xb
	MOVB R3, ret+16(FP)
	RET

// func cas128(p *[2]uint64, old, new [2]uint64) bool
TEXT ·cas128(SB), NOSPLIT, $0-41
	MOVD p+0(FP), R0
	MOVD old_0+8(FP), R1
	MOVD old_1+16(FP), R2
	MOVD new_0+24(FP), R3
	MOVD new_1+32(FP), R4
	DMB $0xb
again:
	LDAXP (R0), (R5, R6)
	CMP R1, R5
	BNE differs
	CMP R2, R6
	BNE differs
	STLXP (R3, R4), (R0), R7
	CBNZ R7, again
	DMB $0xb
	MOVD $1, R7
	MOVB R7, ret+40(FP)
	RET
differs:
	CLREX
	MOVB ZR, ret+40(FP)
	RET
