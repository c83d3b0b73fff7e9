package helper

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/system"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

func TestMain(m *testing.M) { os.Exit(netns.Main(m)) }

// serve starts a helper for a user, in front of the namespace's own routes, and gives a client of it and its end.
func serve(t *testing.T, uid int) (*Client, string, func()) {
	t.Helper()
	netns.Need(t)
	path := filepath.Join(t.TempDir(), "routes.sock")
	end := serveAt(t, path, uid)
	c := NewClient(path, Program)
	t.Cleanup(func() { c.Close() })
	return c, path, end
}

func serveAt(t *testing.T, path string, uid int) (end func()) {
	t.Helper()
	l, err := unixsock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	server := &ipc.Server{Mux: NewServer(system.New()).Routes(), Allow: Only(uid)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(l)
	}()
	end = func() {
		server.Close()
		<-ended
	}
	t.Cleanup(end)
	return end
}

func routes(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "route").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// The helper's routes are the kernel's, and the wire is whoever's has got it.
func TestRoutesThroughTheHelper(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c, path, end := serve(t, os.Getuid())
	w, err := c.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.File.Close()
	subnet := netip.MustParsePrefix("172.17.0.0/16")
	for range 2 {
		if err := c.Install(t.Context(), w.Name, subnet); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := c.Installed(t.Context(), w.Name); err != nil || !slices.Equal(has, []netip.Prefix{subnet}) || !strings.Contains(routes(t), "172.17.0.0/16 dev "+w.Name) {
		t.Errorf("installed are %v, %v; the routes are\n%s", has, err, routes(t))
	}
	if err := c.Install(t.Context(), "lo", subnet); !errors.Is(err, route.ErrGone) {
		t.Errorf("an interface that is no wire: %v", err)
	}
	second, err := c.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.File.Close()
	if err := c.Install(t.Context(), second.Name, subnet); !errors.Is(err, route.ErrTaken) {
		t.Errorf("what leads through another wire: %v", err)
	}
	if err := c.Remove(t.Context(), w.Name, subnet); err != nil || strings.Contains(routes(t), "172.17.") {
		t.Errorf("after the removal, %v, the routes are\n%s", err, routes(t))
	}
	t.Run("another helper knows no wires", func(t *testing.T) {
		end()
		endNext := serveAt(t, path, os.Getuid())
		defer endNext()
		if _, err := c.Installed(t.Context(), w.Name); !errors.Is(err, route.ErrGone) {
			t.Errorf("a wire that another has made: %v", err)
		}
	})
	c.Close()
}

func TestOnlyItsUserIsServed(t *testing.T) {
	c, _, _ := serve(t, os.Getuid()+1)
	if _, err := c.Attach(t.Context()); !errors.Is(err, route.ErrRefused) || !strings.Contains(err.Error(), "installed for user") {
		t.Errorf("another user: %v", err)
	}
}

func TestNoHelperIsInstalled(t *testing.T) {
	c := NewClient(filepath.Join(t.TempDir(), "nobody.sock"), "/somewhere/arcbox-routed")
	defer c.Close()
	if _, err := c.Attach(t.Context()); !errors.Is(err, route.ErrRefused) || !strings.Contains(err.Error(), "sudo /somewhere/arcbox-routed install") {
		t.Errorf("without a helper: %v", err)
	}
}

func TestChangesThroughTheHelper(t *testing.T) {
	c, _, end := serve(t, os.Getuid())
	w, err := c.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.File.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	changed, ended := make(chan struct{}, 64), make(chan error, 1)
	go func() { ended <- c.Changes(ctx, func() { changed <- struct{}{} }) }()
	wait := func(what string) {
		t.Helper()
		select {
		case <-changed:
		case err := <-ended:
			t.Fatalf("instead of %s: %v", what, err)
		}
	}
	wait("the beginning")
	for len(changed) > 0 {
		<-changed
	}
	if out, err := exec.Command("ip", "route", "add", "172.30.0.0/16", "dev", w.Name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wait("a route")
	end()
	if err := <-ended; err == nil || ctx.Err() != nil {
		t.Errorf("the end of the helper is told as %v", err)
	}
}
