package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/containers/gvisor-tap-vsock/pkg/services/dhcp"
	"github.com/containers/gvisor-tap-vsock/pkg/services/forwarder"
	"github.com/containers/gvisor-tap-vsock/pkg/tap"
	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/sirupsen/logrus"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// nic is the one network card of the gateway.
const nic tcpip.NICID = 1

// A plan is where everybody is in the network.
type plan struct {
	subnet               netip.Prefix
	gateway, guest, host netip.Addr // the first three addresses; host leads to the host's loopback
	mac                  net.HardwareAddr
	mtu                  int // bytes of IP packet
}

// A wire is the gateway's side of the network: a plug for the machine's cable, and behind it a TCP/IP with services.
type wire struct {
	plug
	ports *forwarder.PortsForwarder
}

// newWire puts the pieces of the library together. It has a function for this, whose resolver neither forgets a name nor ever sleeps
// for more than two seconds.
func newWire(p plan, r *resolver) (*wire, error) {
	config := &types.Configuration{
		MTU: p.mtu, Subnet: p.subnet.String(), GatewayIP: p.gateway.String(),
		DHCPStaticLeases: map[string]string{p.guest.String(): p.mac.String()},
	}
	card, err := tap.NewLinkEndpoint(false, uint32(p.mtu), netapi.GatewayMAC, p.gateway.String(), []string{p.host.String()})
	if err != nil {
		return nil, err
	}
	w := &wire{plug: plug{gateway: card}}
	card.Connect(w)
	s, err := newStack(p, card)
	if err != nil {
		return nil, err
	}
	nat := map[tcpip.Address]tcpip.Address{ // who asks for the host gets its own loopback
		tcpip.AddrFrom4(p.host.As4()): tcpip.AddrFrom4([4]byte{127, 0, 0, 1}),
		address6(netapi.HostAddress6): header.IPv6Loopback,
	}
	s.SetTransportProtocolHandler(tcp.ProtocolNumber, newForwarder(s, nat).HandlePacket)
	var lock sync.Mutex // the library's, of what nobody changes
	s.SetTransportProtocolHandler(udp.ProtocolNumber, forwarder.UDP(s, nat, &lock, false).HandlePacket)
	if err := serveNames(s, p, r); err != nil {
		return nil, err
	}
	leases := tap.NewIPPool(&net.IPNet{IP: p.subnet.Addr().AsSlice(), Mask: net.CIDRMask(p.subnet.Bits(), 32)})
	leases.Reserve(p.gateway.AsSlice(), netapi.GatewayMAC)
	leases.Reserve(p.guest.AsSlice(), p.mac.String())
	leases.Reserve(net.ParseIP(netapi.WireAddress), bypassMAC.String())
	server, err := dhcp.New(config, s, leases)
	if err != nil {
		return nil, err
	}
	go func() { logrus.Error(server.Serve()) }()
	w.ports = forwarder.NewPortsForwarder(s)
	return w, nil
}

// newStack is a TCP/IP that takes what is sent to any address for its own: the forwarders pass it on.
func newStack(p plan, card stack.LinkEndpoint) (*stack.Stack, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocolWithOptions(ipv6.Options{}), arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := s.CreateNIC(nic, card); err != nil {
		return nil, errors.New(err.String())
	}
	var routes []tcpip.Route
	for _, address := range []tcpip.ProtocolAddress{
		{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(p.gateway.As4()), PrefixLen: p.subnet.Bits()}},
		{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: address6(netapi.GatewayAddress6), PrefixLen: netip.MustParsePrefix(netapi.Subnet6).Bits()}},
	} {
		if err := s.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return nil, errors.New(err.String())
		}
		routes = append(routes, tcpip.Route{Destination: address.AddressWithPrefix.Subnet(), NIC: nic})
	}
	guest := address6(netip.MustParsePrefix(netapi.GuestAddress6).Addr().String())
	if err := s.AddStaticNeighbor(nic, ipv6.ProtocolNumber, guest, tcpip.LinkAddress(p.mac)); err != nil {
		return nil, errors.New(err.String())
	}
	s.SetSpoofing(nic, true)
	s.SetPromiscuousMode(nic, true)
	s.SetRouteTable(routes)
	return s, nil
}

func address6(text string) tcpip.Address { return tcpip.AddrFrom16(netip.MustParseAddr(text).As16()) }

// serveNames has r answer at the gateway's address.
func serveNames(s *stack.Stack, p plan, r *resolver) error {
	at := tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(p.gateway.As4()), Port: 53}
	packets, err := gonet.DialUDP(s, &at, nil, ipv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("cannot answer DNS: %w", err)
	}
	streams, err := gonet.ListenTCP(s, at, ipv4.ProtocolNumber)
	if err != nil {
		return fmt.Errorf("cannot answer DNS: %w", err)
	}
	r.serve(packets, streams)
	return nil
}

// expose opens a port of the host, and unexpose closes it.
func (w *wire) expose(p netapi.Port) error {
	return w.ports.Expose(types.TransportProtocol(p.Protocol), local(p), netip.AddrPortFrom(netip.MustParseAddr(p.Guest), p.GuestPort).String())
}

func (w *wire) unexpose(p netapi.Port) error {
	return w.ports.Unexpose(types.TransportProtocol(p.Protocol), local(p))
}
