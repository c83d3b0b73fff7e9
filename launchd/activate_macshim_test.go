//go:build macshim && !darwin

package launchd

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"

	libsystem "github.com/arcboxlabs/arcbox-go/darwin/standin"
	"github.com/arcboxlabs/arcbox-go/launchd/standin"
)

func init() { atEnd = libsystem.WriteCoverage }

// listening gives the descriptor of a socket that listens, and its address.
func listening(t *testing.T) (fd int, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if fd, err = syscall.Dup(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	return fd, l.Addr().String()
}

func TestSocketsOfLaunchd(t *testing.T) {
	standin.Started(true)
	defer standin.Started(false)
	first, addr := listening(t)
	second, _ := listening(t)
	standin.Give("control", first, second)
	all, err := Listeners("control")
	if err != nil || len(all) != 2 {
		t.Fatalf("%d listeners, %v", len(all), err)
	}
	for _, l := range all {
		defer l.Close()
	}
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, err := all[0].Accept(); err != nil {
		t.Error(err)
	} else {
		got.Close()
	}
	if _, err := Files("control"); !errors.Is(err, errTaken) {
		t.Errorf("a socket that was taken: %v", err)
	}
	if _, err := Files("other"); err == nil || !strings.Contains(err.Error(), "no such socket") {
		t.Errorf("a name that the definition lacks: %v", err)
	}
}

func TestWhatLaunchdDidNotStartHasNoSockets(t *testing.T) {
	standin.Started(false)
	if _, err := Listeners("control"); !errors.Is(err, ErrNotManaged) {
		t.Error(err)
	}
}

// What launchd gives is checked: a descriptor that is no socket is an error, and is closed with the others.
func TestAFileIsNoSocketOfLaunchd(t *testing.T) {
	standin.Started(true)
	defer standin.Started(false)
	good, _ := listening(t)
	var pipe [2]int
	if err := syscall.Pipe(pipe[:]); err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pipe[1])
	standin.Give("control", good, pipe[0])
	if all, err := Listeners("control"); err == nil {
		t.Errorf("%d listeners of a pipe", len(all))
	}
	for _, fd := range []int{good, pipe[0]} {
		if err := syscall.Close(fd); err == nil {
			t.Errorf("descriptor %d was left open", fd)
		}
	}
}
