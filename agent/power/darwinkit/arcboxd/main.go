// Command arcboxd is the agent with AppKit's news of the host. It has AppKit's run loop on its main thread and shows nothing.
package main

import (
	"os"

	"github.com/progrium/darwinkit/macos"
	"github.com/progrium/darwinkit/macos/appkit"

	"github.com/arcboxlabs/arcbox-go/agent/daemon"
	"github.com/arcboxlabs/arcbox-go/agent/power"
	"github.com/arcboxlabs/arcbox-go/agent/power/darwinkit"
	_ "github.com/arcboxlabs/arcbox-go/agent/quiet"
)

func main() {
	macos.RunApp(func(app appkit.Application, _ *appkit.ApplicationDelegate) {
		app.SetActivationPolicy(appkit.ApplicationActivationPolicyProhibited)
		go func() {
			daemon.Main(darwinkit.Source{Base: power.System()})
			os.Exit(0)
		}()
	})
}
