package main

import (
	"context"
	"net"
	"os"
	"strings"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/docker"
)

// checkDocker looks at what leads Docker's clients to us: DOCKER_HOST, the context, the socket.
func checkDocker(ctx context.Context, p *patient) {
	if path, ok := strings.CutPrefix(os.Getenv("DOCKER_HOST"), "unix://"); ok {
		if _, err := os.Stat(path); err != nil {
			p.say("docker", warned, "DOCKER_HOST names a socket that is not there: "+path, "unset DOCKER_HOST", nil)
			return
		}
	}
	c, _ := config.Standard(p.home).Load() // what is wrong with them checkSettings says
	path, err := c.Sockets.DockerPath(p.home)
	if err != nil {
		p.say("docker", warned, err.Error(), "set sockets.docker to a shorter path", nil)
		return
	}
	client, err := docker.FindClient()
	if err != nil {
		return // without a home directory there is no configuration of Docker's
	}
	found, err := client.Find()
	if err != nil {
		p.say("docker", warned, err.Error(), "mend or remove that file", nil)
		return
	}
	remove := func(context.Context) error { return client.Withdraw(path) }
	_, service := installed(ctx)
	switch {
	case found.Host != "" && found.Host != "unix://"+path:
		p.say("docker", warned, "the docker context "+docker.Context+" leads to "+found.Host+", and not to this home", "docker context rm "+docker.Context+", and arcbox agent install", nil)
	case found.Host != "" && !c.Docker.Enable:
		p.say("docker", warned, "the docker context "+docker.Context+" leads to a socket that docker.enable = false keeps shut", "arcbox config set docker.enable true, or arcbox doctor --fix", remove)
	case found.Host != "" && service == nil:
		p.say("docker", warned, "the docker context "+docker.Context+" is left of an agent that is no longer installed", "arcbox agent install, or arcbox doctor --fix", remove)
	case p.conn != nil && c.Docker.Enable && !answers(ctx, path):
		p.say("docker", broken, "Docker's clients cannot connect to "+path, "arcbox agent restart", nil)
	case found.Host != "":
		p.say("docker", well, "the docker context "+docker.Context+" leads here", "", nil)
	}
}

// answers says whether somebody listens on a Unix socket.
func answers(ctx context.Context, path string) bool {
	c, err := (&net.Dialer{Timeout: answerTime}).DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	c.Close()
	return true
}
