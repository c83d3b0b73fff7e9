package docker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take that a test waits for.
const patience = time.Minute

// A host is a machine whose dockerd listens on a socket of the test's.
type host struct {
	dockerd string
	err     error         // of Docker
	up      chan struct{} // nil, or closed when the machine is up
	uses    atomic.Int32
	quiet   atomic.Int32 // how often Docker was called so
	stopped atomic.Bool
	said    atomic.Pointer[Said]
}

func (h *host) Said() (*Said, bool) { return h.said.Load(), h.stopped.Load() }

func (h *host) Remember(s *Said) { h.said.Store(s) }

func (h *host) Docker(ctx context.Context, quiet bool) (*net.UnixConn, error) {
	if quiet {
		h.quiet.Add(1)
	}
	if h.up != nil {
		select {
		case <-h.up:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	if h.err != nil {
		return nil, h.err
	}
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: h.dockerd, Net: "unix"})
}

func (h *host) Use() func() {
	h.uses.Add(1)
	return sync.OnceFunc(func() { h.uses.Add(-1) })
}

// relay starts a relay to h, whose dockerd is serve, and gives its socket.
func relay(t *testing.T, h *host, serve func(*net.UnixConn)) (path string) {
	t.Helper()
	dir := t.TempDir()
	h.dockerd, path = filepath.Join(dir, "dockerd.sock"), filepath.Join(dir, "docker.sock")
	listen := func(path string) *net.UnixListener {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	d, l := listen(h.dockerd), listen(path)
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			c, err := d.AcceptUnix()
			if err != nil {
				return
			}
			busy.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	r := New(func(context.Context) (Machine, error) { return h, nil }, zerolog.Nop())
	busy.Go(func() {
		if err := r.Serve(l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		r.Close()
		d.Close()
		busy.Wait()
		if n := h.uses.Load(); n != 0 {
			t.Errorf("%d uses were not released", n)
		}
	})
	return path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// echo sends back what comes and ends when that ends.
func echo(c *net.UnixConn) {
	io.Copy(c, c)
	c.CloseWrite()
}

func TestBytesArePassedOnAsTheyAre(t *testing.T) {
	path := relay(t, &host{}, echo)
	want := make([]byte, 4<<20)
	rand.Read(want)
	c := dial(t, path)
	go func() {
		c.Write(want)
		c.CloseWrite() // what comes back after that must come nevertheless
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others: %v", len(got), len(want), err)
	}
}

// A hijacked stream: dockerd ends its side first and goes on reading.
func TestTheServerMayEndFirst(t *testing.T) {
	read := make(chan string, 1)
	path := relay(t, &host{}, func(c *net.UnixConn) {
		c.CloseWrite()
		b, _ := io.ReadAll(c)
		read <- string(b)
	})
	c := dial(t, path)
	io.WriteString(c, "first ")
	if b, err := io.ReadAll(c); err != nil || len(b) != 0 {
		t.Errorf("%q came, %v", b, err)
	}
	io.WriteString(c, "second")
	c.CloseWrite()
	if got := <-read; got != "first second" {
		t.Errorf("dockerd has read %q", got)
	}
}

func TestManyConnectionsAtOnce(t *testing.T) {
	path := relay(t, &host{}, echo)
	var all sync.WaitGroup
	for range 3000 {
		c := dial(t, path)
		all.Go(func() {
			io.WriteString(c, "ping")
			c.CloseWrite()
			if b, err := io.ReadAll(c); string(b) != "ping" {
				t.Errorf("%q came back: %v", b, err)
			}
		})
	}
	all.Wait()
}

func TestAClientLearnsWhyItCannotBeServed(t *testing.T) {
	path := relay(t, &host{err: errors.New("the machine has no kernel")}, echo)
	c := dial(t, path)
	io.WriteString(c, "GET /version HTTP/1.1\r\nHost: docker\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || string(body) != `{"message":"arcbox: the machine has no kernel"}`+"\n" {
		t.Errorf("the answer is %s %q, %v", resp.Status, body, err)
	}
}

// A connection that says nothing brings nothing up, and one that waits is ended by Close.
func TestWhoWaits(t *testing.T) {
	h := &host{up: make(chan struct{})}
	path := relay(t, h, echo)
	dial(t, path)
	c := dial(t, path)
	io.WriteString(c, "GET /info HTTP/1.1\r\n\r\n")
	for end := time.Now().Add(patience); h.quiet.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody asked for the machine")
		}
	}
}

func TestWhatKeepsAMachineAwake(t *testing.T) {
	h := &host{}
	path := relay(t, h, echo)
	c := dial(t, path)
	steps := []struct {
		request string
		uses    int32
	}{
		{"HEAD /_ping HTTP/1.1\r\n\r\n", 0},
		{"GET /v1.41/containers/json?all=1 HTTP/1.1\r\n\r\n", 0},
		{"POST /v1.41/containers/create HTTP/1.1\r\n\r\n", 1},
		{"any bytes of its body, GET / too", 1},
		{"GET /v1.41/events HTTP/1.1\r\n\r\n", 0},
		{"GET /v1.41/images/x/get HTTP/1.1\r\n\r\n", 1},
		{"DELETE /v1.41/containers/x HTTP/1.1\r\n\r\n", 1},
		{"GET /v1.41/info HTTP/1.1\r\n\r\n", 0},
		{"PUT /v1.41/containers/x/archive HTTP/1.1\r\n\r\n", 1},
	}
	for _, s := range steps {
		io.WriteString(c, s.request)
		if _, err := io.ReadFull(c, make([]byte, len(s.request))); err != nil { // it has been passed on
			t.Fatal(err)
		}
		if got := h.uses.Load(); got != s.uses {
			line, _, _ := strings.Cut(s.request, "\r")
			t.Errorf("after %q the machine has %d uses, want %d", line, got, s.uses)
		}
	}
}
