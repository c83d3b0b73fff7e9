// Package debian builds boot assets on a Debian machine from Debian's own
// arm64 packages, without touching the host's package state: apt works in a
// directory of its own, and packages are unpacked, never installed.
//
// There are two flavours. Debian is the cloud kernel, but for a word, with an initramfs of
// our init and the modules a guest needs. ArcBox is our own kernel with
// everything built in, which package kernel compiles. Both share a root: a
// read-only EROFS image of busybox, our init, e2fsprogs, btrfs-progs and fstrim;
// a disk with what runs x86-64 programs; and one with Docker.
//
// The same packages and the same init give the same bytes. What was used is
// recorded with the product.
//
// It needs apt-get, dpkg-deb, mkfs.erofs and, for compressed modules, xz.
package debian

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/boot/debian/internal/cpio"
	"github.com/arcboxlabs/arcbox-go/boot/debian/kernel"
)

// Suite is the release of Debian that assets are built from.
const Suite = "bookworm"

// kernelMeta is the package that names the current cloud kernel.
const kernelMeta = "linux-image-cloud-arm64"

// revision changes whenever the same packages give another product.
const revision = 9

// Command lines that go with the kernels. panic=-1 resets at once after a
// panic. There is one console: a second one would have all that earlycon has printed once more, and each line twice, two accesses
// a byte. What is blacklisted or switched off in Debian's kernel costs 730
// million instructions at boot and does nothing for a guest: self-tests, keys,
// the tracer's files, 60 million of them, the files of the allocator's caches, and what has
// the kernel parse the types that it keeps for BPF, 40 million: without CUBIC, one of those, TCP
// has Reno, which does as well where all connections end in arcbox-net, beside the guest.
//
// rodata=on lets the kernel map all memory in blocks of 2 MiB: its own code and constants are
// read-only all the same, but not where that memory shows a second time, for which every page of
// the guest would have an entry of its own (the default, full). cma=0 sets nothing aside for
// devices that need memory in one piece, of which there are none.
const (
	rootArgs      = "console=hvc0 root=/dev/vda ro rootfstype=erofs init=/sbin/arcbox-guest panic=-1"
	debianCmdline = rootArgs + " nokaslr kpti=off rodata=on cma=0 cryptomgr.notests initcall_blacklist=load_system_certificate_list," +
		"jent_mod_init,bpf_tcp_ca_kfunc_init,bpf_dummy_struct_ops_init,init_kprobe_trace,init_blk_tracer,bpf_prog_test_run_init," +
		"cubictcp_register,kfunc_init,bpf_key_sig_kfuncs_init,bpf_rstat_kfunc_init,trace_eval_init,trace_eval_sync,tracer_init_tracefs," +
		"blake2s_mod_init,slab_sysfs_init"
	arcboxCmdline = rootArgs
)

// A Builder makes assets of one flavour; it is a boot.Builder. One goroutine
// uses it.
type Builder struct {
	flavour, cache, guest string
}

// New makes a builder of a flavour, boot.FlavourDebian or boot.FlavourArcBox.
// cache is a directory for downloads and kernels that all builds of a machine
// share; guest is the path of arcbox-guest, a static linux/arm64 program.
func New(flavour, cache, guest string) (*Builder, error) {
	if flavour != boot.FlavourDebian && flavour != boot.FlavourArcBox {
		return nil, fmt.Errorf("cannot build the flavour %q: there are %s and %s", flavour, boot.FlavourDebian, boot.FlavourArcBox)
	}
	cache, err := filepath.Abs(cache) // apt's configuration has no working directory
	if err != nil {
		return nil, fmt.Errorf("cannot build assets: %w", err)
	}
	return &Builder{flavour, cache, guest}, nil
}

// Flavour says what is built.
func (b *Builder) Flavour() string { return b.flavour }

// A progress is told what a build is at, line by line.
type progress func(format string, args ...any)

// A product is what has been made so far.
type product struct {
	boot.Built
	modules map[string][]module // by what they are for; none where the kernel has them built in
}

// Build makes the assets in the directory dst, which must exist and be empty.
// It needs the network unless the packages are in the cache, and minutes if it
// has to compile a kernel. Builds with one cache wait for each other.
func (b *Builder) Build(ctx context.Context, dst string, tell func(line string)) (boot.Built, error) {
	say := func(format string, args ...any) { tell(fmt.Sprintf(format, args...)) }
	init, err := b.init()
	if err != nil {
		return boot.Built{}, err
	}
	p := product{Built: boot.Built{Packages: map[string]string{}}}
	in, err := b.collect(ctx, &p, dst, say)
	if err != nil {
		return boot.Built{}, err
	}
	if b.flavour == boot.FlavourArcBox {
		err = b.addOwnKernel(ctx, &p, in.source, dst, say)
	} else {
		err = p.addDebianKernel(ctx, in.kernelPackage, in.kernel, init, dst, say)
	}
	if err != nil {
		return boot.Built{}, err
	}
	if err := p.addRoot(ctx, in.root, init, dst, say); err != nil {
		return boot.Built{}, err
	}
	if err := p.addEmulator(ctx, in.emulator, dst, say); err != nil {
		return boot.Built{}, err
	}
	return p.Built, nil
}

// ingredients are what Debian's archive gives to a build.
type ingredients struct {
	root          tree
	emulator      tree
	kernelPackage string         // of the Debian flavour
	kernel        tree           // of the Debian flavour
	source        *kernel.Source // of the ArcBox flavour; nil when a kernel is in the cache
}

// collect downloads and unpacks what a build needs. Docker's packages, which are many and large, become a disk at once.
func (b *Builder) collect(ctx context.Context, p *product, dst string, say progress) (in ingredients, err error) {
	a, err := openApt(ctx, filepath.Join(b.cache, "apt", Suite), Suite)
	if err != nil {
		return in, err
	}
	defer a.close()
	if err := a.update(ctx, listsAge, say); err != nil {
		return in, err
	}
	if b.flavour == boot.FlavourArcBox {
		in.source, err = kernelSource(ctx, a, b.cache, say)
	} else {
		in.kernelPackage, in.kernel, err = p.unpackKernel(ctx, a, say)
	}
	if err != nil {
		return in, err
	}
	in.root, err = p.unpack(ctx, a, say, func(name string) bool {
		return strings.HasPrefix(name, "usr/bin/") || strings.HasPrefix(name, "usr/sbin/") ||
			strings.HasPrefix(name, "usr/lib/") || name == "etc/mke2fs.conf"
	}, rootPackages...)
	if err != nil {
		return in, err
	}
	in.emulator, err = p.unpack(ctx, a, say, func(name string) bool { return name == "usr/bin/"+emulator }, emulatorPackage)
	if err != nil {
		return in, err
	}
	debs, err := a.get(ctx, say, dockerPackages...)
	if err != nil {
		return in, err
	}
	return in, b.addDocker(ctx, p, debs, a, dst, say)
}

// Programs for x86-64 are run by QEMU's user mode, which is on a disk of its own: it would nearly double the root, and few
// machines want it.
const (
	emulatorPackage = "qemu-user-static"
	emulator        = "qemu-x86_64-static"
)

// addEmulator makes the disk of the emulator.
func (p *product) addEmulator(ctx context.Context, packages tree, dst string, say progress) error {
	say("making the disk for x86-64 programs")
	n, ok := packages["usr/bin/"+emulator]
	if !ok {
		return fmt.Errorf("cannot find %s in %s", emulator, emulatorPackage)
	}
	p.Files = append(p.Files, boot.EmulatorName)
	return makeEROFS(ctx, tree{emulator: n}, emulatorUUID, filepath.Join(dst, boot.EmulatorName))
}

// Key names the inputs of a build, as far as they are known without the
// network: a product with the same key need not be built again.
func (b *Builder) Key() (string, error) {
	init, err := b.init()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, revision, b.flavour, Suite, kernelMeta, rootPackages, rootPrograms, applets, sbinApplets, bootModules, btrfsModules, emulatorModules, emulatorPackage,
		dockerPackages, dockerPrograms, dockerModules, dockerLinks, dockerFiles)
	fmt.Fprintln(h, debianCmdline, arcboxCmdline)
	if b.flavour == boot.FlavourArcBox {
		fmt.Fprintln(h, kernel.Digest())
	}
	h.Write(init)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

// init reads our init and refuses one that could not run as such.
func (b *Builder) init() ([]byte, error) {
	data, err := os.ReadFile(b.guest)
	if err != nil {
		return nil, fmt.Errorf("cannot read the guest's init: %w; build it with make", err)
	}
	if !bytes.HasPrefix(data, []byte("\x7fELF")) {
		return nil, fmt.Errorf("cannot use %s as the guest's init: it is no ELF program", b.guest)
	}
	needs, err := needed(data)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s as the guest's init: %w", b.guest, err)
	}
	if len(needs) > 0 {
		return nil, fmt.Errorf("cannot use %s as the guest's init: it is not static; build it with CGO_ENABLED=0", b.guest)
	}
	return data, nil
}

// kernelSource fetches the source of our own kernel, unless the kernel itself
// is in the cache.
func kernelSource(ctx context.Context, a *apt, cache string, say progress) (*kernel.Source, error) {
	if _, err := kernel.Find(cache); err == nil {
		return nil, nil
	}
	debs, err := a.get(ctx, say, kernel.Package)
	if err != nil {
		return nil, err
	}
	return &kernel.Source{Deb: a.path(debs[0]), Version: debs[0].Version, SHA256: debs[0].SHA256}, nil
}

// addOwnKernel takes our own kernel from the cache, compiled first if a source
// is given.
func (b *Builder) addOwnKernel(ctx context.Context, p *product, source *kernel.Source, dst string, say progress) error {
	found, err := b.ownKernel(ctx, source, say)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(found.Image)
	if err != nil {
		return fmt.Errorf("cannot read our own kernel: %w", err)
	}
	p.KernelVersion, p.Cmdline = found.Version, arcboxCmdline
	p.Packages[found.Source] = found.SourceSHA256
	return p.write(dst, boot.KernelName, image)
}

func (b *Builder) ownKernel(ctx context.Context, source *kernel.Source, say progress) (kernel.Kernel, error) {
	if source == nil {
		return kernel.Find(b.cache)
	}
	lock, err := lockFile(ctx, filepath.Join(b.cache, "kernel.lock"))
	if err != nil {
		return kernel.Kernel{}, err
	}
	defer lock.Close()
	return kernel.Build(ctx, b.cache, *source, say)
}

// unpackKernel unpacks the current cloud kernel and names its package.
func (p *product) unpackKernel(ctx context.Context, a *apt, say progress) (string, tree, error) {
	name, err := a.kernelPackage(ctx, kernelMeta)
	if err != nil {
		return "", nil, err
	}
	files, err := p.unpack(ctx, a, say, func(name string) bool {
		return strings.HasPrefix(name, "boot/vmlinuz-") || isModule(name)
	}, name)
	return name, files, err
}

// addDebianKernel takes the kernel out of its package's files and makes its
// initramfs.
func (p *product) addDebianKernel(ctx context.Context, name string, files tree, init []byte, dst string, say progress) error {
	p.KernelVersion, p.Cmdline = strings.TrimPrefix(name, "linux-image-"), debianCmdline
	image, ok := files["boot/vmlinuz-"+p.KernelVersion]
	if !ok {
		return fmt.Errorf("cannot find the kernel in %s", name)
	}
	kernel, err := leanKernel(image.data)
	if err != nil {
		say("the kernel stays as it is, and boots slower: %v", err)
		kernel = image.data
	}
	if err := p.write(dst, boot.KernelName, kernel); err != nil {
		return err
	}
	say("making the initramfs")
	modules, err := orderModules(ctx, files, bootModules)
	if err != nil {
		return err
	}
	order := func(more []string) ([]module, error) {
		all, err := orderModules(ctx, files, slices.Concat(bootModules, more)) // begins with the same
		if err != nil {
			return nil, err
		}
		return all[len(modules):], nil
	}
	p.modules = map[string][]module{}
	for use, more := range map[string][]string{btrfsList: btrfsModules, emulatorList: emulatorModules, dockerList: dockerModules} {
		if p.modules[use], err = order(more); err != nil {
			return err
		}
	}
	var initrd bytes.Buffer
	if err := cpio.Write(&initrd, initramfs(init, modules)); err != nil {
		return err
	}
	return p.write(dst, boot.InitrdName, initrd.Bytes())
}

// initramfs is our init, the modules of every boot, and the list in whose order it loads them: the kernel copies all of it
// before init runs. /dev/console is what the kernel opens for init before anything is mounted.
func initramfs(init []byte, modules []module) []cpio.Entry {
	entries := []cpio.Entry{
		{Name: "dev", Mode: cpio.Dir | 0o755},
		{Name: "dev/console", Mode: cpio.CharDev | 0o600, Major: 5, Minor: 1},
		{Name: "dev/null", Mode: cpio.CharDev | 0o666, Major: 1, Minor: 3},
		{Name: "init", Mode: cpio.Regular | 0o755, Data: init},
		{Name: "lib", Mode: cpio.Dir | 0o755},
		{Name: "lib/modules", Mode: cpio.Dir | 0o755},
	}
	var list strings.Builder
	for _, m := range modules {
		name := "lib/modules/" + path.Base(m.path)
		entries = append(entries, cpio.Entry{Name: name, Mode: cpio.Regular | 0o644, Data: m.data})
		fmt.Fprintf(&list, "/%s\n", name)
	}
	return append(entries, cpio.Entry{Name: "lib/modules/load-order", Mode: cpio.Regular | 0o644, Data: []byte(list.String())})
}

// addRoot makes the root file system.
func (p *product) addRoot(ctx context.Context, packages tree, init []byte, dst string, say progress) error {
	say("making the root file system")
	root, err := rootTree(packages, init, p.modules)
	if err != nil {
		return err
	}
	p.Files = append(p.Files, boot.RootName)
	return makeEROFS(ctx, root, rootUUID, filepath.Join(dst, boot.RootName))
}

// unpack fetches packages and takes what is wanted out of them.
func (p *product) unpack(ctx context.Context, a *apt, say progress, want func(string) bool, names ...string) (tree, error) {
	debs, err := a.get(ctx, say, names...)
	if err != nil {
		return nil, err
	}
	files := tree{}
	for _, d := range debs {
		if err := files.addDeb(ctx, a.path(d), want); err != nil {
			return nil, err
		}
		p.Packages[d.File] = d.SHA256
	}
	return files, nil
}

func (p *product) write(dst, name string, data []byte) error {
	p.Files = append(p.Files, name)
	if err := os.WriteFile(filepath.Join(dst, name), data, 0o644); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return nil
}
