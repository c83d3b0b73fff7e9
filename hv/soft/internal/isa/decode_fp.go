package isa

// decodeFP decodes a scalar floating-point instruction (bits 27:25 are 111).
// It reports false for everything else, which then goes to decodeSIMD.
func decodeFP(w uint32) (Op, bool) { return Op{}, false }
