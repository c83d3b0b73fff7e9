package daemon

import (
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
)

// routes take root, which arcbox-routed has where it is installed.
func routes() route.Host {
	program, err := home.Beside(helper.Program)
	if err != nil {
		program = helper.Program
	}
	return helper.NewClient(helper.Socket, program)
}
