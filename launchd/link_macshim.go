//go:build macshim && !darwin

package launchd

// #cgo CFLAGS: -Wall -I${SRCDIR}/../darwin/sdk/apple
import "C"

import _ "github.com/arcboxlabs/arcbox-go/launchd/standin" // launch_activate_socket
