package debian_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/debian"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// packages are what the guest has, with all that they depend on. The first brings the
// kernel that is booted and its modules.
var packages = []string{
	"linux-image-cloud-arm64", "kmod", "dash", "coreutils", "grep", "sed", "libc-bin",
	"python3", "libpython3.11-testsuite", "perl", "sqlite3", "openssl", "stress-ng",
}

// surplus is what of the packages no test needs, as patterns.
var surplus = []string{
	"usr/share/doc", "usr/share/locale", "usr/share/man", "usr/share/X11", "boot/System.map-*",
	"lib/modules/*/kernel/net", "lib/modules/*/kernel/sound", "lib/modules/*/kernel/drivers/[ac-uw-z]*",
}

// early are the modules that init needs to come to the root.
var early = []string{"virtio_mmio", "virtio_blk", "erofs", "overlay"}

// A system is Debian's kernel and programs, unpacked on the host and as a disk image.
type system struct {
	root  string // directory
	image string // the same, as EROFS
}

// path is where a file of the guest is on the host.
func (s system) path(name string) string { return filepath.Join(s.root, name) }

// kernel is the Image, and its version.
func (s system) kernel(t *testing.T) (path, version string) {
	t.Helper()
	found, err := filepath.Glob(s.path("boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%d kernels in the packages, want one: %v", len(found), err)
	}
	return found[0], strings.TrimPrefix(filepath.Base(found[0]), "vmlinuz-")
}

// setUp makes the system, once for each list of packages: it is kept in the asset cache.
func setUp(t *testing.T) system {
	t.Helper()
	key := sha256.Sum256(fmt.Appendf(nil, "1 %q %q", packages, surplus))
	dir := filepath.Join(kit.Suites(), fmt.Sprintf("debian-%x", key[:6]))
	s := system{root: filepath.Join(dir, "root"), image: filepath.Join(dir, "root.erofs")}
	if _, err := os.Stat(dir); err == nil {
		return s
	}
	if err := os.MkdirAll(kit.Suites(), 0o755); err != nil {
		t.Skipf("no asset cache: %v", err)
	}
	tmp, err := os.MkdirTemp(kit.Suites(), "debian-new-")
	if err != nil {
		t.Skipf("no place for Debian's packages: %v", err)
	}
	defer os.RemoveAll(tmp)
	err = build(t, tmp)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("no packages of Debian: %v", err)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// build unpacks the packages below dir and does what their scripts would, as far as
// the tests need it: a list of modules, and users.
func build(t *testing.T, dir string) error {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	s := system{root: filepath.Join(dir, "root")}
	cache := filepath.Dir(kit.Suites())
	if err := debian.Unpack(ctx, cache, s.root, func(line string) { t.Log(line) }, packages...); err != nil {
		return err
	}
	for _, pattern := range surplus {
		found, err := filepath.Glob(s.path(pattern))
		if err != nil {
			return err
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	_, version := s.kernel(t)
	qemu, err := exec.LookPath("qemu-aarch64")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, qemu, "-L", s.root, "-0", "depmod", s.path("bin/kmod"), "-b", s.root, version)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot list the modules: depmod: %w\n%s", err, out)
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"etc/group":  "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
		"etc/hosts":  "127.0.0.1 localhost\n",
	} {
		if err := os.WriteFile(s.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, mountPoint := range []string{"dev", "proc", "sys", "tmp", "run", "job", "root"} {
		if err := os.MkdirAll(s.path(mountPoint), 0o755); err != nil {
			return err
		}
	}
	out, err := exec.CommandContext(ctx, "mkfs.erofs", "--quiet", "--all-root", filepath.Join(dir, "root.erofs"), s.root).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make a disk: mkfs.erofs: %w\n%s", err, out)
	}
	return nil
}

// initrd has the early modules, in order, and the tests' init.
func (s system) initrd(t *testing.T) string {
	t.Helper()
	_, version := s.kernel(t)
	base := "lib/modules/" + version
	text, err := os.ReadFile(s.path(base + "/modules.dep"))
	if err != nil {
		t.Fatal(err)
	}
	needs := map[string]string{} // module → its line of modules.dep
	for line := range strings.Lines(string(text)) {
		file, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		name, _, _ := strings.Cut(filepath.Base(file), ".ko")
		needs[strings.ReplaceAll(name, "-", "_")] = file + " " + rest
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "lib/modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	list, order := "lib\nlib/modules\nlib/modules/load-order\n", ""
	for _, name := range early {
		files := strings.Fields(needs[name])
		if len(files) == 0 {
			t.Fatalf("the kernel has no module %s", name)
		}
		for i := len(files) - 1; i >= 0; i-- { // what is needed comes behind, the innermost last
			in := "lib/modules/" + filepath.Base(files[i])
			b, err := os.ReadFile(s.path(filepath.Join(base, files[i])))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, in), b, 0o644); err != nil {
				t.Fatal(err)
			}
			list += in + "\n"
			order += "/" + in + "\n"
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "lib/modules/load-order"), []byte(order), 0o644); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(t.TempDir(), "modules")
	cmd := exec.Command("cpio", "-o", "-H", "newc", "--quiet", "-O", archive)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(list)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot pack the modules: %v\n%s", err, out)
	}
	return kit.Joined(t, archive, kit.Initrd(t))
}
