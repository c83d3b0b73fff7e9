// Package isa turns AArch64 instruction words into pre-decoded operations.
//
// What an operation does is said once, in isa/table; the generator in isa/gen
// writes the constants of this package and the executor of exec from it.
// See the doc of isa/table for how an instruction is added.
//
// Decode never panics and depends on its arguments only. A word that is
// unallocated, or belongs to an extension that the ID registers do not offer,
// decodes to OpUNDEF.
package isa

//go:generate go run ./gen

// Op is one pre-decoded operation, 24 bytes. What the fields hold is between
// the decoder and the row of Code in isa/table.
type Op struct {
	Code           uint16 // OpXXX
	Rd, Rn, Rm, Ra uint8  // register file indexes, see ZR, W and SP
	Sh, Cond       uint8
	Imm, Imm2      uint64
}

// Indexes into cpu.State.X beyond X0 to X30.
const (
	zrIndex   = 31 // reads as zero, never written
	sinkIndex = 32 // written, never read
	spIndex   = 33 // the current stack pointer
)

// ZR is the index of general register n where 31 reads as zero.
func ZR(n uint32) uint8 { return uint8(n & 31) }

// W is the index of general register n where writing 31 is discarded.
func W(n uint32) uint8 {
	if n &= 31; n == 31 {
		return sinkIndex
	}
	return uint8(n)
}

// SP is the index of general register n where 31 is the stack pointer.
func SP(n uint32) uint8 {
	if n &= 31; n == 31 {
		return spIndex
	}
	return uint8(n)
}

// bits takes bits hi down to lo of w.
func bits(w uint32, hi, lo uint) uint32 { return w >> lo & (1<<(hi-lo+1) - 1) }

// sext sign-extends the low n bits of v.
func sext(v uint64, n uint) uint64 { return uint64(int64(v<<(64-n)) >> (64 - n)) }

// sel picks the 32- or 64-bit twin of a pair, op being the 32-bit one.
func sel(op uint16, sf uint32) uint16 { return op + uint16(sf&1) }
