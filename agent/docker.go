package agent

import (
	"context"
	"errors"

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
// serving keeps nothing else from working. On a socket of the service manager's somebody has to answer either way.
func (a *agent) openDocker() (*front, error) {
	c, _ := a.options.Config.Load() // what is wrong with it is told elsewhere
	machine := func(ctx context.Context) (docker.Machine, error) { return a.machine(ctx, agentapi.DefaultMachine) }
	l, err := a.inherited(agentapi.ServiceDocker)
	switch {
	case err != nil:
		return nil, err
	case l == nil && !c.Docker.Enable:
		return nil, nil
	case !c.Docker.Enable:
		machine = func(context.Context) (docker.Machine, error) { return nil, errDockerOff }
	case l == nil:
		path, err := c.Sockets.DockerPath(a.options.Home)
		if err != nil {
			return nil, err
		}
		if l, err = unixsock.Listen(path); err != nil {
			return nil, err
		}
	}
	a.log.Info().Stringer("socket", l.Plain().Addr()).Bool("enabled", c.Docker.Enable).Msg("Docker's clients can connect")
	f := &front{relay: docker.New(machine, a.log), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		if err := f.relay.Serve(l.Plain()); err != nil {
			a.log.Error().Err(err).Msg("Docker's clients cannot connect any more")
		}
	}()
	return f, nil
}

// errDockerOff is told to clients that the service manager lets connect.
var errDockerOff = errors.New("Docker is turned off here: docker.enable is false; arcbox config set docker.enable true, and arcbox agent restart")

// close ends every connection.
func (f *front) close() {
	if f == nil {
		return
	}
	f.relay.Close()
	<-f.done
}
