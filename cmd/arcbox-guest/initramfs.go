//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/modules"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/superblock"
)

// These list modules to load, one path a line, each after those it needs: at every
// boot, and for a data disk that is a Btrfs. The builder of the initramfs writes them.
const (
	loadOrder        = "/lib/modules/load-order"
	btrfsLoadOrder   = "/lib/modules/load-order.btrfs"
	emulateLoadOrder = "/lib/modules/load-order.emulate"
)

// newRoot is where the initramfs mounts the root before it moves there.
const newRoot = "/newroot"

// rootPatience is how long the root's disk may take to appear. The drivers
// find their devices while their module loads, so this is a second chance.
const rootPatience = 500 * time.Millisecond

// handOver is the first stage, in the initramfs. It returns only with an error.
func handOver() error {
	at := clock.Uptime()
	if err := mountAll(firstMounts); err != nil {
		return err
	}
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
	if holdsBtrfs(cfg.DataDevice()) {
		if err := modules.Load(btrfsLoadOrder); err != nil {
			say("%v", err) // the machine goes on without its data disk
		}
	}
	if len(cfg.Emulate) > 0 {
		if err := modules.Load(emulateLoadOrder); err != nil {
			say("%v", err)
		}
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

// holdsBtrfs says whether a data disk is there and a Btrfs. A config disk may name another, which
// is then mounted only if the kernel knows Btrfs by itself.
func holdsBtrfs(device string) bool {
	d, err := openDisk(device)
	if err != nil {
		return false
	}
	defer d.file.Close()
	kind, err := superblock.Identify(d.file, d.size)
	return err == nil && kind == superblock.Btrfs
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

// switchRoot frees the initramfs, makes newRoot the root and becomes its init.
func switchRoot(init string) error {
	if init == "" {
		init = config.DefaultInit
	}
	for _, m := range firstMounts {
		if err := unix.Mount(m.target, newRoot+m.target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("cannot move %s to the root: %w", m.target, err)
		}
	}
	free("/init", "/lib")
	if err := unix.Chdir(newRoot); err != nil {
		return fmt.Errorf("cannot enter the root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("cannot move the root into place: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("cannot change to the root: %w", err)
	}
	err := unix.Exec(init, []string{init}, os.Environ())
	return fmt.Errorf("cannot run init=%s of the root: %w", init, err)
}

// free gives the memory of files of the initramfs back. What it cannot delete
// stays: nothing depends on it.
func free(paths ...string) {
	for _, path := range paths {
		os.RemoveAll(path)
	}
}
