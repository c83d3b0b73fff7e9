package system

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// patience is how long anything may take that a test waits for.
const patience = time.Minute

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// ip runs ip(8), another program than ours.
func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// attach makes a wire that ends with the test.
func attach(t *testing.T) *route.Wire {
	t.Helper()
	netns.Need(t)
	w, err := New().Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.File.Close() })
	return w
}

func installed(t *testing.T, w *route.Wire, want ...netip.Prefix) {
	t.Helper()
	got, err := New().Installed(t.Context(), w.Name)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("through %s lead %v, %v; want %v", w.Name, got, err, want)
	}
}

func TestARouteComesAndGoes(t *testing.T) {
	w, h := attach(t), New()
	installed(t, w)
	for range 2 { // twice is no error
		if err := h.Install(t.Context(), w.Name, prefix("172.17.0.0/16")); err != nil {
			t.Fatal(err)
		}
		installed(t, w, prefix("172.17.0.0/16"))
	}
	if out := ip(t, "route", "get", "172.17.0.5"); !strings.Contains(out, "dev "+w.Name+" src "+w.Address.String()) {
		t.Errorf("a container is reached by %s", out)
	}
	if out := ip(t, "-6", "address", "show", "dev", w.Name); out != "" {
		t.Errorf("the wire speaks IPv6: %s", out)
	}
	if out := ip(t, "link", "show", "dev", w.Name); strings.Contains(out, "MULTICAST") || !strings.Contains(out, "UP") || !strings.Contains(out, "mtu 1500") {
		t.Errorf("the wire is %s", out)
	}
	for range 2 {
		if err := h.Remove(t.Context(), w.Name, prefix("172.17.0.0/16")); err != nil {
			t.Fatal(err)
		}
		installed(t, w)
	}
}

// The kernel takes everything back from whoever is killed.
func TestRoutesEndWithTheirWire(t *testing.T) {
	w, h := attach(t), New()
	if err := h.Install(t.Context(), w.Name, prefix("172.17.0.0/16")); err != nil {
		t.Fatal(err)
	}
	w.File.Close()
	for end := time.Now().Add(patience); strings.Contains(ip(t, "route"), "172.17"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after the wire's end the routes are %s", ip(t, "route"))
		}
	}
	if _, err := h.Installed(t.Context(), w.Name); !errors.Is(err, route.ErrGone) {
		t.Errorf("a wire that is gone has routes: %v", err)
	}
	if err := h.Install(t.Context(), w.Name, prefix("172.17.0.0/16")); !errors.Is(err, route.ErrGone) {
		t.Errorf("a route through a wire that is gone: %v", err)
	}
	if err := h.Remove(t.Context(), w.Name, prefix("172.17.0.0/16")); err != nil {
		t.Errorf("what is gone with its wire cannot be removed: %v", err)
	}
}

func TestWhatTheHostReachesStays(t *testing.T) {
	w := attach(t)
	ip(t, "tuntap", "add", "other0", "mode", "tap")
	defer ip(t, "link", "del", "other0")
	ip(t, "link", "set", "other0", "up")
	ip(t, "address", "add", "10.99.1.1/24", "dev", "other0")
	ip(t, "route", "add", "172.20.0.0/16", "dev", "other0")
	ip(t, "route", "add", "blackhole", "172.24.0.0/14")
	defer ip(t, "route", "del", "blackhole", "172.24.0.0/14")
	ip(t, "route", "add", "default", "dev", "other0")
	ip(t, "route", "add", "128.0.0.0/1", "dev", "other0") // half of a VPN's
	before := ip(t, "route", "show", "table", "all")
	tests := []struct {
		name   string
		subnet string
		taken  bool
	}{
		{"the same", "172.20.0.0/16", true},
		{"a part of a route", "172.20.7.0/24", true},
		{"a route is a part of it", "10.99.0.0/16", true},
		{"an address of the host", "10.99.1.0/30", true},
		{"what is to be unreachable", "172.25.0.0/16", true},
		{"what only the default route reaches", "172.18.0.0/16", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := New().Install(t.Context(), w.Name, prefix(tt.subnet))
			if taken := errors.Is(err, route.ErrTaken); taken != tt.taken || err != nil && !taken {
				t.Errorf("%s: %v, want taken %v", tt.subnet, err, tt.taken)
			}
			if err == nil {
				New().Remove(t.Context(), w.Name, prefix(tt.subnet))
			}
		})
	}
	if after := ip(t, "route", "show", "table", "all"); after != before {
		t.Errorf("the host's routes are\n%s\nand were\n%s", after, before)
	}
}

// A host that is in the machines' own network has no room for a wire.
func TestTheWiresAddressIsTaken(t *testing.T) {
	netns.Need(t)
	ip(t, "tuntap", "add", "other0", "mode", "tap")
	defer ip(t, "link", "del", "other0")
	ip(t, "address", "add", "192.168.127.77/24", "dev", "other0")
	ip(t, "link", "set", "other0", "up")
	w, err := New().Attach(t.Context())
	if err == nil {
		w.File.Close()
	}
	if !errors.Is(err, route.ErrTaken) || !strings.Contains(err.Error(), "other0") {
		t.Errorf("in the machines' network: %v", err)
	}
}

// Machines are all in one network, and have a wire each.
func TestTwoWires(t *testing.T) {
	one, two := attach(t), attach(t)
	h := New()
	if err := h.Install(t.Context(), one.Name, prefix("172.17.0.0/16")); err != nil {
		t.Fatal(err)
	}
	if err := h.Install(t.Context(), two.Name, prefix("172.17.0.0/16")); !errors.Is(err, route.ErrTaken) || !strings.Contains(err.Error(), one.Name) {
		t.Errorf("another machine's network: %v", err)
	}
	if err := h.Install(t.Context(), two.Name, prefix("172.18.0.0/16")); err != nil {
		t.Error(err)
	}
	installed(t, one, prefix("172.17.0.0/16"))
	installed(t, two, prefix("172.18.0.0/16"))
}

func TestOnlyWiresAreTouched(t *testing.T) {
	netns.Need(t)
	h := New()
	for _, name := range []string{"lo", "", "arcbox", "arcbox0x", "arcbox-1", "../lo", "arcbox00000000000000"} {
		if err := h.Install(t.Context(), name, prefix("172.17.0.0/16")); err == nil || errors.Is(err, route.ErrGone) {
			t.Errorf("a route through %q: %v", name, err)
		}
		if err := h.Remove(t.Context(), name, prefix("172.17.0.0/16")); err == nil {
			t.Errorf("a route through %q was removed", name)
		}
	}
	w := attach(t)
	for _, subnet := range []string{"0.0.0.0/0", "8.8.8.0/24", "172.17.0.1/16", "192.168.127.0/24", "fd00::/64", "172.17.0.0/12"} {
		if err := h.Install(t.Context(), w.Name, prefix(subnet)); err == nil {
			t.Errorf("%s was routed", subnet)
		}
	}
}

// Without the right the words say which it is.
func TestWithoutTheRight(t *testing.T) {
	netns.Need(t)
	runtime.LockOSThread() // for good: the thread ends with the test
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&head, &none[0]); err != nil {
		t.Fatal(err)
	}
	w, err := New().Attach(context.Background())
	if err == nil {
		w.File.Close()
	}
	if !errors.Is(err, route.ErrRefused) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("without any right: %v", err)
	}
}

func TestChangesAreTold(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := attach(t)
	ctx, cancel := context.WithCancel(t.Context())
	changed, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		New().Changes(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case <-time.After(patience):
			t.Fatalf("nobody tells of %s", what)
		}
	}
	wait("the beginning")
	ip(t, "route", "add", "172.30.0.0/16", "dev", w.Name)
	wait("a route")
	ip(t, "route", "del", "172.30.0.0/16")
	wait("its end")
	w.File.Close()
	wait("the end of an interface")
	cancel()
	<-ended
}
