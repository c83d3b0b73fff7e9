package unixsock

import (
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// peerOf is who connected, or who listened, at the other end. The user is what counts and
// must be known (it is what getpeereid asks); the process may have ended already.
func peerOf(fd int) (ipc.Peer, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return ipc.Peer{}, err
	}
	peer := ipc.Peer{UID: int(cred.Uid), Source: "LOCAL_PEERCRED"}
	if pid, err := unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID); err == nil {
		peer.PID = pid
	}
	// audit_token_t is eight 32-bit words, and so is an ICMPv6 filter: the one
	// option of that shape which x/sys reads.
	if token, err := unix.GetsockoptICMPv6Filter(fd, unix.SOL_LOCAL, unix.LOCAL_PEERTOKEN); err == nil {
		peer.Token = token.Filt
	}
	return peer, nil
}
