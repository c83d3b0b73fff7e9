//go:build linux

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A mount is one line of the table of file systems that a guest always has.
type mount struct {
	fstype, target string
	flags          uintptr
	options        string
}

const noExec = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// firstMounts are what the initramfs needs and hands on to the root. Where
// there was no initramfs, the root mounts them itself.
var firstMounts = []mount{
	{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=755"},
	{"proc", "/proc", noExec, ""},
	{"sysfs", "/sys", noExec, ""},
}

// rootMounts are made by init of the root.
var rootMounts = []mount{
	{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
	{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
	{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"tmpfs", "/root", unix.MS_NOSUID | unix.MS_NODEV, "mode=700"},
	{"cgroup2", "/sys/fs/cgroup", noExec, "nsdelegate"},
}

// runDirs stand in for what other systems keep writable on their root, which
// here is read-only: /var is a link to /run/var.
var runDirs = []string{"/run/lock", "/run/var/cache", "/run/var/lib", "/run/var/log", "/run/var/tmp"}

// devLinks are what programs expect beside the kernel's own devices.
var devLinks = map[string]string{
	"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
}

// mountAll makes every mount of a table. One that is there already is kept: the
// kernel may have mounted /dev, and the initramfs hands on what it has.
func mountAll(table []mount) error {
	for _, m := range table {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.target, err)
		}
		if mounted(m.target) {
			continue
		}
		if err := unix.Mount(m.fstype, m.target, m.fstype, m.flags, m.options); err != nil {
			return fmt.Errorf("cannot mount %s: %w", m.target, err)
		}
	}
	return nil
}

// mounted tells whether a directory is a mount point: it is on another device
// than the one it is in.
func mounted(dir string) bool {
	var here, above unix.Stat_t
	if unix.Stat(dir, &here) != nil || unix.Stat(filepath.Dir(dir), &above) != nil {
		return false
	}
	return here.Dev != above.Dev
}

// prepareRoot makes the root a place where ordinary programs run.
func prepareRoot() error {
	if err := mountAll(firstMounts); err != nil {
		return err
	}
	if err := mountAll(rootMounts); err != nil {
		return err
	}
	for _, dir := range runDirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("cannot prepare /run: %w", err)
		}
	}
	for name, target := range devLinks {
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("cannot prepare /dev: %w", err)
		}
	}
	os.WriteFile(compactAhead, []byte("0"), 0) // a kernel without it does not look either
	return nil
}

// compactAhead is how eagerly the kernel makes large pages before anybody wants one. Otherwise it looks twice a second
// whether that is worth while, in a guest that does nothing.
const compactAhead = "/proc/sys/vm/compaction_proactiveness"
