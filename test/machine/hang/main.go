//go:build linux

// Command hang takes the guest's one CPU for good: at the highest of real-time priorities,
// above the kernel's own threads. Interrupts are taken as before.
package main

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

func main() {
	runtime.LockOSThread()
	// Otherwise the kernel leaves a twentieth of the time to others.
	if err := os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0); err != nil {
		fail(err)
	}
	const fifo, highest = 1, 99 // SCHED_FIFO; sched(7)
	if err := unix.SchedSetAttr(0, &unix.SchedAttr{Policy: fifo, Priority: highest}, 0); err != nil {
		fail(err)
	}
	for {
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "hang:", err)
	os.Exit(1)
}
