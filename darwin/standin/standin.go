//go:build macshim && !darwin

package standin

// #cgo CFLAGS: -Wall -I${SRCDIR}/../sdk/apple
// #include "standin.h"
import "C"

// WriteCoverage writes down which lines of C were executed, in a build that counts them; tests call it
// before they end.
func WriteCoverage() { C.standin_write_coverage() }
