//go:build darwin && cgo

package mach

// #cgo CFLAGS: -Wall -Werror=unguarded-availability-new -Werror=implicit-function-declaration
import "C"
