// Package devices_test has a real Linux use the virtio devices. The machine is in the test's own
// process, so that the host's end of each device is at hand.
package devices_test

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/balloon"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/console"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestMain(m *testing.M) { os.Exit(kit.Main(m, "./init")) }

// patience is how long a guest may take for what a test asks of it.
var patience = time.Duration(kit.Rounds(2, 60)) * time.Minute

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
