// Command arcboxd is the agent: one process of a user that looks after that user's machines. launchd, systemd or
// the CLI starts it; nobody needs to.
package main

import (
	"github.com/arcboxlabs/arcbox-go/agent/daemon"
	"github.com/arcboxlabs/arcbox-go/agent/power"
	_ "github.com/arcboxlabs/arcbox-go/agent/quiet"
)

func main() { daemon.Main(power.System()) }
