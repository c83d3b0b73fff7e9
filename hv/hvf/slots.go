//go:build (darwin && arm64 && cgo) || macshim

package hvf

import (
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// A slot is a mapped range of guest physical memory.
type slot struct {
	base uint64
	mem  []byte
	prot hv.Prot
}

func (s slot) end() uint64 { return s.base + uint64(len(s.mem)) }

// part is what of s lies in [base, end), which overlaps it.
func (s slot) part(base, end uint64) slot {
	base, end = max(base, s.base), min(end, s.end())
	return slot{base, s.mem[base-s.base : end-s.base], s.prot}
}

// slots is the memory map of a VM. vCPUs look without a lock; who changes it
// holds mu around the framework's call and the new list, so whoever has mu sees
// a list that agrees with the framework.
type slots struct {
	limit uint64 // end of the guest physical address space

	mu   sync.Mutex // held while the map changes
	gen  uint64     // how often it has changed; guarded by mu
	list atomic.Pointer[[]slot]
	seen atomic.Uint64 // gen, for those without mu
}

func newSlots(limit uint64) *slots {
	s := &slots{limit: limit}
	s.list.Store(&[]slot{})
	return s
}

// find gives the slot that holds ipa.
func find(list []slot, ipa uint64) (slot, bool) {
	i := sort.Search(len(list), func(i int) bool { return list[i].end() > ipa })
	if i == len(list) || list[i].base > ipa {
		return slot{}, false
	}
	return list[i], true
}

// look is find in the list of now, which may be about to change.
func (s *slots) look(ipa uint64) (slot, bool) { return find(*s.list.Load(), ipa) }

// lookSettled is find once no change is under way, and how often the map had
// changed by then.
func (s *slots) lookSettled(ipa uint64) (at slot, mapped bool, gen uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, mapped = s.look(ipa)
	return at, mapped, s.gen
}

// replace puts in the new list. mu is held.
func (s *slots) replace(list []slot) {
	s.gen++
	s.list.Store(&list)
	s.seen.Store(s.gen)
}

// overlapping are the parts of slots in [base, base+n). mu is held.
func (s *slots) overlapping(base, n uint64) (parts []slot, covered uint64) {
	for _, x := range *s.list.Load() {
		if x.base < base+n && base < x.end() {
			p := x.part(base, base+n)
			parts = append(parts, p)
			covered += uint64(len(p.mem))
		}
	}
	return parts, covered
}

// checkRange checks n bytes at ipa.
func (s *slots) checkRange(do string, ipa, n uint64) error {
	if (ipa|n)%granule != 0 || n == 0 || ipa >= s.limit || n > s.limit-ipa {
		return fmt.Errorf("cannot %s %#x bytes at %#x: %w", do, n, ipa, hv.ErrRange)
	}
	return nil
}

// add maps memory with the framework's call.
func (s *slots) add(x slot, call func() error) error {
	n := uint64(len(x.mem))
	if err := s.checkRange("map", x.base, n); err != nil {
		return err
	}
	if uintptr(unsafe.Pointer(unsafe.SliceData(x.mem)))%granule != 0 {
		return fmt.Errorf("cannot map memory at %#x: its host address is not aligned to %d; take it from mmap: %w", x.base, granule, hv.ErrRange)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, covered := s.overlapping(x.base, n); covered != 0 {
		return fmt.Errorf("cannot map %#x bytes at %#x: part is mapped already: %w", n, x.base, hv.ErrRange)
	}
	if err := call(); err != nil {
		return err
	}
	list := append(slices.Clone(*s.list.Load()), x)
	slices.SortFunc(list, func(a, b slot) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	s.replace(list)
	return nil
}

// change does call with each mapped part of a range, which must be mapped
// throughout, and keeps of it what to answers; ok false keeps nothing.
func (s *slots) change(do string, ipa, n uint64, call func(part slot) error, to func(part slot) (kept slot, ok bool)) error {
	if err := s.checkRange(do, ipa, n); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	parts, covered := s.overlapping(ipa, n)
	if covered != n {
		return fmt.Errorf("cannot %s %#x bytes at %#x: part is not mapped: %w", do, n, ipa, hv.ErrRange)
	}
	for _, p := range parts {
		if err := call(p); err != nil {
			return err
		}
		s.replace(without(*s.list.Load(), p, to))
	}
	return nil
}

// without is the list in which what to answers stands for part, a part of one slot.
func without(list []slot, part slot, to func(slot) (slot, bool)) []slot {
	var next []slot
	for _, x := range list {
		if part.base >= x.end() || x.base >= part.end() {
			next = append(next, x)
			continue
		}
		if x.base < part.base {
			next = append(next, x.part(x.base, part.base))
		}
		if kept, ok := to(part); ok {
			next = append(next, kept)
		}
		if part.end() < x.end() {
			next = append(next, x.part(part.end(), x.end()))
		}
	}
	return next
}
