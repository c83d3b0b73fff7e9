//go:build darwin && cgo

package vmnet

// #cgo LDFLAGS: -framework vmnet
// #cgo CFLAGS: -Wall -Werror=unguarded-availability-new -Werror=implicit-function-declaration
import "C"
