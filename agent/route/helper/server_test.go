package helper

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/routeapi"
)

// A table is a host in memory: its wires by name, with what leads through them.
type table map[string][]netip.Prefix

func (h table) Attach(context.Context) (*route.Wire, error) {
	f, err := os.Open(os.DevNull)
	name := fmt.Sprintf("arcbox%d", len(h))
	h[name] = nil
	return &route.Wire{Name: name, Address: netip.MustParseAddr("192.168.127.254"), File: f}, err
}

func (h table) Installed(_ context.Context, name string) ([]netip.Prefix, error) {
	has, ok := h[name]
	if !ok {
		return nil, route.ErrGone
	}
	return has, nil
}

func (h table) Install(_ context.Context, name string, p netip.Prefix) error {
	for _, has := range h {
		if slices.ContainsFunc(has, p.Overlaps) && !slices.Contains(h[name], p) {
			return fmt.Errorf("cannot route %v: %w", p, route.ErrTaken)
		}
	}
	if !slices.Contains(h[name], p) {
		h[name] = append(h[name], p)
	}
	return nil
}

func (h table) Remove(_ context.Context, name string, p netip.Prefix) error {
	h[name] = slices.DeleteFunc(h[name], func(q netip.Prefix) bool { return p == q })
	return nil
}

func (h table) Changes(ctx context.Context, changed func()) error {
	changed()
	<-ctx.Done()
	return ctx.Err()
}

// attached is a server with one wire, arcbox0.
func attached(t testing.TB, h table) *Server {
	t.Helper()
	s := NewServer(h)
	resp, err := s.attach(t.Context(), &routeapi.AttachReq{})
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
	return s
}

func codeOf(err error) ipc.Code {
	var refusal *ipc.Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return refusal.Code
	}
	return ipc.Internal
}

func TestWhatMayBeAsked(t *testing.T) {
	h := table{"en0": subnets("10.1.0.0/16")}
	s := attached(t, h) // arcbox1
	tests := []struct {
		name, wire, subnet string
		code               ipc.Code
	}{
		{"a network of containers", "arcbox1", "172.17.0.0/16", ""},
		{"the same again", "arcbox1", "172.17.0.0/16", ""},
		{"what the host has", "arcbox1", "10.1.2.0/24", routeapi.Taken},
		{"an interface of the host's", "en0", "172.18.0.0/16", routeapi.Gone},
		{"no wire", "", "172.18.0.0/16", routeapi.Gone},
		{"a wire of nobody", "arcbox7", "172.18.0.0/16", routeapi.Gone},
		{"everything", "arcbox1", "0.0.0.0/0", ipc.BadRequest},
		{"the world's", "arcbox1", "17.0.0.0/16", ipc.BadRequest},
		{"the loopback", "arcbox1", "127.0.0.0/16", ipc.BadRequest},
		{"IPv6", "arcbox1", "fd00::/64", ipc.BadRequest},
		{"no network", "arcbox1", "172.18.0.0; reboot", ipc.BadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := &routeapi.RouteReq{Wire: tt.wire, Subnet: tt.subnet}
			if _, err := s.install(t.Context(), req); codeOf(err) != tt.code {
				t.Errorf("install %+v: %v, want %q", req, err, tt.code)
			}
			if _, err := s.remove(t.Context(), &routeapi.RouteReq{Wire: "en0", Subnet: "10.1.0.0/16"}); codeOf(err) != routeapi.Gone {
				t.Errorf("a route of the host's was removed: %v", err)
			}
		})
	}
	if !slices.Equal(h["en0"], subnets("10.1.0.0/16")) || !slices.Equal(h["arcbox1"], subnets("172.17.0.0/16")) {
		t.Errorf("the host has %v", h)
	}
}

func TestBoundsOfTheHelper(t *testing.T) {
	h := table{}
	s := attached(t, h)
	for i := range routeapi.MaxSubnets + 1 {
		_, err := s.install(t.Context(), &routeapi.RouteReq{Wire: "arcbox0", Subnet: fmt.Sprintf("10.%d.0.0/16", i)})
		if over := i == routeapi.MaxSubnets; (codeOf(err) == ipc.Busy) != over || err != nil && !over {
			t.Fatalf("network %d: %v", i+1, err)
		}
	}
	for i := range routeapi.MaxWires {
		resp, err := s.attach(t.Context(), &routeapi.AttachReq{})
		if err == nil {
			resp.Close()
		}
		if over := i == routeapi.MaxWires-1; (codeOf(err) == ipc.Busy) != over || err != nil && !over {
			t.Fatalf("wire %d: %v", i+2, err)
		}
	}
	delete(h, "arcbox3") // it has ended, and makes room
	resp, err := s.attach(t.Context(), &routeapi.AttachReq{})
	if err != nil {
		t.Fatal(err)
	}
	resp.Close()
}

// Whatever is asked, nothing but a private network leads through a wire that was made here.
func FuzzInstall(f *testing.F) {
	f.Add("arcbox1", "172.17.0.0/16")
	f.Add("en0", "172.17.0.0/16")
	f.Add("arcbox1", "0.0.0.0/1")
	f.Add("arcbox1", "::ffff:10.0.0.0/112")
	f.Add("\x00", "10.0.0.0/16%en0")
	f.Fuzz(func(t *testing.T, wire, subnet string) {
		h := table{"en0": subnets("192.168.1.0/24")}
		s := attached(t, h)
		_, err := s.install(t.Context(), &routeapi.RouteReq{Wire: wire, Subnet: subnet})
		if err != nil && len(err.Error()) > 1<<10 {
			t.Errorf("the refusal has %d bytes", len(err.Error()))
		}
		s.remove(t.Context(), &routeapi.RouteReq{Wire: wire, Subnet: "192.168.1.0/24"})
		if !slices.Equal(h["en0"], subnets("192.168.1.0/24")) || len(h) != 2 {
			t.Errorf("%q %q: the host has %v", wire, subnet, h)
		}
		for _, p := range h["arcbox1"] {
			if route.Check(p) != nil {
				t.Errorf("%q: %v is routed", subnet, p)
			}
		}
	})
}

func subnets(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}
