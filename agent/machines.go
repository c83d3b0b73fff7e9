package agent

import (
	"context"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
)

// openMachines reads the records and adopts what runs.
func (a *agent) openMachines(ctx context.Context) (*machine.Manager, error) {
	o := machine.Options{
		Home: a.options.Home, Program: a.options.VMProgram, NetProgram: a.options.NetProgram, Routes: a.options.Routes, Mock: a.options.Mock,
		Settings: a.settings, Events: &a.bus, Log: a.log, Library: a.options.Library,
	}
	if a.options.Library != nil {
		o.Fetch = a.fetch
	}
	return machine.Open(ctx, o)
}
