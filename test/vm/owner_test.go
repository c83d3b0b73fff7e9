package vm_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// adopt becomes the owner of the machine, as an agent does that has just started.
func (v *vm) adopt(t *testing.T) (*vm, *vmapi.AdoptResp) {
	t.Helper()
	p, resp, err := machine.Adopt(v.ctx, v.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Detach)
	return &vm{Process: p, ctx: v.ctx, socket: v.socket}, resp
}

func TestTheGuestDoesNotNoticeItsOwnersDie(t *testing.T) {
	v := launch(t)
	v.boot(t, v.linux(t))
	sh := v.up(t)
	up, _ := strconv.Atoi(sh.do(t, "uptime"))
	before := 0
	owner := v
	for i := range kit.Rounds(5, 20) {
		open := v.descriptors(t)
		owner.Conn.Close()
		if i%2 == 0 { // else the new one may come before the loss of the old one is seen
			until(t, "the owner's loss is seen", func() bool { return v.descriptors(t) < open })
		}
		next, resp := v.adopt(t)
		if resp.PID != v.Pid() || resp.State != vmapi.Running || resp.Label != t.Name() || resp.CID != 3 || len(resp.Listen) != 1 {
			t.Errorf("adopted %+v", resp)
		}
		// The stream that was made before is still the guest's.
		now, err := strconv.Atoi(sh.do(t, "uptime"))
		if err != nil || now < up {
			t.Errorf("the guest's uptime went from %d to %d ms", up, now)
		}
		up, owner = now, next
		if owner.shell(t).do(t, "echo again") != "again" {
			t.Error("the new owner cannot talk to the guest")
		}
		until(t, "the descriptors of former owners are closed", func() bool {
			n := v.descriptors(t)
			if before == 0 || n < before {
				before = n
			}
			return n <= before+2 // the shells that this test keeps open
		})
		before++
	}
	lost, found := 0, 0
	for _, e := range ask(t, owner, vmapi.Events, &vmapi.EventsReq{}).Events {
		switch e.Kind {
		case vmapi.Orphaned:
			lost++
		case vmapi.Adopted:
			found++
		}
	}
	if lost == 0 || found != kit.Rounds(5, 20) {
		t.Errorf("the journal tells of %d losses and %d adoptions", lost, found)
	}
	if err := owner.Close(); err != nil {
		t.Error(err)
	}
	if <-v.Exited(); v.ExitError() != nil {
		t.Error(v.ExitError())
	}
	if _, _, err := machine.Adopt(v.ctx, v.socket); !errors.Is(err, machine.ErrNoProcess) {
		t.Errorf("adopting a machine that is gone: %v", err)
	}
}

func TestWhatTheGuestDidMeanwhileIsKept(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	v.boot(t, req)
	time.Sleep(10 * time.Millisecond)
	v.Conn.Close() // before the guest is up: its hello finds nobody
	next, resp := v.adopt(t)
	next.Conn.Close()
	until(t, "the guest has connected", func() bool {
		next, _ = v.adopt(t)
		defer next.Conn.Close()
		return ask(t, next, vmapi.Stats, &vmapi.StatsReq{}).Vsock.Connections > 0
	})
	next, _ = v.adopt(t)
	sh := next.up(t) // takes the connection that waits
	if e := next.event(t, resp.Event, vmapi.Adopted); e.Seq != resp.Event+1 {
		t.Errorf("the first event after the adoption is %+v, want number %d", e, resp.Event+1)
	}
	next.Conn.Close()
	sh.send(t, "poweroff")
	last, resp := v.adopt(t)
	end := ask(t, last, vmapi.Wait, &vmapi.WaitReq{})
	if end.Outcome != vmapi.PowerOff {
		t.Errorf("the guest ended: %+v", end)
	}
	if err := last.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnOrphanEnds(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	req.OrphanMS, req.GraceMS = 300, 2000
	v.boot(t, req)
	v.up(t)
	v.Conn.Close()
	select {
	case <-v.Exited():
	case <-v.ctx.Done():
		t.Fatal("nobody wanted the machine, and it is still there")
	}
	if err := v.ExitError(); err != nil {
		t.Error(err)
	}
}

func TestKilledProcessLeavesNothingBehind(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	data := image(t, t.TempDir(), 16<<20)
	lock := func() error {
		f, err := file.Open(data, false)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return f.Lock(true)
	}
	f, err := os.OpenFile(data, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := file.New(f); err != nil || img.Lock(true) != nil {
		t.Fatalf("cannot lock the image: %v", err)
	}
	req.Disks = []vmapi.Disk{{Image: req.Attach(f)}}
	v.boot(t, req)
	sh := v.up(t)
	sh.do(t, "fill vda 100 5") // answered: it was flushed
	if err := lock(); !errors.Is(err, file.ErrLocked) {
		t.Errorf("the image of a running machine can be locked: %v", err)
	}
	sh.send(t, "fill vda 200 77") // and dies over this
	if err := syscall.Kill(v.Pid(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-v.Exited()
	if v.ExitError() == nil {
		t.Error("a process that was killed ended well")
	}
	<-v.Done() // the connection tells too
	if err := lock(); err != nil {
		t.Errorf("the image of a dead machine: %v", err)
	}
	meet, err := machine.Rendezvous(v.socket)
	if err != nil {
		t.Fatalf("the socket of a dead machine: %v", err)
	}
	meet.Close()
	checkFilled(t, data, 100, 5, 77)
}

// checkFilled says whether each of n blocks holds what one of two commands "fill" wrote.
func checkFilled(t *testing.T, path string, n int, seeds ...uint64) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const block = 64 << 10
	for i := range n {
		got := uint64(b[i*block]) | uint64(b[i*block+1])<<8
		known := false
		for _, seed := range seeds {
			known = known || got == seed+uint64(i)
		}
		if !known {
			t.Fatalf("block %d holds %d", i, got)
		}
	}
}

func TestNobodyElseMayOwnTheMachine(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test must run as root, to become somebody else")
		}
		t.Skip("only root can become somebody else")
	}
	v := launch(t)
	v.boot(t, v.linux(t))
	for dir := v.socket; dir != "/"; dir = filepath.Dir(dir) { // let nobody in up to the socket
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if filepath.Dir(dir) == os.TempDir() {
			break
		}
	}
	if err := asNobody(t, v.socket); err == nil {
		t.Error("a stranger adopted the machine")
	}
	v.adopt(t)
}

func TestOnlyTheOwnerAsks(t *testing.T) {
	v := launch(t)
	v.boot(t, v.linux(t))
	sock, err := dialUnix(v.socket)
	if err != nil {
		t.Fatal(err)
	}
	other := &vm{Process: &machine.Process{Conn: ipc.NewConn(sock, nil)}, ctx: v.ctx}
	defer other.Conn.Close()
	refuses(t, other, ipc.WrongState, vmapi.Stats, &vmapi.StatsReq{})
	refuses(t, other, ipc.WrongState, vmapi.ForceStop, &vmapi.ForceStopReq{})
	ask(t, v, vmapi.Stats, &vmapi.StatsReq{})
	ask(t, other, vmapi.Adopt, &vmapi.AdoptReq{})
	ask(t, other, vmapi.Stats, &vmapi.StatsReq{})
	<-v.Done() // the owner before is told by the end of its connection
}
