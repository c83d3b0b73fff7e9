// Package system is the routes of the system that it runs on: with the rights to change them, which on macOS only
// arcbox-routed has.
package system

import (
	"fmt"
	"net/netip"

	"github.com/arcboxlabs/arcbox-go/agent/route"
)

// everything is how short a network is that is no network but the way to all others: private networks have 8 bits at least. A
// default route in halves, as VPNs make it, is one too.
const everything = 8

// A taken network is one that the host reaches.
type taken struct {
	subnet netip.Prefix
	by     string // who has it, in words
}

// conflict says why subnet may not be routed beside all that the host reaches.
func conflict(subnet netip.Prefix, all []taken) error {
	for _, t := range all {
		if t.subnet.Bits() < everything || !t.subnet.Overlaps(subnet) {
			continue
		}
		if subnet.IsSingleIP() {
			return fmt.Errorf("cannot have the address %v: %w: %v is %s; end what has it, or set machine.routes to off", subnet.Addr(), route.ErrTaken, t.subnet, t.by)
		}
		return fmt.Errorf("cannot route %v: %w: %v is %s; give Docker another network (default-address-pools), or end what has this one", subnet, route.ErrTaken, t.subnet, t.by)
	}
	return nil
}
