package mmu

import (
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Regs are the registers that control stage 1 at EL1 and EL0.
type Regs struct {
	SCTLR, TCR, TTBR0, TTBR1, MAIR uint64
	PABits                         uint // implemented physical address bits, 32 to 48
}

// Access is what a translation is for.
type Access struct {
	Write bool // a store, or AT S1ExW
	Exec  bool // an instruction fetch
	User  bool // with EL0's rights
}

// Result is a translation that succeeded.
type Result struct {
	PA          uint64
	Read, Write bool  // what else the same page allows at that EL without a fault or an update
	Device      bool  // Device memory: unaligned accesses fault
	Attr        uint8 // the MAIR byte
	Share       uint8 // SH bits of the descriptor
	Shift       uint8 // log2 of the size that one descriptor maps: 12, 21 or 30
	Global      bool
}

// A Fault is a translation that failed.
type Fault struct {
	Failed bool   // false in the zero Fault, which means success
	FSC    uint8  // fault status code with level
	PA     uint64 // of the descriptor, where Denied or FSC is FSCWalk
	Denied bool   // the descriptor needs an update and its memory is mapped without Write
	again  bool   // the descriptor changed meanwhile: walk once more
}

// SCTLR and TCR fields that translation reads.
const (
	sctlrM   = 1 << 0
	sctlrWXN = 1 << 19

	tcrEPD0 = 1 << 7
	tcrA1   = 1 << 22
	tcrEPD1 = 1 << 23
	tcrAS   = 1 << 36
	tcrTBI0 = 1 << 37
	tcrTBI1 = 1 << 38
	tcrHA   = 1 << 39
	tcrHD   = 1 << 40
)

// Descriptor fields.
const (
	descValid = 1 << 0
	descTable = 1 << 1
	descUser  = 1 << 6
	descRO    = 1 << 7
	descAF    = 1 << 10
	descNG    = 1 << 11
	descDBM   = 1 << 51
	descPXN   = 1 << 53
	descUXN   = 1 << 54
	tablePXN  = 1 << 59
	tableUXN  = 1 << 60
	tableUser = 1 << 61 // APTable[0]: no EL0 access
	tableRO   = 1 << 62 // APTable[1]: no writes
	addrMask  = 0xffff_ffff_f000
)

// Enabled says whether stage 1 is on.
func (r *Regs) Enabled() bool { return r.SCTLR&sctlrM != 0 }

// ASID is the current address space identifier.
func (r *Regs) ASID() uint16 {
	t := r.TTBR0
	if r.TCR&tcrA1 != 0 {
		t = r.TTBR1
	}
	if r.TCR&tcrAS == 0 {
		return uint16(t >> 48 & 0xff)
	}
	return uint16(t >> 48)
}

// Untag gives va without the tag that TCR_EL1.TBIn lets software keep in bits
// 63:56: those become copies of bit 55.
func (r *Regs) Untag(va uint64) uint64 {
	tbi := uint64(tcrTBI0)
	if va>>55&1 == 1 {
		tbi = tcrTBI1
	}
	if !r.Enabled() || r.TCR&tbi == 0 {
		return va
	}
	return uint64(int64(va<<8) >> 8)
}

// Walk translates va. It may set the access flag or clear the read-only bit of
// a descriptor as TCR_EL1.HA and HD ask (FEAT_HAFDBS).
func (r *Regs) Walk(m *Memory, va uint64, acc Access) (Result, Fault) {
	if !r.Enabled() {
		return r.flat(va, acc)
	}
	table, bits, ok := r.root(va)
	if !ok {
		return Result{}, fault(arm64.FSCTranslation, 0)
	}
	if table>>r.PABits != 0 {
		return Result{}, fault(arm64.FSCAddressSize, 0)
	}
	for {
		w := walker{r: r, m: m, va: va & (1<<bits - 1), acc: acc}
		res, f := w.from(table, 4-(bits-12+8)/9, bits)
		if !f.again {
			return res, f
		}
	}
}

// flat is the translation with stage 1 off: data is Device-nGnRnE,
// instructions are Normal.
func (r *Regs) flat(va uint64, acc Access) (Result, Fault) {
	if va>>r.PABits != 0 {
		return Result{}, fault(arm64.FSCAddressSize, 0)
	}
	return Result{PA: va, Read: true, Write: true, Device: !acc.Exec, Share: 2, Shift: 12, Global: true}, Fault{}
}

func fault(kind uint8, level uint) Fault { return Fault{Failed: true, FSC: kind | uint8(level)} }

// root picks the table for va and the number of bits it translates; ok is
// false where va is outside both halves or its half is switched off.
func (r *Regs) root(va uint64) (table uint64, bits uint, ok bool) {
	va = r.Untag(va)
	size, table, off := r.TCR&63, r.TTBR0, r.TCR&tcrEPD0 != 0
	top := uint64(0)
	if va>>55&1 == 1 {
		size, table, off = r.TCR>>16&63, r.TTBR1, r.TCR&tcrEPD1 != 0
		top = ^uint64(0)
	}
	size = min(max(size, 16), 39) // out of range is CONSTRAINED UNPREDICTABLE
	if off || (va^top)>>(64-size) != 0 {
		return 0, 0, false
	}
	return table & (addrMask | 0xffe), 64 - uint(size), true
}

// A walker is one walk under way.
type walker struct {
	r              *Regs
	m              *Memory
	va             uint64 // only the translated bits
	acc            Access
	noUser, ro     bool // from APTable
	tblUXN, tblPXN bool
}

// from walks from the table at level that translates bits bits; this first
// table may have fewer than 512 entries.
func (w *walker) from(table uint64, level, bits uint) (Result, Fault) {
	table &^= 8<<(bits-(39-9*level)) - 1
	for ; ; level++ {
		pa := table + w.va>>(39-9*level)&511*8
		d, f := w.load(pa, level)
		switch {
		case f.Failed:
			return Result{}, f
		case d&descValid == 0 || d&descTable == 0 && (level == 0 || level == 3):
			return Result{}, fault(arm64.FSCTranslation, level)
		case level == 3 || d&descTable == 0:
			return w.leaf(pa, d, level)
		}
		if table = d & addrMask; table>>w.r.PABits != 0 {
			return Result{}, fault(arm64.FSCAddressSize, level)
		}
		w.inherit(d)
	}
}

// load reads the descriptor at pa.
func (w *walker) load(pa uint64, level uint) (uint64, Fault) {
	p, _ := w.m.word(pa)
	if p == nil {
		return 0, Fault{Failed: true, FSC: arm64.FSCWalk | uint8(level), PA: pa}
	}
	return atomic.LoadUint64(p), Fault{}
}

// inherit takes the limits of a table descriptor.
func (w *walker) inherit(d uint64) {
	w.noUser = w.noUser || d&tableUser != 0
	w.ro = w.ro || d&tableRO != 0
	w.tblUXN = w.tblUXN || d&tableUXN != 0
	w.tblPXN = w.tblPXN || d&tablePXN != 0
}

// leaf checks the block or page descriptor d, found at pa.
func (w *walker) leaf(pa, d uint64, level uint) (Result, Fault) {
	shift := 39 - 9*level
	out := d & addrMask &^ (1<<shift - 1)
	if out>>w.r.PABits != 0 {
		return Result{}, fault(arm64.FSCAddressSize, level)
	}
	want := w.managed(d)
	if want&descAF == 0 {
		return Result{}, fault(arm64.FSCAccessFlag, level)
	}
	if !w.allowed(want) {
		return Result{}, fault(arm64.FSCPermission, level)
	}
	if want != d {
		if f := w.update(pa, d, want); f.Failed {
			return Result{}, f
		}
	}
	return w.result(want, out, shift), Fault{}
}

// managed is d as hardware management of the access flag and of the dirty
// state leaves it.
func (w *walker) managed(d uint64) uint64 {
	if w.r.TCR&tcrHA == 0 {
		return d
	}
	d |= descAF
	if w.acc.Write && w.r.TCR&tcrHD != 0 && d&descDBM != 0 {
		d &^= descRO
	}
	return d
}

// update writes the descriptor at pa, unless somebody else did meanwhile.
func (w *walker) update(pa, old, want uint64) Fault {
	p, writable := w.m.word(pa)
	if !writable {
		return Fault{Failed: true, FSC: arm64.FSCWalk, PA: pa, Denied: true}
	}
	if !atomic.CompareAndSwapUint64(p, old, want) {
		return Fault{Failed: true, again: true}
	}
	return Fault{}
}

func (w *walker) result(d, out uint64, shift uint) Result {
	attr := uint8(w.r.MAIR >> (d >> 2 & 7 * 8))
	read, write := w.rights(d)
	return Result{
		PA:     out | w.va&(1<<shift-1),
		Read:   read,
		Write:  write,
		Device: attr&0xf0 == 0,
		Attr:   attr,
		Share:  uint8(d >> 8 & 3),
		Shift:  uint8(shift),
		Global: d&descNG == 0,
	}
}

// rights are what d and the tables above it allow for data at the EL.
func (w *walker) rights(d uint64) (read, write bool) {
	user := d&descUser != 0 && !w.noUser
	read = user || !w.acc.User
	return read, read && d&descRO == 0 && !w.ro
}

func (w *walker) allowed(d uint64) bool {
	read, write := w.rights(d)
	switch {
	case w.acc.Exec:
		return w.executable(d, write)
	case w.acc.Write:
		return write
	}
	return read
}

// executable applies UXN, PXN, WXN and the rule that EL1 never executes what
// EL0 may write. EL0 may execute what it cannot read.
func (w *walker) executable(d uint64, write bool) bool {
	if write && w.r.SCTLR&sctlrWXN != 0 {
		return false
	}
	if w.acc.User {
		return d&descUXN == 0 && !w.tblUXN
	}
	userWrites := d&descUser != 0 && !w.noUser && write
	return d&descPXN == 0 && !w.tblPXN && !userWrites
}
