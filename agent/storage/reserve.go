package storage

import (
	"errors"
	"math"
)

const (
	// DefaultReserve is what a new image takes ahead of use, in bytes: enough for the
	// first file system and a small pull, too little for anybody to miss. 256 MiB.
	DefaultReserve = 256 << 20
	// maxReserve bounds what anybody may ask for: 64 GiB.
	maxReserve = 64 << 30
	// reserveShare is the part of the host's free space that may be taken ahead: an eighth.
	reserveShare = 8
)

// reserveBound is how many bytes to take ahead: what is wanted, but no more than 64 GiB, a share
// of what is free, and what the image grows by.
func reserveBound(wanted, free, growth int64) int64 {
	switch {
	case wanted < 0:
		return 0
	case wanted == 0:
		wanted = DefaultReserve
	}
	return max(0, min(wanted, maxReserve, free/reserveShare, growth))
}

// space is where it is taken from; file.File is one.
type space interface {
	Size() int64
	Free() (int64, error)
	Preallocate(off, n int64) error
}

// reserve takes space for the growth of an image behind its end. It comes before the growth, as
// macOS can take space only at the end of a file. Nothing fails for want of it.
func (i *Image) reserve(f space, s Spec, growth int64) {
	free, err := f.Free()
	if err != nil {
		i.note("no space was taken ahead: %v", err)
		return
	}
	n := reserveBound(s.Reserve, free, min(growth, math.MaxInt64-f.Size()))
	if n == 0 {
		return
	}
	if err := f.Preallocate(f.Size(), n); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		i.note("no space was taken ahead: %v", err)
	}
}
