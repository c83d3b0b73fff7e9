//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/modules"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/slack"
)

// These list modules to load, one path a line, each after those it needs: in the initramfs
// those of every boot, on the root those of a data disk that is a Btrfs and of programs of other
// processors. The builder of both writes them.
const (
	loadOrder      = "/lib/modules/load-order"
	btrfsModules   = "/usr/lib/arcbox/modules/btrfs"
	emulateModules = "/usr/lib/arcbox/modules/emulate"
)

// newRoot is where the initramfs mounts the root before it moves there.
const newRoot = "/newroot"

// rootPatience is how long the root's disk may take to appear. The drivers
// find their devices while their module loads, so this is a second chance.
const rootPatience = 500 * time.Millisecond

// handOver is the first stage, in the initramfs. It returns without an error where this
// program is the root's init as well.
func handOver() error {
	at := clock.Uptime()
	if err := mountAll(firstMounts); err != nil {
		return err
	}
	slack.Watch(slack.Patient)
	err := modules.Load(loadOrder)
	if e := openConsole(); e != nil {
		return e
	}
	mark("initramfs", at)
	if err != nil {
		return err
	}
	mark("modules loaded", clock.Uptime())
	cfg, err := commandLine()
	if err != nil {
		say("%v", err) // arcbox-guest on the root says so again, and acts
	}
	if err := mountRoot(cfg.Root, cfg.RootType); err != nil {
		return err
	}
	return switchRoot(cfg.Init)
}

// commandLine reads what the kernel command line asks for. The Config is
// usable even when there is an error.
func commandLine() (config.Config, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return config.Config{}, fmt.Errorf("cannot read the command line: %w", err)
	}
	return config.FromCommandLine(string(line))
}

// mountRoot mounts the root file system at newRoot, read-only.
func mountRoot(device, fstype string) error {
	if device == "" {
		return errors.New("cannot find the root file system: the command line has no root=; add root=/dev/vda")
	}
	if fstype == "" {
		fstype = "erofs"
	}
	if err := os.MkdirAll(newRoot, 0o755); err != nil {
		return fmt.Errorf("cannot mount the root: %w", err)
	}
	err := unix.Mount(device, newRoot, fstype, unix.MS_RDONLY, "")
	for deadline := clock.Uptime() + rootPatience; err == unix.ENOENT && clock.Uptime() < deadline; {
		time.Sleep(rootPatience / 20)
		err = unix.Mount(device, newRoot, fstype, unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("cannot mount root=%s as %s: %w; the disks are: %s", device, fstype, err, disks())
	}
	return nil
}

// disks names the block devices that there are, for an error's reader.
func disks() string {
	names, err := filepath.Glob("/sys/class/block/*")
	if err != nil || len(names) == 0 {
		return "none"
	}
	for i, name := range names {
		names[i] = "/dev/" + filepath.Base(name)
	}
	return strings.Join(names, " ")
}

// switchRoot frees the initramfs, makes newRoot the root and becomes its init, unless it is that.
func switchRoot(init string) error {
	if init == "" {
		init = config.DefaultInit
	}
	same := isOurs(newRoot + init)
	for _, m := range firstMounts {
		if err := unix.Mount(m.target, newRoot+m.target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("cannot move %s to the root: %w", m.target, err)
		}
	}
	free("/lib")
	if !same {
		free("/init")
	}
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("cannot enter the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the root into place: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("cannot change to the root: %w", err)
	}
	if same {
		return nil
	}
	err := unix.Exec(init, []string{init}, os.Environ())
	return fmt.Errorf("cannot run init=%s of the root: %w", init, err)
}

// isOurs says whether a program is this one: starting it once more would read it from the root's disk and begin from nothing,
// a twentieth of a boot. Both have the same size and the same first page, in which the linker leaves what it has made of everything.
func isOurs(program string) bool {
	own, err := firstPage(self)
	if err != nil {
		return false
	}
	other, err := firstPage(program)
	return err == nil && own == other
}

// A page is the beginning of a file, and the file's size.
type page struct {
	size int64
	head [4096]byte
}

func firstPage(path string) (p page, err error) {
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return p, err
	}
	p.size = info.Size()
	_, err = io.ReadFull(f, p.head[:])
	return p, err
}

// free gives the memory of files of the initramfs back. What it cannot delete
// stays: nothing depends on it.
func free(paths ...string) {
	for _, path := range paths {
		os.RemoveAll(path)
	}
}
