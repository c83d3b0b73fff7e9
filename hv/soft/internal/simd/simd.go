// Package simd holds what the Advanced SIMD, AES, SHA and CRC32 instructions
// of Armv8.0 compute (Arm ARM DDI 0487, C7), as functions over registers.
//
// A function is named after its instruction, takes its registers in the order
// of the assembly syntax, and a Shape saying which lanes take part. It writes
// the whole destination: bits above the shape's width become zero, as every
// write to a SIMD register does. The destination may be any of the sources.
//
// Functions that can saturate return the FPSR bits to be or-ed in, 0 or QC.
// Functions that compute in floating point take the *float.Env they report to.
//
// Nothing here checks encodings: the decoder (package isa) only lets allocated
// combinations of operation and shape through. A Shape that no instruction has
// gives a wrong result but never a panic: lanes are found by masks.
//
// Most integer operations treat a 64-bit half of a register as one word of
// lanes (see lanes); none allocates or calls through an interface.
package simd

import "github.com/arcboxlabs/arcbox-go/hv/soft/internal/float"

// A Vec is a 128-bit register; Vec[0] holds bits 63:0.
type Vec [2]uint64

// QC is the cumulative saturation bit of FPSR.
const QC = float.QC

// A Shape says how an instruction divides its registers: bits 1:0 are log2 of
// the element size in bytes, bits 3:2 how much of a register takes part.
//
// For instructions that widen or narrow, the size is that of the narrow
// elements, and Full means that the narrow operand is the upper half of its
// register (the mnemonics that end in 2).
type Shape uint8

// Element sizes and widths of a Shape, to be or-ed.
const (
	B Shape = 0 // 8-bit elements
	H Shape = 1
	S Shape = 2
	D Shape = 3

	Scalar Shape = 0 << 2 // element 0 alone
	Half   Shape = 1 << 2 // bits 63:0
	Full   Shape = 2 << 2 // all 128 bits
)

// keep has the bits of a register that a shape covers.
var keep = [16]Vec{
	{1<<8 - 1}, {1<<16 - 1}, {1<<32 - 1}, {^uint64(0)},
	{^uint64(0)}, {^uint64(0)}, {^uint64(0)}, {^uint64(0)},
	{^uint64(0), ^uint64(0)}, {^uint64(0), ^uint64(0)}, {^uint64(0), ^uint64(0)}, {^uint64(0), ^uint64(0)},
}

// size is log2 of the element size in bytes.
func (s Shape) size() uint { return uint(s & 3) }

// full says that bits 127:64 take part, or are the narrow operand.
func (s Shape) full() bool { return s&Full != 0 }

// double is the shape of the wide operands of an instruction whose narrow
// elements have shape s: elements twice as long in the whole register, or
// one of them.
func (s Shape) double() Shape {
	if s&(Half|Full) == 0 {
		return s&3 + 1
	}
	return s&3 + 1 | Full
}

// count is the number of elements.
func (s Shape) count() uint {
	switch s & (Half | Full) {
	case Scalar:
		return 1
	case Half:
		return 8 >> s.size()
	}
	return 16 >> s.size()
}

// put writes the part of lo and hi that s covers, and zeros above it.
func (d *Vec) put(s Shape, lo, hi uint64) {
	k := &keep[s&15]
	d[0], d[1] = lo&k[0], hi&k[1]
}

// Lane returns element i of the size (log2 bytes), zero-extended.
func (d *Vec) Lane(size, i uint) uint64 {
	size &= 3
	bit := i << size << 3
	return d[bit>>6&1] >> (bit & 63) & ones[size]
}

// SetLane replaces element i of the size by the low bits of x.
func (d *Vec) SetLane(size, i uint, x uint64) {
	size &= 3
	bit := i << size << 3
	w := &d[bit>>6&1]
	m := ones[size] << (bit & 63)
	*w = *w&^m | x<<(bit&63)&m
}

// signed returns element i of the size, sign-extended.
func (d *Vec) signed(size, i uint) int64 {
	sh := 64 - 8<<(size&3)
	return int64(d.Lane(size, i)<<sh) >> sh
}
