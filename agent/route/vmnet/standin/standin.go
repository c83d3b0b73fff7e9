//go:build macshim && !darwin

package standin

// #cgo CFLAGS: -D_GNU_SOURCE -Wall -fblocks -I${SRCDIR}/../../../../darwin/sdk/apple
// #include "front.h"
import "C"

import (
	_ "github.com/arcboxlabs/arcbox-go/darwin/standin"   // blocks and queues
	_ "github.com/arcboxlabs/arcbox-go/ipc/mach/standin" // objects
)

// Statuses that a start may have.
const (
	Failure       = 1001
	NotAuthorized = 1010
)

// RefuseNext has the next start fail with a status, or with 0 refuse what it is to make.
func RefuseNext(status uint) { C.vmnetsim_refuse(C.uint(status)) }

// Live is how many interfaces there are.
func Live() int { return int(C.vmnetsim_live()) }
