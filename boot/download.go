package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// How a transfer is tried again: after a pause that doubles, until it failed
// this often without a byte in between.
const (
	maxTries   = 5
	firstPause = time.Second
	maxPause   = 30 * time.Second
)

// A download brings one file from a source.
type download struct {
	src      Source
	file     File
	partial  string // path of what is there of it; grows, survives a kill
	progress Progress
	pause    time.Duration
}

// run leaves the whole file in d.partial, its digest checked. What is there
// from an earlier run is used. Bytes that turn out wrong are fetched once more.
func (d *download) run(ctx context.Context) error {
	for again := false; ; again = true {
		if err := d.retry(ctx); err != nil {
			return err
		}
		err := checkFile(ctx, d.partial, d.file, func(int64) {})
		if !errors.Is(err, ErrDamaged) {
			return err
		}
		if err := os.Remove(d.partial); err != nil {
			return err
		}
		if again {
			return fmt.Errorf("cannot fetch %s: %w; what the source has is not what its manifest says", d.file.Name, err)
		}
		d.progress.say(PhaseNote, d.file.Name+" is damaged, fetching it again")
	}
}

// retry transfers until the file has its size or nothing comes any more.
func (d *download) retry(ctx context.Context) error {
	pause := d.pause
	for tries := 1; ; tries++ {
		n, err := d.transfer(ctx)
		if err == nil {
			return nil
		}
		var temporary *temporaryError
		if !errors.As(err, &temporary) {
			return err
		}
		if n > 0 {
			tries, pause = 1, d.pause
		}
		if tries == maxTries {
			return fmt.Errorf("%w; tried %d times", err, tries)
		}
		d.progress.say(PhaseNote, fmt.Sprintf("%v; trying again in %v", err, pause))
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// transfer appends to the partial file until it has its size, and gives the
// number of bytes that came.
func (d *download) transfer(ctx context.Context) (n int64, err error) {
	w, err := os.OpenFile(d.partial, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	have, err := w.Seek(0, io.SeekEnd)
	if err != nil {
		return 0, err
	}
	if have == d.file.Size {
		return 0, nil
	}
	if have > d.file.Size {
		have = 0
	}
	r, at, err := d.src.Open(ctx, d.file, have)
	if errors.Is(err, errRange) {
		return 0, &temporaryError{errors.Join(err, w.Truncate(0))}
	}
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return d.append(ctx, w, r, at)
}

// append writes r to w from at on and checks that it makes the size.
func (d *download) append(ctx context.Context, w *os.File, r io.Reader, at int64) (int64, error) {
	if err := w.Truncate(at); err != nil {
		return 0, err
	}
	if _, err := w.Seek(at, io.SeekStart); err != nil {
		return 0, err
	}
	report := d.progress.bytes(PhaseDownload, d.file)
	left := d.file.Size - at
	n, err := copyAll(ctx, w, io.LimitReader(r, left), func(done int64) { report(at + done) })
	switch {
	case err != nil:
		return n, err
	case n < left:
		return n, &temporaryError{fmt.Errorf("cannot fetch %s: it ended after %d of %d bytes", d.file.Name, at+n, d.file.Size)}
	}
	return n, nil
}
