// Package vm_test runs arcbox-vm as the agent does: the real process, a real Linux in it, and
// ipc/vmapi in between.
package vm_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) {
	status := kit.Main(m, "./init")
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// patience is how long a guest may take for what a test asks of it.
const patience = 2 * time.Minute

// A vm is a process and the context that its test has.
type vm struct {
	*machine.Process
	ctx    context.Context
	socket string // its rendezvous
}

// launch starts a process with an empty machine.
func launch(t *testing.T) *vm { return launchProgram(t, kit.Program("arcbox-vm")) }

func launchProgram(t *testing.T, program string) *vm {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	p, err := machine.StartProcess(program, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	})
	return &vm{Process: p, ctx: ctx, socket: filepath.Join(t.TempDir(), "vm.sock")}
}

// linux asks for a machine with the tests' init, vsock, a balloon and a rendezvous.
func (v *vm) linux(t *testing.T) *vmapi.ConfigureReq {
	t.Helper()
	fl := kit.AFlavour(t, kit.Any)
	req := &vmapi.ConfigureReq{
		Label: t.Name(), CPUs: 1, Memory: 256 << 20, Cmdline: fl.Tuning + " console=hvc0 loglevel=4",
		CID: 3, Listen: []uint32{1024}, Balloon: true,
	}
	req.Kernel = attach(t, &req.Files, fl.Kernel, os.O_RDONLY)
	req.Initrd = attach(t, &req.Files, kit.InitrdFor(t, fl), os.O_RDONLY)
	meet, err := machine.Rendezvous(v.socket)
	if err != nil {
		t.Fatal(err)
	}
	req.Rendezvous = req.Attach(meet)
	return req
}

// withBtrfs is linux whose guest can load Btrfs.
func (v *vm) withBtrfs(t *testing.T) *vmapi.ConfigureReq {
	t.Helper()
	req := v.linux(t)
	fl := kit.AFlavour(t, kit.Any)
	if modules := kit.ModulesFor(t, fl); modules != "" {
		req.Initrd = attach(t, &req.Files, kit.Joined(t, kit.InitrdFor(t, fl), modules), os.O_RDONLY)
	}
	return req
}

func attach(t *testing.T, files *ipc.Files, path string, flags int) ipc.FD {
	t.Helper()
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	return files.Attach(f)
}

// image makes a disk image of so many bytes.
func image(t *testing.T, dir string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// boot configures and starts the machine.
func (v *vm) boot(t *testing.T, req *vmapi.ConfigureReq) {
	t.Helper()
	ask(t, v, vmapi.Configure, req)
	req.Close()
	ask(t, v, vmapi.Start, &vmapi.StartReq{})
}

// ask calls a method that must succeed.
func ask[Req, Resp any](t *testing.T, v *vm, m ipc.Method[Req, Resp], req *Req) *Resp {
	t.Helper()
	resp, err := ipc.Call(v.ctx, v.Conn, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// refuses calls a method that must fail with a code.
func refuses[Req, Resp any](t *testing.T, v *vm, code ipc.Code, m ipc.Method[Req, Resp], req *Req) {
	t.Helper()
	_, err := ipc.Call(v.ctx, v.Conn, m, req)
	var e *ipc.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want code %s", m.Name, err, code)
	}
}

// stream makes a connection of the descriptor in an answer.
func stream(t *testing.T, files *ipc.Files, fd ipc.FD) net.Conn {
	t.Helper()
	f, err := files.Take(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// A shell is a connection to the tests' init.
type shell struct {
	net.Conn
	lines *bufio.Scanner
}

// up waits until the guest has said hello, and connects to it.
func (v *vm) up(t *testing.T) *shell {
	t.Helper()
	hello := ask(t, v, vmapi.Accept, &vmapi.AcceptReq{Port: 1024})
	c := stream(t, &hello.Files, hello.Stream)
	if s, err := bufio.NewReader(c).ReadString('\n'); s != "hello\n" {
		t.Fatalf("the guest says %q, %v", s, err)
	}
	return v.shell(t)
}

func (v *vm) shell(t *testing.T) *shell {
	t.Helper()
	resp := ask(t, v, vmapi.Connect, &vmapi.ConnectReq{Port: 5})
	c := stream(t, &resp.Files, resp.Stream)
	return &shell{c, bufio.NewScanner(c)}
}

// send gives a command without waiting for its end.
func (s *shell) send(t *testing.T, command string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(s, command+"\n", args...); err != nil {
		t.Fatal(err)
	}
}

// hear is the answer to the oldest command.
func (s *shell) hear(t *testing.T) string {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(patience))
	if !s.lines.Scan() {
		t.Fatalf("the guest has hung up: %v", s.lines.Err())
	}
	return s.lines.Text()
}

// do has the guest do something that must succeed, and says what it answers.
func (s *shell) do(t *testing.T, command string, args ...any) string {
	t.Helper()
	s.send(t, command, args...)
	said, ok := strings.CutPrefix(s.hear(t), "ok")
	if !ok {
		t.Fatalf("%s: the guest answers %q", fmt.Sprintf(command, args...), s.lines.Text())
	}
	return strings.TrimSpace(said)
}

// event waits for an event of a kind behind a number.
func (v *vm) event(t *testing.T, after uint64, kind vmapi.EventKind) vmapi.Event {
	t.Helper()
	for {
		resp := ask(t, v, vmapi.Events, &vmapi.EventsReq{After: after})
		for _, e := range resp.Events {
			if after = e.Seq; e.Kind == kind {
				return e
			}
		}
	}
}

// descriptors is how many the process has.
func (v *vm) descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// resident is how much memory the process has, as the host's kernel says from outside.
func (v *vm) resident(t *testing.T) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", v.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages uint64
	if _, err := fmt.Sscan(string(text), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * uint64(os.Getpagesize())
}

// until waits for something that comes true by itself.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}
