// Package oracle holds the software engine to an independent one: it makes
// instruction sequences with edge-valued operands, runs each at EL0 of an
// hv.Engine and under qemu-aarch64 in user mode, and compares every register,
// flag and byte of memory afterwards. A difference is cut down to the
// instruction and operands that matter and kept as a text file in
// testdata/found, with what QEMU answered, so that it is tested for ever and
// without QEMU.
//
// Both sides see the same addresses: 8 KiB of scratch memory with nothing
// mapped around it, and the code of vector n of a batch at Code + 256 n. A
// sequence branches forward, save for one counted loop, and so ends: in BRK,
// which follows it, or in the first fault.
//
// QEMU's CPU model per vector is Vector.CPU: what that model offers and the
// engine does not would be a difference, so most vectors run on cortex-a72
// (Armv8.0 with CRC32, AES, SHA-1 and SHA-256) where all else is undefined on
// both sides, atomics (FEAT_LSE) and FEAT_RDM on neoverse-n1 and SHA-512 on max. Known
// deviations of QEMU are in deviation.go.
package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The address map of a vector, and limits that testdata/runner.c repeats.
const (
	Scratch     = 0x5000_0000 // start of scratch memory
	ScratchSize = 8192
	Window      = 0xf80 // offset of the 256 bytes that a vector sets
	WindowSize  = 256
	Code        = 0x5080_0000
	CodeStride  = 256
	MaxWords    = 16
	MaxBatch    = 4096 // vectors in one run of QEMU
)

// CPU models of qemu-aarch64 -cpu.
const (
	BaseCPU = "cortex-a72"
	LSECPU  = "neoverse-n1"
	MaxCPU  = "max,sve=off,sme=off" // with SVE, signal frames hold V in another form
)

// Registers are the state of EL0 that vectors set and results hold.
type Registers struct {
	X    [31]uint64
	SP   uint64
	NZCV uint64 // bits 31:28, as in PSTATE
	FPCR uint64
	FPSR uint64
	V    [64]uint64 // V0 to V31, low half first
}

// A Vector is one test: a state, memory and instructions.
type Vector struct {
	CPU   string // QEMU's CPU model
	Slot  int    // the code lies at Code + CodeStride*Slot
	Regs  Registers
	Words []uint32 // at most MaxWords; BRK #0 follows
	Mem   [WindowSize]byte
}

// PC is the address of the vector's first instruction.
func (v *Vector) PC() uint64 { return Code + CodeStride*uint64(v.Slot) }

// Signals, as Linux numbers what EL0 did.
const (
	sigILL  = 4
	sigTRAP = 5
	sigBUS  = 7
	sigSEGV = 11
)

// A Result is what a vector left.
type Result struct {
	Regs   Registers
	PC     uint64 // of the instruction that ended it
	Signal uint64 // why it ended: SIGTRAP at BRK, SIGILL, SIGBUS, SIGSEGV
	Hash   uint64 // of all scratch memory, by hashScratch
	Mem    [WindowSize]byte
}

// wireInput and wireOutput are struct input and struct output of runner.c.
type wireInput struct {
	X                    [31]uint64
	SP, NZCV, FPCR, FPSR uint64
	V                    [64]uint64
	Count                uint32
	Words                [MaxWords]uint32
	Pad                  uint32
	Mem                  [WindowSize]byte
}

type wireOutput struct {
	X                        [31]uint64
	SP, PC, NZCV, FPCR, FPSR uint64
	V                        [64]uint64
	Signal, Address, Hash    uint64
	Mem                      [WindowSize]byte
}

// encode is a batch as the runner reads it: slots count up from 0.
func encode(vs []*Vector) ([]byte, error) {
	var b bytes.Buffer
	if len(vs) > MaxBatch {
		return nil, fmt.Errorf("cannot run %d vectors in a batch: at most %d", len(vs), MaxBatch)
	}
	binary.Write(&b, binary.LittleEndian, uint64(len(vs)))
	for i, v := range vs {
		if len(v.Words) > MaxWords || v.Slot != i {
			return nil, fmt.Errorf("cannot encode vector %d: %d words in slot %d", i, len(v.Words), v.Slot)
		}
		r := &v.Regs
		w := wireInput{X: r.X, SP: r.SP, NZCV: r.NZCV, FPCR: r.FPCR, FPSR: r.FPSR, V: r.V, Count: uint32(len(v.Words)), Mem: v.Mem}
		copy(w.Words[:], v.Words)
		binary.Write(&b, binary.LittleEndian, &w)
	}
	return b.Bytes(), nil
}

// decode is the inverse for the runner's answer.
func decode(b []byte, n int) ([]Result, error) {
	out := make([]wireOutput, n)
	if want := n * binary.Size(wireOutput{}); len(b) != want {
		return nil, fmt.Errorf("cannot read the runner's answer: %d bytes, want %d", len(b), want)
	}
	if _, err := binary.Decode(b, binary.LittleEndian, out); err != nil {
		return nil, fmt.Errorf("cannot read the runner's answer: %w", err)
	}
	results := make([]Result, n)
	for i, o := range out {
		results[i] = Result{
			Regs: Registers{X: o.X, SP: o.SP, NZCV: o.NZCV, FPCR: o.FPCR, FPSR: o.FPSR, V: o.V},
			PC:   o.PC, Signal: o.Signal, Hash: o.Hash, Mem: o.Mem,
		}
	}
	return results, nil
}

// fillScratch is the scratch memory that a vector starts with.
func fillScratch(s []byte, v *Vector) {
	for i := range ScratchSize {
		s[i] = byte(i*7 + i>>8*13)
	}
	copy(s[Window:], v.Mem[:])
}

// hashScratch is FNV-1a over little endian words.
func hashScratch(s []byte) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := 0; i < ScratchSize; i += 8 {
		h = (h ^ binary.LittleEndian.Uint64(s[i:])) * 0x100000001b3
	}
	return h
}
