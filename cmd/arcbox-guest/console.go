//go:build linux

package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// say writes one line to the console.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "arcbox-guest: "+format+"\n", args...)
}

// mark says how long after the kernel's start something was reached.
func mark(what string, at time.Duration) {
	say("%s at %.3f s", what, at.Seconds())
}

// openConsole makes /dev/console our standard input, output and error. The
// kernel's choice behind it changes when hvc0 appears, so it is opened again
// once the modules are in. Through /dev/console our descriptors outlive the
// hang-up that the end of a login session sends to its terminal.
func openConsole() error {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("cannot open the console: %w", err)
	}
	for std := range 3 {
		if err := unix.Dup3(fd, std, 0); err != nil && fd != std {
			return fmt.Errorf("cannot use the console: %w", err)
		}
	}
	if fd > 2 {
		unix.Close(fd)
	}
	return nil
}

// terminal is the device behind /dev/console, for a session that wants a
// controlling terminal: /dev/console itself cannot be one.
func terminal() string {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	names := strings.Fields(string(active))
	if err != nil || len(names) == 0 {
		return "/dev/console"
	}
	return "/dev/" + names[len(names)-1]
}

// flushConsole waits until the console has sent everything.
func flushConsole() {
	unix.IoctlSetInt(int(os.Stderr.Fd()), unix.TCSBRK, 1) // tcdrain
}
