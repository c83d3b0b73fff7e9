package vsock

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

// packets opens a connection of messages from port 1 of a guest to port 9 of the host.
func packets(t *testing.T) (c *Conn, g *guest) {
	t.Helper()
	dev := device(t)
	g = startGuest(t, dev)
	g.kind = typePacket
	l, err := dev.ListenPackets(9)
	if err != nil {
		t.Fatal(err)
	}
	g.say(opRequest, 1, 9, 0, "")
	g.expect(opResponse, 1, 9)
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return nc.(*Conn), g
}

func TestMessagesStayWhole(t *testing.T) {
	c, g := packets(t)
	g.say(opData, 1, 9, 0, "be")
	g.say(opData, 1, 9, 0, "gin")
	g.say(opData, 1, 9, endOfMessage, "ning")
	g.say(opData, 1, 9, endOfMessage, "") // no message
	g.say(opData, 1, 9, endOfMessage|2, "second")
	g.say(opData, 1, 9, endOfMessage, "too long for it")
	g.say(opData, 1, 9, endOfMessage, "last")
	for _, want := range []struct {
		s   string
		err error
	}{{"beginning", nil}, {"second", nil}, {"too long f", io.ErrShortBuffer}, {"last", nil}} {
		b := make([]byte, 10)
		if n, err := c.Read(b); string(b[:n]) != want.s || !errors.Is(err, want.err) {
			t.Errorf("read %q, %v, want %q, %v", b[:n], err, want.s, want.err)
		}
	}
	g.say(opData, 1, 9, 0, "an end that never comes")
	g.say(opShutdown, 1, 9, noSend, "")
	if n, err := c.Read(make([]byte, 100)); n != 0 || err != io.EOF {
		t.Errorf("read half a message: %d, %v", n, err)
	}
}

func TestMessagesToTheGuestStayWhole(t *testing.T) {
	c, g := packets(t)
	long := strings.Repeat("0123456789", 1000) // more than one buffer of the guest takes
	for _, m := range []string{"one", "", "two", long, "x"} {
		if n, err := c.Write([]byte(m)); n != len(m) || err != nil {
			t.Fatalf("write of %d bytes: %d, %v", len(m), n, err)
		}
	}
	for _, want := range []string{"one", "two", long, "x"} {
		got := ""
		for flags := uint32(0); flags&endOfMessage == 0; {
			h, s := g.expect(opData, 1, 9)
			got, flags = got+s, h.flags
		}
		if got != want {
			t.Errorf("the guest got a message of %d bytes, want %d", len(got), len(want))
		}
	}
	for _, n := range []int{packetWindow + 1, int(g.room) + 1} {
		if _, err := c.Write(make([]byte, n)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("a message of %d bytes: %v, want %v", n, err, syscall.EMSGSIZE)
		}
	}
}

// The longest message arrives when another one has been read, though half of the window was not.
func TestLongestMessageGetsItsCredit(t *testing.T) {
	c, g := packets(t)
	g.say(opData, 1, 9, endOfMessage, "short")
	if _, err := c.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	h, _ := g.expect(opCreditUpdate, 1, 9)
	if h.bufAlloc != packetWindow || h.fwdCnt != 5 {
		t.Errorf("credit %d of %d, want 5 of %d", h.fwdCnt, h.bufAlloc, packetWindow)
	}
	half := strings.Repeat("h", packetWindow/2)
	g.say(opData, 1, 9, 0, half)
	g.say(opData, 1, 9, endOfMessage, half)
	b := make([]byte, packetWindow)
	if n, err := c.Read(b); n != len(b) || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
}

func TestMessagesThatCannotBeHeldEndTheConnection(t *testing.T) {
	half := strings.Repeat("h", packetWindow/2)
	tests := map[string]func(g *guest){
		"one without an end": func(g *guest) {
			g.say(opData, 1, 9, 0, half)
			g.say(opData, 1, 9, 0, half)
		},
		"more than the credit": func(g *guest) {
			for range 3 {
				g.say(opData, 1, 9, endOfMessage, half)
			}
		},
		"more than anybody counts": func(g *guest) {
			for range maxMessages + 1 {
				g.say(opData, 1, 9, endOfMessage, "m")
			}
		},
		"bytes of a stream": func(g *guest) {
			g.kind = typeStream
			g.say(opData, 1, 9, 0, "stream")
		},
	}
	for name, do := range tests {
		t.Run(name, func(t *testing.T) {
			_, g := packets(t)
			do(g)
			g.expect(opReset, 1, 9)
		})
	}
}

func TestKindsDoNotMix(t *testing.T) {
	dev := device(t)
	g := startGuest(t, dev)
	if _, err := dev.Listen(8); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.ListenPackets(9); err != nil {
		t.Fatal(err)
	}
	g.say(opRequest, 1, 9, 0, "")
	g.expect(opReset, 1, 9)
	g.kind = typePacket
	g.say(opRequest, 1, 8, 0, "")
	g.expect(opReset, 1, 8)
	g.kind = 3
	g.say(opRequest, 1, 9, 0, "")
	g.expect(opReset, 1, 9)
}

func TestDriverWithoutMessages(t *testing.T) {
	dev := device(t)
	d := virtiotest.Start(t, dev, virtiotest.Options{Refuse: featPacket})
	t.Cleanup(dev.Close)
	g := &guest{Driver: d, t: t, dev: dev, room: 64 << 10, kind: typePacket}
	g.setup()
	if _, err := dev.ConnectPackets(context.Background(), 1); !errors.Is(err, ErrNoPackets) {
		t.Errorf("connecting: %v, want %v", err, ErrNoPackets)
	}
	if _, err := dev.ListenPackets(9); err != nil {
		t.Fatal(err)
	}
	g.say(opRequest, 1, 9, 0, "")
	g.expect(opReset, 1, 9)
}

func TestFileOfMessages(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has SOCK_SEQPACKET for Unix sockets")
	}
	c, g := packets(t)
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	sock, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer sock.Close()
	g.room = packetWindow
	g.say(opCreditUpdate, 1, 9, 0, "")
	for _, n := range []int{1, 5000, packetWindow} {
		t.Run(fmt.Sprintf("%d bytes", n), func(t *testing.T) {
			m := strings.Repeat("m", n)
			for left := m; len(left) > 0; {
				k := min(len(left), maxPacket)
				flags := uint32(0)
				if k == len(left) {
					flags = endOfMessage
				}
				g.say(opData, 1, 9, flags, left[:k])
				left = left[k:]
			}
			b := make([]byte, packetWindow+1)
			if k, err := sock.Read(b); err != nil || !bytes.Equal(b[:k], []byte(m)) {
				t.Errorf("the descriptor has a message of %d bytes, %v", k, err)
			}
			if _, err := sock.Write([]byte(m)); err != nil {
				t.Fatal(err)
			}
			got := 0
			for flags := uint32(0); flags&endOfMessage == 0; {
				h, s := g.hear()
				if h.op == opData {
					got, flags = got+len(s), h.flags
					g.say(opCreditUpdate, 1, 9, 0, "")
				}
			}
			if got != n {
				t.Errorf("the guest got a message of %d bytes", got)
			}
		})
	}
}
