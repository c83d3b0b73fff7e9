package vm_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// system asks for a machine as users have it: an asset with its root, a data disk, and the guest's agent.
func (v *vm) system(t *testing.T, more string) *vmapi.ConfigureReq {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience) // it is asked for much
	t.Cleanup(cancel)
	v.ctx = ctx
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

// start runs a program with an input.
func (g *guest) start(t *testing.T, req *guestapi.ExecReq) (in, out *ipc.Stream, ended <-chan *guestapi.ExecResp) {
	t.Helper()
	in, req.Stdin = req.Open()
	out, req.Stdout = req.Open()
	done := make(chan *guestapi.ExecResp, 1)
	go func() {
		resp, err := ipc.Call(g.ctx, g.Conn, guestapi.Exec, req)
		if err != nil {
			resp = &guestapi.ExecResp{Status: -1, Signal: err.Error()}
		}
		done <- resp
	}()
	stop := context.AfterFunc(g.ctx, func() { in.Close(); out.Close() }) // nobody waits for ever
	t.Cleanup(func() { stop(); in.Close(); out.Close() })
	return in, out, done
}

// expect reads until a text has come.
func expect(t *testing.T, r io.Reader, want string) {
	t.Helper()
	var got []byte
	for b := make([]byte, 4096); !bytes.Contains(got, []byte(want)); {
		n, err := r.Read(b)
		if got = append(got, b[:n]...); err != nil {
			t.Fatalf("%v, and %q came instead of %q", err, got, want)
		}
	}
}

// tarOf is an archive of one file.
func tarOf(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o640, Uid: 12, Gid: 34})
	if err == nil {
		_, err = w.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put copies a file into the guest.
func (g *guest) put(t *testing.T, path string, content []byte) {
	t.Helper()
	req := &guestapi.CopyInReq{Path: path}
	data, ref := req.Open()
	req.Data = ref
	defer data.Close()
	archive := tarOf(t, "file", content)
	go func() {
		data.Write(archive)
		data.CloseWrite()
	}()
	if resp := tell(t, g, guestapi.CopyIn, req); resp.Bytes != int64(len(content)) {
		t.Errorf("%d bytes were copied in, of %d", resp.Bytes, len(content))
	}
}

// get copies a file out of the guest, and gives its digest.
func (g *guest) get(t *testing.T, path string) (digest string, h *tar.Header) {
	t.Helper()
	req := &guestapi.CopyOutReq{Path: path}
	data, ref := req.Open()
	req.Data = ref
	defer data.Close()
	done := make(chan error, 1)
	sum := sha256.New()
	go func() {
		r := tar.NewReader(data)
		var err error
		if h, err = r.Next(); err == nil {
			_, err = io.Copy(sum, r)
		}
		_, e := io.Copy(io.Discard, data)
		done <- errors.Join(err, e)
	}()
	tell(t, g, guestapi.CopyOut, req)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil)), h
}

// A service of busybox that answers on a port of the guest's own.
const echoService = `{"argv":["/usr/bin/nc","-ll","-p","7","-e","/usr/bin/cat"]}`

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
	t.Run("a terminal has a size, and keys", func(t *testing.T) {
		in, out, ended := g.start(t, &guestapi.ExecReq{ID: "tty", Terminal: &guestapi.Terminal{Cols: 132, Rows: 43, Term: "xterm"}})
		io.WriteString(in, "stty size; echo $TERM $0\n")
		expect(t, out, "43 132\r\nxterm -sh")
		tell(t, g, guestapi.Resize, &guestapi.ResizeReq{ID: "tty", Cols: 80, Rows: 24})
		io.WriteString(in, "stty size\n")
		expect(t, out, "24 80")
		io.WriteString(in, "sh -c 'echo in front; exec sleep 1000'\n")
		expect(t, out, "\r\nin front") // and not the shell, which would not mind the key
		in.Write([]byte{3})            // ^C
		io.WriteString(in, "exit 7\n")
		if resp := <-ended; resp.Status != 7 {
			t.Errorf("the shell ended with %+v", resp)
		}
	})
	t.Run("64 MiB in and out", func(t *testing.T) {
		content := make([]byte, 64<<20)
		rand.NewChaCha8([32]byte{1}).Read(content)
		want := fmt.Sprintf("%x", sha256.Sum256(content))
		g.put(t, "/data/big", content)
		if got, h := g.get(t, "/data/big"); got != want || h.Mode != 0o640 || h.Uid != 12 || h.Gid != 34 {
			t.Errorf("%s came back as %s, %+v", want, got, h)
		}
		if resp := tell(t, g, guestapi.Info, &guestapi.InfoReq{}); resp.Data == nil || resp.Data.Type != "ext4" || resp.OS != "ArcBox guest" || len(resp.Problems) > 0 {
			t.Errorf("the guest is %+v", resp)
		}
		g.sh(t, "rm /data/big && sync")
		if resp := tell(t, g, guestapi.Trim, &guestapi.TrimReq{}); resp.Bytes < 64<<20 {
			t.Errorf("%d bytes were trimmed", resp.Bytes)
		}
	})
	t.Run("a guest that is watched says what happens to it", func(t *testing.T) {
		mux, reports, beats := ipc.NewMux(), make(chan *guestapi.ReportNote, 1000), make(chan *guestapi.BeatNote, 1000)
		ipc.OnNote(mux, guestapi.Report, func(_ context.Context, n *guestapi.ReportNote) { reports <- n })
		ipc.OnNote(mux, guestapi.Beat, func(_ context.Context, n *guestapi.BeatNote) { beats <- n })
		resp := ask(t, v, vmapi.Connect, &vmapi.ConnectReq{Port: guestapi.Port})
		watching := &guest{Conn: ipc.NewConn(stream(t, &resp.Files, resp.Stream), mux), ctx: v.ctx}
		defer watching.Close()
		tell(t, watching, guestapi.Watch, &guestapi.WatchReq{BeatMS: 1000, Pressure: 1})
		if first := <-reports; first.Execs != 0 || first.Memory.Total < 400<<20 || first.Memory.Needed < 64<<20 || first.Memory.Needed > first.Memory.Total {
			t.Errorf("the first report is %+v", first)
		}
		<-beats
		// A group of programs that may have little memory, and whose allocations are slowed down when they take more.
		g.sh(t, `cd /sys/fs/cgroup && echo +memory > cgroup.subtree_control && mkdir -p poor && echo 2M > poor/memory.high &&
			(echo 0 > poor/cgroup.procs && exec timeout 5 sh -c 'head -c 30000000 /dev/zero | tail -c 20000000 > /dev/null') || true`)
		for {
			select {
			case r := <-reports:
				if r.Memory.Pressure >= 1 {
					return
				}
			case <-v.ctx.Done():
				t.Fatal("nothing is heard of programs that wait for memory")
			}
		}
	})
	var echo guestapi.Service
	t.Run("a service runs", func(t *testing.T) {
		g.sh(t, "mkdir -p /run/arcbox/services")
		g.put(t, "/run/arcbox/services/echo.json", []byte(echoService))
		echo = tell(t, g, guestapi.StartService, &guestapi.StartServiceReq{Name: "echo"}).Service
		if said := g.sh(t, "echo hello | nc -w 5 127.0.0.1 7"); said != "hello" || echo.State != "ready" {
			t.Errorf("service %+v says %q", echo, said)
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
	t.Run("a killed agent comes back, and services live on", func(t *testing.T) {
		before := g.hello
		if _, err := ipc.Call(g.ctx, g.Conn, guestapi.Exec, &guestapi.ExecReq{Argv: []string{"sh", "-c", "kill -9 $PPID"}}); !errors.Is(err, ipc.ErrInterrupted) {
			t.Errorf("the agent was killed, and the call ended with %v", err)
		}
		alive, g = v.again(whole, alive, before)
		if s := tell(t, g, guestapi.Services, &guestapi.ServicesReq{}).Services; len(s) != 1 || s[0].PID != echo.PID || s[0].State != "ready" {
			t.Errorf("the services are %+v, before %+v", s, echo)
		}
		if end := tell(t, g, guestapi.StopService, &guestapi.StopServiceReq{Name: "echo"}).Service; end.State != "stopped" {
			t.Errorf("stopped: %+v", end)
		}
	})
	t.Run("a wedged agent is replaced", func(t *testing.T) {
		before := g.hello
		g.start(whole, &guestapi.ExecReq{Argv: []string{"sh", "-c", "kill -STOP $PPID; sleep 1000"}})
		alive, g = v.again(whole, alive, before)
		if left := g.sh(t, "pidof sleep || true"); left != "" {
			t.Errorf("what callers ran goes on: %s", left)
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

// again waits for the agent that comes after another, in the same guest.
func (v *vm) again(t *testing.T, alive net.Conn, before *guestapi.HelloResp) (net.Conn, *guest) {
	t.Helper()
	alive.SetReadDeadline(time.Now().Add(patience))
	if n, err := alive.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes came from an agent that should be dead, %v", n, err)
	}
	alive = v.announced(t)
	g := v.meet(t)
	if g.hello.BootID != before.BootID || g.hello.PID == before.PID {
		t.Errorf("boot %s, process %d; before %s, %d", g.hello.BootID, g.hello.PID, before.BootID, before.PID)
	}
	return alive, g
}

// The file system of a disk that is larger than the host has what the host can keep, and grows with it.
func TestTheDataDiskIsAsLargeAsTheHost(t *testing.T) {
	data := image(t, t.TempDir(), 1<<40)
	for _, room := range []uint64{8 << 30, 32 << 30} {
		v := launch(t)
		req := v.system(t, guestapi.RoomParam+strconv.FormatUint(room, 10))
		req.Disks[1] = vmapi.Disk{Image: attach(t, &req.Files, data, os.O_RDWR)}
		v.boot(t, req)
		v.recite(t, vmapi.HVC0)
		v.announced(t)
		g := v.meet(t)
		info := tell(t, g, guestapi.Info, &guestapi.InfoReq{})
		if info.Data == nil || info.Data.Size < room || info.Data.Size > room+room/4 || len(info.Problems) > 0 {
			t.Fatalf("the host can keep %d bytes, and the data disk is %+v; %q", room, info.Data, info.Problems)
		}
		if said := g.sh(t, "echo again >> /data/lives; wc -l < /data/lives"); (said == "1") != (room == 8<<30) {
			t.Errorf("with room for %d bytes it has lived %s times", room, said)
		}
		tell(t, g, guestapi.Shutdown, &guestapi.ShutdownReq{})
		ask(t, v, vmapi.Wait, &vmapi.WaitReq{})
	}
	if out, err := exec.Command("/sbin/e2fsck", "-fn", data).CombinedOutput(); err != nil {
		t.Errorf("the file system is not whole: %v\n%s", err, out)
	}
}

func TestProgramsOfX8664(t *testing.T) {
	fl := kit.AFlavour(t, func(f kit.Flavour) bool { return f.X8664 != "" })
	code, err := os.ReadFile(kit.GuestProgram(t, "amd64", "./x8664"))
	if err != nil {
		t.Fatal(err)
	}
	v := launch(t)
	req := v.system(t, guestapi.EmulateParam)
	req.Disks = append(req.Disks, vmapi.Disk{Image: attach(t, &req.Files, fl.X8664, os.O_RDONLY), ReadOnly: true})
	v.boot(t, req)
	v.recite(t, vmapi.HVC0)
	v.announced(t)
	g := v.meet(t)
	if info := tell(t, g, guestapi.Info, &guestapi.InfoReq{}); len(info.Emulates) != 1 || info.Emulates[0] != "x86-64" || len(info.Problems) > 0 {
		t.Fatalf("the guest is %+v", info)
	}
	g.put(t, "/tmp/hello", code)
	if said := g.sh(t, "chmod 755 /tmp/hello && /tmp/hello a 'b c'"); said != "amd64 /tmp/hello a|b c" {
		t.Errorf("the program says %q", said)
	}
	// An emulator that is opened once and for all is there in a container too.
	if said := g.sh(t, "mkdir -p /tmp/box/bin && cp /tmp/hello /tmp/box/bin && chroot /tmp/box /bin/hello"); said != "amd64 /bin/hello" {
		t.Errorf("with another root the program says %q", said)
	}
	ask(t, v, vmapi.Stop, &vmapi.StopReq{})
	ask(t, v, vmapi.Wait, &vmapi.WaitReq{})
}

func TestAnOrphanEndsInOrder(t *testing.T) {
	v := launch(t)
	req := v.system(t, "")
	meet, err := machine.Rendezvous(v.socket)
	if err != nil {
		t.Fatal(err)
	}
	req.Rendezvous, req.OrphanMS = req.Attach(meet), 100
	data := image(t, t.TempDir(), 64<<20)
	req.Disks[1] = vmapi.Disk{Image: attach(t, &req.Files, data, os.O_RDWR)}
	v.boot(t, req)
	v.announced(t)
	g := v.meet(t)
	g.sh(t, "echo not synced by its program > /data/file")
	v.Conn.Close()
	select {
	case <-v.Exited():
	case <-v.ctx.Done():
		t.Fatal("nobody wanted the machine, and it is still there")
	}
	out, err := exec.Command("/sbin/debugfs", "-R", "cat /file", data).Output()
	if err != nil || string(out) != "not synced by its program\n" {
		t.Errorf("the file holds %q, %v", out, err)
	}
	if out, err := exec.Command("/sbin/dumpe2fs", "-h", data).Output(); err != nil || bytes.Contains(out, []byte("needs_recovery")) {
		t.Errorf("the file system was not unmounted: %v\n%s", err, out)
	}
}
