// Package mmu knows the guest's two address spaces: which host memory stands
// behind a guest physical address, and how stage 1 of the Arm VMSAv8-64
// translation (Arm ARM, chapter D8; 4 KiB granule, 39 to 48 bits) maps
// virtual ones to it.
package mmu

import "sort"

// Prot is what the guest may do with a slot, with the values of hv.Prot.
type Prot uint8

// The values are those of hv.Read, hv.Write and hv.Exec.
const (
	Read  Prot = 1
	Write Prot = 2
	Exec  Prot = 4
)

// A Slot is host memory at a guest physical address.
type Slot struct {
	Base uint64
	Mem  []byte // whole pages, not from Go's heap
	Prot Prot
}

func (s *Slot) end() uint64 { return s.Base + uint64(len(s.Mem)) }

// Memory is a guest physical address space. It does not change once made:
// With and Without give a new one.
type Memory struct {
	slots []Slot // by Base, not overlapping
}

// Find gives the slot that holds pa, or nil.
func (m *Memory) Find(pa uint64) *Slot {
	lo, hi := 0, len(m.slots)
	for lo < hi {
		mid := (lo + hi) / 2
		if m.slots[mid].end() <= pa {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(m.slots) || m.slots[lo].Base > pa {
		return nil
	}
	return &m.slots[lo]
}

// Covers says whether every byte of the n from base is mapped. The range must
// not wrap.
func (m *Memory) Covers(base, n uint64) bool {
	for n > 0 {
		s := m.Find(base)
		if s == nil {
			return false
		}
		step := min(n, s.end()-base)
		base, n = base+step, n-step
	}
	return true
}

// Overlaps says whether any byte of the n from base is mapped. The range must
// not wrap.
func (m *Memory) Overlaps(base, n uint64) bool {
	i := sort.Search(len(m.slots), func(i int) bool { return m.slots[i].end() > base })
	return i < len(m.slots) && m.slots[i].Base < base+n
}

// With is m and s, which must not overlap it.
func (m *Memory) With(s Slot) *Memory {
	n := &Memory{slots: append(append([]Slot(nil), m.slots...), s)}
	sort.Slice(n.slots, func(i, j int) bool { return n.slots[i].Base < n.slots[j].Base })
	return n
}

// Without is m less the n bytes from base, and the pieces of slots that were
// taken out.
func (m *Memory) Without(base, n uint64) (rest *Memory, out []Slot) {
	rest = &Memory{}
	for _, s := range m.slots {
		lo, hi := max(s.Base, base), min(s.end(), base+n)
		if lo >= hi {
			rest.slots = append(rest.slots, s)
			continue
		}
		rest.slots = s.appendPart(rest.slots, s.Base, lo)
		out = s.appendPart(out, lo, hi)
		rest.slots = s.appendPart(rest.slots, hi, s.end())
	}
	return rest, out
}

// appendPart appends what s has from lo up to hi, if anything.
func (s *Slot) appendPart(to []Slot, lo, hi uint64) []Slot {
	if lo >= hi {
		return to
	}
	return append(to, Slot{lo, s.Mem[lo-s.Base : hi-s.Base : hi-s.Base], s.Prot})
}
