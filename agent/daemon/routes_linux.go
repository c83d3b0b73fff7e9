package daemon

import (
	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/system"
)

// routes are this process's to change, if it has the right.
func routes() route.Host { return system.New() }
