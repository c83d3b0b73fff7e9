package agent

import (
	"net"

	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// listenUnix listens at path, where a socket that nobody listens on any more is replaced.
func listenUnix(path string) (*net.UnixListener, error) {
	l, err := unixsock.Listen(path)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileListener has a copy of its own
	plain, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	return plain.(*net.UnixListener), nil
}
