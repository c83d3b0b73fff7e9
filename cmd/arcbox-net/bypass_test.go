package main

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// Who is at the ends of a wire: a container behind the guest, and the host.
const (
	container     = "172.17.0.5"
	containers    = "172.17.0.0/16"
	hostMAC       = "02:00:00:00:00:fe"
	wiredHostCIDR = netapi.WireAddress + "/32"
)

// layWire lays a wire whose host end is theirs.
func layWire(t *testing.T, conn *ipc.Conn, theirs *os.File, subnets ...string) {
	t.Helper()
	req := &netapi.SetWireReq{Wire: netapi.Wire{Name: "arcbox0", Host: netapi.WireAddress, Subnets: subnets}}
	req.File = req.Attach(theirs)
	if _, err := call(conn, netapi.SetWire, req); err != nil {
		t.Fatal(err)
	}
}

// wireOf is what the network says of its wire.
func wireOf(t *testing.T, conn *ipc.Conn) *netapi.Wire {
	t.Helper()
	stats, err := call(conn, netapi.Stats, &netapi.StatsReq{})
	if err != nil {
		t.Fatal(err)
	}
	return stats.Wire
}

func TestTheHostReachesAContainer(t *testing.T) {
	conn, g := startNetwork(t, nil)
	g.also(t, container)
	g.listenAt(t, container, 80)
	ours, theirs := cable(t)
	layWire(t, conn, theirs, containers)
	theirs.Close()
	host := newStation(t, ours, hostMAC, wiredHostCIDR, tcpip.Address{})
	c, err := host.dial(container, 80)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	echoes(t, c, "hello", false)
	echoes(t, host.send(t, container, 80), "a datagram", true)
	if w := wireOf(t, conn); w == nil || w.Name != "arcbox0" || w.Host != netapi.WireAddress || !slices.Equal(w.Subnets, []string{containers}) {
		t.Errorf("the wire is %+v", w)
	}
	t.Run("a large answer, which a stream's host takes in pieces", func(t *testing.T) {
		c, err := host.dial(container, 80)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		want := make([]byte, 4<<20)
		rand.Read(want)
		go c.Write(want)
		got := make([]byte, len(want))
		c.SetReadDeadline(time.Now().Add(patience))
		if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back of %d, or others: %v", n, len(want), err)
		}
	})
	t.Run("the machine's own network goes on", func(t *testing.T) {
		tcpPort, _ := hostEcho(t)
		c, err := g.dial(hostAddress, tcpPort)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		echoes(t, c, "outside", false)
	})
	t.Run("its end", func(t *testing.T) {
		if _, err := call(conn, netapi.Unwire, &netapi.UnwireReq{}); err != nil {
			t.Fatal(err)
		}
		if w := wireOf(t, conn); w != nil {
			t.Errorf("after its end the wire is %+v", w)
		}
		if _, err := call(conn, netapi.Unwire, &netapi.UnwireReq{}); err != nil {
			t.Errorf("a second end: %v", err)
		}
		var refusal *ipc.Error
		if _, err := call(conn, netapi.SetWire, &netapi.SetWireReq{}); !errors.As(err, &refusal) || refusal.Code != netapi.NotFound {
			t.Errorf("to change no wire is %v", err)
		}
	})
}

// A wire is gone when the host's end is.
func TestAWireEndsWithTheHostsEnd(t *testing.T) {
	conn, _ := startNetwork(t, nil)
	ours, theirs := cable(t)
	layWire(t, conn, theirs, containers)
	theirs.Close()
	ours.Close()
	for end := time.Now().Add(patience); wireOf(t, conn) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("there is still a wire")
		}
	}
}

func TestWiresThatCannotBe(t *testing.T) {
	conn, _ := startNetwork(t, nil)
	tests := []struct {
		name string
		wire netapi.Wire
	}{
		{"no name", netapi.Wire{Host: netapi.WireAddress}},
		{"no address", netapi.Wire{Name: "x"}},
		{"an IPv6 address", netapi.Wire{Name: "x", Host: "fe80::1"}},
		{"no network", netapi.Wire{Name: "x", Host: netapi.WireAddress, Subnets: []string{"172.17.0.1"}}},
		{"bits beside the network", netapi.Wire{Name: "x", Host: netapi.WireAddress, Subnets: []string{"172.17.0.1/16"}}},
		{"too many", netapi.Wire{Name: "x", Host: netapi.WireAddress, Subnets: slices.Repeat([]string{containers}, netapi.MaxSubnets+1)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, theirs := cable(t)
			req := &netapi.SetWireReq{Wire: tt.wire}
			req.File = req.Attach(theirs)
			var refusal *ipc.Error
			if _, err := call(conn, netapi.SetWire, req); !errors.As(err, &refusal) || refusal.Code != ipc.BadRequest {
				t.Errorf("%+v: %v, want bad-request", tt.wire, err)
			}
		})
	}
}

// frameOf is an IPv4 packet in a frame.
func frameOf(to tcpip.LinkAddress, from, dst string, protocol tcpip.TransportProtocolNumber) []byte {
	b := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+8)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x05", DstAddr: to, Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{
		TotalLength: header.IPv4MinimumSize + 8, TTL: 64, Protocol: uint8(protocol), SrcAddr: at(from), DstAddr: at(dst),
	})
	ip.SetChecksum(^ip.CalculateChecksum())
	return b
}

// newTestBypass is a wire without ends, and what it has sent to the machine.
func newTestBypass() (b *bypass, sent *[][]byte) {
	sent = new([][]byte)
	b = &bypass{
		host: at(netapi.WireAddress), guest: at("192.168.127.2"), guestMAC: "\x02\x00\x00\x00\x00\x05", out: make(chan []byte, bypassBacklog),
		end: tapEnd{}, machine: func(frame []byte) { *sent = append(*sent, frame) },
		subnets: []netip.Prefix{netip.MustParsePrefix(containers)}, hostMAC: "\x02\x00\x00\x00\x00\xfe",
	}
	return b, sent
}

// What a machine may not send to the host is dropped, and so is what the host sends to nobody behind it.
func TestAWireLetsNothingElsePass(t *testing.T) {
	const icmp, udp = header.ICMPv4ProtocolNumber, header.UDPProtocolNumber
	tests := []struct {
		name      string
		from, to  string
		protocol  tcpip.TransportProtocolNumber
		out, back bool // it may go to the machine, or come from it
	}{
		{"the host to a container", netapi.WireAddress, container, udp, true, false},
		{"a container to the host", container, netapi.WireAddress, udp, false, true},
		{"the machine says why not", "192.168.127.2", netapi.WireAddress, icmp, false, true},
		{"the machine itself", "192.168.127.2", netapi.WireAddress, udp, false, false},
		{"a forged neighbour of the host", "192.168.1.7", netapi.WireAddress, udp, false, false},
		{"the host's loopback, forged", "127.0.0.1", netapi.WireAddress, udp, false, false},
		{"a container to another of the host's addresses", container, "192.168.1.2", udp, false, false},
		{"a broadcast", container, "255.255.255.255", udp, false, false},
		{"the host to the machine", netapi.WireAddress, "192.168.127.2", udp, false, false},
		{"the host's other address to a container", "192.168.1.2", container, udp, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, sent := newTestBypass()
			b.fromHost(frameOf(bypassMAC, tt.from, tt.to, tt.protocol))
			if out := len(*sent) == 1; out != tt.out {
				t.Errorf("from the host %s to %s passes: %v, want %v", tt.from, tt.to, out, tt.out)
			}
			if !b.fromMachine(frameOf(bypassMAC, tt.from, tt.to, tt.protocol)) {
				t.Error("a frame for the wire goes elsewhere")
			}
			if back := len(b.out) == 1; back != tt.back {
				t.Errorf("from the machine %s to %s passes: %v, want %v", tt.from, tt.to, back, tt.back)
			}
		})
	}
}

// segmentOf is a TCP segment in a frame, with flags and options.
func segmentOf(data []byte, flags header.TCPFlags, options int) []byte {
	b := make([]byte, header.EthernetMinimumSize+header.IPv4MinimumSize+header.TCPMinimumSize+options+len(data))
	copy(b[len(b)-len(data):], data)
	header.Ethernet(b).Encode(&header.EthernetFields{SrcAddr: "\x02\x00\x00\x00\x00\x05", DstAddr: bypassMAC, Type: header.IPv4ProtocolNumber})
	ip := header.IPv4(b[header.EthernetMinimumSize:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip)), TTL: 64, ID: 7, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: at(container), DstAddr: at(netapi.WireAddress)})
	header.TCP(ip.Payload()).Encode(&header.TCPFields{SeqNum: 1<<32 - 1000, DataOffset: uint8(header.TCPMinimumSize + options), Flags: flags})
	for i := range options {
		ip.Payload()[header.TCPMinimumSize+i] = header.TCPOptionNOP
	}
	return b
}

func TestLargeSegmentsAreCut(t *testing.T) {
	data := make([]byte, 10000)
	rand.Read(data)
	pieces := cut(segmentOf(data, header.TCPFlagAck|header.TCPFlagPsh|header.TCPFlagFin|header.TCPFlagCwr, 12), streamFrame)
	seq := uint32(1<<32 - 1000)
	var got []byte
	for i, p := range pieces {
		ip := header.IPv4(p[header.EthernetMinimumSize:])
		tcp := header.TCP(ip.Payload())
		last := i == len(pieces)-1
		if len(p) > streamFrame || !ip.IsValid(len(ip)) || !ip.IsChecksumValid() || ip.ID() != 7+uint16(i) || tcp.SequenceNumber() != seq {
			t.Errorf("piece %d has %d bytes, id %d, number %d", i, len(p), ip.ID(), tcp.SequenceNumber())
		}
		payload := checksum.Checksum(tcp.Payload(), 0)
		if !tcp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), payload, uint16(len(tcp.Payload()))) {
			t.Errorf("piece %d has a bad checksum", i)
		}
		if f := tcp.Flags(); f.Contains(header.TCPFlagFin) != last || f.Contains(header.TCPFlagPsh) != last || f.Contains(header.TCPFlagCwr) != (i == 0) {
			t.Errorf("piece %d has the flags %v", i, f)
		}
		seq += uint32(len(tcp.Payload()))
		got = append(got, tcp.Payload()...)
	}
	if !bytes.Equal(got, data) {
		t.Errorf("%d bytes are left of %d, or others", len(got), len(data))
	}
	if p := cut(frameOf(bypassMAC, container, netapi.WireAddress, header.UDPProtocolNumber), 20); p != nil {
		t.Errorf("what is no TCP is cut into %x", p)
	}
}

func TestPacketsThatMeddleWithWays(t *testing.T) {
	icmp := func(kind byte) []byte {
		f := frameOf(bypassMAC, container, netapi.WireAddress, header.ICMPv4ProtocolNumber)
		f[header.EthernetMinimumSize+header.IPv4MinimumSize] = kind
		return f
	}
	options := frameOf(bypassMAC, container, netapi.WireAddress, header.UDPProtocolNumber)
	options[header.EthernetMinimumSize]++ // one word more of header
	tests := []struct {
		name  string
		frame []byte
		pass  bool
	}{
		{"an echo", icmp(byte(header.ICMPv4EchoReply)), true},
		{"an error", icmp(byte(header.ICMPv4DstUnreachable)), true},
		{"a redirect", icmp(byte(header.ICMPv4Redirect)), false},
		{"a router", icmp(byte(icmpRouterAdvertisement)), false},
		{"options", options, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, _ := newTestBypass()
			b.fromMachine(tt.frame)
			if pass := len(b.out) == 1; pass != tt.pass {
				t.Errorf("it passes: %v, want %v", pass, tt.pass)
			}
		})
	}
}

// Any bytes may come from either side.
func FuzzBypass(f *testing.F) {
	f.Add(frameOf(bypassMAC, container, netapi.WireAddress, header.UDPProtocolNumber))
	f.Add(frameOf(bypassMAC, netapi.WireAddress, container, header.UDPProtocolNumber))
	ask := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	binary.BigEndian.PutUint16(ask[12:], uint16(header.ARPProtocolNumber))
	arp := header.ARP(ask[header.EthernetMinimumSize:])
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPRequest)
	copy(arp.ProtocolAddressTarget(), net.ParseIP(container).To4())
	copy(arp.ProtocolAddressSender(), net.ParseIP(netapi.WireAddress).To4())
	f.Add(ask)
	f.Add([]byte{})
	f.Add(segmentOf(make([]byte, 4000), header.TCPFlagAck, 12))
	f.Fuzz(func(t *testing.T, frame []byte) {
		b, sent := newTestBypass()
		b.end = &streamEnd{}
		b.fromHost(slices.Clone(frame))
		for _, s := range *sent {
			if ip := header.IPv4(s[header.EthernetMinimumSize:]); ip.SourceAddress() != b.host || !b.behind(ip.DestinationAddress()) {
				t.Errorf("%x went to the machine", s)
			}
		}
		if len(frame) < minFrame {
			return // which no stream gives
		}
		*sent = nil
		asked := len(b.out)
		taken := b.fromMachine(slices.Clone(frame))
		if len(b.out)+len(*sent) > asked && !taken {
			t.Error("a frame went two ways")
		}
	})
}

// A tap that blocks, as one that was just opened, can be closed while it is read.
func TestAWireEndsWhileItIsRead(t *testing.T) {
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	r, w := os.NewFile(uintptr(fds[0]), "r"), os.NewFile(uintptr(fds[1]), "w")
	defer w.Close()
	end, err := openEnd(r)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() {
		_, err := end.readFrame(make([]byte, maxFrame))
		over <- err
	}()
	end.Close()
	if err := <-over; err == nil {
		t.Error("something was read of nothing")
	}
}
