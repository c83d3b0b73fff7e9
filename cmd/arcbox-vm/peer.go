package main

import (
	"fmt"
	"net"
	"os"
)

// sameUser says what is wrong with whoever connected, as the kernel knows him: only the
// user who owns this process, and root, may own its machine.
func sameUser(sock *net.UnixConn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var uid int
	if cerr := raw.Control(func(fd uintptr) { uid, err = peerUID(int(fd)) }); cerr != nil {
		return cerr
	}
	if err != nil {
		return fmt.Errorf("cannot tell who has connected: %w", err)
	}
	if uid != os.Getuid() && uid != 0 {
		return fmt.Errorf("cannot be owned by user %d: the machine is user %d's", uid, os.Getuid())
	}
	return nil
}
