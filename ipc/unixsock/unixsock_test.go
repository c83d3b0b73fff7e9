package unixsock_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/ipctest"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTransport(t *testing.T) {
	ipctest.Run(t, ipctest.Transport{
		Descriptors: true,
		Listen: func(t *testing.T) (ipc.Listener, func() (ipc.Wire, error)) {
			path := filepath.Join(t.TempDir(), "s")
			return listen(t, path), func() (ipc.Wire, error) {
				sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
				if err != nil {
					return nil, err
				}
				return unixsock.New(sock), nil
			}
		},
	})
}

type whoResp struct {
	UID int `json:"uid"`
	PID int `json:"pid"`
}

type (
	countReq  struct{ To int }
	countItem struct {
		N   int
		Pad string
	}
	openReq  struct{ Text string }
	openResp struct {
		ipc.Files
		File ipc.FD `json:"file"`
	}
)

var (
	who   = ipc.Method[struct{}, whoResp]{Name: "test.who", Need: ipc.Observe}
	hang  = ipc.Method[struct{}, struct{}]{Name: "test.hang"}
	count = ipc.Feed[countReq, countItem]{Name: "test.count"}
	open  = ipc.Method[openReq, openResp]{Name: "test.open"} // a file with a text in it
)

// serve serves the methods on a listener until the test ends.
func serve(t *testing.T, s *ipc.Server, l *unixsock.Listener) {
	t.Helper()
	s.Mux = ipc.NewMux()
	ipc.Handle(s.Mux, who, func(ctx context.Context, _ *struct{}) (*whoResp, error) {
		p := ipc.PeerOf(ctx)
		return &whoResp{p.UID, p.PID}, nil
	})
	ipc.Handle(s.Mux, hang, func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	})
	ipc.HandleFeed(s.Mux, count, func(_ context.Context, req *countReq, out *ipc.Sink[countItem]) error {
		for n := range req.To {
			if err := out.Send(&countItem{n, "some of every window, which is not so many items then"}); err != nil {
				return err
			}
		}
		return nil
	})
	ipc.Handle(s.Mux, open, func(_ context.Context, req *openReq) (*openResp, error) {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer w.Close()
		w.WriteString(req.Text)
		resp := &openResp{}
		resp.File = resp.Attach(r)
		return resp, nil
	})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

func listen(t *testing.T, path string) *unixsock.Listener {
	t.Helper()
	l, err := unixsock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func dial(t *testing.T, path string) *ipc.Conn {
	t.Helper()
	c, err := unixsock.Dial(context.Background(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestTheKernelSaysWhoAsks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, &ipc.Server{}, listen(t, path))
	c := dial(t, path)
	got, err := ipc.Call(context.Background(), c, who, &struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	if got.UID != os.Getuid() || got.PID != os.Getpid() {
		t.Errorf("the server takes us for user %d, process %d; we are %d, %d", got.UID, got.PID, os.Getuid(), os.Getpid())
	}
	if p := c.Peer(); p.UID != os.Getuid() || p.PID != os.Getpid() {
		t.Errorf("we take the server for %v", p)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's mode is %v, %v, want 0600", info.Mode(), err)
	}
}

func TestLongPaths(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 50))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "agent.sock")
	serve(t, &ipc.Server{}, listen(t, path))
	if _, err := ipc.Call(context.Background(), dial(t, path), who, &struct{}{}); err != nil {
		t.Error(err)
	}
	if _, err := unixsock.Listen(path); !errors.Is(err, unixsock.ErrInUse) {
		t.Errorf("a second listener got %v, want ErrInUse", err)
	}
	if _, err := unixsock.Listen(filepath.Join(dir, strings.Repeat("n", 100))); err == nil {
		t.Error("a socket's own name of 100 bytes was taken")
	}
}

func TestLeftOversAreReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := unixsock.Dial(context.Background(), path, nil); !errors.Is(err, unixsock.ErrNobody) {
		t.Errorf("dialing a dead socket got %v, want ErrNobody", err)
	}
	l := listen(t, path)
	l.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := unixsock.Listen(path); err == nil {
		t.Error("a file was replaced by a socket")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("a file in the way was removed")
	}
}

func TestOneOfManyListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	var mu sync.Mutex
	var won []*unixsock.Listener
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			l, err := unixsock.Listen(path)
			if err != nil && !errors.Is(err, unixsock.ErrInUse) {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, l)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d listen at one path", len(won))
	}
	for _, l := range won {
		l.Close()
	}
}

func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	old := listen(t, path)
	os.Remove(path)
	serve(t, &ipc.Server{}, listen(t, path))
	old.Close()
	dial(t, path)
}

func TestPlainPeersAreServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path).Plain()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	served, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := served.(*net.UnixConn); !ok {
		t.Errorf("the connection is a %T", served)
	}
	served.Close()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener says %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestAnInheritedSocketStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := listen(t, path)
	f, err := first.File()
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	l, err := unixsock.Inherited(f)
	if err != nil {
		t.Fatal(err)
	}
	s := &ipc.Server{}
	serve(t, s, l)
	if _, err := ipc.Call(context.Background(), dial(t, path), who, &struct{}{}); err != nil {
		t.Error(err)
	}
	s.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
}

// The protocol is what PROTOCOL.md says, not what this package does: a client in another
// language that was written from it works.
func TestPythonClient(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	serve(t, &ipc.Server{}, listen(t, path))
	cmd := exec.Command(python, "testdata/client.py", path)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if want := "True\n10000\nthrough a descriptor\nno-method\n"; err != nil || string(out) != want {
		t.Errorf("it says %q, %v, want %q", out, err, want)
	}
}
