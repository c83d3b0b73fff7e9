package board

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// A busDevice answers loads and stores of 1, 2, 4 or 8 bytes at offsets below the
// size of its range, from any vCPU's goroutine, without blocking.
type busDevice interface {
	Read(off uint64, size int) uint64
	Write(off uint64, size int, v uint64)
}

// A slot is a device at an address, with its counters.
type slot struct {
	name          string
	base, size    uint64
	dev           busDevice
	reads, writes atomic.Uint64
}

// A bus finds the device behind an address. It does not change once vCPUs run.
type bus struct {
	slots   []*slot // by address
	unknown atomic.Uint64
	log     func(format string, args ...any)
}

// add puts a device on the bus. Ranges do not overlap: the layout is ours.
func (b *bus) add(name string, base, size uint64, dev busDevice) *slot {
	s := &slot{name: name, base: base, size: size, dev: dev}
	at, _ := slices.BinarySearchFunc(b.slots, base, func(s *slot, a uint64) int {
		return compare(s.base, a)
	})
	b.slots = slices.Insert(b.slots, at, s)
	return s
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// find is the slot that holds all of an access, nil when none does.
func (b *bus) find(addr uint64, size int) *slot {
	at, exact := slices.BinarySearchFunc(b.slots, addr, func(s *slot, a uint64) int {
		return compare(s.base, a)
	})
	if !exact {
		at--
	}
	if at < 0 {
		return nil
	}
	if s := b.slots[at]; addr-s.base < s.size && uint64(size) <= s.size-(addr-s.base) {
		return s
	}
	return nil
}

// read is a guest's load. Where nothing is it reads 0.
func (b *bus) read(addr uint64, size int) uint64 {
	s := b.find(addr, size)
	if s == nil {
		b.miss("load", addr, size)
		return 0
	}
	s.reads.Add(1)
	return s.dev.Read(addr-s.base, size)
}

// write is a guest's store. Where nothing is it does nothing.
func (b *bus) write(addr uint64, size int, v uint64) *slot {
	s := b.find(addr, size)
	if s == nil {
		b.miss("store", addr, size)
		return nil
	}
	s.writes.Add(1)
	s.dev.Write(addr-s.base, size, v)
	return s
}

// maxMissLines bounds what a guest can put into the host's log.
const maxMissLines = 16

func (b *bus) miss(what string, addr uint64, size int) {
	if n := b.unknown.Add(1); n <= maxMissLines {
		b.log("guest %s of %d bytes at %#x, where nothing is", what, size, addr)
	}
}

// stats are the counters of every device.
func (b *bus) stats() []DeviceStats {
	list := make([]DeviceStats, 0, len(b.slots))
	for _, s := range b.slots {
		d := DeviceStats{Name: s.name, Base: s.base, Reads: s.reads.Load(), Writes: s.writes.Load()}
		if t, ok := s.dev.(*mmio.Transport); ok {
			state := t.State()
			d.Notifies, d.Virtio = t.Notifications(), &state
		}
		list = append(list, d)
	}
	return list
}

// virtioName names a window in statistics and in the devicetree's order.
func virtioName(i int) string { return fmt.Sprintf("virtio%d", i) }

// amba has the identification that a PrimeCell carries in the last 32 bytes of
// its page, a byte in a word: four of the peripheral, four of the class.
type amba [8]uint32

const ambaBase = 0xfe0

func (a amba) read(off uint64) (v uint64, ok bool) {
	if off < ambaBase || off >= mmioPage {
		return 0, false
	}
	return uint64(a[(off-ambaBase)/4]), true
}
