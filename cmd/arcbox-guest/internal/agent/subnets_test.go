//go:build linux

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// networks are those of the daemon, as dockerd lists them.
func (d *daemon) networks() string {
	return `[{"Name":"bridge","Driver":"bridge","IPAM":{"Config":[{"Subnet":"172.17.0.0/16","Gateway":"172.17.0.1"}]}}]`
}

func TestReachableNetworks(t *testing.T) {
	many := "["
	for i := range guestapi.MaxSubnets + 1 {
		many += fmt.Sprintf(`{"IPAM":{"Config":[{"Subnet":"10.%d.0.0/16"}]}},`, i)
	}
	tests := []struct {
		name, list string
		want       int
		first      string
	}{
		{"none", `[]`, 0, ""},
		{"one", `[{"IPAM":{"Config":[{"Subnet":"172.17.0.0/16"}]}}]`, 1, "172.17.0.0/16"},
		{"internal", `[{"Internal":true,"IPAM":{"Config":[{"Subnet":"172.17.0.0/16"}]}}]`, 0, ""},
		{"IPv6 beside it", `[{"IPAM":{"Config":[{"Subnet":"fd00::/64"},{"Subnet":"172.18.0.0/24"}]}}]`, 1, "172.18.0.0/24"},
		{"an address of it, twice", `[{"IPAM":{"Config":[{"Subnet":"172.18.0.1/24"},{"Subnet":"172.18.0.0/24"}]}}]`, 1, "172.18.0.0/24"},
		{"nothing", `[{"IPAM":{"Config":[{"Subnet":""}]}},{"IPAM":{}},{}]`, 0, ""},
		{"too many", many + "{}]", guestapi.MaxSubnets, "10.0.0.0/16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var all []bridge
			if err := json.Unmarshal([]byte(tt.list), &all); err != nil {
				t.Fatal(err)
			}
			got := reachable(all)
			if len(got) != tt.want || tt.want > 0 && got[0] != tt.first {
				t.Errorf("%s: %v, want %d, the first %s", tt.list, got, tt.want, tt.first)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	type asked struct {
		host    netip.Addr
		subnets []netip.Prefix
	}
	var got []asked
	a := New(Options{Log: NewLog(nil), Run: t.TempDir(), Admit: func(_ context.Context, host netip.Addr, subnets []netip.Prefix) error {
		got = append(got, asked{host, subnets})
		return nil
	}})
	defer a.Close()
	tests := []struct {
		name string
		req  guestapi.AdmitReq
		code ipc.Code // "" for what is done
	}{
		{"one network", guestapi.AdmitReq{Host: "192.168.127.254", Subnets: []string{"172.17.0.0/16"}}, ""},
		{"none", guestapi.AdmitReq{Host: "192.168.127.254"}, ""},
		{"nobody", guestapi.AdmitReq{Subnets: []string{"172.17.0.0/16"}}, ipc.BadRequest},
		{"words for the packet filter", guestapi.AdmitReq{Host: "192.168.127.254", Subnets: []string{"172.17.0.0/16\n-A INPUT -j DROP"}}, ipc.BadRequest},
		{"too many", guestapi.AdmitReq{Host: "192.168.127.254", Subnets: slices.Repeat([]string{"172.17.0.0/16"}, guestapi.MaxSubnets+1)}, ipc.BadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got = nil
			_, err := a.admit(t.Context(), &tt.req)
			var refusal *ipc.Error
			if errors.As(err, &refusal); tt.code != "" && (refusal == nil || refusal.Code != tt.code || len(got) > 0) {
				t.Errorf("%+v: %v, and %v was done; want %s", tt.req, err, got, tt.code)
			}
			if tt.code == "" && (err != nil || len(got) != 1 || len(got[0].subnets) != len(tt.req.Subnets)) {
				t.Errorf("%+v: %v, and %v was done", tt.req, err, got)
			}
		})
	}
}
