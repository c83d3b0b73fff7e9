//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// dockerDir is where the disk with Docker is mounted.
const dockerDir = "/run/arcbox/docker"

// dockerConfig is where /etc/docker leads.
const dockerConfig = dataDir + "/docker.d"

// dockerUUID is of that disk; boot/debian makes it.
var dockerUUID = [16]byte{0xa5, 0xc8, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, 3}

// layDocker lays the disk with Docker over /usr, if there is one. Nothing of it is read before something is run.
func layDocker() error {
	device, err := findDisk(dockerUUID)
	if device == "" || err != nil {
		return err
	}
	if err := os.MkdirAll(dockerDir, 0o755); err != nil {
		return fmt.Errorf("cannot mount the disk with Docker: %w", err)
	}
	if err := unix.Mount(device, dockerDir, "erofs", unix.MS_RDONLY|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("cannot mount the disk with Docker: %w", err)
	}
	if err := os.MkdirAll(dockerConfig, 0o755); err != nil && !errors.Is(err, unix.EROFS) { // without a data disk dockerd says so
		return fmt.Errorf("cannot make room for Docker's configuration: %w", err)
	}
	layers := "lowerdir=" + dockerDir + "/usr:/usr"
	if err := unix.Mount("overlay", "/usr", "overlay", unix.MS_RDONLY|unix.MS_NODEV, layers); err != nil {
		return fmt.Errorf("cannot lay Docker over /usr: %w", err)
	}
	return nil
}

// openLoopback lets the host reach what containers publish on the guest's loopback (-p 127.0.0.1:80:80): the host's side has only its
// loopback as well. What no rule of dockerd has taken before comes out there.
func openLoopback(ctx context.Context) error {
	rule := []string{"PREROUTING", "-i", card, "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DNAT", "--to-destination", "127.0.0.1"}
	run := func(verb string) error {
		out, err := exec.CommandContext(ctx, "/usr/sbin/iptables", append([]string{"-w", "-t", "nat", verb}, rule...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("iptables: %w: %s", err, out)
		}
		return nil
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+card+"/route_localnet", []byte("1"), 0); err != nil {
		return err
	}
	if run("-C") == nil {
		return nil
	}
	return run("-A")
}
