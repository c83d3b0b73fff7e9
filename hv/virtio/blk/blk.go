// Package blk is the virtio block device (virtio 1.2, section 5.2): reads, writes,
// flush, discard, write zeroes and GET_ID over any number of queues, on a Disk.
//
// # What an answer means
//
// OK to a write means that reads see it. OK to a flush means that all which was
// answered before the flush was made is where Disk.Sync puts it. A driver that does
// not take VIRTIO_BLK_F_FLUSH gets no answer to a write before a Sync of it. One
// Sync answers all flushes that waited when it began (group commit).
//
// Anything short of all bytes is an error. Where the host has no space left and
// Options.Full is set, the request is held instead of failing, until Device.Retry.
//
// # Workers
//
// Each queue has Options.Workers goroutines. While requests are quick, one of them
// serves alone, because waking another costs more than the request; when they turn out
// slow, the others join. Flushes run beside them and hold up no other request. Reads or
// writes that follow one another on the disk and in the queue are one call of a VectorDisk.
package blk

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// SectorSize is the unit of every position and length on the wire, in bytes, whatever
// the disk's own blocks are (section 5.2.3).
const SectorSize = 512

// A Disk holds the bytes. Its methods are called by several goroutines at once, with
// offsets and lengths within Size, in whole sectors.
type Disk interface {
	io.ReaderAt
	io.WriterAt
	// Size is in bytes; what is beyond the last whole sector is not used.
	Size() int64
	// Sync makes durable all writes that returned before it was called.
	Sync() error
	// Punch gives the range back to the host where it can; it then reads as
	// zeroes or as before.
	Punch(off, n int64) error
	// Zero makes the range read as zeroes; with punch it may give it back.
	Zero(off, n int64, punch bool) error
}

// A VectorDisk also moves several buffers at once, in one system call.
type VectorDisk interface {
	Disk
	ReadvAt(bufs [][]byte, off int64) (int, error)
	WritevAt(bufs [][]byte, off int64) (int, error)
}

// Options are what a device may be told beside its disk. Zero values are good.
type Options struct {
	ReadOnly bool
	Serial   string // what GET_ID answers, cut to 20 bytes
	Queues   int    // 1 to virtio.MaxQueues, one for each vCPU; 0 means 1
	Workers  int    // goroutines for each queue; 0 means 4
	// InOrder answers requests in the order of each queue, for reproducible runs. It
	// means one worker and flushes that hold up what is behind them.
	InOrder bool
	// Full is told that the host has no space for a request (syscall.ENOSPC), which is held
	// from then on until Device.Retry; it is not told of more that are held with it. With a
	// nil Full such requests fail. It must not block.
	Full func(err error)
	// Failed is told of each request that the disk failed. It must not block.
	Failed func(op string, err error)
}

// Features of section 5.2.3.
const (
	featSegMax      uint64 = 1 << 2
	featReadOnly    uint64 = 1 << 5
	featBlockSize   uint64 = 1 << 6
	featFlush       uint64 = 1 << 9
	featTopology    uint64 = 1 << 10
	featMultiQueue  uint64 = 1 << 12
	featDiscard     uint64 = 1 << 13
	featWriteZeroes uint64 = 1 << 14
)

const (
	queueSize = 256
	// maxSegs leaves room in a queue for header and status.
	maxSegs = queueSize - 2
	// physBlock is the disk's own block in bytes: that of APFS, ext4 and Btrfs.
	physBlock = 4096
	// maxDiscard is in sectors, 4 GiB: punching so much takes milliseconds.
	maxDiscard = 1 << 23
	// maxZeroes is in sectors, 64 MiB: a host without a cheap way writes them all.
	maxZeroes = 1 << 17
	// maxRanges is how many ranges one discard may name.
	maxRanges = 64
)

// A Device serves one Disk.
type Device struct {
	disk     Disk
	vec      VectorDisk // disk, if it is one
	opt      Options
	serial   [idLen]byte
	config   *virtio.Config
	capacity atomic.Int64 // bytes, whole sectors
	hold     hold
	stats    Stats
}

// Stats counts what a device has done since it was made.
type Stats struct {
	Reads, Writes, Flushes, Discards, Zeroes atomic.Uint64 // requests answered OK
	ReadBytes, WriteBytes                    atomic.Uint64
	Syncs                                    atomic.Uint64 // calls of Disk.Sync
	Errors                                   atomic.Uint64 // requests not answered OK
}

// New makes a device for disk. The disk stays the caller's to close, after the
// transport. Errors: a number of queues out of range.
func New(disk Disk, opt Options) (*Device, error) {
	if opt.Queues == 0 {
		opt.Queues = 1
	}
	if opt.Queues < 1 || opt.Queues > virtio.MaxQueues {
		return nil, fmt.Errorf("cannot make a disk with %d queues: 1 to %d are possible", opt.Queues, virtio.MaxQueues)
	}
	if opt.Workers <= 0 {
		opt.Workers = 4
	}
	if opt.InOrder {
		opt.Workers = 1
	}
	d := &Device{disk: disk, opt: opt, hold: hold{wake: make(chan struct{}, 1)}}
	d.vec, _ = disk.(VectorDisk)
	copy(d.serial[:], opt.Serial)
	d.capacity.Store(disk.Size() / SectorSize * SectorSize)
	d.config = virtio.NewConfig(d.configSpace(), 0, 0)
	return d, nil
}

// configSpace is struct virtio_blk_config (section 5.2.4).
func (d *Device) configSpace() []byte {
	le := binary.LittleEndian
	b := make([]byte, 60)
	le.PutUint64(b[0:], uint64(d.capacity.Load()/SectorSize))
	le.PutUint32(b[12:], maxSegs)
	le.PutUint32(b[20:], SectorSize)           // blk_size
	b[24] = 3                                  // physical_block_exp: 512<<3 = physBlock
	le.PutUint16(b[26:], physBlock/SectorSize) // min_io_size
	le.PutUint32(b[28:], 1<<20/SectorSize)     // opt_io_size: 1 MiB
	le.PutUint16(b[34:], uint16(d.opt.Queues)) // num_queues
	le.PutUint32(b[36:], maxDiscard)           // max_discard_sectors
	le.PutUint32(b[40:], maxRanges)            // max_discard_seg
	le.PutUint32(b[44:], physBlock/SectorSize) // discard_sector_alignment
	le.PutUint32(b[48:], maxZeroes)            // max_write_zeroes_sectors
	le.PutUint32(b[52:], 1)                    // max_write_zeroes_seg
	b[56] = 1                                  // write_zeroes_may_unmap
	return b
}

// Info implements virtio.Device.
func (d *Device) Info() virtio.Info {
	f := featSegMax | featBlockSize | featFlush | featTopology
	if d.opt.ReadOnly {
		f |= featReadOnly
	} else {
		f |= featDiscard | featWriteZeroes
	}
	if d.opt.Queues > 1 {
		f |= featMultiQueue
	}
	q := make([]uint16, d.opt.Queues)
	for i := range q {
		q[i] = queueSize
	}
	return virtio.Info{ID: virtio.IDBlock, Features: f, QueueMax: q, Config: d.config}
}

// Stats counts on while the device works.
func (d *Device) Stats() *Stats { return &d.stats }

// Resized tells the driver that the disk has another size, which it must have already.
func (d *Device) Resized() {
	n := d.disk.Size() / SectorSize
	d.capacity.Store(n * SectorSize)
	d.config.Set(0, binary.LittleEndian.AppendUint64(nil, uint64(n)))
}

// Serve implements virtio.Device.
func (d *Device) Serve(ctx context.Context, qs []*virtio.Queue) error {
	s := &session{Device: d, commit: newCommit(d)}
	parts := []func(context.Context) error{s.commit.run, s.retry}
	for _, q := range qs {
		l := &lane{session: s, q: q}
		for range d.opt.Workers {
			parts = append(parts, l.work)
		}
	}
	defer d.hold.take() // what is held then is the old driver's
	return virtio.Together(ctx, parts...)
}

// session is one stretch from DRIVER_OK to reset.
type session struct {
	*Device
	commit *commit
}

func (d *Device) failed(op string, err error) {
	if d.opt.Failed != nil {
		d.opt.Failed(op, err)
	}
}
