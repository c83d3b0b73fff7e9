package main

import (
	"context"
	"io"
	"log"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// bypassMAC is who a bypass is to both of its ends: the machine takes it for the host, and the host for every container.
const bypassMAC = tcpip.LinkAddress("\x5a\x94\xef\xe4\x0c\xde")

// bypassBacklog is how many frames may wait for the host. More are lost, as in any switch: the machine's other traffic must not wait.
const bypassBacklog = 256

// A bypass is a wire that leads from the host's own network, past the gateway, to what is behind the machine. It is a router between
// two Ethernets that knows who may be on either side: no frame passes as it is, and nothing but IPv4 from those whose addresses were
// named.
type bypass struct {
	name     string
	host     tcpip.Address // the one address of the host's side
	guest    tcpip.Address
	guestMAC tcpip.LinkAddress
	end      hostEnd
	machine  func(frame []byte) // sends to the machine
	out      chan []byte        // to the host; closed by nobody
	over     chan struct{}      // closed when the host's end has ended
	busy     sync.WaitGroup

	mu      sync.Mutex // guards what follows
	subnets []netip.Prefix
	hostMAC tcpip.LinkAddress // "" until the host has said something
}

// A hostEnd is the end of a wire that is not the machine's: each read and write is one frame.
type hostEnd interface {
	most() int // bytes of the largest frame that it takes
	readFrame(b []byte) (n int, err error)
	writeFrame(frame []byte) error
	Close() error
}

// openEnd makes one of a descriptor, which it takes over: a stream of frames behind their lengths where that is a socket, else a tap.
func openEnd(f *os.File) (hostEnd, error) {
	defer f.Close() // both have copies of their own
	if conn, err := net.FileConn(f); err == nil {
		return &streamEnd{Conn: conn}, nil
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true) // so that Close ends a read
	}
	if err != nil {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot use the host's end of a wire: %v", err)
	}
	return tapEnd{os.NewFile(uintptr(fd), "tap")}, nil
}

type tapEnd struct{ *os.File }

func (t tapEnd) most() int { return maxFrame }

func (t tapEnd) readFrame(b []byte) (int, error) { return t.Read(b) }

func (t tapEnd) writeFrame(frame []byte) error {
	_, err := t.Write(frame)
	return err
}

type streamEnd struct {
	net.Conn
	head [prefixSize]byte
}

func (s *streamEnd) most() int { return streamFrame }

func (s *streamEnd) readFrame(b []byte) (int, error) {
	if _, err := io.ReadFull(s.Conn, s.head[:]); err != nil {
		return 0, err
	}
	size, err := frameSize(s.head[:])
	if err != nil {
		return 0, err
	}
	return io.ReadFull(s.Conn, b[:size])
}

func (s *streamEnd) writeFrame(frame []byte) error {
	_, err := s.Write(appendFrame(make([]byte, 0, prefixSize+len(frame)), frame))
	return err
}

// run carries frames until the host's end ends.
func (b *bypass) run() {
	b.busy.Go(b.toHost)
	defer b.busy.Wait()
	defer close(b.over)
	defer b.end.Close()
	frame := make([]byte, maxFrame)
	for {
		n, err := b.end.readFrame(frame)
		if err != nil {
			return
		}
		b.fromHost(frame[:n])
	}
}

// toHost writes what waits for the host. What cannot be written is lost: an interface that is down takes nothing.
func (b *bypass) toHost() {
	for {
		select {
		case frame := <-b.out:
			b.end.writeFrame(frame)
		case <-b.over:
			return
		}
	}
}

// send has a frame wait for the host.
func (b *bypass) send(frame []byte) {
	select {
	case b.out <- frame:
	default:
	}
}

// sendAll has a frame with an IPv4 packet wait for the host, in pieces if it takes none so large.
func (b *bypass) sendAll(frame []byte) {
	most := b.end.most()
	if len(frame) <= most {
		b.send(frame)
		return
	}
	for _, piece := range cut(frame, most) {
		b.send(piece)
	}
}

// behind says whether an address is one of those behind the machine. The caller holds mu.
func (b *bypass) behind(a tcpip.Address) bool {
	at := netip.AddrFrom4(a.As4())
	return slices.ContainsFunc(b.subnets, func(p netip.Prefix) bool { return p.Contains(at) })
}

// fromHost deals with a frame of the host: questions who has an address behind the machine are answered here, and packets for
// one go to the machine.
func (b *bypass) fromHost(frame []byte) {
	if len(frame) < header.EthernetMinimumSize {
		return
	}
	eth, body := header.Ethernet(frame), frame[header.EthernetMinimumSize:]
	switch eth.Type() {
	case header.ARPProtocolNumber:
		if asks, from, about := asked(body); asks && b.mayGo(eth, from, about) {
			b.send(answer(eth))
		}
	case header.IPv4ProtocolNumber:
		if ip := header.IPv4(body); plain(body) && b.mayGo(eth, ip.SourceAddress(), ip.DestinationAddress()) {
			eth.Encode(&header.EthernetFields{SrcAddr: bypassMAC, DstAddr: b.guestMAC, Type: header.IPv4ProtocolNumber})
			b.machine(frame)
		}
	}
}

// mayGo says whether a frame is from the host and about what is behind the machine. Then it also tells where answers go.
func (b *bypass) mayGo(eth header.Ethernet, from, to tcpip.Address) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if from != b.host || !b.behind(to) {
		return false
	}
	b.hostMAC = eth.SourceAddress()
	return true
}

// mayWant says whether a frame of the machine that begins like this may be the bypass's.
func (b *bypass) mayWant(head []byte) bool {
	eth := header.Ethernet(head)
	return eth.DestinationAddress() == bypassMAC || eth.Type() == header.ARPProtocolNumber
}

// fromMachine deals with a frame of the machine, and says whether it was the bypass's.
func (b *bypass) fromMachine(frame []byte) bool {
	eth, body := header.Ethernet(frame), frame[header.EthernetMinimumSize:]
	switch eth.Type() {
	case header.ARPProtocolNumber:
		if asks, _, about := asked(body); asks && about == b.host {
			b.machine(answer(eth))
			return true
		}
	case header.IPv4ProtocolNumber:
		if mac := b.mayCome(body); mac != "" {
			eth.Encode(&header.EthernetFields{SrcAddr: bypassMAC, DstAddr: mac, Type: header.IPv4ProtocolNumber})
			b.sendAll(frame)
			return true
		}
	}
	return eth.DestinationAddress() == bypassMAC
}

// mayCome says where the host is that may see a packet of the machine, "" for nowhere: it is from behind it, or what the machine
// has to say of such a packet.
func (b *bypass) mayCome(body []byte) tcpip.LinkAddress {
	ip := header.IPv4(body)
	if !plain(body) || ip.DestinationAddress() != b.host {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	from := ip.SourceAddress()
	if b.behind(from) || from == b.guest && ip.TransportProtocol() == header.ICMPv4ProtocolNumber {
		return b.hostMAC
	}
	return ""
}

// plain says whether a body is an IPv4 packet that does not meddle with ways: without options, and neither telling of another
// router nor of itself as one.
func plain(body []byte) bool {
	ip := header.IPv4(body)
	if !ip.IsValid(len(body)) || ip.HeaderLength() != header.IPv4MinimumSize {
		return false
	}
	if icmp := header.ICMPv4(ip.Payload()); ip.TransportProtocol() == header.ICMPv4ProtocolNumber && ip.FragmentOffset() == 0 && len(icmp) > 0 {
		return icmp.Type() != header.ICMPv4Redirect && icmp.Type() != icmpRouterAdvertisement
	}
	return true
}

// icmpRouterAdvertisement is RFC 1256's.
const icmpRouterAdvertisement header.ICMPv4Type = 9

// asked reads an ARP packet: whether somebody asks with it, who, and for whom.
func asked(body []byte) (asks bool, from, about tcpip.Address) {
	arp := header.ARP(body)
	if !arp.IsValid() || arp.Op() != header.ARPRequest {
		return false, from, about
	}
	return true, tcpip.AddrFrom4Slice(arp.ProtocolAddressSender()), tcpip.AddrFrom4Slice(arp.ProtocolAddressTarget())
}

// answer says to whoever asked in a frame that it is the bypass.
func answer(to header.Ethernet) []byte {
	q := header.ARP(to[header.EthernetMinimumSize:])
	frame := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: bypassMAC, DstAddr: to.SourceAddress(), Type: header.ARPProtocolNumber})
	a := header.ARP(frame[header.EthernetMinimumSize:])
	a.SetIPv4OverEthernet()
	a.SetOp(header.ARPReply)
	copy(a.HardwareAddressSender(), bypassMAC)
	copy(a.ProtocolAddressSender(), q.ProtocolAddressTarget())
	copy(a.HardwareAddressTarget(), q.HardwareAddressSender())
	copy(a.ProtocolAddressTarget(), q.ProtocolAddressSender())
	return frame
}

// setWire serves netapi.SetWire.
func (n *network) setWire(_ context.Context, req *netapi.SetWireReq) (*netapi.SetWireResp, error) {
	subnets, err := parseSubnets(req.Subnets)
	if err != nil {
		return nil, err
	}
	if req.File == 0 {
		b := n.wire.bypass.Load()
		if b == nil {
			return nil, ipc.Errorf(netapi.NotFound, "cannot change the wire: there is none")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.subnets = subnets
		return &netapi.SetWireResp{}, nil
	}
	host, err := netip.ParseAddr(req.Host)
	if err != nil || !host.Is4() || req.Name == "" || len(req.Name) > netapi.MaxWireName {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot lay the wire %.64q to %.64q: give a name and an IPv4 address of the host", req.Name, req.Host)
	}
	f, err := req.Take(req.File)
	if err != nil {
		return nil, err
	}
	end, err := openEnd(f)
	if err != nil {
		return nil, err
	}
	b := &bypass{
		name: req.Name, host: tcpip.AddrFrom4(host.As4()), guest: tcpip.AddrFrom4(n.guest.As4()), guestMAC: n.guestMAC,
		end: end, machine: func(frame []byte) { n.wire.toMachine(frame) }, out: make(chan []byte, bypassBacklog), over: make(chan struct{}), subnets: subnets,
	}
	return &netapi.SetWireResp{}, n.lay(b)
}

// lay makes b the wire, in place of the one before.
func (n *network) lay(b *bypass) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		b.end.Close()
		return ipc.Errorf(ipc.WrongState, "cannot lay a wire: the network is ending")
	}
	if before := n.wire.bypass.Swap(b); before != nil {
		before.end.Close()
	}
	n.busy.Go(func() {
		b.run()
		if n.wire.bypass.CompareAndSwap(b, nil) {
			log.Printf("the wire %s has ended", b.name)
		}
	})
	return nil
}

// unwire serves netapi.Unwire.
func (n *network) unwire(ctx context.Context, _ *netapi.UnwireReq) (*netapi.UnwireResp, error) {
	n.endBypass(ctx)
	return &netapi.UnwireResp{}, nil
}

// endBypass returns when the host has seen the end, or ctx has ended: a machine that takes nothing may hold a frame up.
func (n *network) endBypass(ctx context.Context) {
	b := n.wire.bypass.Swap(nil)
	if b == nil {
		return
	}
	b.end.Close()
	select {
	case <-b.over:
	case <-ctx.Done():
	}
}

// wired is the wire, nil if there is none.
func (n *network) wired() *netapi.Wire {
	b := n.wire.bypass.Load()
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	is := &netapi.Wire{Name: b.name, Host: b.host.String()}
	for _, p := range b.subnets {
		is.Subnets = append(is.Subnets, p.String())
	}
	return is
}

// parseSubnets reads the networks behind the machine.
func parseSubnets(texts []string) ([]netip.Prefix, error) {
	if len(texts) > netapi.MaxSubnets {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot lay a wire to %d networks: give at most %d", len(texts), netapi.MaxSubnets)
	}
	var all []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil || !p.Addr().Is4() || p.Masked() != p {
			return nil, ipc.Errorf(ipc.BadRequest, "cannot lay a wire to %.64q: give an IPv4 network such as 172.17.0.0/16", text)
		}
		all = append(all, p)
	}
	return all, nil
}
