package route_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/system"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// patience is how long anything may take that a test waits for.
const patience = time.Minute

func subnets(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, t := range texts {
		all = append(all, netip.MustParsePrefix(t))
	}
	return all
}

// A network holds the other end of the wire, as arcbox-net does.
type network struct {
	mu   sync.Mutex // guards what follows
	wire *route.Wire
	pass []netip.Prefix
}

func (n *network) Wire(context.Context) (string, netip.Addr, []netip.Prefix, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wire == nil {
		return "", netip.Addr{}, nil, nil
	}
	return n.wire.Name, n.wire.Address, n.pass, nil
}

func (n *network) Plug(_ context.Context, w *route.Wire, pass []netip.Prefix) error {
	fd, err := unix.FcntlInt(w.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wire, n.pass = &route.Wire{Name: w.Name, Address: w.Address, File: os.NewFile(uintptr(fd), "wire")}, pass
	return nil
}

func (n *network) Pass(_ context.Context, pass []netip.Prefix) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pass = pass
	return nil
}

func (n *network) Unplug(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.wire != nil {
		n.wire.File.Close()
		n.wire = nil
	}
	return nil
}

// A guest notes whom it admits.
type guest struct {
	mu      sync.Mutex // guards what follows
	subnets []netip.Prefix
}

func (g *guest) Admit(_ context.Context, _ netip.Addr, subnets []netip.Prefix) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.subnets = subnets
	return nil
}

func (g *guest) admits() []netip.Prefix {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.subnets
}

// A run is a keeper at work.
type run struct {
	t      *testing.T
	due    chan struct{}
	events chan route.Event
	end    func(leave bool)

	mu   sync.Mutex // guards what follows
	want route.Wanted
}

// start has a keeper begin with what is wanted.
func start(t *testing.T, host route.Host, want route.Wanted) *run {
	t.Helper()
	r := &run{t: t, due: make(chan struct{}, 1), events: make(chan route.Event, 256), want: want}
	ctx, cancel := context.WithCancel(context.Background())
	ended, leaves := make(chan struct{}), false
	k := &route.Keeper{Host: host, Wanted: r.wanted, Tell: func(e route.Event) { r.events <- e }, Due: r.due}
	go func() {
		defer close(ended)
		k.Run(ctx, func() bool { return leaves })
	}()
	r.end = func(leave bool) {
		select {
		case <-ctx.Done():
		default:
			leaves = leave
		}
		cancel()
		<-ended
	}
	t.Cleanup(func() { r.end(false) })
	r.due <- struct{}{}
	return r
}

func (r *run) wanted() route.Wanted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.want
}

// wants changes what is wanted.
func (r *run) wants(change func(*route.Wanted)) {
	r.mu.Lock()
	change(&r.want)
	r.mu.Unlock()
	select {
	case r.due <- struct{}{}:
	default:
	}
}

// tells waits for an event and returns it; others come before.
func (r *run) tells(kind route.Kind, subnet string) route.Event {
	r.t.Helper()
	var p netip.Prefix
	if subnet != "" {
		p = netip.MustParsePrefix(subnet)
	}
	for deadline := time.After(patience); ; {
		select {
		case e := <-r.events:
			if e.Kind == kind && e.Subnet == p {
				return e
			}
		case <-deadline:
			r.t.Fatalf("nobody tells of %v %s; the routes are\n%s", kind, subnet, ip(r.t, "route"))
		}
	}
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// routed is whether a network leads through a wire.
func routed(t *testing.T, subnet string) bool {
	t.Helper()
	return strings.Contains(ip(t, "route"), subnet+" dev arcbox")
}

func TestRoutesFollowWhatIsWanted(t *testing.T) {
	netns.Need(t)
	n, g := &network{}, &guest{}
	defer n.Unplug(t.Context())
	r := start(t, system.New(), route.Wanted{On: true, Network: n, Guest: g, Subnets: subnets("172.17.0.0/16")})
	r.tells(route.Installed, "172.17.0.0/16")
	if !routed(t, "172.17.0.0/16") || !slices.Equal(g.admits(), subnets("172.17.0.0/16")) {
		t.Errorf("the guest admits %v; the routes are\n%s", g.admits(), ip(t, "route"))
	}
	r.wants(func(w *route.Wanted) { w.Subnets = subnets("172.18.0.0/16", "172.19.0.0/24") })
	r.tells(route.Removed, "172.17.0.0/16")
	r.tells(route.Installed, "172.18.0.0/16")
	r.tells(route.Installed, "172.19.0.0/24")
	if _, _, pass, _ := n.Wire(t.Context()); !slices.Equal(pass, subnets("172.18.0.0/16", "172.19.0.0/24")) {
		t.Errorf("the wire lets %v through", pass)
	}
	t.Run("another agent in the guest is told", func(t *testing.T) {
		g := &guest{}
		r.wants(func(w *route.Wanted) { w.Guest = g })
		for end := time.Now().Add(patience); len(g.admits()) != 2; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("it admits %v", g.admits())
			}
		}
	})
	r.wants(func(w *route.Wanted) { w.On = false })
	r.tells(route.Removed, "172.18.0.0/16")
	for end := time.Now().Add(patience); strings.Contains(ip(t, "link"), "arcbox"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("with routes off the interfaces are\n%s", ip(t, "link"))
		}
	}
}

// What others do to routes or the interface is undone, and what they have is left alone.
func TestRoutesComeBack(t *testing.T) {
	netns.Need(t)
	n := &network{}
	defer n.Unplug(t.Context())
	ip(t, "route", "add", "blackhole", "172.18.0.0/16")
	r := start(t, system.New(), route.Wanted{On: true, Network: n, Guest: &guest{}, Subnets: subnets("172.17.0.0/16", "172.18.0.0/16")})
	r.tells(route.Installed, "172.17.0.0/16")
	if e := r.tells(route.Failed, "172.18.0.0/16"); !errors.Is(e.Cause, route.ErrTaken) {
		t.Errorf("what is taken fails by %v", e.Cause)
	}
	t.Run("a route is removed", func(t *testing.T) {
		ip(t, "route", "del", "172.17.0.0/16")
		r.tells(route.Removed, "172.17.0.0/16")
		r.tells(route.Installed, "172.17.0.0/16")
	})
	t.Run("the other's route goes", func(t *testing.T) {
		ip(t, "route", "del", "blackhole", "172.18.0.0/16")
		r.tells(route.Installed, "172.18.0.0/16")
	})
	t.Run("the interface goes down", func(t *testing.T) {
		name, _, _, _ := n.Wire(t.Context())
		ip(t, "link", "set", name, "down")
		r.tells(route.Installed, "172.17.0.0/16")
	})
	t.Run("the interface is removed", func(t *testing.T) {
		name, _, _, _ := n.Wire(t.Context())
		ip(t, "link", "del", name)
		r.tells(route.Removed, "172.17.0.0/16")
		r.tells(route.Installed, "172.17.0.0/16")
	})
	t.Run("the network is another", func(t *testing.T) {
		n.Unplug(t.Context()) // as the kernel does when it is killed
		other := &network{}
		t.Cleanup(func() { other.Unplug(context.Background()) })
		r.wants(func(w *route.Wanted) { w.Network = other })
		r.tells(route.Removed, "172.17.0.0/16")
		r.tells(route.Installed, "172.17.0.0/16")
		r.end(false)
	})
}

// The next keeper finds what the one before has left, and takes nothing back before it knows what is wanted.
func TestRoutesAreAdopted(t *testing.T) {
	netns.Need(t)
	n := &network{}
	defer n.Unplug(t.Context())
	want := route.Wanted{On: true, Network: n, Guest: &guest{}, Subnets: subnets("172.17.0.0/16", "172.18.0.0/16")}
	first := start(t, system.New(), want)
	first.tells(route.Installed, "172.18.0.0/16")
	first.end(true)
	if !routed(t, "172.17.0.0/16") || !routed(t, "172.18.0.0/16") {
		t.Fatalf("without a keeper the routes are\n%s", ip(t, "route"))
	}
	next := start(t, system.New(), route.Wanted{On: true, Network: n})
	next.wants(func(w *route.Wanted) { w.Guest, w.Subnets = &guest{}, subnets("172.18.0.0/16", "172.19.0.0/16") })
	next.tells(route.Removed, "172.17.0.0/16")
	if e := next.tells(route.Installed, "172.19.0.0/16"); len(next.events) > 0 || e.Wire == "" {
		t.Errorf("it tells more: %+v", <-next.events)
	}
	t.Run("and switched off", func(t *testing.T) {
		next.end(true)
		last := start(t, system.New(), route.Wanted{Network: n})
		last.tells(route.Removed, "172.18.0.0/16")
	})
}

func TestRoutesEndWithTheMachine(t *testing.T) {
	netns.Need(t)
	n := &network{}
	defer n.Unplug(t.Context())
	r := start(t, system.New(), route.Wanted{On: true, Network: n, Guest: &guest{}, Subnets: subnets("172.17.0.0/16")})
	r.tells(route.Installed, "172.17.0.0/16")
	r.end(false)
	r.tells(route.Removed, "172.17.0.0/16")
	if routed(t, "172.17.0.0/16") {
		t.Errorf("after the end the routes are\n%s", ip(t, "route"))
	}
}
