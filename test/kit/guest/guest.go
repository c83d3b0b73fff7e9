//go:build linux

// Package guest is what the tests' inits share, in the guest.
package guest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// LoadModules loads what the flavour's initrd brought along, which kit.InitrdFor put
// before the tests' own: the drivers of a kernel that has them as modules. Others have none.
func LoadModules() error {
	list, err := os.Open("/lib/modules/load-order")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot load modules: %w", err)
	}
	defer list.Close()
	for lines := bufio.NewScanner(list); lines.Scan(); {
		if err := LoadModule(lines.Text()); err != nil {
			return err
		}
	}
	return nil
}

// LoadModule loads one, unless it is there.
func LoadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot load a module: %w", err)
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("cannot load %s: %w", path, err)
	}
	return nil
}

// OpenConsole makes /dev/console standard input, output and error again: what the kernel
// chooses behind it changes when the module of a console is loaded. The ports of a virtio
// console come a moment after their module.
func OpenConsole() error {
	fd, err := unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	for range 500 {
		if err != unix.ENODEV && err != unix.ENXIO {
			break
		}
		time.Sleep(10 * time.Millisecond)
		fd, err = unix.Open("/dev/console", unix.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		return fmt.Errorf("cannot open the console: %w", err)
	}
	for std := range 3 {
		if err := unix.Dup3(fd, std, 0); err != nil {
			return fmt.Errorf("cannot use the console: %w", err)
		}
	}
	return nil
}

// Loopback switches on lo.
func Loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}
