//go:build darwin && arm64 && cgo

package hvf

// #cgo LDFLAGS: -framework Hypervisor
// #cgo CFLAGS: -Wall -Werror=unguarded-availability-new -Werror=implicit-function-declaration
import "C"
