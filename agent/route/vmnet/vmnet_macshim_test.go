//go:build macshim && !darwin

package vmnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent/route/vmnet/standin"
	libsystem "github.com/arcboxlabs/arcbox-go/darwin/standin"
	"github.com/arcboxlabs/arcbox-go/ipc"
	xpc "github.com/arcboxlabs/arcbox-go/ipc/mach/standin"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/test/kit/netns"
)

func TestMain(m *testing.M) {
	status := netns.Main(m)
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	if n := xpc.Live(); n != 0 && status == 0 {
		fmt.Fprintf(os.Stderr, "%d XPC objects were not released\n", n)
		status = 1
	}
	libsystem.WriteCoverage()
	os.Exit(status)
}

// patience is how long anything may take that a test waits for.
const patience = time.Minute

// The host's end and its neighbour in the network of a wire, and who that is.
var (
	hostPrefix = netip.MustParsePrefix("192.168.127.254/30")
	neighbour  = net.IPv4(192, 168, 127, 253).To4()
	theirMAC   = []byte{0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xde}
)

// A wire is what Start gives.
type wire struct {
	t *testing.T
	net.Conn
	ended chan struct{}
}

func start(t *testing.T) *wire {
	t.Helper()
	netns.Need(t)
	w := &wire{t: t, ended: make(chan struct{})}
	f, err := Start(t.Context(), hostPrefix, func() { close(w.ended) })
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if w.Conn, err = net.FileConn(f); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// wait waits for the end.
func (w *wire) wait() {
	w.t.Helper()
	select {
	case <-w.ended:
	case <-time.After(patience):
		w.t.Fatal("the interface does not end")
	}
}

// next is the next frame of the host's of a type.
func (w *wire) next(etherType uint16) []byte {
	w.t.Helper()
	w.SetReadDeadline(time.Now().Add(patience))
	for {
		var head [4]byte
		if _, err := io.ReadFull(w, head[:]); err != nil {
			w.t.Fatalf("no frame of type %#x comes: %v", etherType, err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(w, frame); err != nil {
			w.t.Fatal(err)
		}
		if binary.BigEndian.Uint16(frame[12:]) == etherType {
			return frame
		}
	}
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	if _, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)); err != nil {
		w.t.Fatal(err)
	}
}

// Packets of the real host pass both ways.
func TestAHostReachesItsNeighbour(t *testing.T) {
	w := start(t)
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: hostPrefix.Addr().AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteTo([]byte("to the neighbour"), &net.UDPAddr{IP: neighbour, Port: 7}); err != nil {
		t.Fatal(err)
	}
	ask := w.next(0x0806)
	reply := bytes.Clone(ask)
	copy(reply[0:], ask[6:12])
	copy(reply[6:], theirMAC)
	reply[21] = 2 // an answer
	copy(reply[22:], theirMAC)
	copy(reply[28:], ask[38:42])
	copy(reply[32:], ask[22:32])
	w.send(reply)
	packet := w.next(0x0800)
	if !bytes.Contains(packet, []byte("to the neighbour")) {
		t.Errorf("the host has sent %x", packet)
	}
	w.send(make([]byte, 4000)) // is too large for the interface, and lost
	w.send(reflected(packet))
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(patience))
	if n, _, err := c.ReadFrom(b); err != nil || string(b[:n]) != "to the neighbour" {
		t.Errorf("the host hears %q, %v", b[:n], err)
	}
	w.Close()
	w.wait()
	if n := standin.Live(); n != 0 {
		t.Errorf("%d interfaces are left", n)
	}
}

// startNetwork starts arcbox-net with a wire whose other end is f, and gives the machine's end of its cable.
func startNetwork(t *testing.T, f *os.File) *wire {
	t.Helper()
	program := filepath.Join(t.TempDir(), "arcbox-net")
	build := exec.Command("go", "build", "-o", program, "github.com/arcboxlabs/arcbox-go/cmd/arcbox-net")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // it has no C whose lines could be counted
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build arcbox-net: %v\n%s", err, out)
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn := ipc.NewConn(ours, nil)
	t.Cleanup(func() {
		conn.Close() // it has no other owner to wait for
		cmd.Wait()
	})
	machine, link, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	t.Cleanup(func() { machine.Close() })
	made := &netapi.ConfigureReq{MAC: net.HardwareAddr(machineMAC).String()}
	made.Link = made.Attach(link)
	if _, err := ipc.Call(t.Context(), conn, netapi.Configure, made); err != nil {
		t.Fatal(err)
	}
	laid := &netapi.SetWireReq{Wire: netapi.Wire{Name: "bridge", Host: hostPrefix.Addr().String(), Subnets: []string{"172.17.0.0/16"}}}
	laid.File = laid.Attach(f)
	if _, err := ipc.Call(t.Context(), conn, netapi.SetWire, laid); err != nil {
		t.Fatal(err)
	}
	return &wire{t: t, Conn: machine}
}

// machineMAC is the machine's card.
var machineMAC = []byte{2, 0, 0, 0, 0, 5}

// The whole way of a Mac, but for Apple's framework and the route: the host's kernel, the interface, its stream, arcbox-net, the
// machine's cable, and back. Here the machine is this test.
func TestAHostReachesAContainer(t *testing.T) {
	netns.Need(t)
	ended := make(chan struct{})
	f, err := Start(t.Context(), hostPrefix, func() { close(ended) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { <-ended }) // once arcbox-net is gone
	machine := startNetwork(t, f)
	f.Close()
	if out, err := exec.Command("ip", "route", "add", "172.17.0.0/16", "dev", "bridge0").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c, err := net.Dial("udp4", "172.17.0.5:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("to the container")); err != nil {
		t.Fatal(err)
	}
	packet := machine.next(0x0800)
	if !bytes.Equal(packet[:6], machineMAC) || !bytes.Contains(packet, []byte("to the container")) {
		t.Errorf("the machine gets %x", packet)
	}
	machine.send(reflected(packet))
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(patience))
	if n, err := c.Read(b); err != nil || string(b[:n]) != "to the container" {
		t.Errorf("the host hears %q, %v", b[:n], err)
	}
}

// reflected is a datagram's frame with both ends exchanged, and no checksum.
func reflected(packet []byte) []byte {
	back := bytes.Clone(packet)
	copy(back[0:], packet[6:12])
	copy(back[6:], packet[0:6])
	copy(back[26:], packet[30:34])
	copy(back[30:], packet[26:30])
	copy(back[34:], packet[36:38])
	copy(back[36:], packet[34:36])
	back[40], back[41] = 0, 0
	return back
}

// A stream that says what none can ends the interface, not the process.
func TestAStreamThatMakesNoSense(t *testing.T) {
	for _, prefix := range []uint32{0, minFrame - 1, maxFrame + 1, 1<<32 - 1} {
		w := start(t)
		w.Write(binary.BigEndian.AppendUint32(nil, prefix))
		w.wait()
	}
}

func TestAnInterfaceThatCannotBe(t *testing.T) {
	netns.Need(t)
	tests := []struct {
		name   string
		status uint
		right  bool // it is a matter of rights
	}{
		{"no right", standin.NotAuthorized, true},
		{"a failure", standin.Failure, false},
		{"a description that is not taken", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			standin.RefuseNext(tt.status)
			f, err := Start(t.Context(), hostPrefix, func() { t.Error("it has ended and never began") })
			if err == nil {
				f.Close()
			}
			if err == nil || errors.Is(err, syscall.EPERM) != tt.right {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("nobody waits", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f, err := Start(ctx, hostPrefix, func() {})
		if err == nil { // it was quicker
			f.Close()
		}
		for end := time.Now().Add(patience); standin.Live() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the interface is left")
			}
		}
	})
}
