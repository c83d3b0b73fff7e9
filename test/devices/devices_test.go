// Package devices_test has a real Linux use the virtio devices. The machine is in the test's own
// process, so that the host's end of each device is at hand.
package devices_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/balloon"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/console"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// patience is how long a guest may take for what a test asks of it.
const patience = 2 * time.Minute

// A machine is a guest at work.
type machine struct {
	console *bufio.Scanner
	stop    func() // cuts the guest off, and returns when it is gone
}

// start boots a kernel with the tests' init, a console and more devices.
func start(t *testing.T, act string, devices ...virtio.Device) *machine {
	t.Helper()
	fl := kit.AFlavour(t, kit.Any)
	con, err := console.New(console.PortOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := board.New(board.Config{
		Engine: soft.New(), CPUs: 1, Memory: 512 << 20, Kernel: kernel(t, fl.Kernel), Initrd: read(t, kit.InitrdFor(t, fl)),
		Cmdline: fl.Tuning + " console=hvc0 loglevel=4 act=" + act,
		Devices: append([]virtio.Device{con}, devices...),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := con.Port(0).Attach(console.AttachOptions{History: true, Wait: true})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = b.Run(ctx)
		con.Close()
	}()
	m := &machine{console: bufio.NewScanner(r)}
	m.stop = func() {
		cancel()
		_ = r.Close()
		<-done
		_ = b.Close()
	}
	t.Cleanup(m.stop)
	return m
}

func kernel(t *testing.T, path string) *image.Kernel {
	t.Helper()
	b := read(t, path)
	k, err := image.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// line is the next line of the guest's console, false at its end.
func (m *machine) line(t *testing.T) (string, bool) {
	t.Helper()
	if !m.console.Scan() {
		return "", false
	}
	s := strings.TrimSpace(m.console.Text())
	if strings.HasPrefix(s, "FAIL") {
		t.Fatalf("guest: %s", s)
	}
	return s, true
}

// wait reads the console up to a line.
func (m *machine) wait(t *testing.T, line string) {
	t.Helper()
	for {
		s, ok := m.line(t)
		if s == line {
			return
		}
		if !ok {
			t.Fatalf("the guest has ended and never said %q", line)
		}
	}
}

func TestVsockBothWays(t *testing.T) {
	dev, err := vsock.New(3)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	l, err := dev.Listen(1024)
	if err != nil {
		t.Fatal(err)
	}
	m := start(t, "vsock", dev)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	guest, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if s, err := bufio.NewReader(guest).ReadString('\n'); s != "ready\n" {
		t.Fatalf("the guest says %q, %v", s, err)
	}
	if _, err := dev.Connect(ctx, 99); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting to a port where nobody listens: %v", err)
	}
	echoes(t, ctx, dev, 8<<20)
	for range kit.Rounds(50, 10000) {
		c, err := dev.Connect(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	_ = guest.Close() // ends the guest, and with it all connections
	for _, ok := m.line(t); ok; _, ok = m.line(t) {
	}
	if n := dev.Conns(); n != 0 {
		t.Errorf("%d connections are left of a guest that is gone", n)
	}
}

// echoes sends n bytes through the guest and holds what comes back against them.
func echoes(t *testing.T, ctx context.Context, dev *vsock.Device, n int64) {
	t.Helper()
	c, err := dev.Connect(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want, got := sha256.New(), sha256.New()
	sent := make(chan error)
	go func() {
		var key [32]byte
		_, err := io.CopyN(io.MultiWriter(c, want), rand.NewChaCha8(key), n)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	back, err := io.Copy(got, c)
	if err := errors.Join(err, <-sent); err != nil || back != n || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
		t.Errorf("%d of %d bytes came back, or others: %v", back, n, err)
	}
}

func TestFreedMemoryLeavesTheHost(t *testing.T) {
	dev := balloon.New()
	m := start(t, "memory:200", dev)
	m.wait(t, "used")
	_, before := dev.Returned()
	m.wait(t, "freed")
	const want = 128 << 20 // of 200 MiB: the guest keeps some, and reports large pieces only
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		_, now := dev.Returned()
		if now-before >= want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d MiB came back of 200 that the guest freed", (now-before)>>20)
		}
	}
	dev.SetTarget(128 << 20)
	for end := time.Now().Add(patience); dev.Actual() < 128<<20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d MiB are in the balloon, want 128", dev.Actual()>>20)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := dev.Stats(ctx)
	if err != nil || s.Total < 400<<20 || s.Free > s.Total {
		t.Errorf("statistics %+v, %v", s, err)
	}
}
