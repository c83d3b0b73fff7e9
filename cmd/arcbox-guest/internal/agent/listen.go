//go:build linux

package agent

import (
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// A listener takes the host's connections.
type listener struct{ *vsock.Listener }

// Listen opens guestapi.Port to the host.
func Listen() (ipc.Listener, error) {
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, guestapi.Port, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot listen to the host: %w", err)
	}
	return listener{l}, nil
}

// Accept is the ipc.Listener's.
func (l listener) Accept() (ipc.Wire, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		if errors.Is(err, unix.EBADF) || errors.Is(err, net.ErrClosed) {
			err = net.ErrClosed
		}
		return nil, err
	}
	return hostWire{ipc.Bytes(c), c.RemoteAddr()}, nil
}

// A hostWire knows who connected.
type hostWire struct {
	ipc.Wire
	from net.Addr
}

// Peer is the host, of whom the kernel says no more than that.
func (w hostWire) Peer() (ipc.Peer, error) {
	addr, ok := w.from.(*vsock.Addr)
	if !ok || addr.ContextID != vsock.Host {
		return ipc.Peer{UID: -1, Source: "vsock"}, fmt.Errorf("cannot serve %v: only the host may ask", w.from)
	}
	return ipc.Peer{UID: 0, Source: "vsock"}, nil
}

// Announce tells the host that the agent listens, as long as the connection is open. Nobody
// may be there to hear it.
func Announce() (net.Conn, error) {
	c, err := vsock.Dial(vsock.Host, guestapi.AnnouncePort, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot announce the guest to the host: %w", err)
	}
	return c, nil
}
