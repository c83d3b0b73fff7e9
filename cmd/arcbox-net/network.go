package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"gvisor.dev/gvisor/pkg/tcpip"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// Bounds of ConfigureReq: the least MTU is IPv6's (RFC 8200), for a guest that speaks it within.
const (
	minMTU     = 1280
	maxMTU     = netapi.DefaultMTU
	longestNet = 29 // bits: gateway, machine and host must fit
)

// A network is a gateway with its services, and the cable to the machine.
type network struct {
	gateway, guest netip.Addr
	wire           *wire
	names          *resolver
	busy           sync.WaitGroup
	guestMAC       tcpip.LinkAddress

	mu    sync.Mutex // guards what follows
	ports []netapi.Port
	over  bool
}

// newNetwork makes a network without a link. Errors: bad-request.
func newNetwork(req *netapi.ConfigureReq) (*network, error) {
	text := req.Subnet
	if text == "" {
		text = netapi.DefaultSubnet
	}
	subnet, err := netip.ParsePrefix(text)
	if err != nil || !subnet.Addr().Is4() || subnet.Bits() > longestNet || subnet.Masked() != subnet {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot make the network %.64q: give an IPv4 network such as %s, at most a /%d", text, netapi.DefaultSubnet, longestNet)
	}
	mac, err := net.ParseMAC(req.MAC)
	if err != nil || len(mac) != 6 {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot make a network for the address %.64q: give one such as 02:00:00:00:00:01", req.MAC)
	}
	mtu := req.MTU
	if mtu == 0 {
		mtu = netapi.DefaultMTU
	}
	if mtu < minMTU || mtu > maxMTU {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot make a network with an MTU of %d: give %d to %d", mtu, minMTU, maxMTU)
	}
	p := plan{subnet: subnet, gateway: subnet.Addr().Next(), mac: mac, mtu: mtu}
	p.guest = p.gateway.Next()
	p.host = p.guest.Next()
	n := &network{gateway: p.gateway, guest: p.guest, guestMAC: tcpip.LinkAddress(mac), names: newResolver(net.DefaultResolver, p.host)}
	if n.wire, err = newWire(p, n.names); err != nil {
		return nil, fmt.Errorf("cannot make the network: %w", err)
	}
	return n, nil
}

// plug makes conn the link, in place of the one before.
func (n *network) plug(conn net.Conn) {
	link := &machineEnd{Conn: conn}
	n.mu.Lock()
	before, over := n.wire.cable.Swap(link), n.over
	n.mu.Unlock()
	if before != nil {
		before.Close()
	}
	if over {
		link.Close()
	}
	n.busy.Go(func() {
		err := n.wire.carry(link)
		link.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.wire.cable.CompareAndSwap(link, nil) && !n.over {
			log.Printf("the link to the machine has ended: %v", err)
		}
	})
}

func (n *network) linked() bool { return n.wire.cable.Load() != nil }

// relink serves netapi.Relink.
func (n *network) relink(_ context.Context, req *netapi.RelinkReq) (*netapi.RelinkResp, error) {
	conn, err := takeLink(&req.Files, req.Link)
	if err != nil {
		return nil, err
	}
	n.plug(conn)
	return &netapi.RelinkResp{}, nil
}

// close ends the link and withdraws every port. The library's own goroutines end with the process.
func (n *network) close() {
	n.mu.Lock()
	n.over = true
	link, ports := n.wire.cable.Load(), n.ports
	n.ports = nil
	n.mu.Unlock()
	if link != nil {
		link.Close()
	}
	n.endBypass(context.Background()) // the machine takes nothing any more
	for _, p := range ports {
		_ = n.wire.unexpose(p) // it ends with the process
	}
	n.busy.Wait()
}

// stats serves netapi.Stats.
func (n *network) stats(context.Context, *netapi.StatsReq) (*netapi.StatsResp, error) {
	return &netapi.StatsResp{
		Linked: n.linked(), Ports: n.published(), Wire: n.wired(),
		Sent: n.wire.sent.Load(), Received: n.wire.received.Load(),
	}, nil
}

// published lists the ports.
func (n *network) published() []netapi.Port {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]netapi.Port{}, n.ports...)
}

// publish serves netapi.Publish.
func (n *network) publish(_ context.Context, req *netapi.PublishReq) (*netapi.PublishResp, error) {
	p := req.Port
	if p.Guest == "" {
		p.Guest = n.guest.String()
	}
	if err := check(p); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.over:
		return nil, ipc.Errorf(ipc.WrongState, "cannot publish %s: the network is ending", local(p))
	case n.find(p) >= 0:
		return nil, ipc.Errorf(netapi.Exists, "cannot publish %s/%s: it is published already", local(p), p.Protocol)
	case len(n.ports) >= netapi.MaxPorts:
		return nil, ipc.Errorf(ipc.Busy, "cannot publish %s/%s: %d ports are", local(p), p.Protocol, netapi.MaxPorts)
	}
	err := n.wire.expose(p)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &ipc.Error{Code: netapi.InUse, Message: fmt.Sprintf("cannot publish %s/%s: another program of the host uses the port", local(p), p.Protocol),
			Hint: "end that program, or choose another port"}
	}
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		return nil, ipc.Errorf(netapi.NoAddress, "cannot publish %s/%s: the host has no such address", local(p), p.Protocol)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot publish %s/%s: %w", local(p), p.Protocol, err)
	}
	n.ports = append(n.ports, p)
	return &netapi.PublishResp{}, nil
}

// check says what is wrong with a port.
func check(p netapi.Port) error {
	_, hostErr := netip.ParseAddr(p.Host)
	guest, guestErr := netip.ParseAddr(p.Guest)
	switch {
	case p.Protocol != "tcp" && p.Protocol != "udp":
		return ipc.Errorf(ipc.BadRequest, "cannot publish a port of %.16q: give tcp or udp", p.Protocol)
	case hostErr != nil:
		return ipc.Errorf(ipc.BadRequest, "cannot publish a port at %.64q: give an address such as 127.0.0.1", p.Host)
	case guestErr != nil || !guest.Is4():
		return ipc.Errorf(ipc.BadRequest, "cannot publish a port of %.64q: give an IPv4 address of the guest", p.Guest)
	case p.HostPort == 0 || p.GuestPort == 0:
		return ipc.Errorf(ipc.BadRequest, "cannot publish port 0: give 1 to 65535")
	}
	return nil
}

// withdraw serves netapi.Withdraw.
func (n *network) withdraw(_ context.Context, req *netapi.WithdrawReq) (*netapi.WithdrawResp, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.find(req.Port)
	if i < 0 {
		return nil, ipc.Errorf(netapi.NotFound, "cannot withdraw %.64s/%.16s: it is not published", local(req.Port), req.Port.Protocol)
	}
	p := n.ports[i]
	if err := n.wire.unexpose(p); err != nil {
		return nil, fmt.Errorf("cannot withdraw %s/%s: %w", local(p), p.Protocol, err)
	}
	n.ports = slices.Delete(n.ports, i, i+1)
	return &netapi.WithdrawResp{}, nil
}

// find is the place of a published port, or -1. The caller holds mu.
func (n *network) find(p netapi.Port) int {
	return slices.IndexFunc(n.ports, func(q netapi.Port) bool {
		return q.Protocol == p.Protocol && q.Host == p.Host && q.HostPort == p.HostPort
	})
}

// local is a port's end on the host.
func local(p netapi.Port) string { return net.JoinHostPort(p.Host, fmt.Sprint(p.HostPort)) }

// setNames serves netapi.SetNames.
func (n *network) setNames(_ context.Context, req *netapi.SetNamesReq) (*netapi.SetNamesResp, error) {
	return &netapi.SetNamesResp{}, n.names.name(req.Names)
}
