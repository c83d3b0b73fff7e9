package daemon

import (
	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
)

// routes take root, which arcbox-routed has where it is installed.
func routes() route.Host { return helper.NewClient(helper.Socket) }
