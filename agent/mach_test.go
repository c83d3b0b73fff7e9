//go:build macshim && !darwin

package agent_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/mach"
	xpc "github.com/arcboxlabs/arcbox-go/ipc/mach/standin"
	launched "github.com/arcboxlabs/arcbox-go/launchd/standin"
)

// byLaunchd has launchd start this process, with the agent's socket at its path, until the test ends.
func byLaunchd(t *testing.T, h home.Home) {
	t.Helper()
	path, err := h.Socket(agentapi.Socket)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	launched.Started(true)
	launched.Give(agentapi.ServiceSocket, fd)
	t.Cleanup(func() { launched.Started(false) })
}

// Whoever asks launchd for the agent by name is served as at the socket, and launchd starts the agent for them.
func TestTheAgentIsAMachService(t *testing.T) {
	h := newHome(t)
	byLaunchd(t, h)
	started := make(chan *rig, 1)
	xpc.Advertise(h.Service(), func() { started <- start(t, h) })
	defer xpc.Withdraw(h.Service())
	c, err := mach.Dial(t.Context(), h.Service(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := <-started
	byName, err := ipc.Call(t.Context(), c, agentapi.Version, &agentapi.VersionReq{})
	if err != nil {
		t.Fatal(err)
	}
	bySocket, err := ipc.Call(t.Context(), r.conn, agentapi.Version, &agentapi.VersionReq{})
	if err != nil || byName.PID != bySocket.PID || byName.Build != bySocket.Build {
		t.Errorf("by name answers %+v, at the socket %+v, %v", byName, bySocket, err)
	}
	r.stop()
	<-c.Done()
}

// An agent whose name is another's, or which cannot hold clients to its requirement, says so and goes on with its socket.
func TestAnAgentWithoutItsMachService(t *testing.T) {
	for _, requirement := range []string{"", "this is none"} {
		h := newHome(t)
		byLaunchd(t, h)
		log := filepath.Join(t.TempDir(), "log")
		f, err := os.Create(log)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r := startWith(t, h, func(o *agent.Options) {
			o.PeerRequirement, o.Log = requirement, zerolog.New(f)
		})
		if _, err := ipc.Call(t.Context(), r.conn, agentapi.Version, &agentapi.VersionReq{}); err != nil {
			t.Error(err)
		}
		r.stop()
		if text, _ := os.ReadFile(log); !strings.Contains(string(text), "Mach service is not served") {
			t.Errorf("requirement %q: the log has nothing of it: %s", requirement, text)
		}
	}
}
