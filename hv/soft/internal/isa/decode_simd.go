package isa

// decodeSIMD decodes an Advanced SIMD or cryptographic instruction (bits 27:25
// are 111). What it reports false for is UNDEFINED.
func decodeSIMD(w uint32) (Op, bool) { return Op{}, false }
