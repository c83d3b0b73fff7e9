package vm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
	"github.com/arcboxlabs/arcbox-go/test/kit"
)

// A victim is a pair of disks, with an ext4 and a Btrfs, on which a guest works over many lives of
// arcbox-vm, each of which ends with kill -9. The program is one whose kill is a power cut, or the one
// that is shipped.
type victim struct {
	program string
	flush   vmapi.Flush
	disks   []*victimDisk
}

// A victimDisk is one of them.
type victimDisk struct {
	kind  string // of its file system
	path  string
	check []string          // the command that finds what is wrong with an image
	safe  map[string]uint64 // which version of each thing an fsync has covered
}

func newVictim(t *testing.T, program string, flush vmapi.Flush) *victim {
	t.Helper()
	v := &victim{program: program, flush: flush}
	for _, d := range []struct {
		kind  string
		size  int64
		make  []string
		check []string
	}{
		// A block of the file system is one of the disk, which the disk writes wholly or not at all.
		{"ext4", 64 << 20, []string{"mkfs.ext4", "-q", "-b", "4096"}, []string{"e2fsck", "-fn"}},
		{"btrfs", 160 << 20, []string{"mkfs.btrfs", "-q"}, []string{"btrfs", "check", "--readonly", "--check-data-csum"}},
	} {
		path := image(t, t.TempDir(), d.size)
		if out, err := exec.Command(d.make[0], append(d.make[1:], path)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", d.make, err, out)
		}
		v.disks = append(v.disks, &victimDisk{kind: d.kind, path: path, check: d.check, safe: map[string]uint64{}})
	}
	return v
}

// live boots the guest, holds what it finds against what was safe, lets it work for a moment, and
// kills the process. With seed 0 it does not work.
func (v *victim) live(t *testing.T, seed uint64) error {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	m := launchProgram(t, v.program)
	req := m.withBtrfs(t)
	req.CPUs = 2
	for _, d := range v.disks {
		req.Disks = append(req.Disks, vmapi.Disk{Image: attach(t, &req.Files, d.path, os.O_RDWR), Flush: v.flush})
	}
	m.boot(t, req)
	m.up(t)
	said := make(chan word)
	for i, d := range v.disks {
		sh := m.shell(t)
		sh.SetReadDeadline(time.Now().Add(patience))
		sh.send(t, "work %s vd%c %d", d.kind, 'a'+i, seed)
		go func() { said <- word{end: true, err: d.watch(sh, said)} }()
	}
	left := 10 + rnd.IntN(60) // things to become safe
	if seed == 0 {
		left = 0
	}
	errs := v.await(t, m, said, left, time.Duration(rnd.IntN(20))*time.Millisecond)
	for _, d := range v.disks {
		errs = append(errs, d.clean(t))
	}
	return errors.Join(errs...)
}

// A word is what the watcher of a disk says.
type word struct {
	working, safe bool
	end           bool // it says no more
	err           error
}

// await kills the machine when it works on all disks and so many things have become safe, or when
// something is wrong. It returns when every watcher has ended.
func (v *victim) await(t *testing.T, m *vm, said <-chan word, left int, after time.Duration) (errs []error) {
	t.Helper()
	var killer sync.WaitGroup
	killed, working, ended := false, 0, 0
	for ended < len(v.disks) {
		switch w := <-said; {
		case w.end:
			errs = append(errs, w.err)
			ended++
		case w.working:
			working++
		case w.safe:
			left--
		}
		if !killed && (ended > 0 || working == len(v.disks) && left <= 0) {
			killed = true
			killer.Go(func() { // what is said until then is heard too
				time.Sleep(after)
				if err := m.Kill(); err != nil {
					t.Error(err)
				}
			})
		}
	}
	killer.Wait()
	return errs
}

// watch hears what the guest finds on the disk, and what becomes safe, until the machine is dead.
func (d *victimDisk) watch(sh *shell, said chan<- word) error {
	found := map[string]uint64{}
	for sh.lines.Scan() {
		line := sh.lines.Text()
		var what, kind string
		var i int
		var version uint64
		switch n, _ := fmt.Sscan(line, &what, &kind, &i, &version); {
		case n == 4 && what == "found":
			found[fmt.Sprint(kind, i)] = version
		case n == 4 && what == "safe":
			d.safe[fmt.Sprint(kind, i)] = version
			said <- word{safe: true}
		case line == "working":
			if err := d.lost(found); err != nil {
				return err
			}
			said <- word{working: true}
		case strings.HasPrefix(line, "FAIL"):
			return fmt.Errorf("%s: %s", d.kind, line)
		}
	}
	return nil // a line that was cut off says nothing
}

// lost says what was safe and is not there.
func (d *victimDisk) lost(found map[string]uint64) error {
	for name, version := range d.safe {
		if found[name] < version {
			return fmt.Errorf("%s: %s has version %d, and %d was safe", d.kind, name, found[name], version)
		}
	}
	return nil
}

// clean says what is wrong with the file system, once its journal has been replayed.
func (d *victimDisk) clean(t *testing.T) error {
	t.Helper()
	f, err := file.Open(d.path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path := filepath.Join(t.TempDir(), "clone")
	if err := f.Clone(path); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	if d.kind == "ext4" {
		_ = exec.Command("e2fsck", "-p", path).Run() // replays, and mends nothing that is broken
	}
	if out, err := exec.Command(d.check[0], append(d.check[1:], path)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s is damaged: %v: %w: %s", d.kind, d.check, err, out)
	}
	return nil
}

// lives are so many ends of arcbox-vm, and one more boot that looks at what is left.
func (v *victim) lives(t *testing.T, n int) error {
	t.Helper()
	for seed := range uint64(n) {
		if err := v.live(t, seed+1); err != nil {
			return fmt.Errorf("life %d: %w", seed+1, err)
		}
	}
	return v.live(t, 0)
}

func TestFsyncSurvivesPowerCuts(t *testing.T) {
	program := kit.TaggedVM(t, "powercut")
	for _, flush := range []vmapi.Flush{vmapi.FlushHost, vmapi.FlushBarrier, vmapi.FlushFull} {
		t.Run(string(flush), func(t *testing.T) {
			if err := newVictim(t, program, flush).lives(t, kit.Rounds(2, 100)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPowerCutsFindAFlushThatDoesNothing shows that the test above can fail.
func TestPowerCutsFindAFlushThatDoesNothing(t *testing.T) {
	v := newVictim(t, kit.TaggedVM(t, "powercut,noflush"), vmapi.FlushFull)
	err := v.lives(t, 5)
	if err == nil {
		t.Error("five power cuts did not show that flushes do nothing")
	}
	t.Logf("found: %.200v", err)
}

func TestFsyncSurvivesKill(t *testing.T) {
	if err := newVictim(t, kit.Program("arcbox-vm"), vmapi.FlushHost).lives(t, kit.Rounds(2, 100)); err != nil {
		t.Error(err)
	}
}

// TestWhatTheHostFlushesIsOnTheMedium: before a host sleeps, when it is told to, and at the machine's
// end everything reaches the medium, whatever the guest has flushed.
func TestWhatTheHostFlushesIsOnTheMedium(t *testing.T) {
	v := launchProgram(t, kit.TaggedVM(t, "powercut"))
	req := v.linux(t)
	const blocks = 64
	path := image(t, t.TempDir(), blocks*guestBlock)
	req.Disks = []vmapi.Disk{{Image: attach(t, &req.Files, path, os.O_RDWR)}}
	v.boot(t, req)
	sh := v.up(t)
	tests := []struct {
		name  string
		flush func()
		want  bool
	}{
		{"nothing", func() {}, false},
		{"a pause before the host sleeps", func() {
			ask(t, v, vmapi.Pause, &vmapi.PauseReq{Flush: true})
			ask(t, v, vmapi.Resume, &vmapi.ResumeReq{})
		}, true},
		{"when it is told to", func() { ask(t, v, vmapi.SetFlush, &vmapi.SetFlushReq{Now: true}) }, true},
		{"the machine's end", func() {
			ask(t, v, vmapi.ForceStop, &vmapi.ForceStopReq{})
			ask(t, v, vmapi.Wait, &vmapi.WaitReq{})
		}, true},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seed := uint64(1000 * (i + 1))
			sh.do(t, "scribble vda %d %d", blocks, seed)
			tt.flush()
			n := onMedium(t, path, blocks, seed)
			if (n == blocks) != tt.want {
				t.Errorf("%d of %d blocks are on the medium", n, blocks)
			}
		})
	}
}

// guestBlock is what the guest writes at once.
const guestBlock = 64 << 10

// onMedium counts the blocks that hold what a scribble wrote.
func onMedium(t *testing.T, path string, blocks int, seed uint64) (n int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		want := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, seed+uint64(i)), guestBlock/8)
		if bytes.Equal(b[i*guestBlock:(i+1)*guestBlock], want) {
			n++
		}
	}
	return n
}
