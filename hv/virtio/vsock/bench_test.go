package vsock

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
)

// unixPair is what the device is held against: a Unix stream socket pair.
func unixPair(b *testing.B) (x, y net.Conn) {
	b.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	conn := func(fd int) net.Conn {
		f := os.NewFile(uintptr(fd), "pair")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		return c
	}
	return conn(fds[0]), conn(fds[1])
}

// pingPong measures round trips of one byte.
func pingPong(b *testing.B, c io.ReadWriter) {
	one := make([]byte, 1)
	for b.Loop() {
		if _, err := c.Write(one); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	b.Run("unix", func(b *testing.B) {
		x, y := unixPair(b)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(struct{ io.Writer }{y}, struct{ io.Reader }{y}) })
		pingPong(b, x)
		_ = x.Close()
		wg.Wait()
	})
	b.Run("vsock", func(b *testing.B) {
		dev := device(b)
		startEcho(b, dev)
		c, err := dev.Connect(context.Background(), 1)
		if err != nil {
			b.Fatal(err)
		}
		pingPong(b, c)
		_ = c.Close()
	})
}

const piece = 64 << 10

// BenchmarkToGuest measures a stream from a program on the host to one in the guest.
func BenchmarkToGuest(b *testing.B) {
	b.Run("unix", func(b *testing.B) {
		x, y := unixPair(b)
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{y}) })
		stream(b, x)
		_ = x.Close()
		wg.Wait()
	})
	b.Run("vsock", func(b *testing.B) {
		dev := device(b)
		g := startGuest(b, dev)
		g.room = window
		var wg sync.WaitGroup
		stop := make(chan struct{})
		wg.Go(func() { g.sink(stop) })
		c, err := dev.Connect(context.Background(), 1)
		if err != nil {
			b.Fatal(err)
		}
		stream(b, c)
		_ = c.Close()
		close(stop)
		wg.Wait()
	})
}

func stream(b *testing.B, w io.Writer) {
	p := make([]byte, piece)
	b.SetBytes(piece)
	for b.Loop() {
		if _, err := w.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}
