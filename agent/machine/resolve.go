package machine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
)

// desire fills in what the machine of record r shall be made of: what was asked for by name, else what is configured,
// else the boot asset's. It is the one place that says so, for making machines and for comparing them. A nil asset leaves
// the files as they are.
func desire(r *Record, s Settings, asset *boot.Asset) (*Record, error) {
	d := r.clone()
	a := &r.Asked
	d.CPUs, d.Memory, d.Disk, d.Backend = either(a.CPUs, s.CPUs), either(a.Memory, s.Memory), either(a.Disk, s.Disk), either(a.Backend, s.Backend)
	if asset == nil {
		return d, nil
	}
	d.Asset, d.Initrd = asset.ID, asset.Path(boot.InitrdName)
	d.Kernel = either(a.Kernel, either(s.Kernel, asset.Path(boot.KernelName)))
	more := []string{s.Cmdline, guestapi.AgentParam, netParam}
	if s.Room > 0 {
		more = append(more, guestapi.RoomParam+strconv.FormatInt(s.Room, 10))
	}
	emulator := asset.Path(boot.EmulatorName)
	emulates := r.Role == RoleRosetta || s.X8664 && emulator != ""
	if emulates {
		more = append(more, guestapi.EmulateParam)
	}
	line, err := boot.Cmdline(asset.Manifest.Cmdline, strings.TrimSpace(strings.Join(append(more, a.Cmdline), " ")), 0)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve the boot of %s: %w", r.Name, err)
	}
	root := asset.Path(boot.RootName)
	if root == "" {
		return nil, fmt.Errorf("cannot resolve the boot of %s: the boot asset %s has no %s", r.Name, asset.ID, boot.RootName)
	}
	d.Cmdline = line
	d.Disks = append([]string{root + readOnlyMark, r.Data}, a.Disks...)
	if emulates && emulator != "" { // behind the others, which keep their names
		d.Disks = append(d.Disks, emulator+readOnlyMark)
	}
	if docker := asset.Path(boot.DockerName); docker != "" {
		d.Disks = append(d.Disks, docker+readOnlyMark)
	}
	return d, nil
}

// netParam tells the guest what it is in the network that arcbox-net plays.
const netParam = guestapi.NetParam + netapi.GuestAddress + "," + netapi.GatewayAddress + " " +
	guestapi.Net6Param + netapi.GuestAddress6 + "," + netapi.GatewayAddress6 + "," + netapi.GatewayMAC

const readOnlyMark = ",ro"

func either[T comparable](v, otherwise T) T {
	def(&v, otherwise)
	return v
}

// drift is how a machine differs from what it shall be.
func drift(is, shall *Record) []agentapi.Change {
	var changes []agentapi.Change
	add := func(field, from, to string) {
		if from != to {
			changes = append(changes, agentapi.Change{Field: field, From: from, To: to})
		}
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	add("cpus", strconv.Itoa(is.CPUs), strconv.Itoa(shall.CPUs))
	add("memory", number(is.Memory), number(shall.Memory))
	add("disk", strconv.FormatInt(is.Disk, 10), strconv.FormatInt(shall.Disk, 10))
	add("backend", is.Backend, shall.Backend)
	add("kernel", is.Kernel, shall.Kernel)
	add("initrd", is.Initrd, shall.Initrd)
	add("cmdline", is.Cmdline, shall.Cmdline)
	for i := range max(len(is.Disks), len(shall.Disks)) {
		add("vd"+string(rune('a'+i)), at(is.Disks, i), at(shall.Disks, i))
	}
	return changes
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// asset is what a machine boots from, without a network.
func (m *Manager) asset(s Settings) (*boot.Asset, error) {
	if m.opts.Library == nil {
		return nil, fmt.Errorf("cannot find a boot asset: %w", boot.ErrNotFound)
	}
	a, err := m.opts.Library.Find(s.Asset)
	if err == nil && a.Damage != nil {
		err = fmt.Errorf("the boot asset %s is damaged: %w", a.ID, a.Damage)
	}
	return a, err
}

// assetFor is asset, fetched if there is none; fetching is told when that begins and ends.
func (m *Manager) assetFor(ctx context.Context, s Settings, fetching func(on bool)) (*boot.Asset, error) {
	a, err := m.asset(s)
	if err == nil || m.opts.Fetch == nil || !errors.Is(err, boot.ErrNotFound) && !errors.Is(err, boot.ErrDamaged) {
		return a, err
	}
	fetching(true)
	defer fetching(false)
	return m.opts.Fetch(ctx)
}
