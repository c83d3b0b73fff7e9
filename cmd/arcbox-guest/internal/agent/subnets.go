//go:build linux

package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A bridge is what dockerd's list says of a network of its.
type bridge struct {
	Internal bool // it leads nowhere, and nobody who asks from outside gets an answer
	IPAM     struct {
		Config []struct{ Subnet string }
	}
}

// subnets asks where containers are.
func (c *containers) subnets(ctx context.Context) ([]string, error) {
	body, end, err := c.get(ctx, `/networks?filters={"driver":["bridge"]}`)
	if err != nil {
		return nil, err
	}
	defer end()
	var all []bridge
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&all); err != nil {
		return nil, fmt.Errorf("cannot read dockerd's list of networks: %w", err)
	}
	return reachable(all), nil
}

// reachable are the IPv4 networks that a host may be let into, sorted.
func reachable(all []bridge) (subnets []string) {
	for _, b := range all {
		for _, c := range b.IPAM.Config {
			p, err := netip.ParsePrefix(c.Subnet)
			if b.Internal || err != nil || !p.Addr().Is4() || len(subnets) == guestapi.MaxSubnets {
				continue
			}
			subnets = append(subnets, p.Masked().String())
		}
	}
	slices.Sort(subnets)
	return slices.Compact(subnets)
}

// admit serves guestapi.Admit.
func (a *Agent) admit(ctx context.Context, req *guestapi.AdmitReq) (*guestapi.AdmitResp, error) {
	host, err := netip.ParseAddr(req.Host)
	if err != nil || !host.Is4() || len(req.Subnets) > guestapi.MaxSubnets {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot let %.64q into %d networks: give an IPv4 address, and at most %d", req.Host, len(req.Subnets), guestapi.MaxSubnets)
	}
	var subnets []netip.Prefix
	for _, text := range req.Subnets {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() {
			return nil, ipc.Errorf(ipc.BadRequest, "cannot let anybody into %.64q: it is no IPv4 network", text)
		}
		subnets = append(subnets, p)
	}
	if a.Admit == nil {
		return nil, ipc.Errorf(guestapi.Failed, "cannot let anybody in: this guest has no containers")
	}
	if err := a.Admit(ctx, host, subnets); err != nil {
		return nil, ipc.Errorf(guestapi.Failed, "cannot let the host in: %v", err)
	}
	return &guestapi.AdmitResp{}, nil
}
