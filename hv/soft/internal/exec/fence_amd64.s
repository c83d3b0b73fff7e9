#include "textflag.h"

// func fence()
TEXT ·fence(SB), NOSPLIT, $0-0
	LOCK
	ADDL $0, (SP)
	RET

// func cas8(p *uint8, old, new uint8) bool
TEXT ·cas8(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), DI
	MOVB old+8(FP), AL
	MOVB new+9(FP), CL
	LOCK
	CMPXCHGB CL, (DI)
	SETEQ ret+16(FP)
	RET

// func cas16(p *uint16, old, new uint16) bool
TEXT ·cas16(SB), NOSPLIT, $0-17
	MOVQ p+0(FP), DI
	MOVW old+8(FP), AX
	MOVW new+10(FP), CX
	LOCK
	CMPXCHGW CX, (DI)
	SETEQ ret+16(FP)
	RET

// func cas128(p *[2]uint64, old, new [2]uint64) bool
TEXT ·cas128(SB), NOSPLIT, $0-41
	MOVQ p+0(FP), DI
	MOVQ old_0+8(FP), AX
	MOVQ old_1+16(FP), DX
	MOVQ new_0+24(FP), BX
	MOVQ new_1+32(FP), CX
	LOCK
	CMPXCHG16B (DI)
	SETEQ ret+40(FP)
	RET
