package main

import (
	"net"
	"strconv"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	"github.com/arcboxlabs/arcbox-go/ipc/splice"
)

const (
	// maxDialing bounds the connections that are being made for the guest. Further ones wait, as their first packets are lost and sent again.
	maxDialing = 1024
	// dialTime is how long one may take: what macOS gives a connection; Linux has two minutes.
	dialTime = 75 * time.Second
)

// newForwarder passes TCP connections of the guest on to where it wants them to go, or with nat to what stands there for another
// address. A guest learns that a connection is made when it is, and that it is refused. The library's own makes ten at a time, so that
// ten hosts which do not answer keep the guest from all others.
func newForwarder(s *stack.Stack, nat map[tcpip.Address]tcpip.Address) *tcp.Forwarder {
	return tcp.NewForwarder(s, 0, maxDialing, func(r *tcp.ForwarderRequest) {
		to := r.ID().LocalAddress
		if !routable(to) {
			r.Complete(true)
			return
		}
		if other, ok := nat[to]; ok {
			to = other
		}
		out, err := net.DialTimeout("tcp", net.JoinHostPort(to.String(), strconv.Itoa(int(r.ID().LocalPort))), dialTime)
		if err != nil {
			r.Complete(true)
			return
		}
		var queue waiter.Queue
		end, refused := r.CreateEndpoint(&queue)
		r.Complete(false)
		if refused != nil { // the guest has given up meanwhile
			out.Close()
			return
		}
		in := gonet.NewTCPConn(&queue, end)
		defer in.Close()
		defer out.Close()
		splice.Both(in, out.(*net.TCPConn))
	})
}

// routable tells an address that can be of somebody elsewhere. What is local to a link is local to the guest's: on the host's are
// strangers, and in a cloud whoever gives out its secrets.
func routable(a tcpip.Address) bool {
	if a.Len() == header.IPv6AddressSize {
		return !header.IsV6LinkLocalUnicastAddress(a) && !header.IsV6MulticastAddress(a)
	}
	return !header.IsV4LinkLocalUnicastAddress(a) && !header.IsV4MulticastAddress(a) && a != header.IPv4Broadcast
}
