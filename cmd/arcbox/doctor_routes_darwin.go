package main

import (
	"os"

	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
)

// routesProblem says why the agent can have no routes, and what to do; "" if it can.
func routesProblem(int, string) (problem, mend string) {
	if _, err := os.Stat(helper.Socket); err != nil {
		program, err := home.Beside(helper.Program)
		if err != nil {
			program = helper.Program
		}
		return helper.Program + " is not installed", "sudo " + program + " install"
	}
	return "", ""
}
