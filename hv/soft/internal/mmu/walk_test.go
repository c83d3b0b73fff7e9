package mmu

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

const (
	base   = 0x4000_0000
	size   = 1 << 20
	tables = base + 0x10000
)

// guest is memory with tables in it.
type guest struct {
	*Memory
	mem []byte
	Regs
}

func newGuest(t *testing.T) *guest {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	m := (&Memory{}).With(Slot{base, mem, Read | Write | Exec})
	return &guest{m, mem, Regs{SCTLR: sctlrM, MAIR: 0xff00, PABits: 40, TTBR0: tables, TTBR1: tables, TCR: 25 | 25<<16}}
}

func (g *guest) put(pa, v uint64) { binary.LittleEndian.PutUint64(g.mem[pa-base:], v) }
func (g *guest) get(pa uint64) uint64 {
	return binary.LittleEndian.Uint64(g.mem[pa-base:])
}

// chain makes one entry in each of the tables at tables, +0x1000, ... down to the
// leaf, indexed by va as levels from first to last say.
func (g *guest) chain(va uint64, first, last uint, table, leaf uint64) (at uint64) {
	t := uint64(tables)
	for level := first; ; level++ {
		at = t + va>>(39-9*level)&511*8
		if level == last {
			g.put(at, leaf)
			return at
		}
		t += 0x1000
		g.put(at, t|table|descValid|descTable)
	}
}

// Leaves of what Linux uses: attribute 1 is Normal, 0 Device-nGnRnE.
const (
	normal = 1 << 2
	page   = base | descValid | descTable | descAF | normal
	block  = descValid | descAF | normal
)

// TestWalkSizes is mistakes 9 and 12: every size of address space, both
// halves, every level at which a walk may end.
func TestWalkSizes(t *testing.T) {
	for bits := uint(25); bits <= 48; bits++ {
		first := 4 - (bits-12+8)/9
		for last := max(first, 1); last <= 3; last++ {
			g := newGuest(t)
			g.TCR = uint64(64-bits) | uint64(64-bits)<<16
			low := uint64(1)<<(bits-1) | 0x3456 // the top bit must index too
			high := ^uint64(0)<<bits | low
			leaf, shift := uint64(page), 39-9*last
			if last < 3 {
				leaf = block | base&^(1<<shift-1)
			}
			g.chain(low&(1<<bits-1), first, last, 0, leaf)
			want := leaf&addrMask&^(1<<shift-1) | low&(1<<shift-1)
			for _, va := range []uint64{low, high} {
				r, f := g.Walk(g.Memory, va, Access{})
				if f.Failed || r.PA != want || uint(r.Shift) != shift {
					t.Errorf("%d bits, level %d, va %#x: %+v %+v, want PA %#x", bits, last, va, r, f, want)
				}
			}
			for _, va := range []uint64{1<<bits | low, high &^ (1 << bits), 1<<63 | low} {
				if _, f := g.Walk(g.Memory, va, Access{}); !f.Failed || f.FSC != arm64.FSCTranslation {
					t.Errorf("%d bits: va %#x outside: %+v, want a level 0 translation fault", bits, va, f)
				}
			}
		}
	}
}

// TestWalkRights is mistakes 8, 11 and 12: who may do what, and how the fault
// reads.
func TestWalkRights(t *testing.T) {
	const (
		perm   = arm64.FSCPermission | 3
		access = arm64.FSCAccessFlag | 3
	)
	el0, el1 := Access{User: true}, Access{}
	write := func(a Access) Access { a.Write = true; return a }
	exec := func(a Access) Access { a.Exec = true; return a }
	tests := []struct {
		name        string
		table, leaf uint64
		sctlr       uint64
		acc         Access
		fsc         uint8
	}{
		{"EL1 reads its own page", 0, page, 0, el1, 0},
		{"EL0 reads a page of EL1", 0, page, 0, el0, perm},
		{"EL0 writes its page", 0, page | descUser, 0, write(el0), 0},
		{"EL1 writes a page of EL0", 0, page | descUser, 0, write(el1), 0},
		{"EL0 writes a read-only page", 0, page | descUser | descRO, 0, write(el0), perm},
		{"EL1 writes a read-only page", 0, page | descRO, 0, write(el1), perm},
		{"no access flag", 0, page &^ descAF, 0, el1, access},
		{"EL0 executes", 0, page | descUser | descRO, 0, exec(el0), 0},
		{"EL0 executes what it cannot read", 0, page | descPXN, 0, exec(el0), 0},
		{"EL0 executes UXN", 0, page | descUser | descUXN, 0, exec(el0), perm},
		{"EL1 executes", 0, page | descUXN, 0, exec(el1), 0},
		{"EL1 executes PXN", 0, page | descPXN, 0, exec(el1), perm},
		{"EL1 executes what EL0 may write", 0, page | descUser, 0, exec(el1), perm},
		{"EL1 executes what EL0 may only read", 0, page | descUser | descRO, 0, exec(el1), 0},
		{"WXN: EL1 executes what it may write", 0, page, sctlrWXN, exec(el1), perm},
		{"WXN: EL1 executes what is read-only", 0, page | descRO, sctlrWXN, exec(el1), 0},
		{"table: no EL0", tableUser, page | descUser, 0, el0, perm},
		{"table: no EL0 does not bind EL1", tableUser, page | descUser, 0, write(el1), 0},
		{"table: read-only", tableRO, page, 0, write(el1), perm},
		{"table: UXN", tableUXN, page | descUser | descRO, 0, exec(el0), perm},
		{"table: PXN", tablePXN, page | descRO, 0, exec(el1), perm},
		{"invalid", 0, 0, 0, el1, arm64.FSCTranslation | 3},
		{"a block at level 3", 0, page &^ descTable, 0, el1, arm64.FSCTranslation | 3},
		{"output beyond the physical size", 0, page | 1<<40, 0, el1, arm64.FSCAddressSize | 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t)
			g.SCTLR |= tt.sctlr
			g.chain(0x5000, 1, 3, tt.table, tt.leaf)
			_, f := g.Walk(g.Memory, 0x5123, tt.acc)
			if f.Failed != (tt.fsc != 0) || f.FSC != tt.fsc {
				t.Errorf("%+v, want FSC %#x", f, tt.fsc)
			}
		})
	}
}

// TestWalkManagesFlags is FEAT_HAFDBS: who sets the access flag and clears the
// read-only bit, and who must not.
func TestWalkManagesFlags(t *testing.T) {
	tests := []struct {
		name string
		tcr  uint64
		leaf uint64
		acc  Access
		want uint64 // the descriptor afterwards
		ok   bool
	}{
		{"HA sets the access flag", tcrHA, page &^ descAF, Access{}, page, true},
		{"a refused access does not", tcrHA, page &^ descAF, Access{User: true}, page &^ descAF, false},
		{"HD makes a dirty page writable", tcrHA | tcrHD, page | descRO | descDBM, Access{Write: true}, page | descDBM, true},
		{"a read leaves it clean", tcrHA | tcrHD, page | descRO | descDBM, Access{}, page | descRO | descDBM, true},
		{"HD without HA does nothing", tcrHD, page | descRO | descDBM, Access{Write: true}, page | descRO | descDBM, false},
		{"without DBM read-only stays", tcrHA | tcrHD, page | descRO, Access{Write: true}, page | descRO, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t)
			g.TCR |= tt.tcr
			at := g.chain(0x5000, 1, 3, 0, tt.leaf)
			r, f := g.Walk(g.Memory, 0x5000, tt.acc)
			if got := g.get(at); f.Failed == tt.ok || got != tt.want {
				t.Errorf("%+v %+v, descriptor %#x, want %#x", r, f, got, tt.want)
			}
			if tt.leaf&descDBM != 0 && !tt.acc.Write && r.Write {
				t.Error("a clean page may be written without the walk that marks it dirty")
			}
		})
	}
}

func TestWalkOfTablesThatTheHostProtects(t *testing.T) {
	g := newGuest(t)
	g.TCR |= tcrHA
	at := g.chain(0x5000, 1, 3, 0, page&^descAF)
	_, f := g.Walk((&Memory{}).With(Slot{base, g.mem, Read}), 0x5000, Access{})
	if !f.Denied || f.PA != at {
		t.Errorf("%+v, want the update of %#x denied", f, at)
	}
	_, f = g.Walk(&Memory{}, 0x5000, Access{})
	if f.FSC != arm64.FSCWalk|1 || f.Denied {
		t.Errorf("%+v, want an external abort on the walk", f)
	}
}

func TestWalkSwitches(t *testing.T) {
	g := newGuest(t)
	g.chain(0x5000, 1, 3, 0, page)
	high := uint64(0xffff_ff80_0000_5000)
	tests := []struct {
		name string
		tcr  uint64
		va   uint64
		ok   bool
	}{
		{"both halves", 0, high, true},
		{"EPD1 closes the upper", tcrEPD1, high, false},
		{"EPD1 leaves the lower", tcrEPD1, 0x5000, true},
		{"EPD0 closes the lower", tcrEPD0, 0x5000, false},
		{"a tag without TBI0", 0, 0xab<<56&(1<<55-1)<<1 | 0xab<<56 | 0x5000, false},
		{"a tag with TBI0", tcrTBI0, 0xab<<56 | 0x5000, true},
		{"TBI0 is not for the upper half", tcrTBI0, high &^ (1 << 60), false},
		{"a tag with TBI1", tcrTBI1, high &^ (1 << 60), true},
	}
	for _, tt := range tests {
		g.TCR = 25 | 25<<16 | tt.tcr
		if _, f := g.Walk(g.Memory, tt.va, Access{}); f.Failed == tt.ok {
			t.Errorf("%s: %+v", tt.name, f)
		}
	}
}

func TestASIDIsThatOfTheChosenRegister(t *testing.T) {
	r := Regs{TTBR0: 0x1234 << 48, TTBR1: 0x5678 << 48}
	for tcr, want := range map[uint64]uint16{0: 0x34, tcrA1: 0x78, tcrAS: 0x1234, tcrAS | tcrA1: 0x5678} {
		if r.TCR = tcr; r.ASID() != want {
			t.Errorf("TCR %#x: ASID %#x, want %#x", tcr, r.ASID(), want)
		}
	}
}

// FuzzWalk: tables are the guest's; whatever they hold, a walk ends and what
// it gives is within the physical address space.
func FuzzWalk(f *testing.F) {
	f.Add(uint64(0x5000), uint64(25|25<<16), []byte{3, 0, 1, 0x40})
	f.Add(^uint64(0), uint64(16|16<<16|tcrHA|tcrHD), []byte{})
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		f.Fatal(err)
	}
	m := (&Memory{}).With(Slot{base, mem, Read | Write | Exec})
	f.Fuzz(func(t *testing.T, va, tcr uint64, b []byte) {
		for k := range mem[:0x8000] {
			mem[k] = 0
			if len(b) > 0 {
				mem[k] = b[k%len(b)]
			}
		}
		r := Regs{SCTLR: sctlrM, TCR: tcr, TTBR0: base + va&0x7000, TTBR1: base, PABits: 40}
		for _, acc := range []Access{{}, {Write: true}, {Exec: true, User: true}} {
			if res, f := r.Walk(m, va, acc); !f.Failed && res.PA>>40 != 0 {
				t.Errorf("va %#x gives PA %#x", va, res.PA)
			}
		}
	})
}
