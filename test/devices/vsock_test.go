package devices_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// startVsock boots a guest that serves vsock, and gives the connection that it ends with.
func startVsock(t *testing.T) (m *machine, dev *vsock.Device, guest net.Conn) {
	t.Helper()
	dev, err := vsock.New(3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	l, err := dev.Listen(1024)
	if err != nil {
		t.Fatal(err)
	}
	m = start(t, "vsock", dev)
	waiting := time.AfterFunc(patience, func() { _ = l.Close() })
	defer waiting.Stop()
	if guest, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	if s, err := bufio.NewReader(guest).ReadString('\n'); s != "ready\n" {
		t.Fatalf("the guest says %q, %v", s, err)
	}
	return m, dev, guest
}

// dial connects to a port of the guest, which refuses while more connections wait to be accepted than
// its backlog takes.
func dial(t *testing.T, dev *vsock.Device, port uint32) *vsock.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		c, err := dev.Connect(ctx, port)
		if err == nil {
			return c
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestVsockBothWays(t *testing.T) {
	m, dev, guest := startVsock(t)
	if _, err := dev.Connect(context.Background(), 99); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a port where nobody listens: %v", err)
	}
	t.Run("bytes come back as they were", func(t *testing.T) {
		c := dial(t, dev, 1)
		if err := echoes(c, int64(kit.Rounds(8, 1024))<<20, 0); err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
	t.Run("connections come and go", func(t *testing.T) {
		for range kit.Rounds(50, 10000) {
			_ = dial(t, dev, 1).Close()
		}
	})
	t.Run("500 at once with slow readers", func(t *testing.T) {
		conns := make([]*vsock.Conn, 500)
		for i := range conns {
			conns[i] = dial(t, dev, 1)
		}
		errs := make([]error, len(conns))
		var all sync.WaitGroup
		for i, c := range conns {
			all.Go(func() { errs[i] = echoes(c, 64<<10, time.Millisecond) })
		}
		all.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
	t.Run("half close", func(t *testing.T) {
		c := dial(t, dev, 2)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF { // the guest sends nothing
			t.Errorf("read %d, %v", n, err)
		}
		if _, err := io.CopyN(c, rand.NewChaCha8([32]byte{}), 1<<20); err != nil { // and takes all the same
			t.Error(err)
		}
		_ = c.CloseWrite()
		m.wait(t, "heard 1048576 <nil>")
		_ = c.Close()
	})
	t.Run("closed in the middle", func(t *testing.T) {
		c := dial(t, dev, 3)
		if _, err := io.ReadFull(c, make([]byte, 1<<20)); err != nil {
			t.Error(err)
		}
		_ = c.Close() // with more on its way
		m.wait(t, "broken")
	})
	_ = guest.Close() // ends the guest, and with it all connections
	for _, ok := m.line(t); ok; _, ok = m.line(t) {
	}
	if n := dev.Conns(); n != 0 {
		t.Errorf("%d connections are left of a guest that is gone", n)
	}
}

// echoes sends n bytes through the guest and holds what comes back against them. It waits between
// reads.
func echoes(c *vsock.Conn, n int64, wait time.Duration) error {
	want, got := sha256.New(), sha256.New()
	sent := make(chan error)
	go func() {
		_, err := io.CopyN(io.MultiWriter(c, want), rand.NewChaCha8([32]byte{1}), n)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	back, err := io.Copy(got, slowReader{c, wait})
	if err := errors.Join(err, <-sent); err != nil || back != n || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		return fmt.Errorf("%d of %d bytes came back, or others: %w", back, n, err)
	}
	return nil
}

type slowReader struct {
	io.Reader
	wait time.Duration
}

func (r slowReader) Read(p []byte) (int, error) {
	if r.wait > 0 {
		time.Sleep(r.wait)
		p = p[:min(len(p), 4000)]
	}
	return r.Reader.Read(p)
}

// TestKilledGuestLeavesNothing cuts off a guest over 100 connections that are busy both ways, half of
// them as descriptors.
func TestKilledGuestLeavesNothing(t *testing.T) {
	descriptors := openFiles(t)
	before := goleak.IgnoreCurrent()
	m, dev, _ := startVsock(t)
	conns := make([]io.ReadWriteCloser, 100)
	for i := range conns {
		c := dial(t, dev, 3)
		if conns[i] = c; i%2 != 0 {
			conns[i] = descriptor(t, c)
		}
		if _, err := io.ReadFull(conns[i], make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	var busy sync.WaitGroup
	sent, received := dev.Bytes()
	for _, c := range conns {
		busy.Go(func() {
			_, _ = io.Copy(io.Discard, c) // until it breaks
			_ = c.Close()
		})
		busy.Go(func() { _, _ = io.Copy(c, endless{}) })
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if s, r := dev.Bytes(); s-sent > 1<<20 && r-received > 1<<20 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing moves")
		}
	}
	m.stop()
	busy.Wait() // a test that hangs here has found a stream that did not end
	dev.Close()
	if n := dev.Conns(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	goleak.VerifyNone(t, before)
	if n := openFiles(t); n > descriptors {
		t.Errorf("%d descriptors are open, and %d were before", n, descriptors)
	}
}

// descriptor is a connection as other processes get it.
func descriptor(t *testing.T, c *vsock.Conn) net.Conn {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sock, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return sock
}

// endless is a reader of zeroes. It is no io.WriterTo.
type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if list, err := os.ReadDir(dir); err == nil {
			return len(list)
		}
	}
	t.Fatal("cannot count descriptors")
	return 0
}
