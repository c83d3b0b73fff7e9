package boot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// cut writes the first n bytes of a file to a new one.
func cut(t *testing.T, path string, n int64) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(out, text[:n], 0o644); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatCannotBootIsRefused(t *testing.T) {
	kernel := kit.AFlavour(t, kit.Any).Kernel
	tests := []struct {
		name   string
		args   []string
		status int
		says   string
	}{
		{"a kernel that was cut off", []string{"--kernel", cut(t, kernel, 1<<20)}, 1, "truncated"},
		{"a kernel of one sector", []string{"--kernel", cut(t, kernel, 32)}, 1, "32"},
		{"a program of this host", []string{"--kernel", kit.Program("arcbox")}, 1, "ELF"},
		{"the initrd as the kernel", []string{"--kernel", kit.Initrd(t)}, 1, "cpio"},
		{"a kernel as the initrd", []string{"--kernel", kernel, "--initrd", kernel}, 1, "initrd"},
		{"too little memory", []string{"--kernel", kernel, "--memory", "1MiB"}, 1, "memory"},
		{"more memory than addresses", []string{"--kernel", kernel, "--memory", "4096TiB"}, 1, "memory"},
		{"memory of an odd size", []string{"--kernel", kernel, "--memory", "300000000"}, 1, "MiB"},
		{"more vCPUs than there can be", []string{"--kernel", kernel, "--cpus", "1000"}, 1, "CPU"},
		{"an engine of another world", []string{"--kernel", kernel, "--engine", "kvm"}, 1, "soft"},
		{"an endless command line", []string{"--kernel", kernel, "--cmdline", strings.Repeat("x ", 5000)}, 1, "command line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dtb := filepath.Join(t.TempDir(), "dtb")
			cmd := exec.Command(kit.Program("arcbox"), append([]string{"boot", "--timeout", "20s", "--dtb-out", dtb}, tt.args...)...)
			finish(t, cmd).want(t, tt.status, tt.says)
			if _, err := os.Stat(dtb); err == nil {
				t.Error("a device tree was written for a machine that never was")
			}
		})
	}
}

func TestDeviceTreeIsWhatTheGuestGets(t *testing.T) {
	dtb := filepath.Join(t.TempDir(), "dtb")
	finish(t, start(t, kit.AFlavour(t, kit.Any), "poweroff", "--cpus", "3", "--memory", "384MiB", "--dtb-out", dtb)).want(t, 0)
	out, err := exec.Command("dtc", "-q", "-I", "dtb", "-O", "dts", dtb).CombinedOutput()
	if err != nil {
		t.Fatalf("dtc: %v: %s", err, out)
	}
	for _, node := range []string{"cpu@2", "arm,gic-v3", "virtio,mmio", "qemu,pvpanic-mmio", "arm,pl011", "stdout-path", "rng-seed"} {
		if !strings.Contains(string(out), node) {
			t.Errorf("the device tree has no %s", node)
		}
	}
}
