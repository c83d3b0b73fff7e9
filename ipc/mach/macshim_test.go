//go:build macshim && !darwin

package mach_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	libsystem "github.com/arcboxlabs/arcbox-go/darwin/standin"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/ipctest"
	"github.com/arcboxlabs/arcbox-go/ipc/mach"
	"github.com/arcboxlabs/arcbox-go/ipc/mach/standin"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		if n := unreleased(); n != 0 && status == 0 {
			fmt.Printf("%d XPC objects were not released\n", n)
			status = 1
		}
		libsystem.WriteCoverage()
		os.Exit(status)
	}))
}

// unreleased waits for XPC to let go of its own references, which it does a little later.
func unreleased() (n int) {
	for range 100 {
		if n = standin.Live(); n == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return n
}

var names atomic.Int64

// advertise has launchd know a new name until the test ends.
func advertise(t *testing.T, launch func()) string {
	name := fmt.Sprintf("com.example.test.%d", names.Add(1))
	standin.Advertise(name, launch)
	t.Cleanup(func() { standin.Withdraw(name) })
	return name
}

// A withdrawing listener's name goes with it, as with a program that is uninstalled.
type withdrawing struct {
	*mach.Listener
	name string
}

func (l withdrawing) Close() error {
	standin.Withdraw(l.name)
	return l.Listener.Close()
}

func TestTransport(t *testing.T) {
	ipctest.Run(t, ipctest.Transport{
		Descriptors: true,
		Listen: func(t *testing.T) (ipc.Listener, func() (ipc.Wire, error)) {
			name := advertise(t, nil)
			return withdrawing{listen(t, name), name}, func() (ipc.Wire, error) { return mach.DialWire(t.Context(), name, "") }
		},
	})
}

func listen(t *testing.T, name string) *mach.Listener {
	t.Helper()
	l, err := mach.Listen(name, "")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
