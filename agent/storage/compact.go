package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

// Compact gives back to the host what an image takes and does not need, and says how many
// bytes that were.
//
// While a guest runs it alone knows what it has deleted, and writes at any moment: then
// trim has it discard that, and the image is not touched here. A nil trim means that there
// is no guest to ask, and an image in use is file.ErrLocked. An image that nobody uses is
// locked, read, and runs of zeroes in it become holes. Where the file system has no holes
// the answer is ErrDense.
//
// Cutting it off at any moment, by ctx or by force, loses nothing: a hole reads as the
// zeroes that were there.
func Compact(ctx context.Context, path string, trim func(context.Context) error) (freed int64, err error) {
	img, err := Open(path, false)
	if errors.Is(err, file.ErrLocked) && trim != nil {
		return compactWith(ctx, path, trim)
	}
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, img.Close()) }()
	before, err := img.Allocated()
	if err != nil {
		return 0, err
	}
	if err := eachZeroRun(ctx, img.File, img.dig); err != nil {
		return 0, err
	}
	return img.freedSince(before)
}

// compactWith has the guest trim.
func compactWith(ctx context.Context, path string, trim func(context.Context) error) (freed int64, err error) {
	f, err := file.Open(path, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before, err := f.Allocated()
	if err != nil {
		return 0, err
	}
	if err := trim(ctx); err != nil {
		return 0, fmt.Errorf("cannot have the guest give back what it deleted: %w", err)
	}
	after, err := f.Allocated()
	return max(0, before-after), err
}

// dig makes a hole of a run of zeroes.
func (i *Image) dig(off, n int64) error {
	if err := i.Punch(off, n); err != nil {
		return err
	}
	if !i.HasHoles() {
		return fmt.Errorf("cannot compact %s: %w", i.Path, ErrDense)
	}
	return nil
}

// freedSince makes the holes durable and counts them.
func (i *Image) freedSince(before int64) (int64, error) {
	if err := i.SyncAs(file.Full); err != nil {
		return 0, err
	}
	after, err := i.Allocated()
	return max(0, before-after), err
}
