//go:build linux

// Package clock reads the guest's clocks and sets the one that can be set.
package clock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Uptime is the time since the kernel's start, as its messages have it.
func Uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// Step sets the system's time to what it is off by less.
func Step(off time.Duration) error {
	ts := unix.NsecToTimespec(time.Now().Add(-off).UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("cannot set the clock: %w", err)
	}
	return nil
}
