package agent

import (
	"context"

	"github.com/arcboxlabs/arcbox-go/agent/docker"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// A front is where Docker's clients connect.
type front struct {
	relay *docker.Relay
	done  chan struct{} // closed when it takes no connections any more
}

// openDocker begins to serve Docker's clients, if that is wanted; connections wait until machines can be had. What keeps it from
// serving keeps nothing else from working.
func (a *agent) openDocker() (*front, error) {
	c, _ := a.options.Config.Load() // what is wrong with it is told elsewhere
	if !c.Docker.Enable {
		return nil, nil
	}
	path, err := c.Sockets.DockerPath(a.options.Home)
	if err != nil {
		return nil, err
	}
	l, err := unixsock.Listen(path)
	if err != nil {
		return nil, err
	}
	a.log.Info().Str("socket", path).Msg("Docker's clients can connect")
	f := &front{done: make(chan struct{})}
	f.relay = docker.New(func(ctx context.Context) (docker.Machine, error) { return a.machine(ctx, agentapi.DefaultMachine) }, a.log)
	go func() {
		defer close(f.done)
		if err := f.relay.Serve(l.Plain()); err != nil {
			a.log.Error().Err(err).Msg("Docker's clients cannot connect any more")
		}
	}()
	return f, nil
}

// close ends every connection.
func (f *front) close() {
	if f == nil {
		return
	}
	f.relay.Close()
	<-f.done
}
