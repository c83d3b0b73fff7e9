package vsock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

func TestConformance(t *testing.T) {
	virtiotest.Run(t, virtiotest.Subject{
		New: func(t testing.TB) virtio.Device { return device(t) },
		Probe: func(t testing.TB, d *virtiotest.Driver) {
			// A stranger's packet is answered with a reset.
			buf := d.In(64)
			d.Queues[0].Add(buf)
			d.Queues[0].Kick()
			h := header{srcCID: guestCID, dstCID: HostCID, srcPort: 5, dstPort: 6, kind: typeStream, op: opRequest}
			var b [headerLen]byte
			h.put(&b)
			d.Queues[1].Do(d.Out(b[:]))
			d.Queues[0].Wait()
			h.parse((*[headerLen]byte)(buf.B))
			if h.op != opReset || h.dstPort != 5 || h.srcPort != 6 {
				t.Errorf("a request to a closed port is answered with %+v", h)
			}
		},
	})
}

func TestContextIDs(t *testing.T) {
	for cid, ok := range map[uint64]bool{0: false, 1: false, 2: false, 3: true, 1<<32 - 2: true, 1<<32 - 1: false, 1 << 40: false} {
		if _, err := New(cid); (err == nil) != ok {
			t.Errorf("context id %d: %v", cid, err)
		}
	}
	g := startGuest(t, device(t))
	if got := g.Config32(0); got != guestCID {
		t.Errorf("guest reads context id %d, want %d", got, guestCID)
	}
}

// connect opens a connection from the host to port 1 of a guest.
func connect(t *testing.T, dev *Device, g *guest) (c *Conn, host uint32) {
	t.Helper()
	got := make(chan *Conn)
	go func() {
		c, err := dev.Connect(context.Background(), 1)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	h, _ := g.expect(opRequest, 1, 0)
	g.say(opResponse, 1, h.srcPort, 0, "")
	if c = <-got; c == nil {
		t.FailNow()
	}
	return c, h.srcPort
}

func TestHostConnects(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if _, s := g.expect(opData, 1, host); s != "hello" {
		t.Errorf("guest hears %q", s)
	}
	g.say(opData, 1, host, 0, "good day")
	b := make([]byte, 64)
	if n, err := c.Read(b); string(b[:n]) != "good day" || err != nil {
		t.Errorf("host hears %q, %v", b[:n], err)
	}
	if got := fmt.Sprint(c.RemoteAddr()); got != "vsock:7:1" {
		t.Errorf("remote address %s", got)
	}
}

func TestConnectFails(t *testing.T) {
	dev := device(t)
	if _, err := dev.Connect(context.Background(), 1); !errors.Is(err, ErrNoDriver) {
		t.Errorf("without a driver: %v", err)
	}
	g := startGuest(t, dev)
	tests := []struct {
		name   string
		answer func(cancel func(), host uint32)
		want   error
	}{
		{"nobody listens", func(_ func(), host uint32) { g.say(opReset, 1, host, 0, "") }, syscall.ECONNREFUSED},
		{"given up", func(cancel func(), host uint32) {
			cancel()
			g.expect(opReset, 1, host)
		}, context.Canceled},
		{"data instead of an answer", func(_ func(), host uint32) {
			g.say(opData, 1, host, 0, "x")
			g.expect(opReset, 1, host)
		}, syscall.ECONNRESET},
		{"driver goes away", func(func(), uint32) { g.Init(); g.setup() }, syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			got := make(chan error)
			go func() {
				_, err := dev.Connect(ctx, 1)
				got <- err
			}()
			h, _ := g.expect(opRequest, 1, 0)
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := <-got; !errors.Is(err, tt.want) {
					t.Errorf("%v, want %v", err, tt.want)
				}
			}()
			tt.answer(cancel, h.srcPort)
			<-done
			if n := dev.Conns(); n != 0 {
				t.Errorf("%d connections are left", n)
			}
		})
	}
}

func accept(t *testing.T, l *Listener) *Conn {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*Conn)
}

func TestGuestConnects(t *testing.T) {
	dev := device(t)
	l, err := dev.Listen(1025) // before the driver is there
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Listen(1025); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("second listener: %v", err)
	}
	g := startGuest(t, dev)
	g.say(opRequest, 40, 1026, 0, "")
	g.expect(opReset, 40, 1026)
	g.say(opRequest, 40, 1025, 0, "")
	g.expect(opResponse, 40, 1025)
	c := accept(t, l)
	_, _ = io.WriteString(c, "welcome")
	if _, s := g.expect(opData, 40, 1025); s != "welcome" {
		t.Errorf("guest hears %q", s)
	}
	_ = l.Close()
	g.say(opRequest, 41, 1025, 0, "")
	g.expect(opReset, 41, 1025)
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept on a closed listener: %v", err)
	}
}

func TestClosedListenerResetsWhatNobodyAccepted(t *testing.T) {
	dev := device(t)
	l, _ := dev.Listen(9)
	g := startGuest(t, dev)
	g.say(opRequest, 40, 9, 0, "")
	g.expect(opResponse, 40, 9)
	_ = l.Close()
	g.expect(opReset, 40, 9)
}

func TestBacklogIsBounded(t *testing.T) {
	dev := device(t)
	if _, err := dev.Listen(9); err != nil {
		t.Fatal(err)
	}
	g := startGuest(t, dev)
	for i := range uint32(backlog + 5) {
		g.say(opRequest, 100+i, 9, 0, "")
		want := uint16(opResponse)
		if i >= backlog {
			want = opReset
		}
		g.expect(want, 100+i, 9)
	}
}

func TestHalfClose(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	_, _ = io.WriteString(c, "question")
	_ = c.CloseWrite()
	g.expect(opData, 1, host)
	if h, _ := g.expect(opShutdown, 1, host); h.flags != noSend {
		t.Errorf("shutdown flags %d, want %d", h.flags, noSend)
	}
	if _, err := c.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after CloseWrite: %v", err)
	}
	g.say(opData, 1, host, 0, "answer")
	g.say(opShutdown, 1, host, noSend, "")
	if b, err := io.ReadAll(c); string(b) != "answer" || err != nil {
		t.Errorf("host hears %q, %v", b, err)
	}
	_ = c.Close()
	if h, _ := g.expect(opShutdown, 1, host); h.flags != noneLeft {
		t.Errorf("shutdown flags %d, want %d", h.flags, noneLeft)
	}
	g.say(opReset, 1, host, 0, "")
	for dev.Conns() > 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestGuestClosesWithDataUnread(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	g.say(opData, 1, host, 0, "last words")
	g.say(opShutdown, 1, host, noneLeft, "")
	g.expect(opReset, 1, host) // what Linux waits for to free the port
	if b, err := io.ReadAll(c); string(b) != "last words" || err != nil {
		t.Errorf("host hears %q, %v", b, err)
	}
	if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write to a guest that has closed: %v", err)
	}
}

// What a program in the guest wrote and left behind is there for whoever accepts later.
func TestGuestIsGoneBeforeAnybodyAccepts(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	l, err := dev.Listen(1024)
	if err != nil {
		t.Fatal(err)
	}
	for here := uint32(2000); here < 2100; here++ {
		g.say(opRequest, here, 1024, 0, "")
		g.expect(opResponse, here, 1024)
		g.say(opData, here, 1024, 0, "hello")
		g.say(opShutdown, here, 1024, noneLeft, "")
		g.expect(opReset, here, 1024)
		f, err := accept(t, l).File()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(f); string(b) != "hello" || err != nil {
			t.Errorf("whoever accepts reads %q, %v", b, err)
		}
		f.Close()
	}
}

func TestCloseDeliversWhatWasWritten(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	want := strings.Repeat("0123456789abcdef", 8<<10) // 128 KiB: twice the guest's room
	if _, err := io.WriteString(c, want); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	var got strings.Builder
	for {
		h, s := g.hear()
		got.WriteString(s)
		if h.op == opShutdown {
			break
		}
		g.say(opCreditUpdate, 1, host, 0, "")
	}
	if got.String() != want {
		t.Errorf("guest heard %d bytes, want %d, or other ones", got.Len(), len(want))
	}
}

func TestResetByGuest(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	g.say(opData, 1, host, 0, "abc")
	g.say(opReset, 1, host, 0, "")
	b, err := io.ReadAll(c)
	if string(b) != "abc" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("host hears %q, %v, want abc and a reset", b, err)
	}
	if _, err := c.Write(b); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("write after reset: %v", err)
	}
}

func TestDriverResetEndsConnections(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, _ := connect(t, dev, g)
	got := make(chan error)
	go func() {
		_, err := c.Read(make([]byte, 1))
		got <- err
	}()
	g.Init()
	if err := <-got; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	g.setup()
	connect(t, dev, g)
}

func TestGuestBeyondItsCreditLosesTheConnection(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	full := strings.Repeat("x", window/4)
	for range 4 {
		g.say(opData, 1, host, 0, full)
	}
	g.say(opData, 1, host, 0, "y")
	g.expect(opReset, 1, host)
	if b, err := io.ReadAll(c); len(b) != window || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("host hears %d bytes, %v, want the %d that were allowed and a reset", len(b), err, window)
	}
}

func TestReadingGivesCredit(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	for range 4 {
		g.say(opData, 1, host, 0, strings.Repeat("x", window/4))
	}
	if _, err := io.ReadFull(c, make([]byte, window/2)); err != nil {
		t.Fatal(err)
	}
	if h, _ := g.expect(opCreditUpdate, 1, host); h.fwdCnt != window/2 || h.bufAlloc != window {
		t.Errorf("credit update %+v, want fwd_cnt %d and buf_alloc %d", h, window/2, window)
	}
	g.say(opCreditRequest, 1, host, 0, "")
	g.expect(opCreditUpdate, 1, host)
}

func TestHostStopsAtTheGuestsCredit(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	g.room = 5000
	c, host := connect(t, dev, g)
	go func() { _, _ = c.Write(make([]byte, 20000)) }()
	heard := 0
	for heard < 5000 {
		_, s := g.expect(opData, 1, host)
		heard += len(s)
	}
	if h, s, ok := g.tryHear(10 * time.Millisecond); ok {
		t.Errorf("packet %+v of %d bytes beyond the guest's credit", h, len(s))
	}
	for heard < 20000 {
		g.say(opCreditUpdate, 1, host, 0, "")
		for more := true; more; {
			_, s, ok := g.tryHear(5 * time.Millisecond)
			heard += len(s)
			more = ok
		}
	}
	_ = c.Close()
}

func TestPacketsThatMakeNoSense(t *testing.T) {
	tests := []struct {
		name   string
		h      header
		answer bool // with a reset
	}{
		{"from another guest", header{srcCID: 8, dstCID: HostCID, kind: typeStream, op: opRequest}, false},
		{"to another guest", header{srcCID: guestCID, dstCID: 8, kind: typeStream, op: opRequest}, false},
		{"another kind of socket", header{srcCID: guestCID, dstCID: HostCID, kind: typeStream, op: opData}, true},
		{"longer than it is", header{srcCID: guestCID, dstCID: HostCID, kind: typeStream, op: opData, size: 100}, true},
		{"unknown op", header{srcCID: guestCID, dstCID: HostCID, kind: typeStream, op: 99}, true},
		{"reset of nothing", header{srcCID: guestCID, dstCID: HostCID, kind: typeStream, op: opReset}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := startGuest(t, device(t))
			g.send(tt.h, nil)
			g.send(header{srcCID: guestCID, dstCID: HostCID, srcPort: 77, kind: typeStream, op: opRequest}, nil)
			if tt.answer {
				g.expect(opReset, 0, 0)
			}
			g.expect(opReset, 77, 0) // the port is closed; nothing else was said
		})
	}
}

func TestStrangersAreAnsweredInBoundedMemory(t *testing.T) {
	dev := device(t)
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	h := header{srcCID: guestCID, dstCID: HostCID, srcPort: 77, kind: typeStream, op: opRequest}
	var b [headerLen]byte
	h.put(&b)
	out := d.Out(b[:])
	for i := range maxReplies + 1 { // the guest gives no buffer for the answers
		d.Queues[1].Add(out)
		d.Queues[1].Kick()
		if _, _, ok := d.Queues[1].WaitFor(50 * time.Millisecond); !ok && i < maxReplies {
			t.Fatalf("packet %d was not taken", i)
		} else if ok && i == maxReplies {
			t.Errorf("%d packets were taken", i+1)
		}
	}
	for range maxReplies + 1 {
		d.Queues[0].Do(d.In(headerLen))
	}
	d.Queues[1].Wait()
}

func TestDeadlines(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	g.room = 0
	c, host := connect(t, dev, g)
	_ = c.SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Write(make([]byte, 2*window)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	g.say(opData, 1, host, 0, "late")
	b := make([]byte, 8)
	if n, err := c.Read(b); string(b[:n]) != "late" || err != nil {
		t.Errorf("read without a deadline: %q, %v", b[:n], err)
	}
}

// startEcho makes a guest that sends everything back.
func startEcho(t testing.TB, dev *Device) {
	t.Helper()
	g := startGuest(t, dev)
	g.room = window
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { g.echo(stop) })
	t.Cleanup(func() { close(stop); wg.Wait() })
}

func TestMegabytesComeBackAsTheyWere(t *testing.T) {
	dev := device(t)
	startEcho(t, dev)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			c, err := dev.Connect(context.Background(), 1)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			sent, got := sha256.New(), sha256.New()
			var both sync.WaitGroup
			both.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(i), 1))
				b := make([]byte, 50000)
				for range 100 {
					for j := range b {
						b[j] = byte(rnd.Uint32())
					}
					p := b[:1+rnd.IntN(len(b))]
					sent.Write(p)
					if _, err := c.Write(p); err != nil {
						t.Error(err)
						return
					}
				}
				_ = c.CloseWrite()
			})
			if _, err := io.Copy(got, c); err != nil {
				t.Error(err)
			}
			both.Wait()
			if !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("connection %d brought other bytes back", i)
			}
		})
	}
	wg.Wait()
}

func TestManyConnectionsOneAfterAnother(t *testing.T) {
	dev := device(t)
	startEcho(t, dev)
	n := 10000
	if testing.Short() {
		n = 1000
	}
	for range n {
		c, err := dev.Connect(context.Background(), 1)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	for end := time.Now().Add(virtiotest.Patience); dev.Conns() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d connections are left", dev.Conns())
		}
	}
}

func TestSlowReadersHoldUpNobodyElse(t *testing.T) {
	dev := device(t)
	startEcho(t, dev)
	var slow []*Conn
	for range 500 {
		c, err := dev.Connect(context.Background(), 1)
		if err != nil {
			t.Fatal(err)
		}
		slow = append(slow, c)
		if _, err := c.Write(make([]byte, 4000)); err != nil { // and does not read it
			t.Fatal(err)
		}
	}
	c, err := dev.Connect(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1000)
	for range 100 {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range append(slow, c) {
		_ = c.Close()
	}
}

func TestFileIsTheOtherEnd(t *testing.T) {
	dev := device(t)
	startEcho(t, dev)
	c, err := dev.Connect(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sock := conn.(*net.UnixConn)
	want := bytes.Repeat([]byte("through a descriptor "), 20000)
	go func() {
		_, _ = sock.Write(want)
		_ = sock.CloseWrite()
	}()
	if got, err := io.ReadAll(sock); !bytes.Equal(got, want) || err != nil {
		t.Errorf("%d bytes came back of %d, %v", len(got), len(want), err)
	}
}

// A Mac's sockets hold 8 KiB: a reader would be woken for each piece of that.
func TestSocketPairsHoldMuch(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		defer syscall.Close(fd)
		if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, 8<<10); err != nil {
			t.Fatal(err)
		}
		widen(fd)
		if err := syscall.SetNonblock(fd, true); err != nil {
			t.Fatal(err)
		}
	}
	for i, fd := range fds {
		if n, err := syscall.Write(fd, make([]byte, pairBuffer/2)); n != pairBuffer/2 || err != nil {
			t.Errorf("end %d takes %d bytes without a reader, %v", i, n, err)
		}
	}
}

func TestFileEndsWithTheGuest(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g.say(opReset, 1, host, 0, "")
	if n, err := f.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read after the guest's reset: %d, %v", n, err)
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	c, host := connect(t, dev, g)
	b := make([]byte, 2000)
	data := string(b)
	round := func() {
		_, _ = c.Write(b)
		g.expect(opData, 1, host)
		g.say(opData, 1, host, 0, data)
		_, _ = io.ReadFull(c, b)
	}
	round()
	// The driver itself makes a string and a timer of each packet.
	if n := testing.AllocsPerRun(100, round); n > 8 {
		t.Errorf("%v allocations for a packet each way", n)
	}
}

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(t testing.TB) virtio.Device {
		dev := device(t)
		l, err := dev.Listen(1)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(dev.Close)
		t.Cleanup(func() { _ = l.Close() })
		return dev
	})
}
