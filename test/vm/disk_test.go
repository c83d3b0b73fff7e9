package vm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// erofs makes an image with one file.
func erofs(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "greeting"), []byte("from EROFS\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "root.erofs")
	if out, err := exec.Command("mkfs.erofs", path, root).CombinedOutput(); err != nil {
		t.Fatalf("mkfs.erofs: %v: %s", err, out)
	}
	return path
}

// disk are the counters of one disk.
func (v *vm) disk(t *testing.T, i int) vmapi.DiskStats {
	t.Helper()
	return ask(t, v, vmapi.Stats, &vmapi.StatsReq{}).Disks[i]
}

func TestDisks(t *testing.T) {
	v := launch(t)
	req := v.linux(t)
	req.CPUs = 4
	data := image(t, t.TempDir(), 64<<20)
	req.Disks = []vmapi.Disk{
		{Image: attach(t, &req.Files, erofs(t), os.O_RDONLY), ReadOnly: true},
		{Image: attach(t, &req.Files, data, os.O_RDWR), Flush: vmapi.FlushBarrier},
	}
	v.boot(t, req)
	sh := v.up(t)

	t.Run("the root is EROFS and read-only", func(t *testing.T) {
		if said := sh.do(t, "mount vda erofs greeting"); said != "from EROFS" {
			t.Errorf("the file says %q", said)
		}
		if d := v.disk(t, 0); !d.ReadOnly || d.Writes != 0 || d.Reads == 0 {
			t.Errorf("vda: %+v", d)
		}
	})
	t.Run("each vCPU has its queue", func(t *testing.T) {
		if n := sh.do(t, "queues vdb"); n != "4" || v.disk(t, 1).Queues != 4 {
			t.Errorf("the driver uses %s queues, the device has %d", n, v.disk(t, 1).Queues)
		}
	})
	t.Run("flush policies change while it runs", func(t *testing.T) {
		if f := v.disk(t, 1).Flush; f != vmapi.FlushBarrier {
			t.Errorf("the policy is %s, barrier was asked for", f)
		}
		for i, policy := range []vmapi.Flush{vmapi.FlushFull, vmapi.FlushHost} {
			ask(t, v, vmapi.SetFlush, &vmapi.SetFlushReq{Disk: "vdb", Flush: policy})
			before := v.disk(t, 1)
			sh.do(t, "fill vdb 16 %d", i)
			if after := v.disk(t, 1); after.Flush != policy || after.Syncs == before.Syncs {
				t.Errorf("policy %s: %d host flushes for the guest's", after.Flush, after.Syncs-before.Syncs)
			}
		}
		ask(t, v, vmapi.SetFlush, &vmapi.SetFlushReq{Now: true})
		refuses(t, v, ipc.BadRequest, vmapi.SetFlush, &vmapi.SetFlushReq{Disk: "vdz", Now: true})
		refuses(t, v, ipc.BadRequest, vmapi.SetFlush, &vmapi.SetFlushReq{Flush: "never"})
	})
	t.Run("a disk grows under the guest", func(t *testing.T) {
		refuses(t, v, ipc.BadRequest, vmapi.ResizeDisk, &vmapi.ResizeDiskReq{Disk: "vdb", Size: 1 << 20})
		ask(t, v, vmapi.ResizeDisk, &vmapi.ResizeDiskReq{Disk: "vdb", Size: 96 << 20})
		until(t, "the guest sees 96 MiB", func() bool { return sh.do(t, "size vdb") == strconv.Itoa(96<<20) })
	})
	t.Run("an error of the host is the guest's and an event", func(t *testing.T) {
		sh.do(t, "fill vdb 16 7")
		if err := os.Truncate(data, 128<<10); err != nil {
			t.Fatal(err)
		}
		if sh.send(t, "check vdb 16 7"); sh.hear(t) != "error block 2: read /dev/vdb: input/output error" {
			t.Errorf("reading what is gone: %q", sh.lines.Text())
		}
		if e := v.event(t, 0, vmapi.DiskError); e.Device != "vdb" || e.Message == "" {
			t.Errorf("the event is %+v", e)
		}
		if d := v.disk(t, 1); d.Errors == 0 {
			t.Errorf("vdb: %+v", d)
		}
	})
	t.Run("statistics show where queues stand", func(t *testing.T) {
		queues := map[string]int{}
		for _, d := range ask(t, v, vmapi.Stats, &vmapi.StatsReq{}).Devices {
			for _, q := range d.Queues {
				if q.Size == 0 || q.Taken != 0 && d.Name != "balloon" {
					t.Errorf("%s: queue %+v", d.Name, q)
				}
			}
			if d.Driver != "" && d.Driver != "at-work" {
				t.Errorf("the driver of %s is %s", d.Name, d.Driver)
			}
			queues[d.Name] = len(d.Queues)
		}
		for name, n := range map[string]int{"vda": 4, "vdb": 4, "hvc": 6, "rng": 1, "vsock": 3, "balloon": 4} {
			if queues[name] != n {
				t.Errorf("%s has %d queues at work, want %d", name, queues[name], n)
			}
		}
	})
}
