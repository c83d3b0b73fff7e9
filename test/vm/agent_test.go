package vm_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// system asks for a machine as users have it: an asset with its root, a data disk, and the guest's agent.
func (v *vm) system(t *testing.T, more string) *vmapi.ConfigureReq {
	t.Helper()
	fl := kit.AFlavour(t, kit.Any)
	req := &vmapi.ConfigureReq{
		Label: t.Name(), CPUs: 1, Memory: 512 << 20, Cmdline: fl.Cmdline + " arcbox.agent=1 " + more,
		CID: 3, Listen: []uint32{guestapi.AnnouncePort}, Balloon: true,
	}
	req.Kernel = attach(t, &req.Files, fl.Kernel, os.O_RDONLY)
	if fl.Initrd != "" {
		req.Initrd = attach(t, &req.Files, fl.Initrd, os.O_RDONLY)
	}
	req.Disks = []vmapi.Disk{
		{Image: attach(t, &req.Files, fl.Root, os.O_RDONLY), ReadOnly: true},
		{Image: attach(t, &req.Files, image(t, t.TempDir(), 256<<20), os.O_RDWR)},
	}
	return req
}

// recite prints what a console has shown, if the test has failed.
func (v *vm) recite(t *testing.T, name vmapi.Console) {
	log, _ := v.attachConsole(t, vmapi.AttachReq{Console: name, History: true})
	t.Cleanup(func() {
		if t.Failed() {
			log.SetReadDeadline(time.Now().Add(time.Second))
			text, _ := io.ReadAll(log)
			t.Logf("%s:\n%s", name, text)
		}
	})
}

// announced waits until the guest's agent says that it is there; the connection ends with the agent.
func (v *vm) announced(t *testing.T) net.Conn {
	t.Helper()
	resp := ask(t, v, vmapi.Accept, &vmapi.AcceptReq{Port: guestapi.AnnouncePort})
	return stream(t, &resp.Files, resp.Stream)
}

// A guest is a connection to its agent.
type guest struct {
	*ipc.Conn
	ctx   context.Context
	hello *guestapi.HelloResp
}

// meet connects to the guest's agent.
func (v *vm) meet(t *testing.T) *guest {
	t.Helper()
	resp := ask(t, v, vmapi.Connect, &vmapi.ConnectReq{Port: guestapi.Port})
	g := &guest{Conn: ipc.NewConn(stream(t, &resp.Files, resp.Stream), nil), ctx: v.ctx}
	t.Cleanup(func() { g.Close() })
	g.hello = tell(t, g, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version})
	return g
}

// tell calls a method of the guest's agent that must succeed.
func tell[Req, Resp any](t *testing.T, g *guest, m ipc.Method[Req, Resp], req *Req) *Resp {
	t.Helper()
	resp, err := ipc.Call(g.ctx, g.Conn, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// sh runs a script, which must succeed, and gives what it prints.
func (g *guest) sh(t *testing.T, script string) string {
	t.Helper()
	req := &guestapi.ExecReq{Argv: []string{"sh", "-c", script}}
	out, ref := req.Open()
	req.Stdout = ref
	text := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(out)
		text <- b
	}()
	if resp := tell(t, g, guestapi.Exec, req); resp.Status != 0 {
		t.Fatalf("%s: ended with %+v", script, resp)
	}
	return strings.TrimSpace(string(<-text))
}

func TestTheGuestsAgent(t *testing.T) {
	whole := t // what connections live as long as
	v := launch(t)
	req := v.system(t, "")
	v.boot(t, req)
	v.recite(t, vmapi.HVC0)
	v.recite(t, vmapi.HVC1)
	alive := v.announced(t)
	g := v.meet(t)
	t.Logf("init at %d ms, agent at %d ms", g.hello.InitMS, g.hello.ReadyMS)

	t.Run("programs run", func(t *testing.T) {
		if said := g.sh(t, "echo $((6*7)); id -un; pwd"); said != "42\nroot\n/root" {
			t.Errorf("the guest says %q", said)
		}
	})
	t.Run("the clock is set when it is wrong by much", func(t *testing.T) {
		ahead := time.Now().Add(time.Hour)
		if resp := tell(t, g, guestapi.Ping, &guestapi.PingReq{Time: ahead.UnixNano()}); !resp.Stepped {
			t.Errorf("an hour is nothing: %+v", resp)
		}
		resp := tell(t, g, guestapi.Ping, &guestapi.PingReq{Time: time.Now().UnixNano()})
		if off := time.Duration(resp.Offset); !resp.Stepped || off < 59*time.Minute || off > 61*time.Minute {
			t.Errorf("an hour too late: %+v", resp)
		}
	})
	t.Run("a killed agent comes back", func(t *testing.T) {
		before := g.hello.BootID
		req := &guestapi.ExecReq{Argv: []string{"sh", "-c", "kill -9 $PPID"}}
		if _, err := ipc.Call(g.ctx, g.Conn, guestapi.Exec, req); !errors.Is(err, ipc.ErrInterrupted) {
			t.Errorf("the agent was killed, and the call ended with %v", err)
		}
		if n, err := alive.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes came from a dead agent", n)
		}
		pid := g.hello.PID
		alive = v.announced(whole)
		if g = v.meet(whole); g.hello.BootID != before || g.hello.PID == pid {
			t.Errorf("boot %s, process %d; before %s, %d", g.hello.BootID, g.hello.PID, before, pid)
		}
	})
	t.Run("vm.stop ends the guest in order", func(t *testing.T) {
		g.sh(t, "echo kept > /data/file")
		ask(t, v, vmapi.Stop, &vmapi.StopReq{GraceMS: 2000})
		if end := ask(t, v, vmapi.Wait, &vmapi.WaitReq{}); end.Outcome != vmapi.PowerOff || strings.Contains(end.LastLines, "cannot") {
			t.Errorf("the guest ended: %s\n%s", end.Outcome, end.LastLines)
		}
	})
}
