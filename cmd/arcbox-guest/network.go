//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
)

// card is the kernel's name of the network card, and resolvConf what the root's /etc/resolv.conf leads to.
const (
	card       = "eth0"
	resolvConf = "/run/resolv.conf"
)

// connect makes the network card what the host says it is. Who starts the machine knows that beforehand, so there is no
// DHCP to wait for, nor a lease to renew. A machine without a card is none of those that are told this.
func connect(n config.Network) error {
	dev, err := net.InterfaceByName(card)
	if err != nil {
		return nil
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("cannot set the network up: %w", err)
	}
	defer conn.Close()
	err = conn.Address.New(&rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: uint8(n.Address.Bits()), Scope: unix.RT_SCOPE_UNIVERSE, Index: uint32(dev.Index),
		Attributes: &rtnetlink.AddressAttributes{
			Address: n.Address.Addr().AsSlice(), Local: n.Address.Addr().AsSlice(), Broadcast: broadcast(n.Address).AsSlice(),
		},
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot give %s the address %s: %w", card, n.Address, err)
	}
	if err := conn.Link.Set(&rtnetlink.LinkMessage{Index: uint32(dev.Index), Flags: unix.IFF_UP, Change: unix.IFF_UP}); err != nil {
		return fmt.Errorf("cannot bring %s up: %w", card, err)
	}
	err = conn.Route.Replace(&rtnetlink.RouteMessage{
		Family: unix.AF_INET, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{Gateway: n.Gateway.AsSlice(), OutIface: uint32(dev.Index)},
	})
	if err != nil {
		return fmt.Errorf("cannot route through %s: %w", n.Gateway, err)
	}
	if err := os.WriteFile(resolvConf, []byte("nameserver "+n.Gateway.String()+"\n"), 0o644); err != nil {
		return fmt.Errorf("cannot name the resolver: %w", err)
	}
	return nil
}

// connect6 makes the network card what the host says it is in IPv6, beside what connect has made of it. A kernel without IPv6 is
// no misfortune.
func connect6(n config.Network6) error {
	dev, err := net.InterfaceByName(card)
	if err != nil || !n.Address.IsValid() {
		return nil
	}
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return nil
	}
	mac, err := net.ParseMAC(n.GatewayMAC)
	if err != nil {
		return fmt.Errorf("cannot set IPv6 up: %w", err)
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("cannot set IPv6 up: %w", err)
	}
	defer conn.Close()
	err = conn.Address.New(&rtnetlink.AddressMessage{
		Family: unix.AF_INET6, PrefixLength: uint8(n.Address.Bits()), Scope: unix.RT_SCOPE_UNIVERSE, Index: uint32(dev.Index),
		Flags:      unix.IFA_F_NODAD, // nobody else is there, and nobody would answer
		Attributes: &rtnetlink.AddressAttributes{Address: n.Address.Addr().AsSlice(), Local: n.Address.Addr().AsSlice()},
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot give %s the address %s: %w", card, n.Address, err)
	}
	err = conn.Neigh.New(&rtnetlink.NeighMessage{
		Family: unix.AF_INET6, Index: uint32(dev.Index), State: unix.NUD_PERMANENT,
		Attributes: &rtnetlink.NeighAttributes{Address: n.Gateway.AsSlice(), LLAddress: mac},
	})
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("cannot say where %s is: %w", n.Gateway, err)
	}
	err = conn.Route.Replace(&rtnetlink.RouteMessage{
		Family: unix.AF_INET6, Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_UNIVERSE, Type: unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{Gateway: n.Gateway.AsSlice(), OutIface: uint32(dev.Index)},
	})
	if err != nil {
		return fmt.Errorf("cannot route through %s: %w", n.Gateway, err)
	}
	return nil
}

// broadcast is the last address of a network.
func broadcast(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}
