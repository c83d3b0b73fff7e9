//go:build macshim && !darwin

package mach

// #cgo CFLAGS: -Wall -fblocks -I${SRCDIR}/../../darwin/sdk/apple
import "C"

import _ "github.com/arcboxlabs/arcbox-go/ipc/mach/standin" // XPC
