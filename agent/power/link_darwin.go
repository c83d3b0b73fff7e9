//go:build darwin && cgo

package power

// #cgo LDFLAGS: -framework IOKit
// #cgo CFLAGS: -Wall -Werror=unguarded-availability-new -Werror=implicit-function-declaration
import "C"
