package main

import (
	"os"

	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
)

// routesProblem says why the agent can have no routes, and what to do; "" if it can.
func routesProblem(int, string) (problem, mend string) {
	if _, err := os.Stat(helper.Socket); err != nil {
		return "arcbox-routed is not installed", "sudo arcbox-routed install"
	}
	return "", ""
}
