package debian

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// rootPackages are what the root file system is made of. The libraries are
// those that the programs need; rootTree fails when one is missing.
var rootPackages = []string{
	"busybox-static", "e2fsprogs", "btrfs-progs", "util-linux",
	"libc6", "libblkid1", "libcom-err2", "libext2fs2", "libgcc-s1", "liblzo2-2", "libmount1", "libpcre2-8-0",
	"libselinux1", "libss2", "libudev1", "libuuid1", "libzstd1", "zlib1g",
}

// rootPrograms are the paths of the programs that the root holds.
var rootPrograms = []string{
	"usr/bin/busybox",
	"usr/bin/btrfs", "usr/sbin/mkfs.btrfs",
	"usr/sbin/e2fsck", "usr/sbin/fsck.ext4", "usr/sbin/mke2fs", "usr/sbin/mkfs.ext4",
	"usr/sbin/dumpe2fs", "usr/sbin/resize2fs", "usr/sbin/tune2fs",
	"usr/sbin/fstrim",
}

// applets are the programs that busybox is in this root. The list is ours, so
// that the root does not change with Debian's build of busybox.
var applets = strings.Fields(`
	ash awk base64 basename bunzip2 bzcat cat chgrp chmod chown clear cmp cp cpio cut date dd df diff
	dirname dmesg dos2unix du echo egrep env expr factor false fgrep find fold free getopt grep groups
	gunzip gzip head hexdump hostname id ionice ip kill killall ln logger ls md5sum mkdir mkfifo mknod
	mktemp more mount mv nc netstat nproc nsenter nslookup od paste patch pidof ping ping6 printf ps pwd
	readlink realpath renice reset rev rm rmdir sed seq setsid sh sha1sum sha256sum sha512sum shred shuf
	sleep sort stat strings stty sync tac tail tar tee telnet test timeout top touch tr traceroute true
	truncate tty umount uname uniq unlink unshare unxz unzip uptime usleep uudecode uuencode vi watch wc
	wget which who whoami xargs xxd xzcat yes zcat`)

// sbinApplets are more of them, in /usr/sbin.
var sbinApplets = strings.Fields(`
	blkdiscard blockdev chroot halt hwclock ifconfig insmod losetup lsmod mkswap modprobe pivot_root
	poweroff reboot rmmod route swapoff swapon switch_root sysctl udhcpc`)

// rootDirs are mount points and places that programs expect.
var rootDirs = []string{"data", "dev", "mnt", "proc", "root", "run", "sys", "tmp", "usr/local/bin", "usr/local/sbin"}

// rootLinks are the links that make a merged /usr, and what is writable only
// through /run or on the data disk.
var rootLinks = map[string]string{
	"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "var": "run/var",
	"etc/mtab": "../proc/self/mounts", "etc/resolv.conf": "../run/resolv.conf",
	"etc/docker": "../data/docker.d",
}

// rootFiles are small files of our own.
var rootFiles = map[string]string{
	"etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
	"etc/group":      "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n",
	"etc/hosts":      "127.0.0.1 localhost\n::1 localhost\n",
	"etc/os-release": "NAME=\"ArcBox guest\"\nID=arcbox\nID_LIKE=debian\nPRETTY_NAME=\"ArcBox guest\"\n",
	"etc/profile":    "PS1='\\h:\\w\\$ '\n",
}

// rootTree makes the root file system out of the unpacked packages, our
// init, and modules that not every boot loads, each use with a list of its own.
func rootTree(packages tree, init []byte, modules map[string][]module) (tree, error) {
	root := tree{"usr/sbin/arcbox-guest": {mode: 0o755, data: init}}
	for use, modules := range modules {
		var list strings.Builder
		for _, m := range modules {
			name := moduleDir + path.Base(m.path)
			root[name] = node{mode: 0o644, data: m.data}
			fmt.Fprintf(&list, "/%s\n", name)
		}
		root[moduleDir+use] = node{mode: 0o644, data: []byte(list.String())}
	}
	for _, program := range append(rootPrograms, "etc/mke2fs.conf") {
		if err := root.addProgram(packages, program); err != nil {
			return nil, err
		}
	}
	if err := root.addApplets(); err != nil {
		return nil, err
	}
	for _, dir := range rootDirs {
		root[dir] = node{mode: fs.ModeDir | 0o755}
	}
	for name, target := range rootLinks {
		root[name] = node{mode: fs.ModeSymlink | 0o777, link: target}
	}
	for name, text := range rootFiles {
		root[name] = node{mode: 0o644, data: []byte(text)}
	}
	root.addDirs()
	return root, nil
}

// addProgram copies a file, the links that lead to it, and everything that the
// dynamic linker will look for on its behalf.
func (t tree) addProgram(from tree, name string) error {
	if _, ok := t[name]; ok {
		return nil
	}
	way, err := from.resolve(name)
	if err != nil {
		return err
	}
	for _, step := range way {
		t[step] = from[step]
	}
	needs, err := needed(from[way[len(way)-1]].data)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", name, err)
	}
	for _, need := range needs {
		if err := t.addProgram(from, need); err != nil {
			return fmt.Errorf("%w (%s needs it)", err, name)
		}
	}
	return nil
}

// libDir is where Debian's arm64 libraries are.
const libDir = "usr/lib/aarch64-linux-gnu"

// needed lists the paths of an object's interpreter and libraries. A file that
// is no ELF object needs nothing.
func needed(data []byte) ([]string, error) {
	if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		return nil, nil
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_AARCH64 {
		return nil, fmt.Errorf("it is for %v", f.Machine)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, lib := range libs {
		paths = append(paths, path.Join(libDir, path.Base(lib)))
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP && p.Filesz < 4096 {
			name := make([]byte, p.Filesz)
			if _, err := p.ReadAt(name, 0); err != nil {
				return nil, err
			}
			paths = append(paths, merged(strings.TrimRight(string(name), "\x00")))
		}
	}
	return paths, nil
}

// addApplets links the names of busybox's programs to it, if it has them. A
// program of another package keeps its name.
func (t tree) addApplets() error {
	busybox := t["usr/bin/busybox"].data
	for dir, names := range map[string][]string{"usr/bin": applets, "usr/sbin": sbinApplets} {
		for _, name := range names {
			if !bytes.Contains(busybox, []byte("\x00"+name+"\x00")) {
				return fmt.Errorf("cannot make the root: this busybox has no %s", name)
			}
			if _, taken := t[path.Join(dir, name)]; !taken {
				t[path.Join(dir, name)] = node{mode: fs.ModeSymlink | 0o777, link: "/usr/bin/busybox"}
			}
		}
	}
	return nil
}

// UUIDs are fixed, as are all times: the same tree gives the same image. The guest knows the disks of
// the emulator and of Docker by theirs.
const (
	rootUUID     = "a5c80000-0000-4000-8000-000000000001"
	emulatorUUID = "a5c80000-0000-4000-8000-000000000002"
	dockerUUID   = "a5c80000-0000-4000-8000-000000000003"
)

// makeEROFS writes t into an EROFS image at dst, not compressed: at run time
// that would cost more than it saves.
func makeEROFS(ctx context.Context, t tree, uuid, dst string) error {
	scratch, err := os.MkdirTemp("", "arcbox-root-")
	if err != nil {
		return fmt.Errorf("cannot make %s: %w", filepath.Base(dst), err)
	}
	defer os.RemoveAll(scratch)
	for _, name := range t.names() {
		if err := t[name].write(filepath.Join(scratch, filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("cannot lay %s out: %w", filepath.Base(dst), err)
		}
	}
	out, err := exec.CommandContext(ctx, "mkfs.erofs", "-x-1", "-T0", "-U"+uuid, "--all-root", dst, scratch).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make %s: mkfs.erofs: %w: %s", filepath.Base(dst), err, lastLines(string(out), 2))
	}
	return nil
}

// write makes the file on the host. Owner and times do not matter there.
func (n node) write(path string) error {
	switch n.mode.Type() {
	case fs.ModeDir:
		return os.Mkdir(path, 0o755)
	case fs.ModeSymlink:
		return os.Symlink(n.link, path)
	}
	if err := os.WriteFile(path, n.data, n.mode.Perm()); err != nil {
		return err
	}
	return os.Chmod(path, n.mode.Perm()) // whatever the umask is
}
