// Package helper is the way to the host's routes for an agent that may not change them: a Client in the agent, and a Server in a
// process that may, arcbox-routed. Both are in front of a route.Host, and each checks what the other says.
package helper

// Program is the helper's own.
const Program = "arcbox-routed"

// Label is what the helper is called where launchd runs it, and Socket where it listens then.
const (
	Label  = "com.arcboxlabs.arcbox-routed"
	Socket = "/var/run/com.arcboxlabs.arcbox-routed.sock"
)

// ServiceSocket is what launchd calls the socket that it opens.
const ServiceSocket = "routes"
