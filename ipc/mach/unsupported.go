//go:build !cgo || !(darwin || macshim)

package mach

import (
	"context"
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// errNoXPC: XPC is a C interface of macOS.
var errNoXPC = fmt.Errorf("Mach services need macOS and a program built with cgo: %w", errors.ErrUnsupported)

func dial(_ context.Context, name, requirement string) (ipc.Wire, error) {
	return nil, errors.Join(check(name, requirement), errNoXPC)
}

// Listen would listen where there are Mach services. Error: errors.ErrUnsupported (wrapped).
func Listen(name, requirement string) (ipc.Listener, error) {
	return nil, errors.Join(check(name, requirement), errNoXPC)
}
