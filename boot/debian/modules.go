package debian

import (
	"bytes"
	"context"
	"debug/elf"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// bootModules are the drivers that Debian's cloud kernel has as modules and a
// guest needs. Those they depend on come by themselves. A module after the
// console's finds hvc0 at work.
var bootModules = []string{
	"virtio_mmio", "virtio_blk", "erofs", "virtio_console", "vmw_vsock_virtio_transport",
	"virtio_balloon", "virtio_rng", "virtio_net", "overlay",
}

// btrfsModules are what a guest loads besides when its data disk is a Btrfs: at every boot it
// would cost a second, in which RAID's parity is measured. They are a third of what the initramfs would be.
var btrfsModules = []string{"btrfs"}

// emulatorModules are what a guest loads besides when it is to run programs of other processors.
var emulatorModules = []string{"binfmt_misc"}

// moduleName is the name that a module file has inside the kernel.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// isModule tells module files, compressed or not, from others.
func isModule(file string) bool {
	return strings.HasSuffix(file, ".ko") || strings.HasSuffix(file, ".ko.xz")
}

// A module is a loadable module's object file and its path in the guest.
type module struct {
	path string
	data []byte
}

// orderModules picks the wanted modules out of a kernel package with all they
// depend on, and puts each after those it needs. What depmod writes into
// modules.dep at installation it reads where depmod does: in the modules.
func orderModules(ctx context.Context, t tree, wanted []string) ([]module, error) {
	o := order{files: map[string]string{}, state: map[string]state{}, tree: t}
	for _, name := range t.names() {
		if isModule(name) {
			o.files[moduleName(name)] = name
		}
	}
	for _, name := range wanted {
		if err := o.add(ctx, name); err != nil {
			return nil, err
		}
	}
	return o.modules, nil
}

// A state is how far a module has come in the depth-first walk.
type state int

const (
	unseen state = iota
	entered
	placed
)

// An order is the walk over the dependencies.
type order struct {
	tree    tree
	files   map[string]string // module name → path
	state   map[string]state
	modules []module
}

func (o *order) add(ctx context.Context, name string) error {
	switch o.state[name] {
	case placed:
		return nil
	case entered:
		return fmt.Errorf("cannot order the modules: %s depends on itself", name)
	}
	o.state[name] = entered
	file, ok := o.files[name]
	if !ok {
		return fmt.Errorf("cannot find the module %s in the kernel package", name)
	}
	data, err := unxz(ctx, file, o.tree[file].data)
	if err != nil {
		return err
	}
	needs, err := depends(data)
	if err != nil {
		return fmt.Errorf("cannot read the module %s: %w", file, err)
	}
	for _, need := range needs {
		if err := o.add(ctx, need); err != nil {
			return err
		}
	}
	if data, err = lean(data); err != nil {
		return fmt.Errorf("cannot read the module %s: %w", file, err)
	}
	o.state[name] = placed
	o.modules = append(o.modules, module{strings.TrimSuffix(file, ".xz"), data})
	return nil
}

// unxz decompresses what is named .xz: in the guest it would cost 700 million
// instructions.
func unxz(ctx context.Context, name string, data []byte) ([]byte, error) {
	if !strings.HasSuffix(name, ".xz") {
		return data, nil
	}
	cmd := exec.CommandContext(ctx, "xz", "-dc")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("cannot decompress %s: %w", name, err)
	}
	return out, nil
}

// depends reads the names of the modules that a module needs: the words after
// "depends=" in its section .modinfo, which is NUL-separated text.
func depends(object []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	if f.Machine != elf.EM_AARCH64 {
		return nil, fmt.Errorf("it is for %v", f.Machine)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("it has no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for field := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
