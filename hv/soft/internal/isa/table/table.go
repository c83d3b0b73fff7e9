// Package table is the one description of what instructions do, from which
// the executor is generated (hv/soft/internal/isa/gen) and from which a code
// generator can be.
//
// # Adding a row
//
// A row is a name and a body. The name becomes the constant isa.Op<Name>. The
// body is Go: statements that run with c, a *exec.Core (which embeds
// cpu.State), and i, the *isa.Op being executed. Placeholders:
//
//	$d $n $m $a     the general register that i.Rd, i.Rn, i.Rm, i.Ra name, a uint64
//	$vd $vn $vm $va the vector register of that number, a simd.Vec, low half first
//	$sh $cond       i.Sh, i.Cond, uint8 each: whatever the decoder put there
//	$imm $jmm       i.Imm, i.Imm2, uint64 each
//
// Decoders name general registers by isa.ZR (31 reads zero), isa.W (31 is
// written to nowhere) and isa.SP (31 is the stack pointer); vector
// registers by their own number. Pair makes two rows, Name32 and Name64, in
// which @U, @S, @W and @M stand for uint32, int32, 32, 31 and for their 64-bit
// likes; the second is always the first plus one.
//
// A body may call methods of cpu.State (c.Test($cond), c.SetFlags(nzcv)) and
// functions of the packages float and simd by those names: the generator
// imports what bodies mention. FP code passes on &c.Env, which has FPCR and
// FPSR. A write to a scalar register zeroes the rest: $vd = simd.Vec{x, 0}.
//
// Floating-point scalar rows are in fp.go with isa/decode_fp.go, Advanced SIMD
// and cryptographic rows in simd.go with isa/decode_simd.go. Rows added by
// fpRows and simdRows are FP (they trap while CPACR_EL1.FPEN says so; bodies
// need not look) and run in functions of their own, exec.runFP and
// exec.runSIMD; Hot puts a row into the main loop instead. After a change:
//
//	go generate ./hv/soft/...
package table

import "strings"

// Attr is what block building, and a code generator, must know of a row.
type Attr uint8

// The attributes of rows.
const (
	Ends   Attr = 1  // ends its block: a branch, or a change that the next fetch must see
	Fault  Attr = 2  // may raise an exception or leave the engine after it has begun
	System Attr = 4  // touches state other than general, vector, flag and FP registers
	FP     Attr = 8  // traps while floating point is disabled
	Priv   Attr = 16 // undefined at EL0
	Hot    Attr = 32 // in the main loop although it is FP
	Base   Attr = 64 // $n is the base of an access, which must be aligned if it is SP
)

// Mem describes the access of a load or store row that has a data abort
// syndrome (ESR_ELx.ISV is 1): a single general register, no write-back.
type Mem struct {
	Size   uint8 // bytes
	Signed bool  // SSE
	Wide   bool  // SF
}

// A Row is one operation of the executor.
type Row struct {
	Name string
	Body string
	Attr Attr
	Mem  Mem
}

// A Table collects rows; their order is the order of the constants.
type Table struct {
	Rows []Row
	base Attr // added to every row
}

// Group says in which generated function a row runs.
type Group struct {
	Name string
	Rows []Row
}

// Add adds one row.
func (t *Table) Add(name, body string, attr ...Attr) {
	t.add(Row{Name: name, Body: body}, attr)
}

// Pair adds the 32-bit and the 64-bit form of a row.
func (t *Table) Pair(name, body string, attr ...Attr) {
	t.Add(name+"32", width(body, "32", "31"), attr...)
	t.Add(name+"64", width(body, "64", "63"), attr...)
}

func (t *Table) add(r Row, attr []Attr) {
	r.Attr = t.base
	for _, a := range attr {
		r.Attr |= a
	}
	t.Rows = append(t.Rows, r)
}

func width(body, w, m string) string {
	return strings.NewReplacer("@U", "uint"+w, "@S", "int"+w, "@W", w, "@M", m).Replace(body)
}

// All returns every row by group: the integer core, fp, simd.
func All() []Group {
	var core, fp, simd Table
	coreRows(&core)
	fp.base, simd.base = FP, FP
	fpRows(&fp)
	simdRows(&simd)
	return []Group{{"core", core.Rows}, {"fp", fp.Rows}, {"simd", simd.Rows}}
}
