package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	stdnet "net"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	machines "github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/net"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

const (
	netPeer = "gvisor-tap-vsock bare"
	// netTotal is how many bytes a throughput is of.
	netTotal = 256 << 20
	// netPatience is how long a connection may take.
	netPatience = 10 * time.Second
	// netHost is the host's loopback in both networks.
	netHost = "192.168.127.3"
)

var netMAC = [6]byte{0x02, 0, 0, 0, 0, 5}

// bareVar has this program play the library's own network at descriptor 3.
const bareVar = "ARCBOX_BENCH_BARE"

// netSuite measures a TCP connection between the host's loopback and a guest, from the guest's TCP/IP on. Ours is the driver's
// side of virtio-net, the device, and arcbox-net; the peer is the library that this is made of, at the end of the guest's own cable. The
// TCP/IP of both guests is gVisor's in this process, so that no vCPU is what is measured.
func netSuite() *suite {
	return &suite{
		names: []string{"net.rx", "net.tx"}, rounds: 7, peer: netPeer, unit: "MiB/s", more: true,
		round: func(s *samples) error {
			for name, do := range map[string]func(*stack.Stack) (float64, error){"net.rx": fetch, "net.tx": deliver} {
				ours, err := withDevice(do)
				if err != nil {
					return fmt.Errorf("ours: %w", err)
				}
				peer, err := withBare(do)
				if err != nil {
					return fmt.Errorf("%s: %w", netPeer, err)
				}
				s.add(name, netTotal/ours/(1<<20), netTotal/peer/(1<<20))
			}
			return nil
		},
	}
}

// fetch times how long the guest takes to read of the host, in seconds, and deliver how long the host does of the guest.
func fetch(guest *stack.Stack) (float64, error)   { return ferry(guest, pours, read) }
func deliver(guest *stack.Stack) (float64, error) { return ferry(guest, sinks, write) }

// ferry has a server of the host play a role, and times what the guest does with a connection to it, until the server has seen
// its end.
func ferry(guest *stack.Stack, r role, do func(stdnet.Conn) error) (float64, error) {
	l, err := stdnet.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var ended sync.WaitGroup
	ended.Go(func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			play(r, c)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), netPatience)
	defer cancel()
	at := tcpip.FullAddress{NIC: 1, Addr: address(netHost), Port: uint16(l.Addr().(*stdnet.TCPAddr).Port)}
	c, err := gonet.DialContextTCP(ctx, guest, at, ipv4.ProtocolNumber)
	if err != nil {
		return 0, fmt.Errorf("the guest cannot connect: %w", err)
	}
	start := time.Now()
	err = do(c)
	c.Close()
	if r == sinks { // what was written has come when the server's connection ends
		ended.Wait()
	}
	return time.Since(start).Seconds(), err
}

func address(text string) tcpip.Address { return tcpip.AddrFrom4([4]byte(stdnet.ParseIP(text).To4())) }

// newGuestStack is a guest's TCP/IP, and its card.
func newGuestStack() (*stack.Stack, *channel.Endpoint, error) {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	card := channel.New(1024, netapi.DefaultMTU+header.EthernetMinimumSize, tcpip.LinkAddress(netMAC[:]))
	if err := s.CreateNIC(1, ethernet.New(card)); err != nil {
		return nil, nil, errors.New(err.String())
	}
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: tcpip.AddressWithPrefix{Address: address("192.168.127.2"), PrefixLen: 24}}
	if err := s.AddProtocolAddress(1, own, stack.AddressProperties{}); err != nil {
		return nil, nil, errors.New(err.String())
	}
	s.SetRouteTable([]tcpip.Route{{Destination: own.AddressWithPrefix.Subnet(), NIC: 1}})
	return s, card, nil
}

// withDevice times do with a guest behind our device and our network.
func withDevice(do func(*stack.Stack) (float64, error)) (float64, error) {
	s, card, err := newGuestStack()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	conn, theirs, err := ipc.Pair()
	if err != nil {
		return 0, err
	}
	defer theirs.Close()
	p, err := machines.StartNetwork("bin/arcbox-net", os.Stderr)
	if err != nil {
		return 0, err
	}
	defer p.Close()
	req := &netapi.ConfigureReq{MAC: stdnet.HardwareAddr(netMAC[:]).String()}
	req.Link = req.Attach(theirs)
	if _, err := ipc.Call(context.Background(), p.Conn, netapi.Configure, req); err != nil {
		return 0, err
	}
	dev, err := net.New(net.Options{MAC: netMAC, MTU: netapi.DefaultMTU, Valid: true})
	if err != nil {
		return 0, err
	}
	defer dev.Close()
	dev.SetLink(net.NewLink(conn, 0))
	d, err := newNetGuest(dev, card)
	if err != nil {
		return 0, err
	}
	defer d.close()
	return do(s)
}

// withBare times do with a guest at a cable of the library's network, which is a process of its own as well.
func withBare(do func(*stack.Stack) (float64, error)) (float64, error) {
	s, card, err := newGuestStack()
	if err != nil {
		return 0, err
	}
	defer s.Close()
	conn, theirs, err := ipc.Pair()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), bareVar+"=1")
	cmd.ExtraFiles = []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		conn.Close()
		return 0, err
	}
	defer cmd.Wait()
	ctx, cancel := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() { pourFrames(ctx, card, conn) })
	ended.Go(func() { drainFrames(card, conn) })
	defer func() {
		cancel()
		conn.Close()
		ended.Wait()
	}()
	return do(s)
}

// pourFrames sends what a TCP/IP has for the network, each frame behind its length, in one call each.
func pourFrames(ctx context.Context, card *channel.Endpoint, cable io.Writer) {
	var b []byte
	for p := card.ReadContext(ctx); p != nil; p = card.ReadContext(ctx) {
		b = binary.BigEndian.AppendUint32(b[:0], uint32(p.Size()))
		for _, s := range p.AsSlices() {
			b = append(b, s...)
		}
		p.DecRef()
		if _, err := cable.Write(b); err != nil {
			return
		}
	}
}

// drainFrames gives the network's frames to a TCP/IP.
func drainFrames(card *channel.Endpoint, cable io.Reader) {
	var head [4]byte
	for {
		if _, err := io.ReadFull(cable, head[:]); err != nil {
			return
		}
		frame := make([]byte, binary.BigEndian.Uint32(head[:]))
		if _, err := io.ReadFull(cable, frame); err != nil {
			return
		}
		inject(card, frame)
	}
}

// bare plays the library's network until its cable ends.
func bare() error {
	conn, err := stdnet.FileConn(os.NewFile(3, "cable"))
	if err != nil {
		return err
	}
	n, err := virtualnetwork.New(&types.Configuration{
		MTU: netapi.DefaultMTU, Subnet: netapi.DefaultSubnet,
		GatewayIP: netapi.GatewayAddress, GatewayMacAddress: "5a:94:ef:e4:0c:dd",
		GatewayVirtualIPs: []string{netHost},
		NAT:               map[string]string{netHost: "127.0.0.1"},
		Protocol:          types.QemuProtocol,
	})
	if err != nil {
		return err
	}
	_ = n.AcceptQemu(context.Background(), conn) // the end of the cable is the end
	return nil
}
