package machine

import (
	"context"
	"net/netip"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// keepRoutes keeps direct routes to the networks of the guest's containers, where that is wanted. They outlive the agent, as the
// VM does, and are taken back when that ends.
func (s *session) keepRoutes() {
	if s.m.mgr.opts.Routes == nil {
		return
	}
	k := route.Keeper{Host: s.m.mgr.opts.Routes, Wanted: s.routesWanted, Tell: s.tellRoute, Due: s.routesDue}
	k.Run(s.ctx, func() bool { return s.verdict.detach }) // which holds since over was closed, before ctx ended
}

func (s *session) lookAtRoutes() {
	select {
	case s.routesDue <- struct{}{}:
	default:
	}
}

// routesWanted is how routes should be now.
func (s *session) routesWanted() route.Wanted {
	w := route.Wanted{On: s.m.settings().Routes}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.network != nil {
		w.Network = wiring{s.network.Conn}
	}
	if s.link != nil && s.ports != nil { // else it has not said what it has
		w.Guest, w.Subnets = admission{s.link.conn}, s.subnets
	}
	return w
}

// hasSubnets notes where the guest's containers are, as it says. What cannot be is left out, which is told once where it matters.
func (s *session) hasSubnets(texts []string) {
	subnets, err := route.Parse(texts)
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	s.mu.Lock()
	news := wrong != s.unrouted
	s.subnets, s.unrouted = subnets, wrong
	s.mu.Unlock()
	if news && wrong != "" && s.m.settings().Routes {
		s.tellRoute(route.Event{Kind: route.Failed, Cause: err})
	}
}

// tellRoute tells what became of a route.
func (s *session) tellRoute(e route.Event) {
	kind := map[route.Kind]agentapi.EventKind{
		route.Installed: agentapi.RouteInstalled, route.Removed: agentapi.RouteRemoved, route.Failed: agentapi.RouteFailed,
	}[e.Kind]
	is := agentapi.Event{Kind: kind, Machine: s.m.name}
	if e.Subnet.IsValid() {
		is.Message = e.Subnet.String()
	}
	log := s.m.log.Info()
	if e.Kind == route.Failed {
		log = s.m.log.Warn()
	}
	if e.Cause != nil {
		is.Cause = e.Cause.Error()
	}
	log.Err(e.Cause).Str("subnet", is.Message).Str("wire", e.Wire).Msg(string(kind))
	s.m.mgr.publish(is)
}

// A wiring is the process that plays a network, to whom wires are handed.
type wiring struct{ conn *ipc.Conn }

// Wire implements route.Network.
func (w wiring) Wire(ctx context.Context) (name string, address netip.Addr, subnets []netip.Prefix, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	stats, err := ipc.Call(ctx, w.conn, netapi.Stats, &netapi.StatsReq{})
	if err != nil || stats.Wire == nil {
		return "", address, nil, err
	}
	if address, err = netip.ParseAddr(stats.Wire.Host); err != nil {
		return "", address, nil, err
	}
	for _, text := range stats.Wire.Subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return "", address, nil, err
		}
		subnets = append(subnets, p)
	}
	return stats.Wire.Name, address, subnets, nil
}

// Plug implements route.Network.
func (w wiring) Plug(ctx context.Context, wire *route.Wire, subnets []netip.Prefix) error {
	req := &netapi.SetWireReq{Wire: netapi.Wire{Name: wire.Name, Host: wire.Address.String(), Subnets: texts(subnets)}}
	req.File = req.Attach(wire.File)
	return w.set(ctx, req)
}

// Pass implements route.Network.
func (w wiring) Pass(ctx context.Context, subnets []netip.Prefix) error {
	return w.set(ctx, &netapi.SetWireReq{Wire: netapi.Wire{Subnets: texts(subnets)}})
}

func (w wiring) set(ctx context.Context, req *netapi.SetWireReq) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := ipc.Call(ctx, w.conn, netapi.SetWire, req)
	return err
}

// Unplug implements route.Network.
func (w wiring) Unplug(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := ipc.Call(ctx, w.conn, netapi.Unwire, &netapi.UnwireReq{})
	return err
}

// An admission is the guest's agent, which lets the host through to containers.
type admission struct{ conn *ipc.Conn }

// Admit implements route.Guest.
func (a admission) Admit(ctx context.Context, host netip.Addr, subnets []netip.Prefix) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	_, err := ipc.Call(ctx, a.conn, guestapi.Admit, &guestapi.AdmitReq{Host: host.String(), Subnets: texts(subnets)})
	return err
}

func texts(subnets []netip.Prefix) []string {
	all := make([]string, len(subnets))
	for i, p := range subnets {
		all[i] = p.String()
	}
	return all
}
