package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// hostAddress is the host's loopback in the network.
const hostAddress = "192.168.127.3"

// hostEcho echoes on a TCP and a UDP port of the host's loopback.
func hostEcho(t *testing.T) (tcpPort, udpPort int) {
	t.Helper()
	return hostEchoAt(t, "127.0.0.1")
}

func hostEchoAt(t *testing.T, address string) (tcpPort, udpPort int) {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve(l)
	u, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	reflect(u)
	return l.Addr().(*net.TCPAddr).Port, u.LocalAddr().(*net.UDPAddr).Port
}

func TestAGuestReachesTheHost(t *testing.T) {
	_, g := startNetwork(t, nil)
	tcpPort, udpPort := hostEcho(t)
	c, err := g.dial(hostAddress, tcpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "hello", false)
	echoes(t, g.send(t, hostAddress, udpPort), "a datagram", true)
	t.Run("a name", func(t *testing.T) {
		if got := resolve(t, g, netapi.HostName+"."); got != hostAddress {
			t.Errorf("%s is %q, want %s", netapi.HostName, got, hostAddress)
		}
	})
	t.Run("a port where nobody listens", func(t *testing.T) {
		if c, err := g.dial(hostAddress, 1); err == nil {
			c.SetReadDeadline(time.Now().Add(patience))
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("somebody answers")
			}
			c.Close()
		}
	})
}

func TestAGuestReachesTheHostInIPv6(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("this host has no IPv6: %v", err)
	} else {
		l.Close()
	}
	_, g := startNetwork(t, nil)
	tcpPort, udpPort := hostEchoAt(t, "::1")
	c, err := g.dial(netapi.HostAddress6, tcpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "hello", false)
	echoes(t, g.send(t, netapi.HostAddress6, udpPort), "a datagram", true)
}

// However many connections wait for hosts that do not answer, another is made at once.
func TestHostsThatDoNotAnswer(t *testing.T) {
	_, g := startNetwork(t, nil)
	dead := deadPort(t)
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer cancel()
	for range 32 {
		waiting.Go(func() {
			c, err := gonet.DialContextTCP(ctx, g.Stack, tcpip.FullAddress{NIC: 1, Addr: at(hostAddress), Port: dead}, ipv4.ProtocolNumber)
			if err == nil {
				c.Close()
				t.Error("a host that does not answer has answered")
			}
		})
	}
	for g.Stats().TCP.ActiveConnectionOpenings.Value() < 32 {
		time.Sleep(time.Millisecond)
	}
	tcpPort, _ := hostEcho(t)
	c, err := g.dial(hostAddress, tcpPort)
	if err != nil {
		t.Fatalf("beside 32 that wait: %v", err)
	}
	defer c.Close()
	echoes(t, c, "hello", false)
}

// deadPort is a port of the host's loopback that does not answer: its queue is full.
func deadPort(t *testing.T) uint16 {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	where, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(where.(*unix.SockaddrInet4).Port)
	for range 100 {
		c, err := net.DialTimeout("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))), 200*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this host's queues take a hundred connections")
	return 0
}

// resolve asks the gateway for the address of a name; it is "" for none.
func resolve(t *testing.T, g guest, name string) string {
	t.Helper()
	for _, a := range question(t, g, name, dns.TypeA).Answer {
		if a, ok := a.(*dns.A); ok {
			return a.A.String()
		}
	}
	return ""
}

// question asks the gateway over UDP until it answers.
func question(t *testing.T, g guest, name string, kind uint16) *dns.Msg {
	t.Helper()
	c := &dns.Conn{Conn: g.send(t, netapi.GatewayAddress, 53)}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		q := new(dns.Msg).SetQuestion(name, kind)
		c.WriteMsg(q)
		c.SetReadDeadline(time.Now().Add(time.Second))
		if m, err := c.ReadMsg(); err == nil && m.Id == q.Id {
			return m
		}
	}
	t.Fatal("the gateway's resolver does not answer")
	return nil
}

func TestContainersHaveNames(t *testing.T) {
	conn, g := startNetwork(t, nil)
	set := func(names ...netapi.Name) error {
		_, err := call(conn, netapi.SetNames, &netapi.SetNamesReq{Names: names})
		return err
	}
	if err := set(netapi.Name{Name: "Web", Addresses: []string{"172.17.0.2", "fd00::2"}}, netapi.Name{Name: "a.shop", Addresses: []string{"172.18.0.2"}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web.arcbox.local.": "172.17.0.2", "WEB.arcbox.LOCAL.": "172.17.0.2", "a.shop.arcbox.local.": "172.18.0.2", "shop.arcbox.local.": ""} {
		if got := resolve(t, g, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if m := question(t, g, "2.0.17.172.in-addr.arpa.", dns.TypePTR); len(m.Answer) != 1 || m.Answer[0].(*dns.PTR).Ptr != "web.arcbox.local." {
		t.Errorf("172.17.0.2 is %v", m.Answer)
	}
	for _, bad := range []netapi.Name{{Name: ""}, {Name: "a..b"}, {Name: strings.Repeat("a", 64)}, {Name: "a", Addresses: []string{"here"}}, {Name: "a", Addresses: []string{"fe80::1%eth0"}}} {
		refused(t, set(bad), ipc.BadRequest)
	}
	if got := resolve(t, g, "web.arcbox.local."); got != "172.17.0.2" {
		t.Errorf("after bad names the good one is %q", got)
	}
	if err := set(); err != nil {
		t.Fatal(err)
	}
	if m := question(t, g, "web.arcbox.local.", dns.TypeA); m.Rcode != dns.RcodeNameError {
		t.Errorf("a container that has gone is still %v", m)
	}
	t.Run("over TCP", func(t *testing.T) {
		c, err := g.dial(netapi.GatewayAddress, 53)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		stream := &dns.Conn{Conn: c}
		stream.WriteMsg(new(dns.Msg).SetQuestion(netapi.HostName+".", dns.TypeA))
		if m, err := stream.ReadMsg(); err != nil || len(m.Answer) != 1 {
			t.Errorf("the answer is %v, %v", m, err)
		}
	})
}

// Bytes are neither lost nor changed by a half close, which says that no more come.
func TestBytesThroughTheNetwork(t *testing.T) {
	_, g := startNetwork(t, nil)
	tcpPort, _ := hostEcho(t)
	c, err := g.dial(hostAddress, tcpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := make([]byte, 8<<20)
	rand.Read(want)
	go func() {
		c.Write(want)
		c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	c.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back of %d, or others: %v", len(got), len(want), err)
	}
}

// port is a port of the host that is free now.
func port(t *testing.T, network string) uint16 {
	t.Helper()
	if network == "tcp" {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return uint16(l.Addr().(*net.TCPAddr).Port)
	}
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func TestPublishedPorts(t *testing.T) {
	conn, g := startNetwork(t, nil)
	g.listen(t, 7)
	for _, protocol := range []string{"tcp", "udp"} {
		t.Run(protocol, func(t *testing.T) {
			p := netapi.Port{Protocol: protocol, Host: "127.0.0.1", HostPort: port(t, protocol), GuestPort: 7}
			publish := func() error {
				_, err := call(conn, netapi.Publish, &netapi.PublishReq{Port: p})
				return err
			}
			if err := publish(); err != nil {
				t.Fatal(err)
			}
			where := net.JoinHostPort(p.Host, strconv.Itoa(int(p.HostPort)))
			c, err := net.Dial(protocol+"4", where)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			echoes(t, c, "through the port", protocol == "udp")
			refused(t, publish(), netapi.Exists)
			if _, err := call(conn, netapi.Withdraw, &netapi.WithdrawReq{Port: p}); err != nil {
				t.Fatal(err)
			}
			_, err = call(conn, netapi.Withdraw, &netapi.WithdrawReq{Port: p})
			refused(t, err, netapi.NotFound)
			hold(t, protocol, where) // the port is free again, and now another program's
			refused(t, publish(), netapi.InUse)
			if stats, err := call(conn, netapi.Stats, &netapi.StatsReq{}); err != nil || len(stats.Ports) != 0 || !stats.Linked || stats.Sent == 0 {
				t.Errorf("stats are %+v, %v", stats, err)
			}
		})
	}
}

// hold takes a port of the host, as another program would.
func hold(t *testing.T, protocol, where string) {
	t.Helper()
	var l io.Closer
	var err error
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if protocol == "tcp" {
			l, err = net.Listen("tcp4", where)
		} else {
			l, err = net.ListenPacket("udp4", where)
		}
		if err == nil {
			t.Cleanup(func() { l.Close() })
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a port that was withdrawn is not free: %v", err)
		}
	}
}

func refused(t *testing.T, err error, code ipc.Code) {
	t.Helper()
	var e *ipc.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("the answer is %v, want %s", err, code)
	}
}

// A published port is the host's at each address that was asked for.
func TestAPortAtBothLoopbacks(t *testing.T) {
	conn, g := startNetwork(t, nil)
	g.listen(t, 7)
	at := port(t, "tcp")
	for _, host := range []string{"127.0.0.1", "::1"} {
		_, err := call(conn, netapi.Publish, &netapi.PublishReq{Port: netapi.Port{Protocol: "tcp", Host: host, HostPort: at, GuestPort: 7}})
		if err != nil {
			refused(t, err, netapi.NoAddress)
			continue
		}
		c, err := net.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(at))))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		echoes(t, c, "by way of "+host, false)
	}
	_, err := call(conn, netapi.Publish, &netapi.PublishReq{Port: netapi.Port{Protocol: "tcp", Host: "192.0.2.1", HostPort: at, GuestPort: 7}})
	refused(t, err, netapi.NoAddress)
}

func TestPortsThatAreNone(t *testing.T) {
	conn, _ := startNetwork(t, nil)
	good := netapi.Port{Protocol: "tcp", Host: "127.0.0.1", HostPort: 9, GuestPort: 7}
	tests := []struct {
		name   string
		change func(p *netapi.Port)
	}{
		{"another protocol", func(p *netapi.Port) { p.Protocol = "sctp" }},
		{"a name for an address", func(p *netapi.Port) { p.Host = "localhost" }},
		{"port 0 of the host", func(p *netapi.Port) { p.HostPort = 0 }},
		{"port 0 of the guest", func(p *netapi.Port) { p.GuestPort = 0 }},
		{"a guest of IPv6", func(p *netapi.Port) { p.Guest = "::1" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := good
			tt.change(&p)
			_, err := call(conn, netapi.Publish, &netapi.PublishReq{Port: p})
			refused(t, err, ipc.BadRequest)
		})
	}
}

func TestNetworksThatAreNone(t *testing.T) {
	conn := start(t)
	_, err := call(conn, netapi.Stats, &netapi.StatsReq{})
	refused(t, err, ipc.WrongState)
	for _, req := range []*netapi.ConfigureReq{
		{MAC: "x"}, {MAC: guestMAC, MTU: 100}, {MAC: guestMAC, Subnet: "fd00::/64"}, {MAC: guestMAC, Subnet: "10.0.0.0/30"}, {MAC: guestMAC, Subnet: "10.0.0.1/24"},
	} {
		_, theirs := cable(t)
		req.Link = req.Attach(theirs)
		_, err := call(conn, netapi.Configure, req)
		refused(t, err, ipc.BadRequest)
	}
}

// What no frame can be ends the link and nothing else: the next one works, and ports are published still.
func TestALinkIsReplaced(t *testing.T) {
	conn, _ := startNetwork(t, nil) // whose cable is pulled
	p := netapi.Port{Protocol: "tcp", Host: "127.0.0.1", HostPort: port(t, "tcp"), GuestPort: 7}
	if _, err := call(conn, netapi.Publish, &netapi.PublishReq{Port: p}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []uint32{0, minFrame - 1, maxFrame + 1, 1 << 31} {
		bad := relink(t, conn)
		bad.Write(binary.BigEndian.AppendUint32(nil, n))
		bad.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, bad); err != nil {
			t.Fatalf("after a frame of %d bytes the link is open: %v", n, err)
		}
	}
	again := newGuest(t, relink(t, conn))
	again.listen(t, 7)
	c, err := net.Dial("tcp4", net.JoinHostPort(p.Host, strconv.Itoa(int(p.HostPort))))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "over another cable", false)
}

// A machine may be lost at any moment, with questions of it under way: the next one finds the network as it was.
func TestAMachineIsLostWhileItSends(t *testing.T) {
	conn, _ := startNetwork(t, nil)
	question := arpRequest(t)
	for range 200 {
		ours := relink(t, conn)
		for range 50 {
			ours.Write(question) // nobody reads the answers
		}
		ours.Close()
	}
	g := newGuest(t, relink(t, conn))
	tcpPort, _ := hostEcho(t)
	c, err := g.dial(hostAddress, tcpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "the last one", false)
}

// relink gives the process another cable, of which this is our end.
func relink(t *testing.T, conn *ipc.Conn) net.Conn {
	t.Helper()
	ours, theirs := cable(t)
	req := &netapi.RelinkReq{}
	req.Link = req.Attach(theirs)
	if _, err := call(conn, netapi.Relink, req); err != nil {
		t.Fatal(err)
	}
	theirs.Close() // only the process has it now
	return ours
}

// arpRequest is a frame in which the machine asks who the gateway is.
func arpRequest(t *testing.T) []byte {
	t.Helper()
	mac, err := net.ParseMAC(guestMAC)
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, header.ARPSize)
	arp := header.ARP(body)
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPRequest)
	copy(arp.HardwareAddressSender(), mac)
	copy(arp.ProtocolAddressSender(), net.IPv4(192, 168, 127, 2).To4())
	copy(arp.ProtocolAddressTarget(), net.IPv4(192, 168, 127, 1).To4())
	frame := append(make([]byte, header.EthernetMinimumSize), body...)
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: tcpip.LinkAddress(mac), DstAddr: header.EthernetBroadcastAddress, Type: header.ARPProtocolNumber})
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
}

// A connection through the network outlives the owner of its process.
func TestANetworkOutlivesItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "net.sock")
	l, err := unixsock.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	meet, err := l.File()
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	conn, g := startNetwork(t, meet)
	tcpPort, _ := hostEcho(t)
	c, err := g.dial(hostAddress, tcpPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "before", false)
	conn.Close()
	echoes(t, c, "between", false)
	next, err := unixsock.Dial(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	resp, err := call(next, netapi.Adopt, &netapi.AdoptReq{})
	if err != nil || resp.Label != "mine" || !resp.Linked || resp.PID == os.Getpid() {
		t.Fatalf("the adopted network says %+v, %v", resp, err)
	}
	echoes(t, c, "after", false)
	if _, err := call(next, netapi.Quit, &netapi.QuitReq{}); err != nil {
		t.Fatal(err)
	}
}
