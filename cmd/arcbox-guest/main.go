//go:build linux

// Command arcbox-guest is PID 1 of a guest: a static program that mounts what
// Linux needs, loads modules, brings up the data disk, runs what it was told
// to, and powers off in order.
//
// It runs in two places. As /init of an initramfs it loads the modules listed
// in /lib/modules/load-order, mounts the root file system that root= names and
// hands over to init= there. As init of a root file system it does the rest. Where
// init= is this very program, it goes on as that instead of starting once more.
//
// With arcbox.agent=1 it starts itself a second time as the guest's agent, which serves
// the host over vsock, and keeps that running.
//
// What it is told comes from the kernel command line and from a config disk;
// package config describes both. Without a work order it gives a shell on the
// console and powers off when that ends.
//
// Signals mean what they mean to busybox's init: SIGUSR1, SIGUSR2 and SIGPWR
// power off; SIGTERM and SIGINT (ctrl-alt-del) restart.
//
// When it cannot go on it says why and exits, which the kernel answers with a
// panic: the host must never take a guest that failed for one that is done.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// self is this program, wherever it came from: what the initramfs had has no path any more.
const self = "/proc/self/exe"

func main() {
	if len(os.Args) == 2 && os.Args[1] == agentArg {
		if err := runAgent(); err != nil {
			say("%v", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && os.Args[1] == relayArg {
		if err := relay(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "arcbox-guest:", err)
			os.Exit(1)
		}
		return
	}
	defer emergency()
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "arcbox-guest: cannot run: it is meant to be PID 1 of a guest; boot one with it as init")
		os.Exit(2)
	}
	first, err := inInitramfs()
	if err == nil && first {
		err = handOver()
	}
	if err == nil {
		err = serve()
	}
	give(err) // neither returns without an error
}

// give says why PID 1 cannot go on, and ends it.
func give(err error) {
	if err == nil {
		err = errors.New("PID 1 came to its end")
	}
	say("%v", err)
	say("giving up: the kernel will panic now")
	flushConsole()
	unix.Sync()
	os.Exit(1)
}

// emergency turns a panic of ours into an end like any other. Every goroutine
// of this program defers it.
func emergency() {
	if v := recover(); v != nil {
		give(fmt.Errorf("this is a bug in arcbox-guest: %v\n%s", v, debug.Stack()))
	}
}

// inInitramfs tells whether the root is still the kernel's own RAM disk.
func inInitramfs() (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs("/", &fs); err != nil {
		return false, fmt.Errorf("cannot tell what the root file system is: %w", err)
	}
	return int64(fs.Type) == unix.RAMFS_MAGIC || int64(fs.Type) == unix.TMPFS_MAGIC, nil
}
