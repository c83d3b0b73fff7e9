//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/ipc/splice"
)

// relayArg is the argument that makes this program a relay: of a vsock port of the guest to a Unix socket.
const relayArg = "relay"

// relay passes connections of the host to a Unix socket, byte for byte, until SIGTERM. It is a service, so that streams of the
// host go on when the guest's agent dies.
func relay(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("cannot relay: give a vsock port and the path of a socket")
	}
	port, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return fmt.Errorf("cannot relay: %w", err)
	}
	l, err := vsock.ListenContextID(unix.VMADDR_CID_ANY, uint32(port), nil)
	if err != nil {
		return fmt.Errorf("cannot listen to the host: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	if err := sayReady(); err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot take a connection of the host: %w", err)
		}
		if from, ok := c.RemoteAddr().(*vsock.Addr); !ok || from.ContextID != vsock.Host {
			c.Close()
			continue
		}
		go pass(c.(*vsock.Conn), args[1])
	}
}

// sayReady tells whoever supervises this service that it is ready, as systemd has it.
func sayReady() error {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return fmt.Errorf("cannot say that it is ready: %w", err)
	}
	defer c.Close()
	_, err = c.Write([]byte("READY=1"))
	return err
}

// pass joins a connection of the host to the socket at path.
func pass(host *vsock.Conn, path string) {
	defer host.Close()
	local, err := net.Dial("unix", path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "arcbox-guest:", err)
		return
	}
	defer local.Close()
	splice.Both(host, local.(*net.UnixConn))
}
