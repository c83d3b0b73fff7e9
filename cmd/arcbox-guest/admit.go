//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
)

// admitted is our chain in the packet filter, and dockersUser the one that dockerd asks first and leaves to others.
const (
	admitted    = "ARCBOX-HOST"
	dockersUser = "DOCKER-USER"
)

// admit lets the host into networks of containers, past dockerd's rule that what is not published is nobody's. With none it is as
// before. dockerd keeps what it finds in its chain for users when it starts again.
func admit(ctx context.Context, host netip.Addr, subnets []netip.Prefix) error {
	jump := []string{dockersUser, "-j", admitted}
	if len(subnets) == 0 {
		for run(ctx, "", "iptables", append([]string{"-w", "-D"}, jump...)...) == nil {
		}
		run(ctx, "", "iptables", "-w", "-F", admitted) // there may be none
		run(ctx, "", "iptables", "-w", "-X", admitted)
		return nil
	}
	// All at once, in place of what is there.
	if err := run(ctx, admission(host, subnets), "iptables-restore", "-w", "--noflush"); err != nil {
		return err
	}
	if run(ctx, "", "iptables", append([]string{"-w", "-C"}, jump...)...) == nil {
		return nil
	}
	return run(ctx, "", "iptables", append([]string{"-w", "-I"}, jump...)...)
}

// admission are the rules of our chain, as iptables-restore reads them.
func admission(host netip.Addr, subnets []netip.Prefix) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*filter\n:%s - [0:0]\n", admitted)
	for _, p := range subnets {
		fmt.Fprintf(&b, "-A %s -i %s -s %s -d %s -j ACCEPT\n", admitted, card, host, p)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

// run runs a program of the packet filter's.
func run(ctx context.Context, stdin, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, "/usr/sbin/"+program, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, out)
	}
	return nil
}
