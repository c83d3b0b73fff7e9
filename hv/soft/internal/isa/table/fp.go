package table

// fpRows adds the scalar floating-point rows.
func fpRows(t *Table) {}
