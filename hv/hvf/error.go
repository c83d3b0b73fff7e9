//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// Error is a status of the framework that is no success.
type Error uint32

// The statuses, as the framework's headers name them.
const (
	errFailed       Error = 0xfae94001
	errBusy         Error = 0xfae94002
	errBadArgument  Error = 0xfae94003
	errIllegalState Error = 0xfae94004
	errNoResources  Error = 0xfae94005
	errNoDevice     Error = 0xfae94006
	errDenied       Error = 0xfae94007
	errUnsupported  Error = 0xfae9400f
)

var errorNames = map[Error]string{
	errFailed:       "HV_ERROR",
	errBusy:         "HV_BUSY",
	errBadArgument:  "HV_BAD_ARGUMENT",
	errIllegalState: "HV_ILLEGAL_GUEST_STATE",
	errNoResources:  "HV_NO_RESOURCES",
	errNoDevice:     "HV_NO_DEVICE",
	errDenied:       "HV_DENIED; the program needs the entitlement com.apple.security.hypervisor",
	errUnsupported:  "HV_UNSUPPORTED; this Mac cannot run virtual machines",
}

func (e Error) Error() string {
	if name, ok := errorNames[e]; ok {
		return name
	}
	return fmt.Sprintf("Hypervisor.framework says %#x", uint32(e))
}

// Is lets callers branch on what the contract names.
func (e Error) Is(target error) bool {
	return e == errBusy && target == hv.ErrBusy || e == errUnsupported && target == hv.ErrUnsupported
}

// check makes an error of a status: "cannot do: why".
func check(do string, status C.hv_return_t) error {
	if status == C.HV_SUCCESS {
		return nil
	}
	return fmt.Errorf("cannot %s: %w", do, Error(uint32(status)))
}
