package machine

import (
	"slices"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

func anAsset(id string) *boot.Asset {
	return &boot.Asset{ID: id, Dir: "/assets/" + id, Manifest: &boot.Manifest{
		Cmdline: "console=hvc0 root=/dev/vda",
		Files:   []boot.File{{Name: boot.KernelName}, {Name: boot.InitrdName}, {Name: boot.RootName}, {Name: boot.EmulatorName}},
	}}
}

func TestWhatAMachineIsMadeOf(t *testing.T) {
	conf := Settings{CPUs: 2, Memory: 1 << 30, Disk: 5, Backend: "soft", Cmdline: "all", Room: 1 << 40}
	tests := []struct {
		name                   string
		spec                   agentapi.Spec
		cpus                   int
		kernel, cmdline, disks string
	}{
		{"as configured", agentapi.Spec{Name: "default"}, 2, "/assets/1/Image", "console=hvc0 root=/dev/vda all arcbox.agent=1 arcbox.net=192.168.127.2/24,192.168.127.1 arcbox.net6=fd5a:94ef:e40c::2/64,fd5a:94ef:e40c::1,5a:94:ef:e4:0c:dd arcbox.room=1099511627776 earlycon", "/assets/1/root.erofs,ro /data/docker.img"},
		{"as asked", agentapi.Spec{Name: "a", CPUs: 4, Kernel: "/k", Cmdline: "mine", Disks: []string{"/x,ro"}}, 4, "/k",
			"console=hvc0 root=/dev/vda all arcbox.agent=1 arcbox.net=192.168.127.2/24,192.168.127.1 arcbox.net6=fd5a:94ef:e40c::2/64,fd5a:94ef:e40c::1,5a:94:ef:e4:0c:dd arcbox.room=1099511627776 mine earlycon", "/assets/1/root.erofs,ro /data/a.img /x,ro"},
		{"any program, as configured", agentapi.Spec{Name: "b", Disks: []string{"/x,ro"}}, 2, "/assets/1/Image",
			"console=hvc0 root=/dev/vda all arcbox.agent=1 arcbox.net=192.168.127.2/24,192.168.127.1 arcbox.net6=fd5a:94ef:e40c::2/64,fd5a:94ef:e40c::1,5a:94:ef:e4:0c:dd arcbox.room=1099511627776 arcbox.emulate=x86-64 earlycon", "/assets/1/root.erofs,ro /data/b.img /x,ro /assets/1/x86-64.erofs,ro"},
		{"another role", agentapi.Spec{Name: "rosetta", Role: RoleRosetta}, 2, "/assets/1/Image",
			"console=hvc0 root=/dev/vda all arcbox.agent=1 arcbox.net=192.168.127.2/24,192.168.127.1 arcbox.net6=fd5a:94ef:e40c::2/64,fd5a:94ef:e40c::1,5a:94:ef:e4:0c:dd arcbox.room=1099511627776 arcbox.emulate=x86-64 earlycon", "/assets/1/root.erofs,ro /data/docker-rosetta.img /assets/1/x86-64.erofs,ro"},
	}
	for _, tt := range tests {
		conf := conf
		conf.X8664 = tt.name == "any program, as configured"
		r, err := desire(aRecord(t, tt.spec, 3), conf, anAsset("1"))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if r.CPUs != tt.cpus || r.Memory != 1<<30 || r.Kernel != tt.kernel || r.Cmdline != tt.cmdline || strings.Join(r.Disks, " ") != tt.disks || r.Backend != "soft" {
			t.Errorf("%s: made of %+v", tt.name, r)
		}
	}
}

func TestWhatIsDrift(t *testing.T) {
	conf := Settings{CPUs: 2, Memory: 1 << 30}
	is, err := desire(aRecord(t, agentapi.Spec{Name: "default", Memory: 2 << 30}, 3), conf, anAsset("1"))
	if err != nil {
		t.Fatal(err)
	}
	fields := func(conf Settings, asset *boot.Asset) string {
		shall, err := desire(is, conf, asset)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, c := range drift(is, shall) {
			all = append(all, c.Field)
		}
		return strings.Join(all, " ")
	}
	tests := []struct {
		name  string
		conf  Settings
		asset *boot.Asset
		want  string
	}{
		{"nothing", conf, anAsset("1"), ""},
		{"what was asked for by name", Settings{CPUs: 2, Memory: 4 << 30}, anAsset("1"), ""},
		{"CPUs and backend", Settings{CPUs: 3, Memory: 1, Backend: "soft"}, anAsset("1"), "cpus backend"},
		{"the command line", Settings{CPUs: 2, Cmdline: "x"}, anAsset("1"), "cmdline"},
		{"another asset", conf, anAsset("2"), "kernel initrd vda"},
		{"another kernel", Settings{CPUs: 2, Kernel: "/k"}, anAsset("1"), "kernel"},
	}
	for _, tt := range tests {
		if got := fields(tt.conf, tt.asset); got != tt.want {
			t.Errorf("%s: %q differ, want %q", tt.name, got, tt.want)
		}
	}
	if got := drift(is, is.clone()); !slices.Equal(got, nil) {
		t.Errorf("a machine differs from itself: %v", got)
	}
}

func TestTheBalloonLeavesWhatAGuestNeeds(t *testing.T) {
	const mib = 1 << 20
	tests := []struct {
		name                                             string
		taken, size, needed, available, reserve, squeeze uint64
	}{
		{"one step", 0, 1024 * mib, 200 * mib, 800 * mib, 128 * mib, 64 * mib},
		{"up to what it needs", 640 * mib, 1024 * mib, 200 * mib, 400 * mib, 128 * mib, 696 * mib},
		{"no more than is available", 0, 1024 * mib, 200 * mib, 130 * mib, 128 * mib, 2 * mib},
		{"nothing available", 64 * mib, 1024 * mib, 200 * mib, 10 * mib, 128 * mib, 64 * mib},
		{"it needs more than there is", 0, 512 * mib, 1 << 62, 400 * mib, 128 * mib, 0},
		{"it says nothing", 0, 512 * mib, 0, 0, 128 * mib, 0},
		{"no overflow", 0, 512 * mib, 1<<64 - 1, 1<<64 - 1, 1<<64 - 1, 0},
	}
	for _, tt := range tests {
		if got := squeezed(tt.taken, tt.size, tt.needed, tt.available, tt.reserve); got != tt.squeeze {
			t.Errorf("%s: %d MiB, want %d", tt.name, got/mib, tt.squeeze/mib)
		}
	}
}
