package ipctest_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/ipctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	ipctest.Run(t, ipctest.Transport{
		Descriptors: true,
		Listen: func(*testing.T) (ipc.Listener, func() (ipc.Wire, error)) {
			l := ipc.NewMemoryListener()
			return l, l.Dial
		},
	})
}

// A stream of bytes that can do nothing but be read, written and closed, as a vsock connection
// through a library. Who is at its other end its owner must know.
func TestPlainBytes(t *testing.T) {
	ipctest.Run(t, ipctest.Transport{
		Listen: func(t *testing.T) (ipc.Listener, func() (ipc.Wire, error)) {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			return plainListener{l}, func() (ipc.Wire, error) {
				return plain(net.Dial("unix", l.Addr().String()))
			}
		},
	})
}

type plainListener struct{ net.Listener }

func (l plainListener) Accept() (ipc.Wire, error) { return plain(l.Listener.Accept()) }

type plainWire struct{ ipc.Wire }

func (plainWire) Peer() (ipc.Peer, error) {
	return ipc.Peer{UID: os.Getuid(), PID: os.Getpid(), Source: "a test"}, nil
}

func plain(c net.Conn, err error) (ipc.Wire, error) {
	if err != nil {
		return nil, err
	}
	return plainWire{ipc.Bytes(struct{ io.ReadWriteCloser }{c})}, nil
}
