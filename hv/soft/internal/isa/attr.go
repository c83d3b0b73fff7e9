package isa

import "fmt"

// Attr is what block building must know of an operation; see isa/table.
type Attr uint8

// The values are those of isa/table.
const (
	Ends   Attr = 1
	Fault  Attr = 2
	System Attr = 4
	FP     Attr = 8
	Priv   Attr = 16
	Base   Attr = 64
)

// Mem describes an access that has a data abort syndrome.
type Mem struct {
	Size   uint8 // bytes
	Signed bool  // SSE
	Wide   bool  // SF
}

// AttrOf gives the attributes of operation code op.
func AttrOf(op uint16) Attr { return opAttrs[op] }

// MemOf gives the syndrome of a load or store; ok is false where ISV is 0.
func MemOf(op uint16) (m Mem, ok bool) {
	m, ok = opMems[op]
	return m, ok
}

// Fused gives the operation that does op and then branches on cond.
func Fused(op uint16, cond uint8) (code uint16, ok bool) {
	code, ok = fusedOps[uint32(op)<<4|uint32(cond&15)]
	return code, ok
}

// Name is the name of operation code op in isa/table.
func Name(op uint16) string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return fmt.Sprintf("op(%d)", op)
}
