package system

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/route"
)

// patience is how long anything may take that a test waits for.
const patience = time.Minute

// A Mac's route leads into the wire's bridge: who looks for a container's address is heard at the other end. It is for hand, as it
// takes root: sudo go test -run OnAMac ./agent/route/system
func TestARouteOnAMac(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root: sudo go test -run OnAMac ./agent/route/system")
	}
	h, subnet := New(), netip.MustParsePrefix("172.31.255.0/24")
	w, err := h.Attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(w.File)
	w.File.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 { // twice is no error
		if err := h.Install(t.Context(), w.Name, subnet); err != nil {
			t.Fatal(err)
		}
	}
	if has, err := h.Installed(t.Context(), w.Name); err != nil || len(has) != 1 || has[0] != subnet {
		t.Errorf("through %s lead %v, %v", w.Name, has, err)
	}
	if out, err := exec.Command("/sbin/route", "-n", "get", "172.31.255.5").CombinedOutput(); err != nil || !strings.Contains(string(out), "interface: "+w.Name) {
		t.Errorf("a container is reached by %s, %v", out, err)
	}
	looksFor(t, conn, netip.MustParseAddr("172.31.255.5"))
	for range 2 {
		if err := h.Remove(t.Context(), w.Name, subnet); err != nil {
			t.Fatal(err)
		}
	}
	conn.Close()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := h.Installed(t.Context(), w.Name)
		if errors.Is(err, route.ErrGone) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the wire does not end: %v", err)
		}
	}
}

// looksFor has the host send a datagram to an address, and waits for its question at the other end who has it.
func looksFor(t *testing.T, conn net.Conn, address netip.Addr) {
	t.Helper()
	c, err := net.Dial("udp4", netip.AddrPortFrom(address, 7).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	for {
		var head [4]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatalf("nobody looks for %v: %v", address, err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(conn, frame); err != nil {
			t.Fatal(err)
		}
		if len(frame) >= 42 && binary.BigEndian.Uint16(frame[12:]) == 0x0806 && [4]byte(frame[38:42]) == address.As4() {
			return
		}
	}
}
