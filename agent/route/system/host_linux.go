package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// wirePrefix begins the names of our interfaces; the kernel adds the first number that is free.
const wirePrefix = "arcbox"

// wireMTU is what the bridges of containers take: more would come as fragments.
const wireMTU = 1500

// Host is the network namespace of this process.
type Host struct{}

// New is the host's own table; changing it needs CAP_NET_ADMIN in the namespace.
func New() route.Host { return Host{} }

// refused gives an error the meaning that it has for a keeper.
func refused(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: it takes CAP_NET_ADMIN; give it to the agent (sudo setcap cap_net_admin+ep on arcboxd), or set machine.routes to off", route.ErrRefused)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w: this kernel has no /dev/net/tun; run sudo modprobe tun", route.ErrRefused)
	}
	return err
}

// Attach implements route.Host. The wire is a tap whose address is its own alone, so that any number of machines, which are all in one
// network, have one each: only what is routed through a wire leads there.
func (Host) Attach(context.Context) (_ *route.Wire, err error) {
	f, name, err := openTap()
	if err != nil {
		return nil, fmt.Errorf("cannot make a tap: %w", refused(err))
	}
	defer func() {
		if err != nil {
			f.Close() // and the tap is gone
		}
	}()
	address := netip.MustParseAddr(netapi.WireAddress)
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, fmt.Errorf("cannot set %s up: %w", name, err)
	}
	defer conn.Close()
	dev, err := net.InterfaceByName(name)
	if err == nil {
		err = conflictOf(conn, uint32(dev.Index), netip.PrefixFrom(address, address.BitLen()))
	}
	if err == nil {
		err = setUp(conn, dev, address)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot set %s up: %w", name, refused(err))
	}
	return &route.Wire{Name: name, Address: address, File: f}, nil
}

// openTap makes a tap and says what it is called.
func openTap() (*os.File, string, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", err
	}
	req, err := unix.NewIfreq(wirePrefix + "%d")
	if err == nil {
		req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		unix.Close(fd)
		return nil, "", err
	}
	return os.NewFile(uintptr(fd), "tap"), req.Name(), nil
}

// setUp gives an interface its address and brings it up. It speaks no IPv6, in which every neighbour would be heard, and takes no
// multicast, so that no program of the host looks for others there: nobody wakes up for a wire that is not used.
func setUp(conn *rtnetlink.Conn, dev *net.Interface, address netip.Addr) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+dev.Name+"/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err = conn.Address.New(&rtnetlink.AddressMessage{
		Family: unix.AF_INET, PrefixLength: uint8(address.BitLen()), Scope: unix.RT_SCOPE_UNIVERSE, Index: uint32(dev.Index),
		Attributes: &rtnetlink.AddressAttributes{Address: address.AsSlice(), Local: address.AsSlice()},
	})
	if err != nil {
		return err
	}
	return conn.Link.Set(&rtnetlink.LinkMessage{
		Index: uint32(dev.Index), Flags: unix.IFF_UP, Change: unix.IFF_UP | unix.IFF_MULTICAST, Attributes: &rtnetlink.LinkAttributes{MTU: wireMTU},
	})
}

// wire is the index of a wire of ours.
func wire(name string) (uint32, error) {
	if !isWire(name) {
		return 0, fmt.Errorf("cannot use %.64q: it is no wire of ours", name)
	}
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fmt.Errorf("cannot find %s: %w", name, route.ErrGone)
	}
	return uint32(dev.Index), nil
}

func isWire(name string) bool {
	number, ours := strings.CutPrefix(name, wirePrefix)
	return ours && number != "" && len(name) < unix.IFNAMSIZ && strings.Trim(number, "0123456789") == ""
}

// An entry is one of the table.
type entry struct {
	subnet netip.Prefix
	dev    uint32 // 0 for none
}

// entries are all IPv4 routes of all tables.
func entries(conn *rtnetlink.Conn) ([]entry, error) {
	all, err := conn.Route.ListMatch(&rtnetlink.RouteMessage{Family: unix.AF_INET})
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's routes: %w", err)
	}
	var es []entry
	for _, m := range all {
		at, ok := netip.AddrFromSlice(m.Attributes.Dst.To4())
		if !ok {
			at = netip.IPv4Unspecified()
		}
		es = append(es, entry{netip.PrefixFrom(at, int(m.DstLength)), m.Attributes.OutIface})
	}
	return es, nil
}

// Installed implements route.Host.
func (Host) Installed(_ context.Context, name string) ([]netip.Prefix, error) {
	dev, err := wire(name)
	if err != nil {
		return nil, err
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	all, err := entries(conn)
	if err != nil {
		return nil, err
	}
	return through(dev, all), nil
}

// through are the networks that lead through a wire, without the wire's own address.
func through(dev uint32, all []entry) (subnets []netip.Prefix) {
	for _, e := range all {
		if e.dev == dev && route.Check(e.subnet) == nil {
			subnets = append(subnets, e.subnet)
		}
	}
	return subnets
}

// Install implements route.Host.
func (Host) Install(_ context.Context, name string, subnet netip.Prefix) error {
	if err := route.Check(subnet); err != nil {
		return err
	}
	dev, err := wire(name)
	if err != nil {
		return err
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	all, err := entries(conn)
	if err != nil || slices.Contains(through(dev, all), subnet) {
		return err
	}
	if err := conflictOf(conn, dev, subnet); err != nil {
		return err
	}
	err = conn.Link.Set(&rtnetlink.LinkMessage{Index: dev, Flags: unix.IFF_UP, Change: unix.IFF_UP}) // which somebody may have ended
	if err == nil {
		err = conn.Route.Add(message(dev, subnet))
	}
	switch {
	case errors.Is(err, unix.EEXIST): // between the look and this
		return fmt.Errorf("cannot route %v: %w", subnet, route.ErrTaken)
	case err != nil:
		return fmt.Errorf("cannot route %v through %s: %w", subnet, name, refused(err))
	}
	return nil
}

// message is a route through a wire, from its own address.
func message(dev uint32, subnet netip.Prefix) *rtnetlink.RouteMessage {
	return &rtnetlink.RouteMessage{
		Family: unix.AF_INET, DstLength: uint8(subnet.Bits()), Table: unix.RT_TABLE_MAIN, Protocol: unix.RTPROT_STATIC, Scope: unix.RT_SCOPE_LINK,
		Type:       unix.RTN_UNICAST,
		Attributes: rtnetlink.RouteAttributes{Dst: subnet.Addr().AsSlice(), OutIface: dev, Src: net.ParseIP(netapi.WireAddress).To4()},
	}
}

// Remove implements route.Host.
func (Host) Remove(_ context.Context, name string, subnet netip.Prefix) error {
	dev, err := wire(name)
	if errors.Is(err, route.ErrGone) {
		return nil
	}
	if err != nil {
		return err
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	err = conn.Route.Delete(message(dev, subnet))
	if err != nil && !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("cannot remove the route of %v: %w", subnet, refused(err))
	}
	return nil
}

// conflictOf says what of the host is in the way of a network through wire own. The other wires' address, which is the same, is not.
func conflictOf(conn *rtnetlink.Conn, own uint32, subnet netip.Prefix) error {
	all, err := entries(conn)
	if err != nil {
		return err
	}
	var others []taken
	for _, e := range all {
		if e.dev == own {
			continue
		}
		name := "no interface's"
		if dev, err := net.InterfaceByIndex(int(e.dev)); err == nil {
			name = "of " + dev.Name
			if isWire(dev.Name) && e.subnet.IsSingleIP() {
				continue
			}
		}
		others = append(others, taken{e.subnet, name})
	}
	return conflict(subnet, others)
}

// Changes implements route.Host.
func (Host) Changes(ctx context.Context, changed func()) error {
	conn, err := rtnetlink.Dial(&netlink.Config{Groups: 1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_LINK-1)})
	if err != nil {
		return fmt.Errorf("cannot follow the host's routes: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer conn.Close()
	defer stop()
	for changed(); ; changed() {
		if _, _, err := conn.Receive(); err != nil && !errors.Is(err, unix.ENOBUFS) { // then some were lost
			return fmt.Errorf("cannot follow the host's routes: %w", err)
		}
	}
}
