package system

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	bsd "golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/vmnet"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// wireBits is the network of a wire, with the last address for the host: vmnet takes none that has no other.
const wireBits = 30

// host is the Mac's own table. Wires are interfaces of vmnet, each with a bridge of its own.
type host struct {
	mu      sync.Mutex     // guards what follows, and is held for the whole of a change
	bridges map[string]int // indices of the interfaces, by the name of their wires
}

// New is the Mac's own table; changing it takes root.
func New() route.Host { return &host{bridges: map[string]int{}} }

// refused gives an error the meaning that it has for a keeper.
func refused(err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w: it takes root; run sudo arcbox-routed install", route.ErrRefused)
	case errors.Is(err, errors.ErrUnsupported):
		return fmt.Errorf("%w: %w", route.ErrRefused, err)
	}
	return err
}

// Attach implements route.Host.
func (h *host) Attach(ctx context.Context) (*route.Wire, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	address := netip.MustParseAddr(netapi.WireAddress)
	if err := h.conflict(netip.PrefixFrom(address, address.BitLen())); err != nil {
		return nil, err
	}
	before := withAddress(address)
	var name string
	file, err := vmnet.Start(ctx, netip.PrefixFrom(address, wireBits), func() { h.forget(&name) })
	if err != nil {
		return nil, refused(err)
	}
	dev, err := appeared(ctx, address, before)
	if err != nil {
		file.Close()
		return nil, err
	}
	name = dev.Name
	h.bridges[name] = dev.Index
	return &route.Wire{Name: name, Address: address, File: file}, nil
}

// forget lets go of a wire that has ended. What it is called is known once Attach has let go of the lock.
func (h *host) forget(name *string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.bridges, *name)
}

// withAddress are the interfaces of the host that have an address, by their names.
func withAddress(address netip.Addr) map[string]net.Interface {
	found := map[string]net.Interface{}
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, dev := range all {
		addrs, err := dev.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(address.AsSlice()) {
				found[dev.Name] = dev
			}
		}
	}
	return found
}

// appearTime is how long the bridge of an interface may take to appear, which nobody is told.
const (
	appearTime  = 5 * time.Second
	appearPause = 20 * time.Millisecond
)

// appeared is the interface that has an address now and was not there before.
func appeared(ctx context.Context, address netip.Addr, before map[string]net.Interface) (*net.Interface, error) {
	ctx, cancel := context.WithTimeout(ctx, appearTime)
	defer cancel()
	for {
		for name, dev := range withAddress(address) {
			if _, was := before[name]; !was {
				return &dev, nil
			}
		}
		select {
		case <-time.After(appearPause):
		case <-ctx.Done():
			return nil, fmt.Errorf("cannot find the bridge with the address %v that vmnet was to make", address)
		}
	}
}

// bridge is the interface of a wire. The caller holds mu.
func (h *host) bridge(name string) (int, error) {
	dev, ours := h.bridges[name]
	if !ours {
		return 0, fmt.Errorf("cannot find %.64s: %w", name, route.ErrGone)
	}
	return dev, nil
}

// An entry is one of the table.
type entry struct {
	subnet netip.Prefix
	dev    int
}

// entries are all IPv4 routes but those that others have brought about by use.
func entries() ([]entry, error) {
	rib, err := bsd.FetchRIB(unix.AF_INET, bsd.RIBTypeRoute, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's routes: %w", err)
	}
	all, err := bsd.ParseRIB(bsd.RIBTypeRoute, rib)
	if err != nil {
		return nil, fmt.Errorf("cannot read the host's routes: %w", err)
	}
	var es []entry
	for _, m := range all {
		r, ok := m.(*bsd.RouteMessage)
		if !ok || r.Flags&unix.RTF_UP == 0 || r.Flags&(unix.RTF_WASCLONED|unix.RTF_LLINFO) != 0 || len(r.Addrs) <= unix.RTAX_NETMASK {
			continue
		}
		if dst, ok := r.Addrs[unix.RTAX_DST].(*bsd.Inet4Addr); ok {
			es = append(es, entry{netip.PrefixFrom(netip.AddrFrom4(dst.IP), bits(r)).Masked(), r.Index})
		}
	}
	return es, nil
}

// bits is how long the network of a route is.
func bits(r *bsd.RouteMessage) int {
	if mask, ok := r.Addrs[unix.RTAX_NETMASK].(*bsd.Inet4Addr); ok && r.Flags&unix.RTF_HOST == 0 {
		ones, _ := net.IPMask(mask.IP[:]).Size()
		return ones
	}
	return 32
}

// conflict says what of the host is in a network's way. The wires' own networks, which are the same, are not.
func (h *host) conflict(subnet netip.Prefix) error {
	all, err := entries()
	if err != nil {
		return err
	}
	var others []taken
	for _, e := range all {
		name := "no interface's"
		if dev, err := net.InterfaceByIndex(e.dev); err == nil {
			name = "of " + dev.Name
			if _, ours := h.bridges[dev.Name]; ours && e.subnet.Overlaps(machines) {
				continue
			}
		}
		others = append(others, taken{e.subnet, name})
	}
	return conflict(subnet, others)
}

// machines has the addresses of wires.
var machines = netip.MustParsePrefix(netapi.DefaultSubnet)

// Installed implements route.Host.
func (h *host) Installed(_ context.Context, name string) ([]netip.Prefix, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.installed(name)
}

// installed is Installed. The caller holds mu.
func (h *host) installed(name string) (subnets []netip.Prefix, err error) {
	dev, err := h.bridge(name)
	if err != nil {
		return nil, err
	}
	all, err := entries()
	for _, e := range all {
		if e.dev == dev && route.Check(e.subnet) == nil {
			subnets = append(subnets, e.subnet)
		}
	}
	return subnets, err
}

// Install implements route.Host.
func (h *host) Install(_ context.Context, name string, subnet netip.Prefix) error {
	if err := route.Check(subnet); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	has, err := h.installed(name)
	if err != nil || slices.Contains(has, subnet) {
		return err
	}
	if err := h.conflict(subnet); err != nil {
		return err
	}
	err = change(unix.RTM_ADD, subnet, name, h.bridges[name])
	switch {
	case errors.Is(err, unix.EEXIST): // between the look and this
		return fmt.Errorf("cannot route %v: %w", subnet, route.ErrTaken)
	case err != nil:
		return fmt.Errorf("cannot route %v through %s: %w", subnet, name, refused(err))
	}
	return nil
}

// Remove implements route.Host.
func (h *host) Remove(_ context.Context, name string, subnet netip.Prefix) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	has, err := h.installed(name)
	if errors.Is(err, route.ErrGone) || err == nil && !slices.Contains(has, subnet) {
		return nil
	}
	if err == nil {
		err = change(unix.RTM_DELETE, subnet, name, h.bridges[name])
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("cannot remove the route of %v: %w", subnet, refused(err))
	}
	return nil
}

// change adds or deletes a route that leads straight into an interface. The kernel answers a write with its error.
func change(what int, subnet netip.Prefix, name string, dev int) error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_INET)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	unix.CloseOnExec(fd)
	mask := net.CIDRMask(subnet.Bits(), 32)
	m := &bsd.RouteMessage{
		Type: what, Flags: unix.RTF_UP | unix.RTF_STATIC, Index: dev, ID: uintptr(os.Getpid()), Seq: 1,
		Addrs: []bsd.Addr{
			unix.RTAX_DST: &bsd.Inet4Addr{IP: subnet.Addr().As4()}, unix.RTAX_GATEWAY: &bsd.LinkAddr{Index: dev, Name: name},
			unix.RTAX_NETMASK: &bsd.Inet4Addr{IP: [4]byte(mask)},
		},
	}
	b, err := m.Marshal()
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, b)
	return err
}

// Changes implements route.Host.
func (h *host) Changes(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW, unix.AF_UNSPEC)
	if err == nil {
		unix.CloseOnExec(fd)
		err = unix.SetNonblock(fd, true) // so that Close ends a read
	}
	if err != nil {
		return fmt.Errorf("cannot follow the host's routes: %w", err)
	}
	f := os.NewFile(uintptr(fd), "routes")
	defer f.Close()
	defer context.AfterFunc(ctx, func() { f.Close() })()
	b := make([]byte, 64<<10)
	for changed(); ; changed() {
		if _, err := f.Read(b); err != nil && !errors.Is(err, unix.ENOBUFS) { // then some were lost
			return fmt.Errorf("cannot follow the host's routes: %w", err)
		}
	}
}
