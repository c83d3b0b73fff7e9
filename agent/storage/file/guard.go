package file

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// ErrGuard: the host has no space but what the guard keeps. It is syscall.ENOSPC too.
var ErrGuard = fmt.Errorf("the host's disk is nearly full, make space: %w", unix.ENOSPC)

// DefaultGuard is enough for a host to stay usable, in bytes.
const DefaultGuard = 512 << 20

// maxCredit bounds how much is written before the host's space is looked at again,
// since others write there too: 64 MiB.
const maxCredit = 64 << 20

// A guard keeps bytes of the host's disk free. Looking costs a system call, so each look
// gives credit for what may be written until the next.
type guard struct {
	keep   atomic.Int64 // 0: no guard
	credit atomic.Int64
}

// SetGuard keeps that many bytes of the host's disk free from what is written from
// now on; 0 ends it.
func (f *File) SetGuard(bytes int64) {
	f.guard.keep.Store(max(0, bytes))
	f.guard.credit.Store(0)
}

// mayTake refuses to write n bytes at off when they may take what the guard keeps.
func (f *File) mayTake(off, n int64) error {
	keep := f.guard.keep.Load()
	if keep == 0 || f.guard.credit.Add(-n) >= 0 {
		return nil
	}
	free, err := f.Free()
	if err != nil {
		return err
	}
	if spare := free - keep; spare >= n {
		f.guard.credit.Store(min(spare/8, maxCredit))
		return nil
	}
	f.guard.credit.Store(0)
	if f.holds(off, n) {
		return nil
	}
	return fmt.Errorf("cannot write %d bytes at %d of image: %d MiB are free and %d are kept: %w", n, off, free>>20, keep>>20, ErrGuard)
}

// holds says that a range is data already, which can be written over without more space.
func (f *File) holds(off, n int64) bool {
	from, end, err := f.Data(off)
	return err == nil && from == off && end-off >= n
}
