// Package netns runs tests in a network namespace of their own, in which they may change what they like and the host notices
// nothing.
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// within says which of the two processes this is: "" outside, "yes" inside, and else why there is no inside.
const within = "ARCBOX_TEST_NETNS"

// Main is m.Run in a namespace, which takes root or a user who may make user namespaces; it returns there alone. Without either
// tests run outside, where Need skips them.
func Main(m *testing.M) int {
	switch os.Getenv(within) {
	case "":
		os.Exit(again())
	case "yes":
		if err := bringUp("lo"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}

// again runs this program again, inside.
func again() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), within+"=yes")
	cmd.SysProcAttr = Inside()
	if err := cmd.Start(); err != nil {
		cmd = exec.Command("/proc/self/exe", os.Args[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.Env = append(os.Environ(), within+"=cannot make a network namespace: "+err.Error())
		if err := cmd.Start(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintln(os.Stderr, err)
	}
	return cmd.ProcessState.ExitCode()
}

// Inside makes a process the root of a user and a network namespace of its own.
func Inside() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// Need skips a test that would change the host's own network, or finds no taps.
func Need(t testing.TB) {
	t.Helper()
	if why := os.Getenv(within); why != "yes" {
		t.Skip(why)
	}
	f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("cannot make a tap: %v", err)
	}
	f.Close()
}

// bringUp brings an interface up.
func bringUp(name string) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	links, err := conn.Link.List()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Attributes != nil && l.Attributes.Name == name {
			return conn.Link.Set(&rtnetlink.LinkMessage{Index: l.Index, Flags: unix.IFF_UP, Change: unix.IFF_UP})
		}
	}
	return fmt.Errorf("cannot find %s", name)
}
