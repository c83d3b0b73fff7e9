package ipctest_test

import (
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
