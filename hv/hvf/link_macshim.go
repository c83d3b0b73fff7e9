//go:build macshim && !darwin

package hvf

// #cgo CFLAGS: -Wall -I${SRCDIR}/../../darwin/sdk/apple
import "C"
