//go:build linux

package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// define writes a definition.
func (h *host) define(t *testing.T, name string, d definition) {
	t.Helper()
	text, err := json.Marshal(d)
	if err == nil {
		err = os.WriteFile(filepath.Join(h.dir, name+".json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// telling is a service that says when it is ready.
func telling(t *testing.T, after string) definition {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Should the variable get lost, the program must not run these tests, which would start it again.
	return definition{Argv: []string{self, "-test.run=^$"}, Env: map[string]string{serviceVar: after}, Notify: true}
}

func (h *host) service(t *testing.T, name string) guestapi.Service {
	t.Helper()
	for _, s := range must(t, h, guestapi.Services, &guestapi.ServicesReq{}).Services {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("there is no service %s", name)
	return guestapi.Service{}
}

// log is what is kept of a service's output.
func (h *host) log(t *testing.T, name string) string {
	t.Helper()
	req := &guestapi.LogsReq{Name: name}
	s, ref := req.Open()
	req.Data = ref
	defer s.Close()
	text := said(s)
	must(t, h, guestapi.Logs, req)
	return <-text
}

func lives(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestService(t *testing.T) {
	h := serve(t, nil)
	h.define(t, "plain", definition{Argv: []string{"/bin/sh", "-c", "echo up; exec sleep 1000"}})
	h.define(t, "telling", telling(t, "50ms"))
	if s := h.service(t, "plain"); s.State != stopped || s.PID != 0 {
		t.Errorf("before its start: %+v", s)
	}
	for _, name := range []string{"plain", "telling"} {
		s := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: name}).Service
		if s.State != ready || !lives(s.PID) || s.Since == 0 || h.service(t, name) != s {
			t.Errorf("started: %+v, %+v", s, h.service(t, name))
		}
		if again := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: name}).Service; again != s {
			t.Errorf("started twice: %+v and %+v", s, again)
		}
		until(t, "its output is there", func() bool { return h.log(t, name) != "" })
		if end := must(t, h, guestapi.StopService, &guestapi.StopServiceReq{Name: name}).Service; end.State != stopped || lives(s.PID) {
			t.Errorf("stopped: %+v, and the process lives: %v", end, lives(s.PID))
		}
		must(t, h, guestapi.StopService, &guestapi.StopServiceReq{Name: name})
	}
	until(t, "its last words are there", func() bool {
		return h.log(t, "telling") == "saying that I am ready\nending in order\n"
	})
}

func TestServiceThatFails(t *testing.T) {
	h := serve(t, nil)
	h.define(t, "early", definition{Argv: []string{"/bin/sh", "-c", "echo no luck; exit 3"}, Notify: true})
	h.define(t, "late", definition{Argv: []string{"/bin/sleep", "1000"}, Notify: true, ReadyMS: 50})
	h.define(t, "nowhere", definition{Argv: []string{"/nowhere/x"}})
	h.define(t, "ring", definition{Argv: []string{"/bin/true"}, Needs: []string{"ring2"}})
	h.define(t, "ring2", definition{Argv: []string{"/bin/true"}, Needs: []string{"ring"}})
	h.define(t, "needy", definition{Argv: []string{"/bin/true"}, Needs: []string{"early"}})
	if err := os.WriteFile(filepath.Join(h.dir, "broken.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"early": "ended with status 3 before it was ready", "late": "was not ready within 50ms", "nowhere": "no such file",
		"ring": "it needs itself", "needy": "cannot start early", "broken": "broken.json",
	} {
		_, err := ipc.Call(h.ctx, h.Conn, guestapi.StartService, &guestapi.StartServiceReq{Name: name})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("starting %s: %v, want %q", name, err, want)
		}
	}
	for _, name := range []string{"early", "late"} {
		if s := h.service(t, name); s.State != failed || s.Message == "" || s.PID != 0 {
			t.Errorf("%s is %+v", name, s)
		}
	}
	for _, name := range []string{"none", "", "../x", "A"} {
		refuses(t, h, guestapi.NotFound, guestapi.StartService, &guestapi.StartServiceReq{Name: name})
		refuses(t, h, guestapi.NotFound, guestapi.StopService, &guestapi.StopServiceReq{Name: name})
	}
}

// At the guest's end a service is stopped before what it needs, and PID 1 is asked when all are.
func TestServicesEndInOrder(t *testing.T) {
	h := serve(t, nil)
	file := filepath.Join(t.TempDir(), "ends")
	for name, needs := range map[string][]string{"bottom": nil, "middle": {"bottom"}, "top": {"middle", "bottom"}} {
		h.define(t, name, definition{Argv: []string{"/bin/sh", "-c", "trap 'sleep 0.1; echo " + name + " >>" + file + "; exit' TERM; echo up; while :; do sleep 0.05; done"}, Needs: needs})
	}
	ended := make(chan *guestapi.ShutdownReq, 2)
	h.agent.End = func(_ context.Context, req *guestapi.ShutdownReq) error {
		ended <- req
		return nil
	}
	must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "top"})
	for _, name := range []string{"bottom", "middle", "top"} { // the traps are set
		until(t, name+" is up", func() bool { return strings.Contains(h.log(t, name), "up") })
	}
	must(t, h, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: 20000, Restart: true})
	req := <-ended
	if !req.Restart || req.GraceMS >= 20000 || req.GraceMS < 1 {
		t.Errorf("PID 1 is asked %+v", req)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "top\nmiddle\nbottom\n" {
		t.Errorf("they ended as %q, %v", got, err)
	}
	must(t, h, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: 7}) // who asks again does not wait
	if req := <-ended; req.GraceMS != 7 {
		t.Errorf("PID 1 is asked %+v", req)
	}
}

// One that does not end holds the guest's end up for half of the time.
func TestAServiceThatDoesNotEnd(t *testing.T) {
	h := serve(t, nil)
	h.define(t, "deaf", definition{Argv: []string{"/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"}, GraceMS: 60000})
	ended := make(chan *guestapi.ShutdownReq, 1)
	h.agent.End = func(_ context.Context, req *guestapi.ShutdownReq) error {
		ended <- req
		return nil
	}
	s := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "deaf"}).Service
	defer syscall.Kill(s.PID, syscall.SIGKILL)
	until(t, "it is up", func() bool { return strings.Contains(h.log(t, "deaf"), "up") })
	must(t, h, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: 1000})
	if req := <-ended; req.GraceMS > 500 {
		t.Errorf("of 1000 ms PID 1 gets %d", req.GraceMS)
	}
	syscall.Kill(s.PID, syscall.SIGKILL)
}

func TestServiceComesBack(t *testing.T) {
	h := serve(t, nil)
	h.define(t, "base", definition{Argv: []string{"/bin/sleep", "1000"}})
	h.define(t, "x", definition{Argv: []string{"/bin/sleep", "1000"}, Needs: []string{"base"}})
	first := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "x"}).Service
	if s := h.service(t, "base"); s.State != ready {
		t.Errorf("what it needs is %+v", s)
	}
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it runs again", func() bool {
		s := h.service(t, "x")
		return s.State == ready && s.PID != first.PID && s.Restarts == 1
	})
	if text := h.log(t, "x"); !strings.Contains(text, "was killed by SIGKILL") {
		t.Errorf("its log has %q", text)
	}
	for _, name := range []string{"x", "base"} {
		must(t, h, guestapi.StopService, &guestapi.StopServiceReq{Name: name})
	}
}

func TestServiceThatDoesNotEnd(t *testing.T) {
	h := serve(t, nil)
	h.define(t, "stubborn", definition{Argv: []string{"/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"}, GraceMS: 50})
	s := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "stubborn"}).Service
	until(t, "it is deaf", func() bool { return h.log(t, "stubborn") != "" })
	must(t, h, guestapi.StopService, &guestapi.StopServiceReq{Name: "stubborn"})
	if lives(s.PID) {
		t.Error("it lives")
	}
}

func TestServicesOutliveTheAgent(t *testing.T) {
	dir := t.TempDir()
	h := serveIn(t, nil, dir)
	h.define(t, "lasting", definition{Argv: []string{"/bin/sh", "-c", "trap 'echo bye; exit' TERM; echo first words; while :; do echo tick; sleep 0.02; done"}})
	h.define(t, "gone", definition{Argv: []string{"/bin/sleep", "1000"}})
	h.define(t, "with-the-guest", definition{Argv: []string{"/bin/sleep", "1000"}, Start: true})
	was := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "lasting"}).Service
	gone := must(t, h, guestapi.StartService, &guestapi.StartServiceReq{Name: "gone"}).Service
	until(t, "its first words are there", func() bool { return strings.Contains(h.log(t, "lasting"), "tick") })
	h.end()
	if !lives(was.PID) {
		t.Fatal("the service died with the agent")
	}
	if err := syscall.Kill(gone.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "it is dead", func() bool { return !lives(gone.PID) })

	next := serveIn(t, nil, dir)
	defer next.end()
	if s := next.service(t, "lasting"); s.State != ready || s.PID != was.PID {
		t.Errorf("the next agent finds %+v, want process %d", s, was.PID)
	}
	if s := next.service(t, "gone"); s.State != stopped {
		t.Errorf("what died meanwhile is %+v", s)
	}
	until(t, "what is to run with the guest does", func() bool { return next.service(t, "with-the-guest").State == ready })
	before := next.log(t, "lasting")
	if !strings.HasPrefix(before, "first words\n") {
		t.Errorf("of what it said before there is %.100q", before)
	}
	until(t, "its output goes on", func() bool { return len(next.log(t, "lasting")) > len(before) })
	for _, name := range []string{"lasting", "with-the-guest"} {
		must(t, next, guestapi.StopService, &guestapi.StopServiceReq{Name: name})
	}
	until(t, "it is dead", func() bool { return !lives(was.PID) }) // and buried: the agent that started it is no more
	until(t, "its last words are there", func() bool { return strings.HasSuffix(next.log(t, "lasting"), "bye\n") })
}

func TestLogs(t *testing.T) {
	h := serve(t, nil)
	h.agent.Log.Printf("number %d", 1)
	if text := h.log(t, ""); !strings.HasSuffix(text, "] number 1\n") {
		t.Errorf("the agent's log is %q", text)
	}
	follow := func() (*ipc.Stream, <-chan error, context.CancelFunc) {
		req := &guestapi.LogsReq{Follow: true}
		s, ref := req.Open()
		req.Data = ref
		ctx, cancel := context.WithCancel(h.ctx)
		done := make(chan error, 1)
		go func() {
			_, err := ipc.Call(ctx, h.Conn, guestapi.Logs, req)
			done <- err
		}()
		return s, done, cancel
	}
	s, done, cancel := follow()
	defer cancel()
	read := func(want string) {
		t.Helper()
		var got []byte
		for b := make([]byte, 1000); !strings.Contains(string(got), want); {
			n, err := s.Read(b)
			if got = append(got, b[:n]...); err != nil {
				t.Fatalf("%v; %q came, want %q", err, got, want)
			}
		}
	}
	read("number 1\n")
	h.agent.Log.Printf("number 2")
	read("number 2\n")
	s.Close()
	if err := <-done; err != nil {
		t.Errorf("a reader that leaves: %v", err)
	}
	_, done, cancel = follow() // and does not read
	for range 2000 {
		h.agent.Log.Printf("%s", strings.Repeat("x", 1000))
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a reader that gives up: %v", err)
	}
	refuses(t, h, guestapi.NotFound, guestapi.Logs, &guestapi.LogsReq{Name: "none"})
}

func TestLogKeepsTheEnd(t *testing.T) {
	l := NewLog(nil)
	for range 3 * logSize / 10 {
		io.WriteString(l, "0123456789")
	}
	if text, end, _ := l.from(0); len(text) != logSize || end != uint64(3*logSize/10*10) || !strings.HasSuffix(string(text), "789") {
		t.Errorf("%d bytes are kept of %d", len(text), end)
	}
	_, end, _ := l.from(0)
	io.WriteString(l, "new")
	if text, _, _ := l.from(end); string(text) != "new" {
		t.Errorf("new is %q", text)
	}
	if text, _, _ := l.from(1 << 60); len(text) != 0 {
		t.Errorf("beyond the end is %q", text)
	}
}

// The next agent has the end of what the last one kept, however much that was, and its files stay small.
func TestLogOutlivesTheAgent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openLog(path)
	for range 5 * logSize / 100 {
		fmt.Fprintf(l, "%099d\n", 7)
	}
	fmt.Fprintln(l, "the end")
	want, _, _ := l.from(0)
	l.Close()
	if got, _, _ := openLog(path).from(0); string(got) != string(want) {
		t.Errorf("the next one has %d bytes, ending in %q; want %d", len(got), got[max(0, len(got)-20):], len(want))
	}
	for _, p := range []string{path, path + ".old"} {
		if info, err := os.Stat(p); err != nil || info.Size() > logSize+1000 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
}

func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(`{"argv":["/bin/x","y"],"notify":true,"needs":["a"],"signal":"INT","grace_ms":5}`))
	f.Add([]byte(`{"argv":["x"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parseDefinition(text)
		if err != nil {
			return
		}
		if d.Argv[0][0] != '/' || d.signal() == 0 || d.readyTime() <= 0 || d.grace() <= 0 {
			t.Errorf("%q is %+v", text, d)
		}
	})
}
