// Package mem is guest memory as the host sees it: RAM, the anonymous mapping
// that holds it, and Space, which finds the host bytes behind a guest physical
// address (GPA) and never hands out a byte that is not the guest's.
//
// The guest reads and writes the same bytes at any moment, from other threads.
// What it uses to synchronise (ring indices, flags, descriptors) is read and
// written with Load16 to Store32, which are sequentially consistent like
// sync/atomic. All else is plain memory: copy it once, then look at the copy.
//
// Values are little endian, as the guest's and as every host that we run on.
package mem

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Granule is what sizes and host addresses of RAM are a multiple of, in bytes: the
// page size of Apple silicon, to which hv_vm_map is bound. Guests may use 4 KiB pages.
const Granule = 16 << 10

// ErrRange: a guest physical range is not within one region.
var ErrRange = errors.New("not guest memory")

// RAM is memory from the operating system, zero until written, outside of Go's
// heap so that an engine may map it into a guest.
type RAM struct {
	mu   sync.Mutex
	b    []byte // nil once closed
	host []byte // the mapping that b is aligned in
}

// New maps size bytes, a multiple of Granule and not 0. Pages take room on the
// host when they are first touched.
func New(size uint64) (*RAM, error) {
	if size == 0 || size%Granule != 0 || size > 1<<46 {
		return nil, fmt.Errorf("cannot make RAM of %d bytes: the size must be a multiple of %d; round it up", size, Granule)
	}
	spare := uint64(max(0, Granule-unix.Getpagesize()))
	host, err := unix.Mmap(-1, 0, int(size+spare), unix.PROT_READ|unix.PROT_WRITE, mapFlags)
	if err != nil {
		return nil, fmt.Errorf("cannot map %d MiB of guest memory: %w", size>>20, err)
	}
	b := host[pad(host, Granule):][:size:size]
	adviseHuge(b)
	return &RAM{b: b, host: host}, nil
}

// Bytes is the whole of the RAM until Close; afterwards it is nil.
func (r *RAM) Bytes() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b
}

// Close gives the memory back to the host. The VM and every device must be
// closed before: what they still hold of Bytes is gone. Closing twice is fine.
func (r *RAM) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.b == nil {
		return nil
	}
	err := unix.Munmap(r.host)
	r.b, r.host = nil, nil
	if err != nil {
		return fmt.Errorf("cannot unmap guest memory: %w", err)
	}
	return nil
}

// A Region is host memory that the guest sees at Base.
type Region struct {
	Base uint64 // guest physical address of Mem[0], a multiple of 4
	Mem  []byte
}

// A Space is the guest physical memory that devices may touch. Its regions never
// change, so any goroutine may use it without a lock.
type Space struct {
	regions  []Region // by Base, disjoint
	page     uint64   // what Return is made of
	release  func(gpa uint64, b []byte) error
	returned atomic.Uint64
}

// NewSpace makes a Space of regions, which must neither overlap nor wrap.
func NewSpace(regions ...Region) (*Space, error) {
	rs := slices.Clone(regions)
	slices.SortFunc(rs, func(a, b Region) int {
		if a.Base < b.Base {
			return -1
		}
		return 1
	})
	var end uint64
	for i, r := range rs {
		n := uint64(len(r.Mem))
		if n == 0 || r.Base%4 != 0 || r.Base+n < r.Base || (i > 0 && r.Base < end) {
			return nil, fmt.Errorf("cannot place %d bytes of memory at GPA %#x: empty, unaligned, wrapping or overlapping", n, r.Base)
		}
		end = r.Base + n
	}
	s := &Space{regions: rs, page: uint64(unix.Getpagesize())}
	s.release = func(_ uint64, b []byte) error { return release(b) }
	return s, nil
}

// Slice is the n bytes at gpa. They lie within one region, or the error is
// ErrRange; no sum overflows whatever the guest asks for.
func (s *Space) Slice(gpa, n uint64) ([]byte, error) {
	for i := range s.regions {
		r := &s.regions[i]
		size := uint64(len(r.Mem))
		if off := gpa - r.Base; gpa >= r.Base && off <= size && n <= size-off {
			return r.Mem[off : off+n : off+n], nil
		}
	}
	return nil, ErrRange
}

// OnReturn replaces how Return gives back pages, of this size from now on. The board
// sets it, before the guest runs, where madvise does not reach the guest's mapping:
// with an engine that says hv.Caps.Remap the hook is VM.Unmap, Renew, VM.Map. The
// pages must read as zeroes or as before, at any time.
func (s *Space) OnReturn(page uint64, f func(gpa uint64, b []byte) error) {
	s.page, s.release = page, f
}

// Return gives the host pages that lie wholly within the n bytes at gpa back to
// the host; the guest has said that it does not need what they hold. They read
// as zeroes and are there again when touched. It reports how many bytes went back,
// 0 when the range holds no whole page. Errors: ErrRange, or the system's.
func (s *Space) Return(gpa, n uint64) (uint64, error) {
	b, err := s.Slice(gpa, n)
	if err != nil {
		return 0, err
	}
	page := s.HostPage()
	skip := pad(b, page)
	if skip >= uint64(len(b)) {
		return 0, nil
	}
	b = b[skip:]
	b = b[:uint64(len(b))&^(page-1)]
	if len(b) == 0 {
		return 0, nil
	}
	if err := s.release(gpa+skip, b); err != nil {
		return 0, fmt.Errorf("cannot return %d bytes of guest memory to the host: %w", len(b), err)
	}
	s.returned.Add(uint64(len(b)))
	return uint64(len(b)), nil
}

// Returned is how many bytes Return has given back since the Space was made.
func (s *Space) Returned() uint64 { return s.returned.Load() }

// HostPage is the size in bytes, a power of two, of what Return is made of: the host's
// page, unless OnReturn has said otherwise.
func (s *Space) HostPage() uint64 { return s.page }
