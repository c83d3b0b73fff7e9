package agent

import (
	"context"

	"github.com/arcboxlabs/arcbox-go/agent/metrics"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// A scraped is the agent as package metrics sees it.
type scraped struct{ *agent }

// Machines implements metrics.Agent. Before there are any it has none.
func (s scraped) Machines(ctx context.Context) []agentapi.MachineStats {
	select {
	case <-s.opened:
	default:
		return nil
	}
	if s.manager == nil {
		return nil
	}
	return s.manager.Figures(ctx)
}

// Events implements metrics.Agent.
func (s scraped) Events(ctx context.Context, after uint64) ([]agentapi.Event, error) {
	return s.bus.Next(ctx, after)
}

// Connections implements metrics.Agent.
func (s scraped) Connections() int { return len(s.server.Conns()) }

// openMetrics begins to answer Prometheus, if that is wanted, and gives what ends it. What keeps it from answering keeps nothing else
// from working.
func (a *agent) openMetrics() (end func()) {
	c, _ := a.options.Config.Load() // what is wrong with it is told elsewhere
	if !c.Metrics.Enable {
		return func() {}
	}
	path, err := c.Sockets.MetricsPath(a.options.Home)
	var l *unixsock.Listener
	if err == nil {
		l, err = unixsock.Listen(path)
	}
	if err != nil {
		a.log.Error().Err(err).Msg("metrics cannot be served")
		return func() {}
	}
	a.log.Info().Str("socket", path).Msg("metrics can be scraped")
	s := metrics.Start(l.Plain(), scraped{a}, a.self.version)
	return func() {
		if err := s.Close(); err != nil {
			a.log.Error().Err(err).Msg("metrics could not be scraped any more")
		}
	}
}
