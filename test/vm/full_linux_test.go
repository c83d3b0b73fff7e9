package vm_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

func TestFullHostDiskPausesTheGuest(t *testing.T) {
	tests := []struct {
		name   string
		resume bool // the owner says when there is space
	}{{"until the owner resumes it", true}, {"until there is space", false}}
	v := launch(t)
	dir := t.TempDir()
	kit.RoomFor(t, dir, file.DefaultGuard+18<<20) // beside what is kept for the host
	ballast := filepath.Join(dir, "ballast")
	req := v.linux(t)
	req.Disks = []vmapi.Disk{{Image: attach(t, &req.Files, image(t, dir, 64<<20), os.O_RDWR)}}
	v.boot(t, req)
	sh := v.up(t)
	var seq uint64
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(ballast, make([]byte, 20<<20), 0o600); err != nil {
				t.Fatal(err)
			}
			sh.send(t, "fill vda 64 %d", i) // there is no room for one byte
			full := v.event(t, seq, vmapi.DiskFull)
			if full.Device != "vda" {
				t.Errorf("the event is %+v", full)
			}
			v.event(t, full.Seq, vmapi.GuestPaused)
			s := ask(t, v, vmapi.Stats, &vmapi.StatsReq{})
			if s.State != vmapi.Paused || !s.Disks[0].Full {
				t.Errorf("the machine is %s, its disk full: %v", s.State, s.Disks[0].Full)
			}
			if tt.resume { // too early: it pauses again
				ask(t, v, vmapi.Resume, &vmapi.ResumeReq{})
				full = v.event(t, full.Seq, vmapi.DiskFull)
				v.event(t, full.Seq, vmapi.GuestPaused)
			}
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			if tt.resume {
				ask(t, v, vmapi.Resume, &vmapi.ResumeReq{})
			}
			if said := sh.hear(t); said != "ok " {
				t.Errorf("the guest's writes: %q", said)
			}
			seq = v.event(t, full.Seq, vmapi.GuestResumed).Seq
			sh.do(t, "check vda 64 %d", i)
			if d := v.disk(t, 0); d.Errors != 0 || d.Full {
				t.Errorf("after there was space: %+v", d)
			}
			if err := os.Truncate(filepath.Join(dir, "image"), 0); err != nil { // room for the next
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, "image"), 64<<20); err != nil {
				t.Fatal(err)
			}
		})
	}
}
