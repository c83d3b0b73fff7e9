package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

// A Usage says what an image takes. All are bytes.
type Usage struct {
	Virtual   int64 `json:"virtual"`   // what the guest sees
	Allocated int64 `json:"allocated"` // what it takes of the host's disk
	Data      int64 `json:"data"`      // what was written and not given back
	Free      int64 `json:"free"`      // what the host has left
	// Reclaimable is what Compact would give back without the guest: written zeroes.
	// It is -1 unless the image was scanned. What deleted files still take is known
	// to the guest alone, and comes back with a trim.
	Reclaimable int64 `json:"reclaimable"`
}

// Measure looks at the image, without locking it: with a guest at work the answer is old
// when it comes. scan reads all data to find what is reclaimable, and may take minutes.
func Measure(ctx context.Context, path string, scan bool) (Usage, error) {
	f, err := file.Open(path, true)
	if err != nil {
		return Usage{}, err
	}
	u, err := measure(ctx, f, scan)
	return u, errors.Join(err, f.Close())
}

func measure(ctx context.Context, f *file.File, scan bool) (u Usage, err error) {
	u = Usage{Virtual: f.Size(), Reclaimable: -1}
	if u.Allocated, err = f.Allocated(); err != nil {
		return u, err
	}
	if u.Free, err = f.Free(); err != nil {
		return u, err
	}
	err = eachData(f, func(from, end int64) error {
		u.Data += end - from
		return nil
	})
	if err != nil || !scan {
		return u, err
	}
	u.Reclaimable = 0
	err = eachZeroRun(ctx, f, func(_, n int64) error {
		u.Reclaimable += n
		return nil
	})
	return u, err
}

// eachData calls do for each stretch of data.
func eachData(f *file.File, do func(from, end int64) error) error {
	for off := int64(0); off < f.Size(); {
		from, end, err := f.Data(off)
		if err != nil || from == end {
			return err
		}
		if err := do(from, min(end, f.Size())); err != nil {
			return err
		}
		off = end
	}
	return nil
}

const (
	// scanSize is how much is read at once, in bytes.
	scanSize = 1 << 20
	// minRun is the shortest run of zeroes worth a hole, in bytes: shorter ones would
	// cost more in the file system's tables, and later in writing, than they give.
	minRun = 64 << 10
)

var zeroBlock [file.Block]byte

// A run collects zero blocks that touch.
type run struct {
	from, n int64
	found   func(off, n int64) error
}

// add takes the next block.
func (r *run) add(off, n int64, zero bool) error {
	if zero && r.from+r.n == off && r.n > 0 {
		r.n += n
		return nil
	}
	err := r.end()
	if zero {
		r.from, r.n = off, n
	}
	return err
}

// end tells of the run, if it is long enough.
func (r *run) end() (err error) {
	if r.n >= minRun {
		err = r.found(r.from, r.n)
	}
	r.n = 0
	return err
}

// eachZeroRun reads all data and calls found for each run of whole blocks that hold
// zeroes only. The run's bytes have been read before found is called and are not read again.
func eachZeroRun(ctx context.Context, f *file.File, found func(off, n int64) error) error {
	r := &run{found: found}
	buf := make([]byte, scanSize)
	err := eachData(f, func(from, end int64) error {
		// Runs begin at whole blocks; file systems report those.
		for off := (from + file.Block - 1) &^ (file.Block - 1); off < end; off += scanSize {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("cannot go on reading the image: %w", context.Cause(ctx))
			}
			b := buf[:min(scanSize, end-off)]
			if _, err := f.ReadAt(b, off); err != nil {
				return err
			}
			if err := r.scan(b, off); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, r.end())
}

// scan looks at the whole blocks of b, which is the image's content at off.
func (r *run) scan(b []byte, off int64) error {
	for len(b) >= file.Block {
		if err := r.add(off, file.Block, bytes.Equal(b[:file.Block], zeroBlock[:])); err != nil {
			return err
		}
		b, off = b[file.Block:], off+file.Block
	}
	return nil
}
