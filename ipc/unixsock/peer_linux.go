package unixsock

import (
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// peerOf is who connected, or who listened, at the other end.
func peerOf(fd int) (ipc.Peer, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return ipc.Peer{}, err
	}
	return ipc.Peer{UID: int(cred.Uid), PID: int(cred.Pid), Source: "SO_PEERCRED"}, nil
}
