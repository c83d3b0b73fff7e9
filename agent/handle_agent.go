package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func (a *agent) version(context.Context, *agentapi.VersionReq) (*agentapi.VersionResp, error) {
	return &agentapi.VersionResp{
		Version: a.self.version, Build: a.self.digest(), PID: os.Getpid(), Program: a.self.path, Started: a.started.UnixMilli(),
	}, nil
}

func (a *agent) setupNow(context.Context, *agentapi.SetupReq) (*agentapi.SetupStatus, error) {
	now, _ := a.setup.status()
	now.LastEvent = a.bus.Last()
	return &now, nil
}

func (a *agent) followSetup(ctx context.Context, _ *agentapi.SetupReq, to *ipc.Sink[agentapi.SetupStatus]) error {
	for {
		now, changed := a.setup.status()
		now.LastEvent = a.bus.Last()
		if err := to.Send(&now); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.silent:
			return errEnding
		}
	}
}

// errEnding is how a feed ends that the next agent can go on with.
var errEnding = ipc.Errorf(agentapi.Ending, "cannot tell more: the agent is ending")

func (a *agent) events(ctx context.Context, req *agentapi.EventsReq, to *ipc.Sink[agentapi.Event]) error {
	last := req.After
	if last == 0 {
		last = a.bus.Last()
	}
	for {
		events, err := a.bus.Next(ctx, last)
		if errors.Is(err, event.ErrClosed) {
			return errEnding
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := to.Send(&e); err != nil {
				return err
			}
			last = e.Seq
		}
	}
}

// shutdown answers before the agent ends, so that the caller hears it.
func (a *agent) shutdown(_ context.Context, req *agentapi.ShutdownReq) (*agentapi.ShutdownResp, error) {
	a.log.Info().Bool("machines", req.StopMachines).Msg("shutdown was asked for")
	a.stop(req.StopMachines)
	return &agentapi.ShutdownResp{}, nil
}

func (a *agent) diagnostics(ctx context.Context, _ *agentapi.DiagnosticsReq) (*agentapi.DiagnosticsResp, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return &agentapi.DiagnosticsResp{Files: a.diagnose(ctx)}, nil
}
