// Package exec executes pre-decoded basic blocks.
package exec

import "github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"

// Core executes one vCPU. It belongs to one goroutine.
type Core struct {
	cpu.State
}
