package hvtest

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// The suite's translation tables: 39-bit addresses of 4 KiB pages, four
// entries at level 1. The first GiB is device memory, the second (RAM) and
// third (window) are normal memory, all at their own address and for EL1 only.
// Of the fourth, paged is 512 pages by a level 3 table, and blocked one
// 2 MiB block.
const (
	level1 = tables
	level2 = tables + 0x1000
	level3 = tables + 0x2000

	paged   = 0xc000_0000 // virtual
	blocked = 0xc020_0000
)

// Fields of a descriptor (Arm ARM D8.3).
const (
	pteBlock  = 1
	ptePage   = 3      // also: table
	pteDevice = 1 << 2 // index 1 of MAIR_EL1
	pteEL0    = 1 << 6
	pteRO     = 1 << 7
	pteInner  = 3 << 8 // inner shareable
	pteAF     = 1 << 10
	pteNG     = 1 << 11
	ptePXN    = 1 << 53
	pteUXN    = 1 << 54

	normal = ptePage | pteInner | pteAF
)

// SCTLR_EL1: the bits that are 1 in Armv8.0, MMU, caches, SP alignment checks.
// EL0 may use neither DC ZVA nor CTR_EL0 nor WFI.
const (
	sctlrRES1 = 0x30d0_0800
	sctlrM    = 1 << 0
	sctlrA    = 1 << 1
	sctlrC    = 1 << 2
	sctlrSA   = 1<<3 | 1<<4
	sctlrI    = 1 << 12
	sctlrMMU  = sctlrRES1 | sctlrM | sctlrC | sctlrSA | sctlrI
)

// mmuRegs are the system registers of the suite's address space: MAIR with
// normal write-back and nGnRnE, TCR with T0SZ 25, inner shareable write-back
// walks, TTBR1 off and 36-bit physical addresses.
var mmuRegs = []struct {
	enc   hv.SysReg
	value uint64
}{
	{arm64.MAIR_EL1, 0x00ff},
	{arm64.TCR_EL1, 1<<32 | 1<<23 | 3<<12 | 1<<10 | 1<<8 | 25},
	{arm64.TTBR0_EL1, level1},
	{arm64.SCTLR_EL1, sctlrMMU},
}

// mmuOn writes the tables and turns vCPU 0's MMU on.
func (m *machine) mmuOn() {
	m.Helper()
	m.writeTables()
	for _, r := range mmuRegs {
		m.setSys(r.enc, r.value)
	}
}

func (m *machine) writeTables() {
	const block = pteBlock | pteInner | pteAF
	m.setWord(level1+0, 0|pteBlock|pteDevice|pteAF|ptePXN|pteUXN)
	m.setWord(level1+8, ramBase|block)
	m.setWord(level1+16, window|block)
	m.setWord(level1+24, level2|ptePage)
	m.setWord(level2+0, level3|ptePage)
	m.setWord(level2+8, spare|block)
}

// page maps page n of paged; the guest must TLBI if it had another entry.
func (m *machine) page(n int, desc uint64) { m.setWord(level3+8*uint64(n), desc) }

// flush lets the guest drop its translations.
func (m *machine) flush() {
	m.Helper()
	m.exec(asm.New(code).Op(asm.DsbSY(), asm.TlbiAll(), asm.DsbSY(), asm.Isb(), asm.Hvc(1)))
	m.runHVC(1)
}

var mmuChecks = []check{
	{"the guest turns its MMU on", "guest virtual addresses go through TTBR0_EL1", nil, guestTurnsMMUOn},
	{"pages and blocks translate", "Arm ARM D8: a table walk ends in a block at level 1 or 2, or a page at level 3", nil, pagesTranslate},
	{"an MMIO exit has both addresses", "Exit: IPA is the guest physical, VA the guest virtual address", nil, mmioThroughMMU},
	{"a changed entry holds after TLBI", "Arm ARM D8.14: TLBI VAE1 removes the entries of an address", nil, tlbiByAddress},
	{"TLBI of an address within a block", "Arm ARM D8.14: TLBI VAE1 also removes the entries of a block that holds the address", nil, tlbiInsideBlock},
	{"ASIDs keep address spaces apart", "Arm ARM D8.13: nG entries match the current ASID only", nil, asidsApart},
	{"unaligned accesses cross pages", "Arm ARM B2.5: an unaligned access to normal memory is allowed when SCTLR_EL1.A is 0", nil, unalignedAcrossPages},
	{"a fault on the second page leaves every register", "Arm ARM B2.2: the instruction runs again from its start", nil, faultOnSecondPage},
	{"AT tells what a translation gives", "Arm ARM: AT S1E1R reports in PAR_EL1", nil, addressTranslate},
	{"DC ZVA zeroes its block", "DCZID_EL0.BS is the log2 of the block size in words", nil, zeroBlock},
	{"code that the guest rewrote is run", "Arm ARM B2.4.4: DC CVAU, DSB, IC IVAU, DSB, ISB", nil, guestRewritesCode},
	{"code rewritten under another address is run", "Arm ARM D7.5: IC IVAU acts on the physical address", nil, guestRewritesAlias},
}

func guestTurnsMMUOn(m *machine) {
	m.writeTables()
	m.page(3, spare|normal)
	m.setWord(spare+8, 0x77)
	p := asm.New(code)
	for _, r := range mmuRegs {
		if r.enc == arm64.SCTLR_EL1 {
			p.Op(asm.TlbiAll(), asm.DsbSY(), asm.Isb())
		}
		p.MsrImm(r.enc, r.value, 9)
	}
	p.Op(asm.Isb()).Mov64(0, paged+3*0x1000).Op(asm.Ldr(1, 0, 8), asm.Hvc(1))
	m.exec(p)
	m.runHVC(1)
	m.wantReg(1, 0x77)
}

func pagesTranslate(m *machine) {
	m.mmuOn()
	m.page(0, spare|normal)
	m.page(511, (spare+0x5000)|normal)
	m.setWord(spare+16, 1)
	m.setWord(spare+0x5ff8, 2)
	m.setWord(spare+0x1f_fff8, 3)
	for _, tt := range []struct{ va, want uint64 }{
		{paged + 16, 1}, {paged + 511*0x1000 + 0xff8, 2}, {blocked + 0x1f_fff8, 3}, {spare + 16, 1},
	} {
		m.set(0, tt.va)
		m.exec(asm.New(code).Op(asm.Ldr(1, 0, 0), asm.Hvc(1)))
		m.runHVC(1)
		if got := m.get(1); got != tt.want {
			m.Errorf("address %#x reads %d, want %d", tt.va, got, tt.want)
		}
	}
}

func mmioThroughMMU(m *machine) {
	m.mmuOn()
	m.page(2, device|ptePage|pteDevice|pteAF|ptePXN|pteUXN)
	m.set(0, paged+2*0x1000)
	m.exec(asm.New(code).Op(asm.LdrW(1, 0, 0x124), asm.Hvc(1)))
	e := m.run(hv.MMIO)
	if e.IPA != device+0x124 || e.VA != paged+2*0x1000+0x124 || e.Size != 4 {
		m.Errorf("exit %s, want IPA %#x VA %#x", describe(e), device+0x124, paged+2*0x1000+0x124)
	}
	m.must(e.Complete(m.cpu, 9))
	m.runHVC(1)
	m.wantReg(1, 9)
}

// loadTwice is a program that loads [X0] to X1, stores X3 to the page table
// entry at X2, invalidates the address in X4 and loads again to X5.
func loadTwice() *asm.Program {
	return asm.New(code).Op(
		asm.Ldr(1, 0, 0), asm.Str(3, 2, 0), asm.DsbSY(),
		asm.TlbiVA(4), asm.DsbSY(), asm.Isb(), asm.Ldr(5, 0, 0), asm.Hvc(1))
}

func tlbiByAddress(m *machine) {
	m.mmuOn()
	m.page(1, spare|normal)
	m.setWord(spare, 1)
	m.setWord(spare+0x1000, 2)
	m.set(0, paged+0x1000)
	m.set(2, level3+8)
	m.set(3, (spare+0x1000)|normal)
	m.set(4, (paged+0x1000)>>12)
	m.exec(loadTwice())
	m.runHVC(1)
	m.wantReg(1, 1)
	m.wantReg(5, 2)
}

func tlbiInsideBlock(m *machine) {
	m.mmuOn()
	const other = spare + 0x20_0000
	m.setWord(spare+0x3000, 1)
	m.setWord(other+0x3000, 2)
	m.set(0, blocked+0x3000)
	m.set(2, level2+8)
	m.set(3, other|pteBlock|pteInner|pteAF)
	m.set(4, (blocked+0x7000)>>12) // another page of the same block
	m.exec(loadTwice())
	m.runHVC(1)
	m.wantReg(1, 1)
	m.wantReg(5, 2)
}

// asidsApart switches TTBR0_EL1 between two ASIDs without TLBI: each sees its
// own page, and a global page is seen by both.
func asidsApart(m *machine) {
	m.mmuOn()
	const second1, second2, second3 = tables + 0x10000, tables + 0x11000, tables + 0x12000
	copy(m.ram[second1-ramBase:][:0x1000], m.ram[level1-ramBase:])
	m.setWord(second1+24, second2|ptePage)
	m.setWord(second2, second3|ptePage)
	m.page(0, spare|normal|pteNG)
	m.setWord(second3, (spare+0x1000)|normal|pteNG)
	m.setWord(spare, 1)
	m.setWord(spare+0x1000, 2)
	m.set(0, paged)
	m.set(1, 1<<48|level1)
	m.set(2, 2<<48|second1)
	p := asm.New(code)
	for i := range 4 {
		p.Op(asm.Msr(arm64.TTBR0_EL1, 1+i%2), asm.Isb(), asm.Ldr(3+i, 0, 0))
	}
	m.exec(p.Op(asm.Hvc(1)))
	m.runHVC(1)
	for i, want := range []uint64{1, 2, 1, 2} {
		m.wantReg(hv.Reg(3+i), want)
	}
}

func unalignedAcrossPages(m *machine) {
	m.mmuOn()
	m.page(0, (spare+0x3000)|normal)
	m.page(1, spare|normal)
	m.setWord(spare+0x3ff8, 0x1111_1111_2222_2222)
	m.setWord(spare, 0x3333_3333_4444_4444)
	m.set(0, paged+0xffc)
	m.set(2, 0xaaaa_aaaa_bbbb_bbbb)
	m.exec(asm.New(code).Op(asm.Ldr(1, 0, 0), asm.Str(2, 0, 0), asm.Hvc(1)))
	m.runHVC(1)
	m.wantReg(1, 0x4444_4444_1111_1111)
	if a, b := m.word(spare+0x3ff8), m.word(spare); a != 0xbbbb_bbbb_2222_2222 || b != 0x3333_3333_aaaa_aaaa {
		m.Errorf("the store left %#x and %#x", a, b)
	}
}

// faultOnSecondPage: each access straddles into a page that is not there. It
// must fault with FAR on that page and leave every register as it was.
func faultOnSecondPage(m *machine) {
	m.mmuOn()
	m.page(0, spare|normal)
	words := map[string]uint32{
		"ldr": asm.Ldr(1, 0, 0), "str": asm.Str(1, 0, 0), "ldp": asm.Ldp(1, 2, 0, 0), "stp": asm.Stp(1, 2, 0, 0),
		"ldr post-index": asm.LdrPost(1, 0, 8), "str pre-index": 0xf8000c01, // STR X1, [X0, #0]!
		"ldr of its own base": asm.Ldr(0, 0, 0), "ldr q": asm.LdrQ(1, 0), "str q": asm.StrQ(1, 0),
	}
	for name, word := range words {
		m.set(0, paged+0xffc)
		m.set(1, 11)
		m.set(2, 12)
		m.exec(asm.New(code).Op(word, asm.Hvc(1)))
		m.runHVC(vecSync)
		if far := m.sys(arm64.FAR_EL1); far != paged+0x1000 {
			m.Errorf("%s: FAR %#x, want %#x", name, far, paged+0x1000)
		}
		if elr := m.sys(arm64.ELR_EL1); elr != code {
			m.Errorf("%s: ELR %#x, want %#x", name, elr, code)
		}
		m.wantReg(0, paged+0xffc)
		m.wantReg(1, 11)
		m.wantReg(2, 12)
	}
}

func addressTranslate(m *machine) {
	m.mmuOn()
	m.page(0, (spare+0x2000)|normal)
	m.page(1, 0)
	p := asm.New(code).Op(asm.AtS1E1R(0), asm.Isb(), asm.Mrs(1, arm64.PAR_EL1), asm.Hvc(1))
	m.set(0, paged+0x123)
	m.exec(p)
	m.runHVC(1)
	if par := m.get(1); par&1 != 0 || par&0xf_ffff_f000 != spare+0x2000 {
		m.Errorf("PAR_EL1 is %#x, want address %#x", par, spare+0x2000)
	}
	m.set(0, paged+0x1000)
	m.exec(p)
	m.runHVC(1)
	if par := m.get(1); par&1 == 0 || par>>1&0x3f != arm64.FSCTranslation|3 {
		m.Errorf("PAR_EL1 is %#x, want a translation fault at level 3", par)
	}
}

func zeroBlock(m *machine) {
	m.mmuOn()
	m.exec(asm.New(code).Op(asm.Mrs(1, arm64.DCZID_EL0), asm.Hvc(1)))
	m.runHVC(1)
	dczid := m.get(1)
	if dczid&0x10 != 0 {
		return // prohibited, and says so
	}
	size := uint64(4) << (dczid & 0xf)
	for off := uint64(0); off < 4*size; off += 8 {
		m.setWord(data+off, ^uint64(0))
	}
	m.set(0, data+size+size/2+3) // any address in the block
	m.exec(asm.New(code).Op(asm.DcZVA(0), asm.Hvc(1)))
	m.runHVC(1)
	for off := uint64(0); off < 4*size; off += 8 {
		want := ^uint64(0)
		if off >= size && off < 2*size {
			want = 0
		}
		if got := m.word(data + off); got != want {
			m.Fatalf("offset %d holds %#x, want %#x (block of %d bytes)", off, got, want, size)
		}
	}
}

// rewrite is a program that calls X10, then stores the word in W2 at X0,
// cleans and invalidates through X0, and calls X10 again.
func rewrite() *asm.Program {
	call := uint32(0xd63f0000 | 10<<5) // BLR X10
	return asm.New(code).Op(
		call, asm.Mov(5, 3), asm.StrW(2, 0, 0),
		asm.DcCVAU(0), asm.DsbSY(), asm.IcIVAU(0), asm.DsbSY(), asm.Isb(),
		call, asm.Hvc(1))
}

func guestRewritesCode(m *machine) {
	m.mmuOn()
	m.rewriteThrough(spare, spare)
}

func guestRewritesAlias(m *machine) {
	m.mmuOn()
	m.page(7, spare|normal|ptePXN)
	m.rewriteThrough(paged+7*0x1000, spare)
}

// rewriteThrough lets the guest replace MOVZ X3, #1 by MOVZ X3, #2 in the
// function at target by a store to store, where the same memory is seen.
func (m *machine) rewriteThrough(store, target uint64) {
	m.Helper()
	m.load(asm.New(spare).Op(asm.MovZ(3, 1, 0), asm.Ret()))
	m.set(0, store)
	m.set(2, uint64(asm.MovZ(3, 2, 0)))
	m.set(10, target)
	m.exec(rewrite())
	m.runHVC(1)
	m.wantReg(5, 1)
	m.wantReg(3, 2)
}
