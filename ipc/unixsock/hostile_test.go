package unixsock_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// asClient has the test binary be another process: a client that asks once and says how
// that went.
const asClient = "ARCBOX_TEST_CLIENT"

func init() {
	path := os.Getenv(asClient)
	if path == "" {
		return
	}
	var c *ipc.Conn
	sock, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err == nil {
		c = ipc.NewConnOver(unixsock.New(sock), nil)
		_, err = ipc.Call(context.Background(), c, who, &struct{}{})
	}
	var e *ipc.Error
	switch {
	case err == nil:
		fmt.Print("served")
	case errors.As(err, &e):
		fmt.Print(e.Code)
	default:
		fmt.Print(err)
	}
	os.Exit(0)
}

// otherProcess is what another process says that asked once, as another user if uid is not 0.
func otherProcess(t *testing.T, path string, uid uint32) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if uid != 0 { // it must be where he can run it
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		dir := openDir(t)
		self = filepath.Join(dir, "stranger")
		if err := os.WriteFile(self, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(self, "-test.run=^$") // whatever happens, no tests
	cmd.Env = []string{asClient + "=" + path}
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// openDir is a directory that everybody may enter.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "arcbox-open-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func frame(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// raw connects without the protocol.
func raw(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var hello = frame(`{"type":"hello","protocol":1,"build":"a test"}`)

// asks checks that a client is served, and so that nobody else holds the server up.
func asks(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := unixsock.Dial(ctx, path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := ipc.Call(ctx, c, who, &struct{}{}); err != nil {
		t.Errorf("a client was not served: %v", err)
	}
}

func TestAnotherUserIsTurnedAway(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("this test must run as root, to become somebody else")
		}
		t.Skip("only root can become somebody else")
	}
	path := filepath.Join(openDir(t), "s")
	turned := make(chan ipc.Peer, 1)
	s := &ipc.Server{
		TurnedAway: func(p ipc.Peer, err error) { turned <- p },
		Opened:     func(c *ipc.Conn) { t.Errorf("%v was let in", c.Peer()) },
	}
	serve(t, s, listen(t, path))
	if err := os.Chmod(path, 0o666); err != nil { // else he would not even get here
		t.Fatal(err)
	}
	const nobody = 65534
	if said := otherProcess(t, path, nobody); said != string(ipc.Denied) {
		t.Errorf("a stranger was told %q, want %s", said, ipc.Denied)
	}
	if p := <-turned; p.UID != nobody {
		t.Errorf("%v was turned away, want user %d", p, nobody)
	}
}

func TestNoProcessTakesAllConnections(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := &ipc.Server{Max: 40}
	serve(t, s, listen(t, path))
	n := 3000
	if testing.Short() {
		n = 500
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	ends := map[string]int{}
	for range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := unixsock.Dial(ctx, path, nil)
			if err == nil {
				defer c.Close()
				_, err = ipc.Call(ctx, c, who, &struct{}{})
			}
			var e *ipc.Error
			said := "served"
			if errors.As(err, &e) {
				said = string(e.Code)
			} else if err != nil {
				said = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			ends[said]++
		})
	}
	wg.Wait()
	if ends["served"] == 0 || ends["served"]+ends[string(ipc.Busy)] != n {
		t.Errorf("%d connections ended %v, want each served or told that the server is busy", n, ends)
	}
	// With this process at its limit another one is served all the same.
	for len(s.Conns()) > 0 {
		time.Sleep(time.Millisecond) // until the last of those above is forgotten
	}
	for range 10 {
		asksOver(t, dial(t, path))
	}
	c := dial(t, path)
	_, err := ipc.Call(t.Context(), c, who, &struct{}{})
	var e *ipc.Error
	if !errors.As(err, &e) || e.Code != ipc.Busy || !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("the eleventh connection got %v, want busy and interrupted", err)
	}
	if said := otherProcess(t, path, 0); said != "served" {
		t.Errorf("another process was told %q", said)
	}
}

func asksOver(t *testing.T, c *ipc.Conn) {
	t.Helper()
	if _, err := ipc.Call(t.Context(), c, who, &struct{}{}); err != nil {
		t.Error(err)
	}
}

// Each of these peers does its worst and stays; others are served beside them.
func TestBadPeersHoldUpNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, &ipc.Server{Max: 400}, listen(t, path))
	whoCall := frame(`{"type":"call","id":1,"method":"test.who","body":{}}`)
	silent, cut, header := raw(t, path), raw(t, path), raw(t, path)
	silent.Write(nil)
	cut.Write(append(bytes.Clone(hello), whoCall[:20]...))
	header.Write(append(bytes.Clone(hello), 0, 0x0f, 0xff, 0xff)) // a frame of a MiB that never comes
	half := raw(t, path)
	half.Write(hello)
	half.CloseWrite()
	if said, err := io.ReadAll(half); err != nil || !bytes.Contains(said, []byte(`"hello"`)) {
		t.Errorf("a client that closes its half was told %q, %v", said, err)
	}
	slow := raw(t, path)
	slow.Write(append(bytes.Clone(hello), frame(`{"type":"call","id":1,"method":"test.count","streams":[1],"body":{"to":1000000}}`)...))
	asks(t, path)

	// This one sends calls as fast as it can, and reads nothing: its connection ends.
	flood := raw(t, path)
	flood.Write(hello)
	var sent int
	for err := error(nil); err == nil; sent++ {
		_, err = flood.Write(frame(fmt.Sprintf(`{"type":"call","id":%d,"method":"test.who","body":{"pad":%q}}`, sent+1, strings.Repeat("x", 1000))))
		if sent%1000 == 0 {
			asks(t, path)
		}
	}
	t.Logf("the flood was stopped after %d calls", sent)
	asks(t, path)
}

func TestADeadlineHoldsWhenThePeerTakesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, path)
	stuck, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	big := ipc.Method[map[string]string, struct{}]{Name: "test.big"}
	body := map[string]string{"pad": strings.Repeat("x", 900_000)}
	for range 5 { // the first fills the socket, and the others wait for it
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := ipc.Call(ctx, c, big, &body); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
		cancel()
	}
}

func TestOtherVersionsAreToldInWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	serve(t, &ipc.Server{}, listen(t, path))
	future := raw(t, path)
	future.Write(frame(`{"type":"hello","protocol":7,"build":"arcbox v9.0.0","features":["telepathy"]}`))
	said, err := io.ReadAll(future)
	for _, word := range []string{`"type":"refused"`, `"other-version"`, "arcbox v9.0.0", "protocol 7", "speaks 1"} {
		if !bytes.Contains(said, []byte(word)) {
			t.Errorf("a client of the future is told %q, %v, which lacks %q", said, err, word)
		}
	}

	path = filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, says := range [][]byte{
		frame(`{"type":"hello","protocol":7,"build":"arcboxd v9.0.0"}`),
		bytes.Join([][]byte{
			frame(`{"type":"hello","protocol":1,"build":"arcboxd v9.0.0"}`),
			frame(`{"type":"refused","error":{"code":"other-version","message":"cannot talk to protocol 1","hint":"update arcbox"},"since":9}`),
		}, nil),
	} {
		c := dial(t, path)
		server, err := l.AcceptUnix()
		if err != nil {
			t.Fatal(err)
		}
		server.Write(says)
		server.CloseWrite()
		var e *ipc.Error
		_, err = ipc.Call(t.Context(), c, who, &struct{}{})
		if !errors.As(err, &e) || e.Code != ipc.OtherVersion || e.Hint == "" || !errors.Is(err, ipc.ErrInvalid) {
			t.Errorf("a server of the future means %v, want code %s with a hint, and invalid", err, ipc.OtherVersion)
		}
		server.Close()
	}
}

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoDescriptorIsLeaked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l := listen(t, path)
	s := &ipc.Server{}
	t.Run("clients of all kinds", func(t *testing.T) {
		serve(t, s, l)
		asks(t, path) // what the runtime opens once is open now
		before := openFiles(t)
		for i := range 20 {
			c := dial(t, path)
			resp, err := ipc.Call(t.Context(), c, open, &openReq{"x"})
			if err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 { // else they go with the connection's end
				resp.Close()
			}
			c.Close()
			resp.Close()

			// Descriptors that no message names, that one names too many of, that a method does not
			// want, and that come with half a frame.
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			rights := syscall.UnixRights(int(r.Fd()), int(w.Fd()))
			for _, text := range [][]byte{
				frame(`{"type":"cancel","id":9}`),
				frame(`{"type":"call","id":1,"method":"test.who","fds":3,"body":{}}`),
				frame(`{"type":"call","id":1,"method":"test.who","fds":2,"body":{}}`),
				frame(`{"type":"call","id":1,"method":"test.who","fds":2,"body":{}}`)[:9],
			} {
				bad := raw(t, path)
				bad.Write(hello)
				if _, _, err := bad.WriteMsgUnix(text, rights, nil); err != nil {
					t.Fatal(err)
				}
				bad.CloseWrite()
				io.Copy(io.Discard, bad)
				bad.Close()
			}
			r.Close()
			w.Close()
		}
		for len(s.Conns()) > 0 {
			time.Sleep(time.Millisecond) // until the last is forgotten
		}
		if after := openFiles(t); after > before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	})
}
