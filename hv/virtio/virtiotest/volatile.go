package virtiotest

import (
	"math/rand/v2"
	"sync"
)

// A VolatileDisk is a disk with a cache that a power cut empties: what was written stays in
// the cache until a Sync returns. It satisfies blk.Disk.
type VolatileDisk struct {
	// Lies makes Sync do nothing, which a test of durability must notice.
	Lies bool

	mu     sync.Mutex
	view   []byte // what reads see
	medium []byte // what is safe
	cache  []extent
}

type extent struct {
	off  int64
	data []byte
}

// sector is what a medium writes wholly or not at all, in bytes.
const sector = 512

// NewVolatileDisk makes a disk of n zero bytes, a multiple of 512.
func NewVolatileDisk(n int) *VolatileDisk {
	return &VolatileDisk{view: make([]byte, n), medium: make([]byte, n)}
}

// Size is in bytes.
func (v *VolatileDisk) Size() int64 { return int64(len(v.view)) }

// ReadAt sees everything that was written.
func (v *VolatileDisk) ReadAt(p []byte, off int64) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return copy(p, v.view[off:off+int64(len(p))]), nil
}

// WriteAt writes to the cache.
func (v *VolatileDisk) WriteAt(p []byte, off int64) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	copy(v.view[off:], p)
	v.cache = append(v.cache, extent{off, append([]byte(nil), p...)})
	return len(p), nil
}

// Sync makes safe what was written before it was called.
func (v *VolatileDisk) Sync() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.Lies {
		return nil
	}
	for _, e := range v.cache {
		copy(v.medium[e.off:], e.data)
	}
	v.cache = nil
	return nil
}

// Punch and Zero write zeroes to the cache.
func (v *VolatileDisk) Punch(off, n int64) error { return v.Zero(off, n, true) }

func (v *VolatileDisk) Zero(off, n int64, _ bool) error {
	_, err := v.WriteAt(make([]byte, n), off)
	return err
}

// Cut is the medium after the power has failed now: some sectors of what was in the cache
// have reached it, in any order.
func (v *VolatileDisk) Cut(rnd *rand.Rand) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	left := append([]byte(nil), v.medium...)
	for _, i := range rnd.Perm(len(v.cache)) {
		e := v.cache[i]
		for at := 0; at < len(e.data); at += sector {
			if rnd.IntN(2) == 0 {
				copy(left[e.off+int64(at):], e.data[at:min(at+sector, len(e.data))])
			}
		}
	}
	return left
}
