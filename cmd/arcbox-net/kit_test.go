package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// beVar has the test binary be arcbox-net.
const beVar = "ARCBOX_TEST_NET"

func TestMain(m *testing.M) {
	if os.Getenv(beVar) != "" {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	status := m.Run()
	if status == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			status = 1
		}
	}
	os.Exit(status)
}

// patience is how long anything may take that a test waits for.
const patience = time.Minute

// start starts a network's process, without a network yet.
func start(t *testing.T) *ipc.Conn {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sock, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), beVar+"=1")
	cmd.Stderr, cmd.ExtraFiles = os.Stderr, []*os.File{theirs}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn := ipc.NewConn(sock, nil)
	t.Cleanup(func() {
		conn.Close()
		cmd.Process.Kill() // an orphan would wait
		cmd.Wait()
	})
	return conn
}

func call[Req, Resp any](conn *ipc.Conn, m ipc.Method[Req, Resp], req *Req) (*Resp, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return ipc.Call(ctx, conn, m, req)
}

// guestMAC is the machine's.
const guestMAC = "02:00:00:00:00:05"

// startNetwork starts a network with a machine in it, at meet if that is not nil.
func startNetwork(t *testing.T, meet *os.File) (*ipc.Conn, guest) {
	t.Helper()
	conn := start(t)
	ours, theirs := cable(t)
	req := &netapi.ConfigureReq{Label: "mine", MAC: guestMAC}
	req.Link = req.Attach(theirs)
	if meet != nil {
		req.Rendezvous = req.Attach(meet)
	}
	resp, err := call(conn, netapi.Configure, req)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	if resp.Gateway != netapi.GatewayAddress || resp.Guest+"/24" != netapi.GuestAddress {
		t.Errorf("the gateway is %s, the guest %s", resp.Gateway, resp.Guest)
	}
	return conn, newGuest(t, ours)
}

// cable is a stream with two ends; the process gets the second.
func cable(t *testing.T) (net.Conn, *os.File) {
	t.Helper()
	ours, theirs, err := ipc.Pair()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// A guest is another's TCP/IP at our end of a cable.
type guest struct{ *stack.Stack }

func newGuest(t *testing.T, conn net.Conn) guest {
	t.Helper()
	g := newStation(t, conn, guestMAC, netapi.GuestAddress, at(netapi.GatewayAddress))
	own := netip.MustParsePrefix(netapi.GuestAddress6)
	address := tcpip.ProtocolAddress{Protocol: ipv6.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: at(own.Addr().String()), PrefixLen: own.Bits()}}
	if err := g.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	gateway, _ := net.ParseMAC(netapi.GatewayMAC)
	if err := g.AddStaticNeighbor(1, ipv6.ProtocolNumber, at(netapi.GatewayAddress6), tcpip.LinkAddress(gateway)); err != nil {
		t.Fatal(err)
	}
	g.AddRoute(tcpip.Route{Destination: header.IPv6EmptySubnet, Gateway: at(netapi.GatewayAddress6), NIC: 1})
	return g
}

// newStation is somebody with an address at the end of a cable, to whom all that is not near is behind a gateway, if there is one.
func newStation(t *testing.T, conn net.Conn, hardware, cidr string, gateway tcpip.Address) guest {
	t.Helper()
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocolWithOptions(ipv6.Options{}), arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	mac, _ := net.ParseMAC(hardware)
	wire := channel.New(1024, netapi.DefaultMTU+header.EthernetMinimumSize, tcpip.LinkAddress(mac))
	if err := s.CreateNIC(1, ethernet.New(wire)); err != nil {
		t.Fatal(err)
	}
	prefix := netip.MustParsePrefix(cidr)
	address := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: at(prefix.Addr().String()), PrefixLen: prefix.Bits()}}
	if err := s.AddProtocolAddress(1, address, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
	s.SetRouteTable([]tcpip.Route{
		{Destination: address.AddressWithPrefix.Subnet(), NIC: 1},
		{Destination: header.IPv4EmptySubnet, Gateway: gateway, NIC: 1},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			p := wire.ReadContext(ctx)
			if p == nil {
				return
			}
			b := p.ToView().AsSlice()
			conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
			p.DecRef()
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		for {
			var head [4]byte
			if _, err := io.ReadFull(conn, head[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint32(head[:]))
			if _, err := io.ReadFull(conn, b); err != nil {
				return
			}
			wire.InjectInbound(0, stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(b)}))
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		cancel()
		<-done
		<-done
		s.Close()
		s.Wait()
	})
	return guest{s}
}

func at(text string) tcpip.Address { return tcpip.AddrFromSlice(netip.MustParseAddr(text).AsSlice()) }

// version is the protocol of an address.
func version(text string) tcpip.NetworkProtocolNumber {
	if netip.MustParseAddr(text).Is6() {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}

// dial connects the guest to a TCP port.
func (g guest) dial(address string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.Stack, tcpip.FullAddress{NIC: 1, Addr: at(address), Port: uint16(port)}, version(address))
}

// also gives the guest another address.
func (g guest) also(t *testing.T, address string) {
	t.Helper()
	a := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: at(address).WithPrefix()}
	if err := g.AddProtocolAddress(1, a, stack.AddressProperties{}); err != nil {
		t.Fatal(err)
	}
}

// send opens a UDP socket of the guest to a port.
func (g guest) send(t *testing.T, address string, port int) net.Conn {
	t.Helper()
	c, err := gonet.DialUDP(g.Stack, nil, &tcpip.FullAddress{NIC: 1, Addr: at(address), Port: uint16(port)}, version(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// listen has the guest echo on a TCP and a UDP port.
func (g guest) listen(t *testing.T, port uint16) {
	t.Helper()
	g.listenAt(t, "192.168.127.2", port)
}

// listenAt is listen at another address of its own.
func (g guest) listenAt(t *testing.T, address string, port uint16) {
	t.Helper()
	where := tcpip.FullAddress{NIC: 1, Addr: at(address), Port: port}
	l, err := gonet.ListenTCP(g.Stack, where, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve(l)
	u, err := gonet.DialUDP(g.Stack, &where, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	reflect(u)
}

// serve echoes what comes on connections until l is closed.
func serve(l net.Listener) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

// reflect echoes datagrams until c is closed.
func reflect(c net.PacketConn) {
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
}

// echoes sends on c and wants it back. Datagrams may be lost: one by one they are sent until an answer comes.
func echoes(t *testing.T, c net.Conn, text string, datagrams bool) {
	t.Helper()
	b := make([]byte, len(text))
	for end := time.Now().Add(patience); ; {
		if _, err := c.Write([]byte(text)); err != nil && !datagrams {
			t.Fatal(err)
		}
		wait := time.Second
		if !datagrams {
			wait = patience
		}
		c.SetReadDeadline(time.Now().Add(wait))
		_, err := io.ReadFull(c, b)
		if err == nil && string(b) == text {
			return
		}
		if !datagrams || time.Now().After(end) {
			t.Fatalf("%q came back of %q: %v", b, text, err)
		}
	}
}
