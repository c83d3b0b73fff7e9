//go:build linux

package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// serviceVar has the test binary be a service that says when it is ready, after so long.
const serviceVar = "ARCBOX_TEST_SERVICE"

func TestMain(m *testing.M) {
	if text, ok := os.LookupEnv(serviceVar); ok {
		after, err := time.ParseDuration(text)
		if err != nil { // running the tests instead would start the next service, without end
			fmt.Println(err)
			os.Exit(2)
		}
		beService(after)
		return
	}
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP) // who started the tests may ignore it, and programs would inherit that
	goleak.VerifyTestMain(m)
}

func beService(after time.Duration) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	time.Sleep(after)
	c, err := net.Dial("unixgram", os.Getenv("NOTIFY_SOCKET"))
	if err == nil {
		fmt.Println("saying that I am ready")
		_, err = c.Write([]byte("STATUS=fine\nREADY=1\n"))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	<-ended
	fmt.Println("ending in order")
}

// patience is how long anything here may take.
const patience = 30 * time.Second

// A host is the other end of an agent's connection.
type host struct {
	*ipc.Conn
	ctx     context.Context
	agent   *Agent
	server  *ipc.Server
	dir     string // of definitions
	connect func() *ipc.Conn
}

// serve starts an agent in this process, and connects to it.
func serve(t *testing.T, mux *ipc.Mux) *host {
	t.Helper()
	dir := t.TempDir()
	h := serveIn(t, mux, dir)
	t.Cleanup(h.end)
	return h
}

// serveIn is serve for an agent whose services are in a directory; end must be called.
func serveIn(t *testing.T, mux *ipc.Mux, dir string) *host {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	a := New(Options{
		Log: NewLog(nil), Data: "/", Services: []string{dir}, Run: filepath.Join(dir, "run"), Docker: filepath.Join(dir, "docker.sock"),
		Step: func(time.Duration) error { return errors.New("this is somebody's clock") },
		End:  func(context.Context, *guestapi.ShutdownReq) error { return nil },
	})
	server := &ipc.Server{Mux: a.Routes()}
	l := ipc.NewMemoryListener()
	go server.Serve(l)
	connect := func() *ipc.Conn {
		w, err := l.Dial()
		if err != nil {
			t.Fatal(err)
		}
		return ipc.NewConnOver(w, mux)
	}
	return &host{Conn: connect(), ctx: ctx, agent: a, server: server, dir: dir, connect: connect}
}

// end ends the agent, as a restart would.
func (h *host) end() {
	h.Close()
	h.agent.Leave()
	h.server.Close()
	h.agent.Close()
}

func must[Req, Resp any](t *testing.T, h *host, m ipc.Method[Req, Resp], req *Req) *Resp {
	t.Helper()
	resp, err := ipc.Call(h.ctx, h.Conn, m, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func refuses[Req, Resp any](t *testing.T, h *host, code ipc.Code, m ipc.Method[Req, Resp], req *Req) {
	t.Helper()
	_, err := ipc.Call(h.ctx, h.Conn, m, req)
	var e *ipc.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want code %s", m.Name, err, code)
	}
}

// said is a stream's text, once it has ended.
func said(s *ipc.Stream) <-chan string {
	ch := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(s)
		ch <- string(b)
	}()
	return ch
}

// run runs a program with an input, and gives its outputs.
func (h *host) run(t *testing.T, req *guestapi.ExecReq, input string) (resp *guestapi.ExecResp, stdout, stderr string) {
	t.Helper()
	in, ref := req.Open()
	req.Stdin = ref
	out, ref := req.Open()
	req.Stdout = ref
	errs, ref := req.Open()
	req.Stderr = ref
	o, e := said(out), said(errs)
	go func() {
		io.WriteString(in, input)
		in.CloseWrite()
	}()
	resp = must(t, h, guestapi.Exec, req)
	defer in.Close()
	return resp, <-o, <-e
}

func (h *host) sh(t *testing.T, script string) string {
	t.Helper()
	resp, out, errs := h.run(t, &guestapi.ExecReq{Argv: []string{"sh", "-c", script}}, "")
	if resp.Status != 0 {
		t.Fatalf("%s: %+v %s", script, resp, errs)
	}
	return strings.TrimSpace(out)
}

// until waits for something that comes true by itself.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func asRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
}
