package main

import (
	"context"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// checkRoutes looks whether direct routes to containers can be had, where they are wanted.
func checkRoutes(ctx context.Context, p *patient) {
	c, _ := config.Standard(p.home).Load() // what is wrong with it checkSettings says
	if p.conn == nil || c.For(agentapi.DefaultMachine).Routes != config.RoutesOn {
		return
	}
	agent, err := ipc.Call(ctx, p.conn, agentapi.Version, &agentapi.VersionReq{})
	if err != nil {
		return // checkAgent says so
	}
	if problem, mend := routesProblem(agent.PID, agent.Program); problem != "" {
		p.say("routes", warned, "machine.routes is on, and "+problem, mend+", or arcbox config unset machine.routes", nil)
		return
	}
	p.say("routes", well, "this host may reach containers by their own addresses", "", nil)
}
