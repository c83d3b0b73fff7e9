// Package cpu holds the state of one vCPU as data: what the executor reads
// and writes at every instruction, laid out so that it can do so without
// bounds checks. It knows nothing of how instructions are found or executed.
//
// A State belongs to the goroutine that runs the vCPU.
package cpu

import (
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
)

// Indexes into State.X beyond X0 to X30.
const (
	ZR   = 31 // reads as zero; nothing writes it
	Sink = 32 // where writes to XZR go; nothing reads it
	SP   = 33 // the current stack pointer
)

// State is the part of a vCPU that instructions work on.
type State struct {
	// X is indexed by a uint8 of the pre-decoded operation; only 0 to SP are used.
	X [256]uint64
	// NF, ZF, CF and VF are the condition flags: N is bit 63 of NF, Z means
	// that ZF is 0, C is CF (0 or 1), V is bit 63 of VF.
	NF, ZF, CF, VF uint64
	PC             uint64
	// FPCR and FPSR hold architectural bits only.
	float.Env
	// TLB is the table that ordinary accesses use: that of the current EL.
	TLB *TLB
	// UserTLB is EL0's table, which LDTR and STTR use at EL1 too.
	UserTLB *TLB
	// DAIF holds the interrupt masks in the layout of the DAIF register.
	DAIF uint64
	// Sys holds the system registers that are storage, by SysXXX.
	Sys [256]uint64
	// V is indexed by a uint8; only 0 to 31 are used. The low half comes first.
	V [256]simd.Vec
}

// Test says whether condition cond (0 to 15, as encoded) holds.
func (s *State) Test(cond uint8) bool {
	var r bool
	switch cond >> 1 & 7 {
	case 0: // EQ
		r = s.ZF == 0
	case 1: // CS
		r = s.CF != 0
	case 2: // MI
		r = int64(s.NF) < 0
	case 3: // VS
		r = int64(s.VF) < 0
	case 4: // HI
		r = s.CF != 0 && s.ZF != 0
	case 5: // GE
		r = int64(s.NF^s.VF) >= 0
	case 6: // GT
		r = int64(s.NF^s.VF) >= 0 && s.ZF != 0
	default: // AL, also when encoded as NV
		return true
	}
	return r != (cond&1 == 1)
}

// SetFlags sets the flags from N<<3 | Z<<2 | C<<1 | V.
func (s *State) SetFlags(nzcv uint8) {
	s.NF = uint64(nzcv) << 60
	s.ZF = uint64(^nzcv) >> 2 & 1
	s.CF = uint64(nzcv) >> 1 & 1
	s.VF = uint64(nzcv) << 63
}

// Flags is the inverse of SetFlags.
func (s *State) Flags() uint8 {
	f := uint8(s.NF>>63)<<3 | uint8(s.CF&1)<<1 | uint8(s.VF>>63)
	if s.ZF == 0 {
		f |= 4
	}
	return f
}
