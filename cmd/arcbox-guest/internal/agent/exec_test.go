//go:build linux

package agent

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

func TestExec(t *testing.T) {
	h := serve(t, nil)
	tests := []struct {
		name         string
		req          guestapi.ExecReq
		in, out, err string
		status       int
		signal       string
	}{
		{"output and status", guestapi.ExecReq{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 3"}}, "", "out\n", "err\n", 3, ""},
		{"input to its end", guestapi.ExecReq{Argv: []string{"cat"}}, "a\x00b", "a\x00b", "", 0, ""},
		{"a signal", guestapi.ExecReq{Argv: []string{"sh", "-c", "kill -9 $$"}}, "", "", "", 137, "SIGKILL"},
		{"directory and environment", guestapi.ExecReq{Argv: []string{"sh", "-c", "echo $PWD $X"}, Dir: "/proc", Env: map[string]string{"X": "a b=c"}},
			"", "/proc a b=c\n", "", 0, ""},
		{"arguments as they are", guestapi.ExecReq{Argv: []string{"printf", "%s|", "a b", "", "*"}}, "", "a b||*|", "", 0, ""},
		{"a path of its own", guestapi.ExecReq{Argv: []string{"./cpuinfo"}, Dir: "/proc"}, "", "", "", -1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.status < 0 {
				refuses(t, h, guestapi.NotExecutable, guestapi.Exec, &tt.req)
				return
			}
			resp, out, errs := h.run(t, &tt.req, tt.in)
			if out != tt.out || errs != tt.err || resp.Status != tt.status || resp.Signal != tt.signal {
				t.Errorf("%+v, output %q, errors %q; want %d %s, %q, %q", resp, out, errs, tt.status, tt.signal, tt.out, tt.err)
			}
		})
	}
}

func TestExecRefuses(t *testing.T) {
	h := serve(t, nil)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "garbage"), []byte("\x7fELFno program"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := map[string]string{"PATH": dir}
	tests := []struct {
		name string
		code ipc.Code
		req  guestapi.ExecReq
	}{
		{"no such program", guestapi.NotFound, guestapi.ExecReq{Argv: []string{"nowhere"}}},
		{"no such path", guestapi.NotFound, guestapi.ExecReq{Argv: []string{"/nowhere/x"}}},
		{"no name", guestapi.NotFound, guestapi.ExecReq{Argv: []string{""}}},
		{"not executable", guestapi.NotExecutable, guestapi.ExecReq{Argv: []string{"text"}, Env: path}},
		{"no program at all", guestapi.NotExecutable, guestapi.ExecReq{Argv: []string{"garbage"}, Env: path}},
		{"a directory", guestapi.NotExecutable, guestapi.ExecReq{Argv: []string{"/tmp"}}},
		{"no such user", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, User: "nobody-here"}},
		{"no such group", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, User: "root:nobody-here"}},
		{"no such directory", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, Dir: "/nowhere"}},
		{"NUL in an argument", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"echo", "a\x00b"}}},
		{"bad variable", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, Env: map[string]string{"A=B": ""}}},
		{"too many arguments", ipc.BadRequest, guestapi.ExecReq{Argv: slices.Repeat([]string{"a"}, guestapi.MaxArgs+1)}},
		{"too large", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"echo", strings.Repeat("a", guestapi.MaxArgSize)}}},
		{"long id", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, ID: strings.Repeat("a", 65)}},
		{"a stream that is none", ipc.BadRequest, guestapi.ExecReq{Argv: []string{"true"}, Stdout: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { refuses(t, h, tt.code, guestapi.Exec, &tt.req) })
	}
}

func TestExecAsSomebody(t *testing.T) {
	asRoot(t)
	h := serve(t, nil)
	tests := []struct{ user, want string }{
		{"", "0 0"}, {"nobody", "65534 65534"}, {"nobody:0", "65534 0"}, {"1234", "1234 0"}, {"1234:99", "1234 99"}, {"0:tty", "0 5"},
	}
	for _, tt := range tests {
		resp, out, errs := h.run(t, &guestapi.ExecReq{Argv: []string{"sh", "-c", "echo $(id -u) $(id -g)"}, Dir: "/", User: tt.user}, "")
		if strings.TrimSpace(out) != tt.want || resp.Status != 0 {
			t.Errorf("user %q is %q, want %q; %s", tt.user, out, tt.want, errs)
		}
	}
}

func TestAllOfTheOutputComes(t *testing.T) {
	h := serve(t, nil)
	const n = 8 << 20
	_, out, _ := h.run(t, &guestapi.ExecReq{Argv: []string{"sh", "-c", fmt.Sprintf("head -c %d /dev/zero | tr '\\0' x", n)}}, "")
	if want := sha256.Sum256([]byte(strings.Repeat("x", n))); sha256.Sum256([]byte(out)) != want {
		t.Errorf("%d bytes came of %d", len(out), n)
	}
	for range 50 { // what is written last, in either way
		if out := h.sh(t, "head -c 60000 /dev/zero | tr '\\0' x; printf end"); len(out) != 60003 || !strings.HasSuffix(out, "end") {
			t.Fatalf("%d bytes came, the last are %q", len(out), out[max(0, len(out)-10):])
		}
		if out := h.onTerminal(t, "head -c 6000 /dev/zero | tr '\\0' x; printf end"); len(out) != 6003 {
			t.Fatalf("%d bytes came from a terminal, the last are %q", len(out), out[max(0, len(out)-10):])
		}
	}
}

// onTerminal runs a script on a terminal.
func (h *host) onTerminal(t *testing.T, script string) string {
	t.Helper()
	req := &guestapi.ExecReq{Argv: []string{"sh", "-c", script}, Terminal: &guestapi.Terminal{Cols: 100, Rows: 30}}
	out, ref := req.Open()
	req.Stdout = ref
	text := said(out)
	must(t, h, guestapi.Exec, req)
	return <-text
}

func TestWhatIsLeftBehindHoldsNothingUp(t *testing.T) {
	h := serve(t, nil)
	pidfile := filepath.Join(t.TempDir(), "pid")
	defer func() {
		if pid := h.sh(t, "cat "+pidfile); pid != "" {
			h.sh(t, "kill "+pid+" || true")
		}
	}()
	if out := h.sh(t, "sleep 1000 & echo $! > "+pidfile+"; echo done"); out != "done" {
		t.Errorf("output %q", out)
	}
	h.sh(t, "kill -0 $(cat "+pidfile+")") // and it lives on
	h.sh(t, "kill $(cat "+pidfile+")")
	if out := h.onTerminal(t, "trap '' HUP; sleep 1000 & echo $! > "+pidfile+"; echo done"); out != "done\r\n" {
		t.Errorf("output of a terminal %q", out)
	}
	if out := h.sh(t, "while :; do echo y; done & echo $! > "+pidfile+"; echo done"); !strings.Contains(out, "done") {
		t.Errorf("output beside somebody who never stops: %d bytes", len(out))
	}
}

func TestTerminal(t *testing.T) {
	h := serve(t, nil)
	req := &guestapi.ExecReq{
		ID:   "shell",
		Argv: []string{"sh", "-c", `stty size; echo $TERM; test -t 0 && test -t 2 && tty; trap "stty size; exit 4" WINCH; echo go; while :; do read line; echo "<$line>"; done`},
		Env:  map[string]string{"LANG": "C"}, Terminal: &guestapi.Terminal{Cols: 132, Rows: 43, Term: "vt220"},
	}
	in, ref := req.Open()
	req.Stdin = ref
	out, ref := req.Open()
	req.Stdout = ref
	result := make(chan *guestapi.ExecResp)
	go func() {
		resp, _ := ipc.Call(h.ctx, h.Conn, guestapi.Exec, req)
		result <- resp
	}()
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if lines.Scan(); !strings.HasPrefix(strings.TrimSuffix(lines.Text(), "\r"), want) {
			t.Fatalf("the terminal shows %q, want %q", lines.Text(), want)
		}
	}
	expect("43 132")
	expect("vt220")
	expect("/dev/pts/")
	expect("go")
	io.WriteString(in, "hello\n")
	expect("hello") // the echo
	expect("<hello>")
	refuses(t, h, guestapi.NotFound, guestapi.Resize, &guestapi.ResizeReq{ID: "other", Cols: 80, Rows: 25})
	refuses(t, h, ipc.BadRequest, guestapi.Exec, &guestapi.ExecReq{ID: "shell", Argv: []string{"true"}})
	refuses(t, h, ipc.BadRequest, guestapi.Signal, &guestapi.SignalReq{ID: "shell", Signal: "SIGNONE"})
	must(t, h, guestapi.Resize, &guestapi.ResizeReq{ID: "shell", Cols: 77, Rows: 11})
	io.WriteString(in, "x\n") // some shells handle a trap after the read
	for lines.Scan() && !strings.Contains(lines.Text(), "11 77") {
	}
	if resp := <-result; resp == nil || resp.Status != 4 {
		t.Errorf("the shell ended with %+v", resp)
	}
	in.Close()
	refuses(t, h, guestapi.NotFound, guestapi.Signal, &guestapi.SignalReq{ID: "shell", Signal: "INT"})
}

func TestTheEndOfInputReachesATerminal(t *testing.T) {
	h := serve(t, nil)
	req := &guestapi.ExecReq{Argv: []string{"sh"}, Terminal: &guestapi.Terminal{}}
	in, ref := req.Open()
	req.Stdin = ref
	go func() {
		io.WriteString(in, "exit_with() { exit $1; }\nfalse\n")
		in.CloseWrite()
	}()
	if resp := must(t, h, guestapi.Exec, req); resp.Status != 1 {
		t.Errorf("the shell ended with %+v", resp)
	}
}

func TestSignal(t *testing.T) {
	h := serve(t, nil)
	for _, terminal := range []*guestapi.Terminal{nil, {}} {
		// Not by way of a shell: dash takes an interrupt for its child's before it has one, and forgets it.
		req := &guestapi.ExecReq{ID: "x", Argv: []string{"sleep", "1000"}, Terminal: terminal}
		result := make(chan *guestapi.ExecResp)
		go func() {
			resp, _ := ipc.Call(h.ctx, h.Conn, guestapi.Exec, req)
			result <- resp
		}()
		until(t, "it runs", func() bool {
			_, err := ipc.Call(h.ctx, h.Conn, guestapi.Signal, &guestapi.SignalReq{ID: "x", Signal: "INT"})
			return err == nil
		})
		if resp := <-result; resp == nil || resp.Signal != "SIGINT" || resp.Status != 130 {
			t.Errorf("with terminal %v: ended with %+v", terminal != nil, resp)
		}
	}
}

// However the agent was started, a program gets every signal as it is by default.
func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	signal.Ignore(syscall.SIGUSR2)
	defer signal.Reset(syscall.SIGUSR2)
	h := serve(t, nil)
	resp := must(t, h, guestapi.Exec, &guestapi.ExecReq{Argv: []string{"sh", "-c", "kill -USR2 $$"}})
	if resp.Signal != "SIGUSR2" {
		t.Errorf("the program ended with %+v", resp)
	}
}

func TestACallerThatGoes(t *testing.T) {
	h := serve(t, nil)
	leave := map[string]func(cancel func(), other *host){
		"gives up":              func(cancel func(), _ *host) { cancel() },
		"closes its connection": func(_ func(), other *host) { other.Close() },
	}
	for name, how := range leave {
		for _, terminal := range []*guestapi.Terminal{nil, {}} {
			t.Run(fmt.Sprintf("%s, terminal %v", name, terminal != nil), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "said")
				ctx, cancel := context.WithCancel(h.ctx)
				defer cancel()
				other := &host{Conn: h.connect(), ctx: ctx}
				defer other.Close()
				req := &guestapi.ExecReq{
					Argv: []string{"sh", "-c", `trap "echo hup > ` + file + `; exit" HUP; echo up > ` + file + `; while :; do sleep 0.05; done`}, Terminal: terminal,
				}
				done := make(chan error, 1)
				go func() {
					_, err := ipc.Call(ctx, other.Conn, guestapi.Exec, req)
					done <- err
				}()
				until(t, "the program is up", func() bool { b, _ := os.ReadFile(file); return string(b) == "up\n" })
				how(cancel, other)
				if err := <-done; err == nil {
					t.Error("the call succeeded")
				}
				until(t, "the program was told", func() bool { b, _ := os.ReadFile(file); return string(b) == "hup\n" })
				until(t, "it is forgotten", func() bool { return h.agent.execs.count() == 0 })
			})
		}
	}
	t.Run("a program that does not care is killed", func(t *testing.T) {
		ctx, cancel := context.WithCancel(h.ctx)
		defer cancel()
		file := filepath.Join(t.TempDir(), "said")
		req := &guestapi.ExecReq{Argv: []string{"sh", "-c", `trap "" HUP; echo up > ` + file + `; while :; do sleep 0.05; done`}}
		done := make(chan error, 1)
		go func() {
			_, err := ipc.Call(ctx, h.Conn, guestapi.Exec, req)
			done <- err
		}()
		until(t, "the program is up", func() bool { b, _ := os.ReadFile(file); return string(b) == "up\n" })
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("the call ended with %v", err)
		}
		until(t, "it is gone", func() bool { return h.agent.execs.count() == 0 })
	})
}

func TestACallerThatDoesNotRead(t *testing.T) {
	h := serve(t, nil)
	req := &guestapi.ExecReq{Argv: []string{"sh", "-c", "while :; do echo y; done"}}
	out, ref := req.Open()
	req.Stdout = ref
	ctx, cancel := context.WithCancel(h.ctx)
	done := make(chan error, 1)
	go func() {
		_, err := ipc.Call(ctx, h.Conn, guestapi.Exec, req)
		done <- err
	}()
	io.ReadFull(out, make([]byte, 1<<20))
	if got := h.sh(t, "echo others go on"); got != "others go on" {
		t.Error(got)
	}
	out.Close() // the program gets SIGPIPE
	if err := <-done; err != nil {
		t.Errorf("the call ended with %v", err)
	}
	cancel()
}

func TestTooManyPrograms(t *testing.T) {
	var s execs
	s.changed = func() {}
	for i := range guestapi.MaxExecs {
		if err := s.enter(execKey{id: fmt.Sprint(i)}, &execution{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.enter(execKey{id: "more"}, &execution{}) == nil {
		t.Error("there is no end to programs")
	}
	s.leave(execKey{id: "1"})
	if err := s.enter(execKey{id: "more"}, &execution{}); err != nil {
		t.Error(err)
	}
}
