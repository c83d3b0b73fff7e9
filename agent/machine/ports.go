package machine

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// Where ports of the guest appear: the loopback is for this host's users alone. "localhost" is the IPv6 address first for some
// programs, which then do not try the other.
const (
	publishLoopback  = "127.0.0.1"
	publishLoopback6 = "::1"
	publishAll       = "0.0.0.0" // which is IPv6's as well, for Go's net
)

// publishHosts are the addresses of the host where ports of the guest appear now.
func (s *session) publishHosts() []string {
	if s.m.settings().PublishAll {
		return []string{publishAll}
	}
	return []string{publishLoopback, publishLoopback6}
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
	conflicts := map[netapi.Port]bool{} // that were told
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
		if err := s.publish(network, portsAt(s.publishHosts(), want.Ports), conflicts); err != nil && s.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Msg("cannot publish ports") // the network is lost: the next one is told
		}
		if err := s.nameContainers(network, want.Names); err != nil && s.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Msg("cannot have containers known by name")
		}
	}
}

// portsAt are ports at each address of the host, as the network has them.
func portsAt(hosts []string, ports []guestapi.Published) (all []netapi.Port) {
	for _, p := range ports {
		for _, host := range hosts {
			all = append(all, netapi.Port{Protocol: p.Protocol, Host: host, HostPort: p.Port, GuestPort: p.Port})
		}
	}
	return all
}

// publish has network publish what is wanted, and nothing else.
func (s *session) publish(network *Process, want []netapi.Port, conflicts map[netapi.Port]bool) error {
	ctx, cancel := context.WithTimeout(s.ctx, askTime)
	defer cancel()
	stats, err := ipc.Call(ctx, network.Conn, netapi.Stats, &netapi.StatsReq{})
	if err != nil {
		return err
	}
	have := map[netapi.Port]bool{}
	for _, p := range stats.Ports {
		is := p
		is.Guest = "" // which the network has filled in
		if slices.Contains(want, is) {
			have[is] = true
			continue
		}
		if _, err := ipc.Call(ctx, network.Conn, netapi.Withdraw, &netapi.WithdrawReq{Port: p}); err != nil {
			return err
		}
		s.tellPort(agentapi.PortWithdrawn, is, nil)
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
		_, err := ipc.Call(ctx, network.Conn, netapi.Publish, &netapi.PublishReq{Port: p})
		var refusal *ipc.Error
		switch {
		case err == nil:
			delete(conflicts, p)
			s.tellPort(agentapi.PortPublished, p, nil)
		case !errors.As(err, &refusal):
			return err
		case refusal.Code == netapi.NoAddress: // a host without IPv6
		case !conflicts[p]:
			conflicts[p] = true
			s.tellPort(agentapi.PortConflict, p, err)
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

func (s *session) tellPort(kind agentapi.EventKind, p netapi.Port, cause error) {
	where := net.JoinHostPort(p.Host, strconv.Itoa(int(p.HostPort)))
	e := agentapi.Event{Kind: kind, Machine: s.m.name, Message: where + "/" + p.Protocol}
	log := s.m.log.Info()
	if cause != nil {
		e.Cause = cause.Error()
		log = s.m.log.Warn().Err(cause)
	}
	log.Str("port", e.Message).Msg(string(kind))
	s.m.mgr.publish(e)
}
