//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/config"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/modules"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/reap"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/superblock"
)

// dataDir is where the data disk is mounted.
const dataDir = "/data"

// configDisk looks for a config disk among the virtio disks. Its device is ""
// when there is none.
func configDisk() (config.Config, string, error) {
	devices, err := filepath.Glob("/dev/vd[a-z]")
	if err != nil {
		return config.Config{}, "", err
	}
	for _, device := range devices {
		cfg, err := readConfig(device)
		if !errors.Is(err, config.ErrNoConfig) {
			return cfg, device, err
		}
	}
	return config.Config{}, "", nil
}

func readConfig(device string) (config.Config, error) {
	f, err := os.Open(device)
	if err != nil {
		return config.Config{}, fmt.Errorf("cannot look for a config disk: %w", err)
	}
	defer f.Close()
	return config.FromDisk(f)
}

// mountData mounts the data disk at dataDir, formatted before if it is blank.
// A disk that is not there is no error; one with unknown content is, and stays
// as it is. room is what the host can keep of it, 0 for unknown.
func mountData(r *reap.Reaper, device string, room int64) error {
	d, err := openDisk(device)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kind, err := superblock.Identify(d.file, d.size)
	d.file.Close()
	if err != nil {
		return fmt.Errorf("cannot use %s: %w", device, err)
	}
	if kind == superblock.Blank && !d.readOnly {
		if err := format(r, device, fileSystemSize(d.size, room)); err != nil {
			return err
		}
		kind = superblock.Ext4
	}
	err = mountAs(kind, device, d.readOnly)
	if err != nil && kind == superblock.Ext4 && !d.readOnly {
		say("%v", err)
		if err = repair(r, device); err == nil {
			err = mountAs(kind, device, false)
		}
	}
	if err == nil && kind == superblock.Ext4 && !d.readOnly {
		grow(r, device, d.size, room)
	}
	return err
}

// fileSystemSize is how large to make the file system of a disk of size bytes: a quarter more than the host can keep,
// and no more, because every GiB that could never be used takes memory, and time at each mount. Where that is
// not known the whole disk is used.
func fileSystemSize(size, room int64) int64 {
	if room == 0 || room >= size {
		return size
	}
	return min(size, room+room/4)
}

// grow makes an ext4 larger that is mounted at dataDir, when the host can keep more than what it has. That comes
// with a larger host: growing takes longer than formatting. What cannot grow works as it is.
func grow(r *reap.Reaper, device string, size, room int64) {
	var fs unix.Statfs_t
	want := fileSystemSize(size, room)
	if err := unix.Statfs(dataDir, &fs); err != nil || room == 0 || !outgrown(int64(fs.Blocks)*fs.Bsize, want) {
		return
	}
	say("growing the file system of %s to %d MiB", device, want>>20)
	child, err := r.Start([]string{"/sbin/resize2fs", device, strconv.FormatInt(want>>10, 10) + "K"}, attributes(nil))
	if err != nil {
		say("cannot grow %s: %v", device, err)
	} else if s := <-child.Ended; s != 0 {
		say("cannot grow %s: resize2fs %s", device, outcome(s))
	}
}

// outgrown says whether a file system of have bytes, less what it keeps for itself, is too small beside the one that
// would be made now.
func outgrown(have, want int64) bool { return have < want/4*3 }

// repair lets e2fsck do what is safe to do without asking (-p). Its status has
// bit 0 set when it has corrected something.
func repair(r *reap.Reaper, device string) error {
	say("checking %s", device)
	child, err := r.Start([]string{"/sbin/e2fsck", "-p", device}, attributes(nil))
	if err != nil {
		return fmt.Errorf("cannot check %s: %w", device, err)
	}
	if s := <-child.Ended; s.ExitStatus() != 0 && s.ExitStatus() != 1 {
		return fmt.Errorf("cannot repair %s: e2fsck %s; it is left as it is", device, outcome(s))
	}
	return nil
}

// mountAs mounts a disk of a known kind.
func mountAs(kind superblock.Kind, device string, readOnly bool) error {
	var options string
	switch kind {
	case superblock.Ext4:
		// What the kernel would do in the background: zero the inode tables,
		// and so fill the host's sparse file with zeroes that it reads anyway;
		// and read every block bitmap, which takes minutes on 8 TiB. And what takes
		// nearly half of the mount: a list of where metadata is, to find out that a
		// bitmap is wrong, which its checksum says too.
		options = "noinit_itable,no_prefetch_block_bitmaps,noblock_validity"
	case superblock.Btrfs:
		if err := modules.Load(btrfsModules); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot use %s as data disk: it is %s and not a file system of ours; "+
			"give an empty disk of at least %d MiB, or arcbox.data=none", device, kind, superblock.MinSize>>20)
	}
	flags := uintptr(unix.MS_NOATIME)
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(device, dataDir, string(kind), flags, options); err != nil {
		return fmt.Errorf("cannot mount %s at %s: %w", device, dataDir, err)
	}
	say("%s (%s) is at %s", device, kind, dataDir)
	return nil
}

// A disk is an open block device. Its owner closes the file.
type disk struct {
	file     *os.File
	size     int64 // bytes
	readOnly bool
}

func openDisk(device string) (disk, error) {
	f, err := os.Open(device)
	if err != nil {
		return disk{}, fmt.Errorf("cannot open %s: %w", device, err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		f.Close()
		return disk{}, fmt.Errorf("cannot tell the size of %s: %w", device, err)
	}
	ro, err := unix.IoctlGetInt(int(f.Fd()), unix.BLKROGET)
	return disk{f, size, err != nil || ro != 0}, nil
}

// format makes an ext4 of size bytes of which the host's sparse file holds little: no
// discard (the disk is blank), nothing initialised that can wait, and a journal that does
// not grow with the disk. The descriptors lie beside what they describe (meta_bg), which
// lets it grow while it is mounted and needs nothing set aside for that. 1 TiB then takes
// 2 MiB of the host, and at most the journal's 32 MiB more with time.
func format(r *reap.Reaper, device string, size int64) error {
	say("formatting %s (%d MiB), which is blank", device, size>>20)
	args := []string{"/sbin/mkfs.ext4", "-q", "-F", "-L", "arcbox-data",
		"-O", "^resize_inode,meta_bg", "-G", "256",
		"-i", strconv.FormatInt(bytesPerInode(size), 10),
		"-E", "nodiscard,lazy_itable_init=1,lazy_journal_init=1"}
	if size >= 1<<30 {
		args = append(args, "-J", "size=32") // MiB; below, mkfs's own choice is smaller
	}
	child, err := r.Start(append(args, device, strconv.FormatInt(size>>10, 10)+"K"), attributes(nil))
	if err != nil {
		return fmt.Errorf("cannot format %s: %w", device, err)
	}
	if s := <-child.Ended; s != 0 {
		return fmt.Errorf("cannot format %s: mkfs.ext4 %s", device, outcome(s))
	}
	return nil
}

// bytesPerInode is mkfs's usual 16 KiB on small file systems and more on large ones:
// e2fsck reads every inode table, and 33 million files are enough for 2 TiB, and for 8.
func bytesPerInode(size int64) int64 {
	switch {
	case size <= 64<<30:
		return 16 << 10
	case size <= 2<<40:
		return 64 << 10
	}
	return 256 << 10
}
