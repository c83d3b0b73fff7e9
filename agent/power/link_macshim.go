//go:build macshim && !darwin

package power

// #cgo CFLAGS: -Wall -I${SRCDIR}/../../darwin/sdk/apple
import "C"

import _ "github.com/arcboxlabs/arcbox-go/agent/power/standin" // the functions
