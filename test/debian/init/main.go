//go:build linux

// Command init is PID 1 of the guests of package debian's tests: vda is a root of Debian's
// packages, over which it lays a writable one in memory; vdb has what to do there: run,
// a shell script. Its output goes to the console, and then "debian: exit N".
package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/test/kit/guest"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("debian: failed:", err)
	}
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// mounts are those of the guest, in order.
var mounts = []struct{ source, dir, kind, options string }{
	{"dev", "/dev", "devtmpfs", ""},
	{"/dev/vda", "/lower", "erofs", "ro"},
	{"upper", "/upper", "tmpfs", ""},
	{"root", "/root", "overlay", "lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work"},
	{"dev", "/root/dev", "devtmpfs", ""},
	{"proc", "/root/proc", "proc", ""},
	{"sys", "/root/sys", "sysfs", ""},
	{"shm", "/root/dev/shm", "tmpfs", ""},
	{"pts", "/root/dev/pts", "devpts", ""},
	{"tmp", "/root/tmp", "tmpfs", ""},
	{"run", "/root/run", "tmpfs", ""},
	{"/dev/vdb", "/root/job", "erofs", "ro"},
}

func run() error {
	if err := guest.LoadModules(); err != nil {
		return err
	}
	if err := guest.OpenConsole(); err != nil {
		return err
	}
	for _, m := range mounts {
		if err := mount(m.source, m.dir, m.kind, m.options); err != nil {
			return err
		}
	}
	if err := guest.Loopback(); err != nil {
		return err
	}
	cmd := exec.Command("/bin/dash", "/job/run")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: "/root"}
	cmd.Dir = "/tmp"
	cmd.Env = []string{"HOME=/tmp", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return err
	}
	fmt.Println("debian: exit", cmd.ProcessState.ExitCode())
	return nil
}

func mount(source, dir, kind, options string) error {
	var flags uintptr
	if options == "ro" {
		flags, options = unix.MS_RDONLY, ""
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = unix.Mount(source, dir, kind, flags, options)
	}
	if err == nil && dir == "/upper" {
		err = os.Mkdir("/upper/files", 0o755)
		if err == nil {
			err = os.Mkdir("/upper/work", 0o755)
		}
	}
	if err != nil && err != unix.EBUSY {
		return fmt.Errorf("cannot mount %s: %w", dir, err)
	}
	return nil
}
