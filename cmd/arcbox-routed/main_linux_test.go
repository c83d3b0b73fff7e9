package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/agent/route/helper"
	"github.com/arcboxlabs/arcbox-go/launchd"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

// beVar has the test binary be arcbox-routed.
const beVar = "ARCBOX_TEST_ROUTED"

func TestMain(m *testing.M) {
	if os.Getenv(beVar) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(netns.Main(m))
}

// patience is how long anything may take that a test waits for.
const patience = time.Minute

// A daemon is the program as a service manager runs it: with a socket that stays when it ends.
type daemon struct {
	t      *testing.T
	path   string
	socket *os.File
	cmd    *exec.Cmd
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	netns.Need(t)
	d := &daemon{t: t, path: filepath.Join(t.TempDir(), "routes.sock")}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: d.path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if d.socket, err = l.File(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.socket.Close() })
	d.start()
	t.Cleanup(d.kill)
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	self, err := os.Executable()
	if err != nil {
		d.t.Fatal(err)
	}
	d.cmd = exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`, self, "serve", "--user", fmt.Sprint(os.Getuid()))
	d.cmd.Env = append(os.Environ(), beVar+"=1", "LISTEN_FDS=1", "LISTEN_FDNAMES="+helper.ServiceSocket)
	d.cmd.Stderr, d.cmd.ExtraFiles = os.Stderr, []*os.File{d.socket}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) kill() {
	d.cmd.Process.Kill()
	d.cmd.Wait()
}

// A network holds the wire, and the guest admits whoever comes.
type network struct{ wire *route.Wire }

func (n *network) Wire(context.Context) (string, netip.Addr, []netip.Prefix, error) {
	if n.wire == nil {
		return "", netip.Addr{}, nil, nil
	}
	return n.wire.Name, n.wire.Address, nil, nil
}

func (n *network) Plug(_ context.Context, w *route.Wire, _ []netip.Prefix) error {
	fd, err := unix.FcntlInt(w.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	n.wire = &route.Wire{Name: w.Name, Address: w.Address, File: os.NewFile(uintptr(fd), "wire")}
	return err
}

func (n *network) Pass(context.Context, []netip.Prefix) error { return nil }

func (n *network) Unplug(context.Context) error {
	if n.wire != nil {
		n.wire.File.Close()
		n.wire = nil
	}
	return nil
}

func (n *network) Admit(context.Context, netip.Addr, []netip.Prefix) error { return nil }

// A keeper's routes go through the program, also when it is killed and started again by the next who asks.
func TestRoutesThroughTheProgram(t *testing.T) {
	d := newDaemon(t)
	c := helper.NewClient(d.path, helper.Program)
	defer c.Close()
	n := &network{}
	events := make(chan route.Event, 64)
	due := make(chan struct{}, 1)
	k := &route.Keeper{Host: c, Due: due, Tell: func(e route.Event) { events <- e }, Wanted: func() route.Wanted {
		return route.Wanted{On: true, Network: n, Guest: n, Subnets: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}}
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		k.Run(ctx, func() bool { return false })
	}()
	due <- struct{}{}
	tells := func(kind route.Kind) {
		t.Helper()
		for deadline := time.After(patience); ; {
			select {
			case e := <-events:
				if e.Kind == kind {
					return
				}
			case <-deadline:
				t.Fatalf("nobody tells of %v", kind)
			}
		}
	}
	tells(route.Installed)
	if out, err := exec.Command("ip", "route").CombinedOutput(); err != nil || !strings.Contains(string(out), "172.17.0.0/16 dev arcbox") {
		t.Errorf("the routes are %s, %v", out, err)
	}
	d.kill()
	d.start()
	tells(route.Installed) // the next one knows none of the wires before, and makes another
	cancel()
	<-ended
	tells(route.Removed)
	n.Unplug(t.Context())
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		wrong bool // usage, else another error
		says  string
	}{
		{"nothing", nil, true, "install"},
		{"an unknown word", []string{"frobnicate"}, true, "frobnicate"},
		{"serve for nobody", []string{"serve"}, true, "--user"},
		{"serve without a service manager", []string{"serve", "--user", "501"}, false, "launchd starts this"},
		{"install on Linux", []string{"install"}, false, "setcap"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := run(tt.args)
			var usage usageError
			if err == nil || errors.As(err, &usage) != tt.wrong || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q: %v, want usage %v and %q", tt.args, err, tt.wrong, tt.says)
			}
		})
	}
}

// A manager notes what it is asked to keep.
type manager struct {
	launchd.Manager
	has *launchd.Agent
}

func (m *manager) Install(_ context.Context, a launchd.Agent) error {
	m.has = &a
	return nil
}

func (m *manager) Uninstall(context.Context) error {
	m.has = nil
	return nil
}

// The program that root runs is a copy that nobody else can write, and its socket is one user's.
func TestInstallation(t *testing.T) {
	m := &manager{}
	in := installation{m, filepath.Join(t.TempDir(), "tools", "routed")}
	self := filepath.Join(t.TempDir(), "self")
	if err := os.WriteFile(self, []byte("program"), 0o777); err != nil {
		t.Fatal(err)
	}
	for range 2 { // again is no error
		if err := in.install(t.Context(), self, 501); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(in.program)
	if err != nil || info.Mode().Perm() != 0o755 || info.Size() != int64(len("program")) {
		t.Errorf("the copy is %v, %v", info, err)
	}
	if s := m.has.Sockets; len(s) != 1 || s[0].Owner != 501 || s[0].Path != helper.Socket || m.has.Program != in.program || strings.Join(m.has.Args, " ") != "serve --user 501" {
		t.Errorf("launchd is to keep %+v", m.has)
	}
	for range 2 {
		if err := in.remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(in.program); !errors.Is(err, os.ErrNotExist) || m.has != nil {
		t.Errorf("after the removal there is %v, %+v", err, m.has)
	}
}
