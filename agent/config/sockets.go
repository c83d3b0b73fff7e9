package config

import (
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// AgentPath is where the agent listens. Its directory exists then, unless it is one of the user's own choice.
func (s Sockets) AgentPath(h home.Home) (string, error) { return orUsual(s.Agent, h, agentapi.Socket) }

// DockerPath is where Docker's clients connect, likewise.
func (s Sockets) DockerPath(h home.Home) (string, error) {
	return orUsual(s.Docker, h, agentapi.DockerSocket)
}

// MetricsPath is where Prometheus connects, likewise.
func (s Sockets) MetricsPath(h home.Home) (string, error) {
	return orUsual(s.Metrics, h, agentapi.MetricsSocket)
}

func orUsual(path string, h home.Home, name string) (string, error) {
	if path != "" {
		return path, nil
	}
	return h.Socket(name)
}

// AgentSocket is where the agent listens, for who asks nothing else of the settings. What is wrong elsewhere in them does not matter.
func (s Sources) AgentSocket(h home.Home) (string, error) {
	c, _ := s.Load()
	return c.Sockets.AgentPath(h)
}
