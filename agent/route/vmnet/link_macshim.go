//go:build macshim && !darwin

package vmnet

// #cgo CFLAGS: -Wall -fblocks -I${SRCDIR}/../../../darwin/sdk/apple
import "C"

import _ "github.com/arcboxlabs/arcbox-go/agent/route/vmnet/standin" // the functions
