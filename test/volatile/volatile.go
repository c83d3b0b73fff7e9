// Package volatile is a disk with a cache that a power cut empties. It stands between a block
// device and its medium where durability is tested: in a test's own process, which calls Cut, and
// in builds of arcbox-vm with the tag powercut, where kill -9 is the cut.
//
// What was written stays in the cache until a Drain, which puts it on the medium block by block in
// any order. Now and then some blocks go earlier, as they do with a drive. A block of the medium is
// written wholly or not at all.
package volatile

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
)

// A Medium keeps its bytes when the power fails.
type Medium interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	Sync() error
}

// errCut is what a disk without power answers.
var errCut = errors.New("the power has failed")

// earlyOdds: one in so many writes pushes blocks to the medium before they are drained, up to as many as it
// brought. So most of what was written stays in the cache, however the guest cuts it up.
const earlyOdds = 4

// A Disk is a Medium behind a cache. Any goroutine may use it; offsets and lengths are within its
// Size. It satisfies blk.Disk.
type Disk struct {
	// Lies makes every Sync and Drain do nothing, which a test of durability must notice.
	Lies bool

	medium Medium
	block  int64

	draining sync.Mutex // held by the one Drain; comes before mu

	mu      sync.Mutex // guards what follows, and is held while the medium is used
	rnd     *rand.Rand
	cache   map[int64][]byte // by number of the block; nil is a block of zeroes
	leaving map[int64][]byte // what a Drain has not written yet, older than cache
	cut     bool
}

// New puts a cache before medium, whose blocks have so many bytes.
func New(medium Medium, block int64, rnd *rand.Rand) *Disk {
	return &Disk{medium: medium, block: block, rnd: rnd, cache: map[int64][]byte{}}
}

// Size is in bytes.
func (d *Disk) Size() int64 { return d.medium.Size() }

// each calls f with every block of a range, and with which part of the block is meant.
func (d *Disk) each(off, n int64, f func(block, from, to int64) error) error {
	for end := off + n; off < end; {
		block := off / d.block
		from, to := off%d.block, min(d.block, end-block*d.block)
		if err := f(block, from, to); err != nil {
			return err
		}
		off += to - from
	}
	return nil
}

// ReadAt sees everything that was written.
func (d *Disk) ReadAt(p []byte, off int64) (n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return 0, errCut
	}
	if n, err = d.medium.ReadAt(p, off); err != nil {
		return n, err
	}
	at := int64(0)
	return n, d.each(off, int64(n), func(block, from, to int64) error {
		if b, there := d.cached(block); there {
			clear(p[at : at+to-from])
			if b != nil {
				copy(p[at:], b[from:to])
			}
		}
		at += to - from
		return nil
	})
}

// cached is the newest content of a block, unless that is the medium's. The caller holds mu.
func (d *Disk) cached(block int64) (b []byte, there bool) {
	if b, there = d.cache[block]; !there {
		b, there = d.leaving[block]
	}
	return b, there
}

// WriteAt writes to the cache.
func (d *Disk) WriteAt(p []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return 0, errCut
	}
	at := int64(0)
	err := d.each(off, int64(len(p)), func(block, from, to int64) error {
		b := make([]byte, d.block)
		if to-from < d.block {
			if err := d.load(b, block); err != nil {
				return err
			}
		}
		copy(b[from:to], p[at:])
		d.cache[block] = b
		at += to - from
		return nil
	})
	if err == nil && d.rnd.IntN(earlyOdds) == 0 {
		brought := int((off%d.block + int64(len(p)) + d.block - 1) / d.block)
		err = d.evict(d.rnd.IntN(brought + 1))
	}
	return int(at), err
}

// load fills b with a block's newest content. The caller holds mu.
func (d *Disk) load(b []byte, block int64) error {
	if c, there := d.cached(block); there {
		copy(b, c) // of a block of zeroes nothing
		return nil
	}
	_, err := d.medium.ReadAt(b, block*d.block)
	return err
}

// evict writes up to n blocks of the cache to the medium, whichever a map gives first. What a Drain
// still has to write goes before. The caller holds mu.
func (d *Disk) evict(n int) error {
	for block, b := range d.cache {
		if n--; n < 0 {
			break
		}
		if _, older := d.leaving[block]; older {
			continue
		}
		if err := d.put(block, b); err != nil {
			return err
		}
		delete(d.cache, block)
	}
	return nil
}

// put writes one block to the medium. The caller holds mu.
func (d *Disk) put(block int64, b []byte) error {
	if b == nil {
		b = make([]byte, d.block)
	}
	_, err := d.medium.WriteAt(b, block*d.block)
	return err
}

// Sync makes safe what was written before it was called.
func (d *Disk) Sync() error { return d.Drain(d.medium.Sync) }

// Drain is Sync with another way to flush the medium.
func (d *Disk) Drain(flush func() error) error {
	if d.Lies {
		return nil
	}
	d.draining.Lock()
	defer d.draining.Unlock()
	d.mu.Lock()
	d.leaving, d.cache = d.cache, map[int64][]byte{}
	d.mu.Unlock()
	for {
		if more, err := d.drainOne(); err != nil {
			return err
		} else if !more {
			return flush()
		}
	}
}

// drainOne writes a block that is leaving, and says whether there was one.
func (d *Disk) drainOne() (more bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return false, errCut
	}
	for block, b := range d.leaving {
		if err := d.put(block, b); err != nil {
			return false, err
		}
		delete(d.leaving, block)
		return true, nil
	}
	return false, nil
}

// Punch and Zero write zeroes to the cache.
func (d *Disk) Punch(off, n int64) error { return d.Zero(off, n, true) }

// Zero implements blk.Disk.
func (d *Disk) Zero(off, n int64, _ bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return errCut
	}
	return d.each(off, n, func(block, from, to int64) error {
		if to-from == d.block {
			d.cache[block] = nil
			return nil
		}
		b := make([]byte, d.block)
		if err := d.load(b, block); err != nil {
			return err
		}
		clear(b[from:to])
		d.cache[block] = b
		return nil
	})
}

// Cut is the power failing now: part of what was in the cache reaches the medium, and nothing more
// is read or written.
func (d *Disk) Cut() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cut = true
	return d.evict(d.rnd.IntN(len(d.cache) + 1))
}
