package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// Of virtio block (virtio 1.2, section 5.2).
const (
	blkRead, blkWrite = 0, 1
	blkFlush          = 1 << 9 // VIRTIO_BLK_F_FLUSH: without it each write would be flushed
	sectorSize        = 512
)

// In guest memory, behind the ring: headers and status bytes, and the data.
const (
	headAt   = ringSpace
	dataAt   = 64 << 10
	maxDepth = 32
	// blkMemory is how much of it the largest load needs.
	blkMemory = dataAt + maxDepth<<20
)

// A blkDriver is a guest's block driver in this process: requests of one size on one queue. The
// device behind it is ours or a daemon's.
type blkDriver struct {
	*ring
	wait func() error // until an interrupt came
	end  func()       // ends the device

	work
	at    offsets
	free  []uint16 // slots without a request
	count int      // requests made so far
}

// work is one kind of load.
type work struct {
	size, depth int
	random      bool
	reads       int // of each two requests how many are reads
}

// offsets says where in the image each request goes.
type offsets struct {
	size, blocks, last int64
	rnd                *rand.Rand
}

func (w work) offsets() offsets {
	o := offsets{size: int64(w.size), blocks: blkImage / int64(w.size), last: -1}
	if w.random {
		o.rnd = rand.New(rand.NewPCG(1, 1))
	}
	return o
}

func (o *offsets) next() int64 {
	if o.last = (o.last + 1) % o.blocks; o.rnd != nil {
		o.last = o.rnd.Int64N(o.blocks)
	}
	return o.last * o.size
}

// prepare lays out a request for each slot: header, data, status.
func (d *blkDriver) prepare(w work) {
	d.work, d.at, d.free = w, w.offsets(), d.free[:0]
	for slot := range uint16(w.depth) {
		d.free = append(d.free, slot)
		d.desc(3*slot, headAt+32*int(slot), 16, descNext, 3*slot+1)
		d.desc(3*slot+2, headAt+32*int(slot)+16, 1, descWrite, 0)
	}
}

// submit makes a request available.
func (d *blkDriver) submit() {
	slot := d.free[len(d.free)-1]
	d.free = d.free[:len(d.free)-1]
	op, flags := uint32(blkWrite), uint16(descNext)
	if d.count++; d.count%2 < d.reads {
		op, flags = blkRead, descNext|descWrite
	}
	d.desc(3*slot+1, dataAt+int(slot)*d.size, d.size, flags, 3*slot+2)
	h := d.ram[headAt+32*int(slot):]
	binary.LittleEndian.PutUint32(h, op)
	binary.LittleEndian.PutUint64(h[8:], uint64(d.at.next()/sectorSize))
	h[16] = 0xee // no status
	d.offer(3 * slot)
}

// reap takes what has been answered, and says how many that were.
func (d *blkDriver) reap() (n int, err error) {
	for head, _, ok := d.used(); ok; head, _, ok = d.used() {
		slot := head / 3
		if status := d.ram[headAt+32*int(slot)+16]; status != 0 {
			return n, fmt.Errorf("cannot measure: a request was answered with status %d", status)
		}
		d.free = append(d.free, slot)
		n++
	}
	return n, nil
}

// run keeps depth requests under way for so long, and returns seconds for each and how many
// there were.
func (d *blkDriver) run(long time.Duration) (each float64, done int, err error) {
	start := time.Now()
	for stop := false; ; {
		for len(d.free) > 0 && !stop {
			d.submit()
		}
		d.kick()
		n, err := d.reap()
		if err != nil {
			return 0, 0, err
		}
		done += n
		if stop && len(d.free) == d.depth {
			return time.Since(start).Seconds() / float64(done), done, nil
		}
		if n > 0 {
			stop = time.Since(start) > long
		} else if d.arm() {
			if err := d.wait(); err != nil {
				return 0, 0, err
			}
		}
	}
}
