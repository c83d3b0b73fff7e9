package route_test

import (
	"context"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/system"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

// try runs ip(8) for what may fail, as it meddles with what changes.
func try(args ...string) { exec.Command("ip", args...).Run() }

// Whatever others do meanwhile, in the end the routes are what is wanted, and nothing else is left.
func TestRoutesAfterAStorm(t *testing.T) {
	netns.Need(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	n := &network{}
	r := start(t, system.New(), route.Wanted{On: true, Network: n, Guest: &guest{}, Subnets: subnets("172.17.0.0/16")})
	choices := []string{"172.17.0.0/16", "172.18.0.0/16", "10.7.0.0/24", "192.168.5.0/24"}
	one := func() string { return choices[dice.IntN(len(choices))] }
	for range 150 {
		wire, _, _, _ := n.Wire(t.Context())
		switch dice.IntN(9) {
		case 0:
			r.wants(func(w *route.Wanted) { w.On = !w.On })
		case 1:
			r.wants(func(w *route.Wanted) { w.Subnets, _ = route.Parse([]string{one(), one()}) })
		case 2:
			r.wants(func(w *route.Wanted) { w.Guest = &guest{} })
		case 3:
			r.wants(func(w *route.Wanted) { w.Guest, w.Subnets = nil, nil })
		case 4:
			try("route", "del", one())
		case 5:
			try("link", "set", wire, "down")
		case 6:
			try("link", "del", wire)
		case 7:
			try("route", "add", "blackhole", one())
		case 8:
			time.Sleep(time.Duration(dice.IntN(20)) * time.Millisecond)
		}
	drained:
		for {
			select {
			case <-r.events:
			default:
				break drained
			}
		}
	}
	for _, c := range choices {
		try("route", "del", "blackhole", c)
	}
	r.wants(func(w *route.Wanted) {
		w.On, w.Guest, w.Subnets = true, &guest{}, subnets("172.17.0.0/16", "172.18.0.0/16")
	})
	settled := func() bool {
		wire, _, pass, _ := n.Wire(context.Background())
		lines := strings.Split(strings.TrimSpace(ip(t, "route")), "\n")
		return len(lines) == 2 && strings.HasPrefix(lines[0], "172.17.0.0/16 dev "+wire+" ") && strings.HasPrefix(lines[1], "172.18.0.0/16 dev "+wire+" ") &&
			len(pass) == 2 && strings.Count(ip(t, "-oneline", "link"), "arcbox") == 1
	}
	for end := time.Now().Add(2 * patience); !settled(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			wire, _, pass, _ := n.Wire(context.Background())
			t.Fatalf("the wire is %s and lets %v through; the routes are\n%s%s", wire, pass, ip(t, "route"), ip(t, "link"))
		}
	}
	r.end(false)
	n.Unplug(t.Context())
	if out := ip(t, "route"); out != "" {
		t.Errorf("after the end the routes are\n%s", out)
	}
}
