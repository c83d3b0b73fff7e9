package machine

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// Where ports of the guest appear: the loopback is for this host's users alone.
const (
	publishLoopback = "127.0.0.1"
	publishAll      = "0.0.0.0"
)

// publishHost is the address of the host where ports of the guest appear now.
func (s *session) publishHost() string {
	if s.m.settings().PublishAll {
		return publishAll
	}
	return publishLoopback
}

// publishes notes what the guest publishes, which is not to be trusted: what it asks for can only be ports, and whose they are is
// the user's to say. Names are for its own network, and the resolver there keeps them apart from the world's.
func (s *session) publishes(n *guestapi.PortsNote) {
	n.Ports = n.Ports[:min(len(n.Ports), guestapi.MaxPublished)]
	n.Ports = slices.DeleteFunc(n.Ports, func(p guestapi.Published) bool { return p.Port == 0 || p.Protocol != "tcp" && p.Protocol != "udp" })
	n.Names = n.Names[:min(len(n.Names), guestapi.MaxNamed)]
	s.hasSubnets(n.Subnets)
	s.mu.Lock()
	s.ports = n
	s.mu.Unlock()
	s.lookAtPorts()
	s.lookAtRoutes()
}

func (s *session) lookAtPorts() {
	select {
	case s.portsDue <- struct{}{}:
	default:
	}
}

// keepPorts makes the host's ports what the guest publishes, and has its containers known by name, whenever that or the network has
// changed.
func (s *session) keepPorts() {
	conflicts := map[guestapi.Published]bool{} // that were told
	for {
		select {
		case <-s.portsDue:
		case <-s.ctx.Done():
			return
		}
		s.mu.Lock()
		network, want := s.network, s.ports
		s.mu.Unlock()
		if network == nil || want == nil {
			continue
		}
		if err := s.publish(network, s.publishHost(), want.Ports, conflicts); err != nil && s.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Msg("cannot publish ports") // the network is lost: the next one is told
		}
		if err := s.nameContainers(network, want.Names); err != nil && s.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Msg("cannot have containers known by name")
		}
	}
}

// publish has network publish what is wanted, at an address of the host, and nothing else.
func (s *session) publish(network *Process, host string, want []guestapi.Published, conflicts map[guestapi.Published]bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, askTime)
	defer cancel()
	stats, err := ipc.Call(ctx, network.Conn, netapi.Stats, &netapi.StatsReq{})
	if err != nil {
		return err
	}
	have := map[guestapi.Published]bool{}
	for _, p := range stats.Ports {
		is := guestapi.Published{Protocol: p.Protocol, Port: p.HostPort}
		if slices.Contains(want, is) && p.Host == host {
			have[is] = true
			continue
		}
		if _, err := ipc.Call(ctx, network.Conn, netapi.Withdraw, &netapi.WithdrawReq{Port: p}); err != nil {
			return err
		}
		s.tellPort(agentapi.PortWithdrawn, p.Host, is, nil)
	}
	for p := range conflicts {
		if !slices.Contains(want, p) {
			delete(conflicts, p)
		}
	}
	for _, p := range want {
		if have[p] {
			continue
		}
		port := netapi.Port{Protocol: p.Protocol, Host: host, HostPort: p.Port, GuestPort: p.Port}
		_, err := ipc.Call(ctx, network.Conn, netapi.Publish, &netapi.PublishReq{Port: port})
		var refusal *ipc.Error
		switch {
		case err == nil:
			delete(conflicts, p)
			s.tellPort(agentapi.PortPublished, host, p, nil)
		case !errors.As(err, &refusal):
			return err
		case !conflicts[p]:
			conflicts[p] = true
			s.tellPort(agentapi.PortConflict, host, p, err)
		}
	}
	return nil
}

// nameContainers tells the network's resolver who is who. A name that none can be is the guest's own mistake, and no reason to
// forget the others.
func (s *session) nameContainers(network *Process, all []guestapi.Named) error {
	ctx, cancel := context.WithTimeout(s.ctx, askTime)
	defer cancel()
	req := &netapi.SetNamesReq{Names: make([]netapi.Name, 0, len(all))}
	for _, n := range all {
		if name := netapi.Name(n); name.Check() == nil {
			req.Names = append(req.Names, name)
		}
	}
	_, err := ipc.Call(ctx, network.Conn, netapi.SetNames, req)
	return err
}

func (s *session) tellPort(kind agentapi.EventKind, host string, p guestapi.Published, cause error) {
	e := agentapi.Event{Kind: kind, Machine: s.m.name, Message: fmt.Sprintf("%s:%d/%s", host, p.Port, p.Protocol)}
	log := s.m.log.Info()
	if cause != nil {
		e.Cause = cause.Error()
		log = s.m.log.Warn().Err(cause)
	}
	log.Str("port", e.Message).Msg(string(kind))
	s.m.mgr.publish(e)
}
