package vm_test

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestFourCPUsLoadFourQueues(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	req.CPUs = 4
	req.Disks = []vmapi.Disk{{Image: attach(t, &req.Files, image(t, t.TempDir(), 64<<20), os.O_RDWR)}}
	v.boot(t, req)
	sh := v.up(t)
	before := queues(t, v, "vda")
	if cpus := sh.do(t, "storm vda %d 1", kit.Rounds(200, 20000)); cpus != "4" {
		t.Errorf("%s CPUs were at work", cpus)
	}
	after := queues(t, v, "vda")
	if len(after) != 4 {
		t.Fatalf("%d queues", len(after))
	}
	for i, q := range after {
		if n := q.Notified - before[i].Notified; n < 50 {
			t.Errorf("queue %d was notified %d times", i, n)
		}
	}
	if d := v.disk(t, 0); d.Errors != 0 || d.Flushes == 0 || d.Syncs > d.Flushes {
		t.Errorf("%+v", d)
	}
}

// queues are those of a device.
func queues(t *testing.T, v *vm, device string) []vmapi.QueueStats {
	t.Helper()
	for _, d := range ask(t, v, vmapi.Stats, &vmapi.StatsReq{}).Devices {
		if d.Name == device {
			return d.Queues
		}
	}
	t.Fatalf("there is no %s", device)
	return nil
}

func TestTrimGivesBlocksBackToTheHost(t *testing.T) {
	const mib = 48
	var paths []string
	v := launch(t)
	req := v.withBtrfs(t)
	for _, mkfs := range [][]string{{"mkfs.ext4", "-q"}, {"mkfs.btrfs", "-q"}} {
		path := image(t, t.TempDir(), 160<<20)
		if out, err := exec.Command(mkfs[0], append(mkfs[1:], path)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", mkfs, err, out)
		}
		paths = append(paths, path)
		req.Disks = append(req.Disks, vmapi.Disk{Image: attach(t, &req.Files, path, os.O_RDWR)})
	}
	v.boot(t, req)
	sh := v.up(t)
	for i, fs := range []string{"ext4", "btrfs"} {
		t.Run(fs, func(t *testing.T) {
			empty := allocated(t, paths[i])
			sh.do(t, "store %s vd%c %d", fs, 'a'+i, mib)
			full := allocated(t, paths[i])
			trimmed, _ := strconv.ParseInt(sh.do(t, "trim %s", fs), 10, 64)
			after := allocated(t, paths[i])
			t.Logf("MiB of the host: %d empty, %d with a file of %d, %d after fstrim, which named %d", empty>>20, full>>20, mib, after>>20, trimmed>>20)
			const most = mib * 9 / 10 << 20 // what was empty before was not all needed
			if full-empty < most || full-after < most || trimmed < most {
				t.Errorf("a file of %d MiB took %d MiB of the host, and %d came back", mib, (full-empty)>>20, (full-after)>>20)
			}
		})
	}
}

// allocated is how many bytes of the host an image takes.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	f, err := file.Open(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Descriptor().Sync(); err != nil { // so that nothing is allocated later
		t.Fatal(err)
	}
	n, err := f.Allocated()
	if err != nil {
		t.Fatal(err)
	}
	return n
}
