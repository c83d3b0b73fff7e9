package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// files makes the files that the tests below name, and returns their directory.
func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, size := range map[string]int64{"kernel": 4096, "empty": 0, "disk": 1 << 20, "odd": 1000, "tiny": 100} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "sealed"), make([]byte, 512), 0o444); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestBadBootRequests(t *testing.T) {
	t.Chdir(files(t))
	t.Setenv("ARCBOX_HOME", t.TempDir())
	t.Setenv("ARCBOX_ASSETS", t.TempDir())
	tests := []struct {
		name   string
		args   string
		status int
		says   string
	}{
		{"no kernel", "", exitUsage, "--kernel"},
		{"kernel and asset", "--kernel kernel --asset debian", exitUsage, "--asset"},
		{"asset that is not there", "--asset arcbox", exitUsage, "assets fetch"},
		{"kernel that is not there", "--kernel nowhere", exitError, "no such file"},
		{"kernel that is a directory", "--kernel .", exitError, "not a regular file"},
		{"empty kernel", "--kernel empty", exitError, "empty"},
		{"no vCPUs", "--kernel kernel --cpus 0", exitUsage, "at least 1"},
		{"memory that is no size", "--kernel kernel --memory lots", exitUsage, "memory"},
		{"negative memory", "--kernel kernel --memory=-1", exitUsage, "memory"},
		{"unknown console", "--kernel kernel --console tty7", exitUsage, "hvc0 or ttyAMA0"},
		{"missing initrd", "--kernel kernel --initrd nowhere", exitError, "initrd"},
		{"missing disk", "--kernel kernel --disk nowhere", exitError, "no such file"},
		{"disk smaller than a sector", "--kernel kernel --disk tiny", exitError, "100 bytes"},
		{"disk of half a sector", "--kernel kernel --disk odd", exitError, "1000 bytes"},
		{"read-only disk to be written", "--kernel kernel --disk sealed", exitError, "add ,ro"},
		{"one disk twice", "--kernel kernel --disk disk --disk disk", exitError, "another VM"},
		{"disk written and read", "--kernel kernel --disk disk,ro --disk disk", exitError, "another VM"},
		{"a log recorded where it is replayed", "--kernel kernel --deterministic --record disk --replay ./disk", exitUsage, "another file"},
		{"a log that is not there", "--kernel kernel --deterministic --record new --replay nowhere", exitError, "no such file"},
		{"how to trace without what", "--kernel kernel --trace-range 1-2", exitUsage, "--trace"},
		{"trace of a range that is none", "--kernel kernel --trace exec --trace-range 2-1", exitUsage, "LOW-HIGH"},
		{"trace of a window that is none", "--kernel kernel --trace exec --trace-window x", exitUsage, "FIRST-LAST"},
		{"trace of EL2", "--kernel kernel --trace exec --trace-el 2", exitUsage, "0 and 1"},
		{"trace to a directory", "--kernel kernel --trace exec --trace-out .", exitError, "trace"},
		{"gdb for the whole network", "--kernel kernel --gdb 0.0.0.0:1234", exitError, "only this computer"},
		{"gdb in place of a file", "--kernel kernel --gdb disk", exitError, "no socket"},
		{"gdb where no directory is", "--kernel kernel --gdb nowhere/gdb", exitError, "no such file"},
		{"words that mean nothing", "kernel", exitUsage, "takes no arguments"},
		{"unknown flag", "--kernal kernel", exitUsage, "--kernal"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := newRoot()
			root.SetArgs(append([]string{"boot"}, strings.Fields(tt.args)...))
			err := root.Execute()
			status := exitError
			var s *statusError
			if errors.As(err, &s) {
				status = s.status
			}
			if err == nil || status != tt.status || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("arcbox boot %s: status %d, %v; want %d and a text with %q", tt.args, status, err, tt.status, tt.says)
			}
		})
	}
	if info, err := os.Stat("disk"); err != nil || info.Size() != 1<<20 {
		t.Errorf("what was to be replayed is gone: %v", err)
	}
	if _, err := os.Stat("new"); err == nil {
		t.Error("a log was made for a machine that never was")
	}
}

func TestRefusalsOfTheVMNameTheFile(t *testing.T) {
	f := bootFlags{kernel: "dir/Image", initrd: "dir/initrd"}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a kernel", ipc.Errorf(vmapi.BadKernel, "cannot use the kernel: it is short"), "cannot boot dir/Image: cannot use the kernel: it is short"},
		{"an initrd", ipc.Errorf(vmapi.BadInitrd, "cannot use the initrd: it is short"), "cannot boot with dir/initrd: cannot use the initrd: it is short"},
		{"what is no file", ipc.Errorf(ipc.BadRequest, "cannot use engine kvm"), "cannot use engine kvm"},
		{"a VM that died", ipc.ErrInterrupted, "the VM process died: the connection was interrupted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := f.bootError(t.Context(), tt.err); got.Error() != tt.want || !errors.Is(got, tt.err) {
				t.Errorf("says %q, want %q", got, tt.want)
			}
		})
	}
}

func TestManyMayReadOneDisk(t *testing.T) {
	t.Chdir(files(t))
	f := bootFlags{kernel: "kernel", cpus: 1, memory: "64MiB", console: "hvc0", disks: []string{"disk,ro", "disk,ro"}}
	req, err := f.request()
	defer req.Close()
	if err != nil || len(req.Disks) != 2 {
		t.Errorf("two readers of one image: %v", err)
	}
}

func TestExitStatusSaysHowTheGuestEnded(t *testing.T) {
	tests := []struct {
		name   string
		end    vmapi.WaitResp
		cause  error
		status int // 0 for no error
	}{
		{"power off", vmapi.WaitResp{Outcome: vmapi.PowerOff}, nil, 0},
		{"reset", vmapi.WaitResp{Outcome: vmapi.Reset}, nil, exitReset},
		{"panic", vmapi.WaitResp{Outcome: vmapi.Panic}, nil, exitPanic},
		{"fault", vmapi.WaitResp{Outcome: vmapi.Fault}, nil, exitPanic},
		{"stopped by the clock", vmapi.WaitResp{Outcome: vmapi.Stopped}, errTimeout, exitTimeout},
		{"stopped by Ctrl-A x", vmapi.WaitResp{Outcome: vmapi.Stopped}, errLeft, 0},
		{"stopped by something else", vmapi.WaitResp{Outcome: vmapi.Stopped}, nil, exitError},
		{"power off while the clock struck", vmapi.WaitResp{Outcome: vmapi.PowerOff}, errTimeout, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := report((&bootFlags{}).verdict(&tt.end, tt.cause)); got != tt.status {
				t.Errorf("outcome %s, cause %v: exit %d, want %d", tt.end.Outcome, tt.cause, got, tt.status)
			}
		})
	}
}
