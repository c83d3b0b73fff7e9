package table

// coreRows adds everything but floating point and Advanced SIMD arithmetic.
func coreRows(t *Table) {
	t.Add("UNDEF", ``, Ends, Fault, System)
	t.Add("NOP", ``)
}
