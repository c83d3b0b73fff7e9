package vm_test

import (
	"bytes"
	"io"
	"math"
	"net"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// attachConsole reads a console.
func (v *vm) attachConsole(t *testing.T, req vmapi.AttachReq) (net.Conn, uint64) {
	t.Helper()
	resp := ask(t, v, vmapi.Attach, &req)
	return stream(t, &resp.Files, resp.Stream), resp.Position
}

// see reads from a stream until text has come, and gives all that has.
func see(t *testing.T, c net.Conn, text string) string {
	t.Helper()
	var got []byte
	b := make([]byte, 64<<10)
	c.SetReadDeadline(time.Now().Add(patience))
	for !bytes.Contains(got, []byte(text)) {
		n, err := c.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			t.Fatalf("%v before %q came; %d bytes did", err, text, len(got))
		}
	}
	return string(got)
}

func TestConsolesAndEntropy(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	v.boot(t, req)
	log, _ := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC0, History: true})
	see(t, log, "up")
	sh := v.up(t)

	t.Run("history comes first, from where the reader wants it", func(t *testing.T) {
		sh.do(t, "print hvc1 1234567 1000")
		sh.do(t, "print hvc1 the-end 1")
		late, at := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC1, History: true})
		got := see(t, late, "the-end\r\n")
		if at != 0 || got != strings.Repeat("1234567\r\n", 1000)+"the-end\r\n" {
			t.Errorf("%d bytes of history from position %d on", len(got), at)
		}
		end := uint64(len(got))
		late.Close()
		sh.do(t, "print hvc1 more 1")
		rest, at := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC1, History: true, From: end})
		if got := see(t, rest, "more\r\n"); at != end || got != "more\r\n" {
			t.Errorf("from position %d on comes %q at %d", end, got, at)
		}
	})
	t.Run("what is typed arrives", func(t *testing.T) {
		sh.send(t, "type hvc1")
		c, _ := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC1})
		io.WriteString(c, "typed by a person\n")
		if said := sh.hear(t); said != "ok typed by a person" {
			t.Errorf("the guest read %q", said)
		}
	})
	t.Run("each console has its size", func(t *testing.T) {
		ask(t, v, vmapi.Resize, &vmapi.ResizeReq{Cols: 132, Rows: 43})
		ask(t, v, vmapi.Resize, &vmapi.ResizeReq{Console: vmapi.HVC1, Cols: 77, Rows: 11})
		until(t, "the guest knows both", func() bool {
			return sh.do(t, "window hvc0") == "132x43" && sh.do(t, "window hvc1") == "77x11"
		})
	})
	t.Run("readers come and go without a trace", func(t *testing.T) {
		before := v.descriptors(t)
		for range 3 * vmapi.MaxAttached {
			c, _ := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC1, History: true})
			c.Close()
			until(t, "the process has closed its end", func() bool { return v.descriptors(t) <= before })
		}
		refuses(t, v, ipc.BadRequest, vmapi.Attach, &vmapi.AttachReq{Console: "hvc7"})
	})
	t.Run("the guest has entropy", func(t *testing.T) {
		a, b := sh.do(t, "random"), sh.do(t, "random")
		if !regexp.MustCompile("^[0-9a-f]{32}$").MatchString(a) || a == b || a == strings.Repeat("0", 32) {
			t.Errorf("the guest reads %s and %s", a, b)
		}
	})
	t.Run("a pause stops the guest and its clock", func(t *testing.T) {
		ask(t, v, vmapi.Pause, &vmapi.PauseReq{Flush: true})
		before := ask(t, v, vmapi.Stats, &vmapi.StatsReq{})
		time.Sleep(50 * time.Millisecond)
		after := ask(t, v, vmapi.Stats, &vmapi.StatsReq{})
		if after.State != vmapi.Paused || after.Stats.Instructions != before.Stats.Instructions || math.Abs(after.Stats.GuestSeconds-before.Stats.GuestSeconds) > 0.001 {
			t.Errorf("%s, %d instructions and %g s later", after.State, after.Stats.Instructions-before.Stats.Instructions, after.Stats.GuestSeconds-before.Stats.GuestSeconds)
		}
		ask(t, v, vmapi.Resume, &vmapi.ResumeReq{})
		sh.do(t, "echo I am back")
	})
	t.Run("all of it ends with the guest", func(t *testing.T) {
		sh.send(t, "poweroff")
		if end := ask(t, v, vmapi.Wait, &vmapi.WaitReq{}); end.Outcome != vmapi.PowerOff {
			t.Errorf("the guest ended: %+v", end)
		}
		if _, err := io.Copy(io.Discard, log); err != nil {
			t.Errorf("the console ends with %v", err)
		}
		again, _ := v.attachConsole(t, vmapi.AttachReq{Console: vmapi.HVC0, History: true})
		if got, err := io.ReadAll(again); err != nil || !bytes.Contains(got, []byte("up")) {
			t.Errorf("what is kept of a dead guest's console: %q, %v", got, err)
		}
		refuses(t, v, ipc.WrongState, vmapi.Pause, &vmapi.PauseReq{})
		refuses(t, v, ipc.WrongState, vmapi.Accept, &vmapi.AcceptReq{Port: 1024})
	})
}

func TestMemoryComesBack(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux says how much memory another process has")
	}
	v := launch(t)
	req := v.linux(t)
	req.Memory = 320 << 20
	v.boot(t, req)
	sh := v.up(t)
	memory := func() vmapi.Memory { return ask(t, v, vmapi.Stats, &vmapi.StatsReq{}).Memory }

	t.Run("what the guest frees leaves this process", func(t *testing.T) {
		idle := memory().Resident
		sh.do(t, "use 150")
		used := memory()
		if used.Resident < idle+120<<20 {
			t.Fatalf("%d MiB are resident with 150 in use, %d before", used.Resident>>20, idle>>20)
		}
		seen := v.resident(t)
		sh.do(t, "drop")
		until(t, "most of 150 MiB is back", func() bool {
			now := memory()
			return now.Resident+100<<20 < used.Resident && now.Reports-used.Reports >= 100<<20
		})
		now := v.resident(t)
		t.Logf("the host sees %d MiB with 150 in use, and %d after they were freed", seen>>20, now>>20)
		if now+100<<20 > seen {
			t.Error("the host does not see them go")
		}
	})
	t.Run("the guest gives what it is asked for, and says how it stands", func(t *testing.T) {
		target := uint64(96 << 20)
		resp := ask(t, v, vmapi.Balloon, &vmapi.BalloonReq{Target: &target, Ask: true})
		if g := resp.Guest; g == nil || g.Total < 250<<20 || g.Free > g.Total || g.Available == 0 {
			t.Errorf("the guest says %+v", g)
		}
		until(t, "96 MiB are in the balloon", func() bool { return memory().Actual == target })
		tooMuch := uint64(1 << 40)
		refuses(t, v, ipc.BadRequest, vmapi.Balloon, &vmapi.BalloonReq{Target: &tooMuch})
	})
	t.Run("a guest that needs it takes it back", func(t *testing.T) {
		sh.do(t, "use 220") // of 320, with 96 in the balloon
		sh.do(t, "drop")    // nothing was lost
		if m := memory(); m.Actual >= m.Target {
			t.Errorf("the balloon holds %d MiB of a target of %d", m.Actual>>20, m.Target>>20)
		}
	})
}

func TestHowAGuestEnds(t *testing.T) {
	tests := []struct {
		command string
		want    vmapi.Outcome
	}{{"reboot", vmapi.Reset}, {"panic", vmapi.Panic}}
	for _, tt := range tests {
		t.Run(tt.command, func(t *testing.T) {
			v := launch(t)
			v.boot(t, v.linux(t))
			sh := v.up(t)
			sh.send(t, "%s", tt.command)
			if e := v.event(t, 0, vmapi.GuestEnded); e.Outcome != tt.want {
				t.Errorf("the event is %+v", e)
			}
			end := ask(t, v, vmapi.Wait, &vmapi.WaitReq{})
			if end.Outcome != tt.want || (tt.want == vmapi.Panic) != (end.Registers != "") {
				t.Errorf("the guest ended: %s, %s, %d bytes of registers", end.Outcome, end.Message, len(end.Registers))
			}
			if _, err := sh.Read(make([]byte, 1)); err == nil {
				t.Error("a connection outlives the guest")
			}
			if err := v.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConnectionsToNowhere(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	refuses(t, v, ipc.WrongState, vmapi.Start, &vmapi.StartReq{})
	refuses(t, v, ipc.WrongState, vmapi.Stats, &vmapi.StatsReq{})
	ask(t, v, vmapi.Configure, req)
	refuses(t, v, ipc.WrongState, vmapi.Connect, &vmapi.ConnectReq{Port: 5})
	ask(t, v, vmapi.Start, &vmapi.StartReq{})
	refuses(t, v, ipc.WrongState, vmapi.Start, &vmapi.StartReq{})
	refuses(t, v, vmapi.NotReady, vmapi.Connect, &vmapi.ConnectReq{Port: 5}) // not so early
	v.up(t)
	refuses(t, v, vmapi.Refused, vmapi.Connect, &vmapi.ConnectReq{Port: 99})
	refuses(t, v, ipc.WrongState, vmapi.Accept, &vmapi.AcceptReq{Port: 99})
	ask(t, v, vmapi.ForceStop, &vmapi.ForceStopReq{})
	if end := ask(t, v, vmapi.Wait, &vmapi.WaitReq{}); end.Outcome != vmapi.Stopped {
		t.Errorf("the guest ended: %+v", end)
	}
}
