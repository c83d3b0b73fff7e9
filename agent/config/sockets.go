package config

import "github.com/arcboxlabs/arcbox-go/agent/home"

// AgentSocket is where the agent listens, for which name is its socket's usual one. Its directory exists then.
func (s Sources) AgentSocket(h home.Home, name string) (string, error) {
	c, _ := s.Load() // what is wrong elsewhere does not matter here
	if c.Sockets.Agent != "" {
		return c.Sockets.Agent, nil
	}
	return h.Socket(name)
}

// DockerSocket is where Docker's clients connect, likewise.
func (s Sources) DockerSocket(h home.Home, name string) (string, error) {
	c, _ := s.Load()
	if c.Sockets.Docker != "" {
		return c.Sockets.Docker, nil
	}
	return h.Socket(name)
}

// MetricsSocket is where Prometheus connects, likewise.
func (s Sources) MetricsSocket(h home.Home, name string) (string, error) {
	c, _ := s.Load()
	if c.Sockets.Metrics != "" {
		return c.Sockets.Metrics, nil
	}
	return h.Socket(name)
}
