package daemon

import "github.com/arcboxlabs/arcbox-go/agent/route"

// routes are nobody's to change yet.
func routes() route.Host { return nil }
