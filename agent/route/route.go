// Package route keeps direct routes from the host to the networks of containers, so that the host can use a container's own address.
//
// A wire is an interface of the host whose other end is the process that plays a machine's network. The host's table leads the
// containers' networks through it. The wire lives as long as that process, and its routes as long as the wire, which is for the
// kernel to see to: so whoever is killed leaves nothing behind, and the next agent finds what it had.
//
// A Keeper makes the table what it should be, again and again, of what others say; a Host is the table.
package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// Errors that a Host's callers branch on. They come wrapped.
var (
	// ErrTaken: the host has something there already, which is left alone.
	ErrTaken = errors.New("the host reaches it another way")
	// ErrRefused: the host does not let us; asking again is in vain until somebody has changed that.
	ErrRefused = errors.New("the host does not allow it")
	// ErrGone: the wire is not there any more.
	ErrGone = errors.New("the wire is gone")
)

// A Host is the routes of a host, as far as they lead through wires of ours. Any goroutine may use it.
type Host interface {
	// Attach makes a wire. It lasts until the last copy of its file is closed. Errors: ErrRefused, ErrTaken.
	Attach(ctx context.Context) (*Wire, error)
	// Installed are the networks that lead through the wire called name. Errors: ErrGone.
	Installed(ctx context.Context, name string) ([]netip.Prefix, error)
	// Install has one lead there. What is there already is no error. Errors: ErrTaken when any part of it is another's, ErrGone.
	Install(ctx context.Context, name string, subnet netip.Prefix) error
	// Remove takes one back. What is not there is no error.
	Remove(ctx context.Context, name string, subnet netip.Prefix) error
	// Changes calls changed, which does not wait, whenever the table may have become another, until ctx ends; and once when it
	// has begun to look.
	Changes(ctx context.Context, changed func()) error
}

// A Wire is the host's end of one.
type Wire struct {
	Name    string     // of the interface
	Address netip.Addr // the host's there
	File    *os.File   // what netapi.SetWireReq takes; the caller closes it
}

// Bits of the networks that are routed: a larger one could take too much of what the host reaches by its default route.
const (
	minBits = 16
	maxBits = 30
)

// private are the networks that are nobody's in the world, in which containers may be.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
}

// machines is the network that every machine is in.
var machines = netip.MustParsePrefix(netapi.DefaultSubnet)

// Check says why a network cannot be one of containers, nil if it can.
func Check(p netip.Prefix) error {
	within := func(q netip.Prefix) bool { return q.Contains(p.Addr()) && q.Bits() <= p.Bits() }
	switch {
	case !p.IsValid() || !p.Addr().Is4() || p.Masked() != p:
		return fmt.Errorf("cannot route %v: it is no IPv4 network", p)
	case p.Bits() < minBits || p.Bits() > maxBits:
		return fmt.Errorf("cannot route %v: only networks from /%d to /%d are", p, minBits, maxBits)
	case !slices.ContainsFunc(private, within):
		return fmt.Errorf("cannot route %v: it is not private", p)
	case p.Overlaps(machines):
		return fmt.Errorf("cannot route %v: machines themselves are in %v", p, machines)
	}
	return nil
}

// Parse reads what a guest says that its networks are: at most netapi.MaxSubnets, in order, of which none has a part of
// another. Whatever else it says is left out, and why.
func Parse(texts []string) (subnets []netip.Prefix, wrong error) {
	if len(texts) > netapi.MaxSubnets {
		wrong = fmt.Errorf("cannot route %d networks: %d are the most", len(texts), netapi.MaxSubnets)
		texts = texts[:netapi.MaxSubnets]
	}
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			err = fmt.Errorf("cannot route %.64q: it is no network", text)
		} else if err = Check(p); err == nil && slices.ContainsFunc(subnets, p.Overlaps) {
			err = fmt.Errorf("cannot route %v: it has a part of another", p)
		}
		if err != nil {
			wrong = errors.Join(wrong, err)
			continue
		}
		subnets = append(subnets, p)
	}
	slices.SortFunc(subnets, netip.Prefix.Compare)
	return subnets, wrong
}
