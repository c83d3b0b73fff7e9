package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/blk"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// enoughSpace is how many bytes the host must have, beside what the guard keeps, before a disk
	// that waits for space goes on, and spaceCheck how often it looks. It looks only while it waits.
	enoughSpace = file.DefaultGuard + 1<<20
	spaceCheck  = time.Second
)

// A disk is one image and the device in front of it.
type disk struct {
	m        *machine
	name     string
	image    *file.File
	medium   medium // image, as the device writes to it
	dev      *blk.Device
	readOnly bool
	queues   int

	mu      sync.Mutex // guards what follows
	flush   vmapi.Flush
	waiting bool          // requests are held until there is space
	again   chan struct{} // has a token when the owner says that they may be tried again
	closed  bool
}

// A medium is what a device writes to: an image, but in builds that test durability.
type medium interface {
	blk.Disk
	SyncAs(p file.Policy) error
}

// addDisks makes a block device of each image, with a queue for each vCPU.
func (m *machine) addDisks(cfg *board.Config, req *vmapi.ConfigureReq) error {
	for i, d := range req.Disks {
		f, err := req.Take(d.Image)
		if err != nil {
			return err
		}
		image, err := file.New(f)
		if err != nil {
			f.Close()
			return refused(err)
		}
		if !d.ReadOnly {
			image.SetGuard(file.DefaultGuard)
		}
		disk := &disk{
			m: m, name: "vd" + string(rune('a'+i)), image: image, medium: newMedium(image), readOnly: d.ReadOnly,
			queues: min(cfg.CPUs, virtio.MaxQueues), again: make(chan struct{}, 1),
		}
		m.disks = append(m.disks, disk)
		if err := disk.wire(cfg, d.Flush, faults(req).DiskError); err != nil {
			return refused(err)
		}
	}
	return nil
}

// wire puts the disk behind a device. The host is made to fail its nth call, unless n is 0.
func (d *disk) wire(cfg *board.Config, flush vmapi.Flush, n uint64) (err error) {
	if flush == "" {
		flush = vmapi.FlushHost
	}
	if err := d.setFlush(flush); err != nil {
		return err
	}
	var backend blk.Disk = d.medium
	if n != 0 {
		backend = faultyDisk{d.medium, newCountdown(n)}
	}
	d.dev, err = blk.New(backend, blk.Options{
		ReadOnly: d.readOnly, Serial: d.name, Queues: d.queues, InOrder: cfg.Deterministic != nil,
		Full: d.full, Failed: d.failed,
	})
	if err != nil {
		return err
	}
	d.m.add(cfg, d.name, d.dev)
	return nil
}

// setFlush changes the policy of later flushes.
func (d *disk) setFlush(flush vmapi.Flush) error {
	policy, err := file.ParsePolicy(string(flush))
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flush = flush
	d.image.SetPolicy(policy)
	return nil
}

// sync puts the disk on the medium.
func (d *disk) sync() error {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed || d.readOnly {
		return nil
	}
	if err := d.medium.SyncAs(file.Full); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return nil
}

// close puts the disk on the medium and gives its lock up.
func (d *disk) close() {
	if err := d.sync(); err != nil {
		d.failed("flush", err)
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.image.Close()
}

// failed is told of requests that the host failed.
func (d *disk) failed(op string, err error) {
	d.m.events.addRarely(sayf(vmapi.DiskError, d.name, "the host failed to %s: %v", op, err))
}

// full is told that the device holds requests for which the host has no space.
func (d *disk) full(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.waiting {
		return
	}
	d.waiting = true
	select {
	case <-d.again: // a token from before
	default:
	}
	d.m.spare.Go(func() { d.awaitSpace(err) })
}

// awaitSpace holds the guest until there is space, the owner says so, or the guest ends.
func (d *disk) awaitSpace(cause error) {
	over := d.m.over
	log.Printf("%s: the host's disk is full; the guest is paused until there is space: %v", d.name, cause)
	d.m.events.add(sayf(vmapi.DiskFull, d.name, "%v", cause))
	holding := d.m.holds.hold(over, func() { d.m.holds.disks++ }) == nil
	d.watchSpace(over)
	d.mu.Lock()
	d.waiting = false
	d.mu.Unlock()
	d.dev.Retry()
	d.m.events.add(sayf(vmapi.DiskSpace, d.name, "the requests that waited are tried again"))
	if holding {
		d.m.holds.drop(func() { d.m.holds.disks-- })
	}
}

// watchSpace returns when the requests may be tried again.
func (d *disk) watchSpace(over context.Context) {
	look := time.NewTicker(spaceCheck)
	defer look.Stop()
	for {
		select {
		case <-over.Done():
			return
		case <-d.again:
			return
		case <-look.C:
			if free, err := d.image.Free(); err != nil || free >= enoughSpace {
				return
			}
		}
	}
}

// retry has requests that wait for space tried again.
func (d *disk) retry() {
	select {
	case d.again <- struct{}{}:
	default:
	}
}

// flushAll puts every disk on the medium.
func (m *machine) flushAll() error {
	for _, d := range m.disks {
		if err := d.sync(); err != nil {
			return err
		}
	}
	return nil
}

// chosen are the disks that a name means.
func (m *machine) chosen(name string) ([]*disk, error) {
	if name == "" {
		return m.disks, nil
	}
	for _, d := range m.disks {
		if d.name == name {
			return []*disk{d}, nil
		}
	}
	return nil, ipc.Errorf(ipc.BadRequest, "cannot find disk %.16q: the machine has %d, from vda on", name, len(m.disks))
}

// setFlush serves vmapi.SetFlush.
func (m *machine) setFlush(_ context.Context, req *vmapi.SetFlushReq) (*vmapi.SetFlushResp, error) {
	disks, err := m.chosen(req.Disk)
	if err != nil {
		return nil, err
	}
	for _, d := range disks {
		if req.Flush != "" {
			if err := d.setFlush(req.Flush); err != nil {
				return nil, refused(err)
			}
		}
		if req.Now {
			if err := d.sync(); err != nil {
				return nil, err
			}
		}
	}
	return &vmapi.SetFlushResp{}, nil
}

// resizeDisk serves vmapi.ResizeDisk.
func (m *machine) resizeDisk(_ context.Context, req *vmapi.ResizeDiskReq) (*vmapi.ResizeDiskResp, error) {
	disks, err := m.chosen(req.Disk)
	if err != nil {
		return nil, err
	}
	if req.Disk == "" || req.Size <= 0 || req.Size%blk.SectorSize != 0 {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot make disk %q %d bytes long: name a disk and a whole number of %d-byte sectors", req.Disk, req.Size, blk.SectorSize)
	}
	if err := m.uncounted("resize a disk"); err != nil {
		return nil, err
	}
	d := disks[0]
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.readOnly {
		return nil, ipc.Errorf(ipc.WrongState, "cannot resize %s: it is read-only or closed", d.name)
	}
	if err := d.image.Grow(req.Size); err != nil {
		return nil, refused(err)
	}
	d.dev.Resized()
	return &vmapi.ResizeDiskResp{}, nil
}

// stats are the disk's counters.
func (d *disk) stats() vmapi.DiskStats {
	s := d.dev.Stats()
	d.mu.Lock()
	defer d.mu.Unlock()
	return vmapi.DiskStats{
		Name: d.name, Size: d.image.Size(), ReadOnly: d.readOnly, Flush: d.flush, Queues: d.queues,
		Reads: s.Reads.Load(), Writes: s.Writes.Load(), Flushes: s.Flushes.Load(), Discards: s.Discards.Load(), Zeroes: s.Zeroes.Load(),
		ReadBytes: s.ReadBytes.Load(), WriteBytes: s.WriteBytes.Load(), Syncs: s.Syncs.Load(), Errors: s.Errors.Load(),
		Full: d.waiting,
	}
}
