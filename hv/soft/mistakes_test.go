package soft_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// mistakes are what AArch64 engines get wrong, by their number in the list that
// this engine was built against, and the test that holds each off: a function of
// a directory below hv, or a name in the suite that every engine runs.
var mistakes = [24]struct{ what, dir, test string }{
	{"register 31 is XZR here and SP there", "soft/internal/isa", "TestRegister31"},
	{"a 32-bit result leaves the upper half", "soft", "TestUpperHalvesAreZeroed"},
	{"shift amounts, and immediates of a repeated pattern", "soft", "TestBitmaskImmediates"},
	{"carry's polarity, and flags of a condition that fails", "soft", "TestCarriesAndConditions"},
	{"division by zero and of the least by -1; high products", "soft", "TestDivisionsAndHighProducts"},
	{"a faulting access has changed a register", "soft", "TestFaultsLeaveRegisters"},
	{"alignment, and two pages with different rights", "soft", "TestAlignmentFaults"},
	{"rights of one EL or access serve another", "soft", "TestRightsAreNotShared"},
	{"TLBI of an address in a block leaves its neighbours", "soft/internal/exec", "TestTranslationsOfABlockGoTogether"},
	{"the ASID of the other register", "soft/internal/mmu", "TestASIDIsThatOfTheChosenRegister"},
	{"syndromes", "hvtest", "exceptions from EL0 come with their syndromes"},
	{"table walks of odd sizes, and hierarchical rights", "soft/internal/mmu", "TestWalkSizes"},
	{"stale code", "hvtest", "code rewritten under another address is run"},
	{"code decoded for another EL or address space", "soft", "TestCodeOfAnotherELIsNotReused"},
	{"the exclusive monitor", "soft", "TestExclusiveMonitor"},
	{"a store-release that a load-acquire overtakes", "hvtest", "store-release then load-acquire stay in order"},
	{"a broadcast that DSB does not wait for", "hvtest", "a broadcast TLBI has finished at DSB"},
	{"an unmasked interrupt that comes late", "hvtest", "ERET takes a pending interrupt before the next instruction"},
	{"a timer that was moved and fires as before", "hvtest", "a moved deadline ends RunN early"},
	{"a lost wake-up", "hvtest", "a vCPU parked after WFI comes back"},
	{"rounding, NaNs and flags", "soft/internal/float", "TestAgainstTestFloat"},
	{"SIMD's upper bits, indices and saturation", "soft", "TestSIMDAnswers"},
	{"unallocated words and registers that are not there", "soft", "TestSystemRegistersAtEL0"},
	{"a Kick that is lost, a guest that cannot be stopped", "hvtest", "a storm of Kicks loses nothing"},
}

// TestEveryMistakeHasItsTest holds the list to what there is.
func TestEveryMistakeHasItsTest(t *testing.T) {
	for k, m := range mistakes {
		text := "func " + m.test + "("
		if m.dir == "hvtest" {
			text = fmt.Sprintf("%q", m.test)
		}
		files, err := filepath.Glob(filepath.Join("..", m.dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := slices.ContainsFunc(files, func(name string) bool {
			source, err := os.ReadFile(name)
			return err == nil && bytes.Contains(source, []byte(text))
		})
		if !found {
			t.Errorf("mistake %d, %s: hv/%s has no test %q", k+1, m.what, m.dir, m.test)
		}
	}
}

// The guest of these tests: EL1 code at ramBase, EL0 code at userCode, vectors
// that leave by HVC with the vector's offset, and pages from window on.
const (
	vectors  = ramBase + 0x10000
	userPage = ramBase + 0x20000 // physical, of EL0's code
	dataPage = ramBase + 0x30000 // physical, of the window's first page
	tableL2  = ramBase + 0x40000
	tableL3  = ramBase + 0x41000
	window   = 0x8000_0000
	userCode = window + 0x10_0000
)

// Descriptors for the window's pages.
const (
	pageEL1    = 0x703     // EL1 only, read and write
	pageUser   = 0x743     // EL0 too
	pageRO     = 0x783     // EL1, read only
	pageUserRO = 0x7c3     // both, read only
	pageDevice = 0x403 | 4 // EL1, attribute 1: Device-nGnRnE
)

// newGuest makes a bench with the window's first page mapped as first says and
// the second as second does; 0 leaves it unmapped.
func newGuest(t testing.TB, first, second uint64) *bench {
	return newGuestWith(t, hv.Config{}, first, second)
}

func newGuestWith(t testing.TB, cfg hv.Config, first, second uint64) *bench {
	m := newBench(t, cfg)
	put := func(pa, v uint64) { binary.LittleEndian.PutUint64(m.ram[pa-ramBase:], v) }
	put(ttbr+16, tableL2|3)
	put(tableL2, tableL3|3)
	leaf := func(va, pa, attr uint64) {
		if attr != 0 {
			put(tableL3+va>>12&511*8, pa|attr)
		}
	}
	leaf(window, dataPage, first)
	leaf(window+0x1000, dataPage+0x1000, second)
	leaf(userCode, userPage, pageUserRO)
	for off := uint64(0); off < 0x800; off += 0x80 {
		copy(m.ram[vectors-ramBase+off:], asm.New(vectors+off).Op(asm.Hvc(uint16(off))).Bytes())
	}
	m.sys(t, arm64.MAIR_EL1, 0x00ff)
	m.sys(t, arm64.VBAR_EL1, vectors)
	m.sys(t, arm64.CPACR_EL1, 3<<20)
	m.sys(t, arm64.SCTLR_EL1, 0x30d0_0801|1<<3|1<<4|1<<14|1<<26)
	return m
}

// at runs words at EL1 until they leave by HVC or an exception does, and gives
// the HVC's immediate: a vector's offset.
func (m *bench) at(t testing.TB, words ...uint32) uint16 {
	t.Helper()
	return m.atWithFlags(t, 0, words...)
}

// atWithFlags is at with NZCV set before.
func (m *bench) atWithFlags(t testing.TB, nzcv uint64, words ...uint32) uint16 {
	t.Helper()
	m.load(append(words, asm.Hvc(0xfff)))
	m.reg(t, hv.CPSR, nzcv<<28|arm64.PSRDAIF|arm64.ModeEL1h)
	return m.runAt(t, ramBase)
}

// user runs words at EL0.
func (m *bench) user(t testing.TB, words ...uint32) uint16 {
	t.Helper()
	for k, w := range append(words, asm.Svc(0)) {
		binary.LittleEndian.PutUint32(m.ram[userPage-ramBase+4*k:], w)
	}
	m.reg(t, hv.CPSR, arm64.ModeEL0t)
	return m.runAt(t, userCode)
}

func (m *bench) runAt(t testing.TB, pc uint64) uint16 {
	t.Helper()
	m.invalidate()
	m.reg(t, hv.PC, pc)
	var e hv.Exit
	if err := m.Run(&e); err != nil || e.Kind != hv.HVC {
		t.Fatalf("exit %+v, %v", e, err)
	}
	return e.Imm
}

func (m *bench) get(t testing.TB, enc hv.SysReg) uint64 {
	t.Helper()
	v, err := m.SysReg(enc)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (m *bench) x(t testing.TB, r hv.Reg) uint64 {
	t.Helper()
	v, err := m.Reg(r)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// state is every register that an instruction could have changed.
func (m *bench) state(t testing.TB) string {
	var b strings.Builder
	for r := hv.X0; r <= hv.X30; r++ {
		fmt.Fprintf(&b, "x%d=%x ", r, m.x(t, r))
	}
	for n := range 32 {
		v, err := m.VReg(n)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "v%d=%x ", n, v)
	}
	return b.String()
}

// readAccesses gives the words of accesses.txt and whether they need alignment.
func readAccesses(t *testing.T, visit func(word uint32, text string, aligned bool)) {
	f, err := os.Open("testdata/accesses.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	aligned := false
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		var w uint32
		switch {
		case line == "aligned":
			aligned = true
		case line == "" || line[0] == '#':
		default:
			if _, err := fmt.Sscanf(line, "%x", &w); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			visit(w, line[9:], aligned)
		}
	}
}

// TestFaultsLeaveRegisters is mistake 6: an access that faults, in its first or its
// second page, changes no register and no memory, whatever its form.
func TestFaultsLeaveRegisters(t *testing.T) {
	m := newGuest(t, pageEL1, 0)
	page := m.ram[dataPage-ramBase:][:4096]
	const end = window + 0x1000
	readAccesses(t, func(word uint32, text string, aligned bool) {
		bases := []uint64{end - 1, end - 3, end - 17 + 16, end, end + 64}
		if aligned {
			bases = []uint64{end}
		}
		if strings.Contains(text, "ldtr") || strings.Contains(text, "sttr") {
			bases = []uint64{end}
		}
		faults := 0
		for _, base := range bases {
			for k := range page {
				page[k] = byte(k)
			}
			before := bytes.Clone(page)
			for r := hv.X0; r <= hv.X30; r++ {
				m.reg(t, r, 0x1111_0000_0000_0000|uint64(r))
			}
			for n := range 32 {
				if err := m.SetVReg(n, [16]byte{byte(n), 15: 0xee}); err != nil {
					t.Fatal(err)
				}
			}
			m.reg(t, 1, base)
			m.reg(t, 3, 0)
			want := m.state(t)
			if m.at(t, word) == 0xfff {
				continue
			}
			faults++
			if got := m.state(t); got != want {
				t.Errorf("%s at %#x changed\n%s to\n%s", text, base, want, got)
			}
			if !bytes.Equal(page, before) {
				t.Errorf("%s at %#x changed memory", text, base)
			}
			if far := m.get(t, arm64.FAR_EL1); far < end || arm64.EC(m.get(t, arm64.ESR_EL1)) != arm64.ECDataAbort {
				t.Errorf("%s at %#x: ESR %#x, FAR %#x", text, base, m.get(t, arm64.ESR_EL1), far)
			}
		}
		if faults == 0 {
			t.Errorf("%s faulted nowhere", text)
		}
	})
}

// fsc is the fault status of the last exception.
func (m *bench) fsc(t testing.TB) uint64 { return m.get(t, arm64.ESR_EL1) & arm64.ISSFSC }

// TestAlignmentFaults is mistake 7: accesses that must be aligned, on ordinary
// memory and, whatever they are, on Device memory; and a store across pages of
// which only the first may be written.
func TestAlignmentFaults(t *testing.T) {
	readAccesses(t, func(word uint32, text string, aligned bool) {
		if !aligned || strings.Contains(text, "dc ") || strings.Contains(text, "b") && !strings.HasPrefix(text, "ldx") && strings.Contains(text, "w2") {
			return // bytes are always aligned
		}
		m := newGuest(t, pageEL1, pageEL1)
		m.reg(t, 1, window+1)
		if m.at(t, word) != 0x200 || m.fsc(t) != arm64.FSCAlignment {
			t.Errorf("%s at an odd address: ESR %#x, want an alignment fault", text, m.get(t, arm64.ESR_EL1))
		}
	})
	device := newGuest(t, pageDevice, pageRO)
	for _, word := range []uint32{asm.Ldr(2, 1, 0), asm.Str(2, 1, 0), asm.LdrW(2, 1, 0), asm.LdrQ(2, 1)} {
		device.reg(t, 1, window+2)
		if device.at(t, word) != 0x200 || device.fsc(t) != arm64.FSCAlignment {
			t.Errorf("%08x on Device memory: ESR %#x, want an alignment fault", word, device.get(t, arm64.ESR_EL1))
		}
		device.reg(t, 1, window+16)
		if got := device.at(t, word); got != 0xfff {
			t.Errorf("%08x aligned on Device memory left by %#x", word, got)
		}
	}
	device.reg(t, 1, window+24)
	if left := device.at(t, asm.DcZVA(1)); left != 0x200 || device.fsc(t) != arm64.FSCAlignment || device.get(t, arm64.FAR_EL1) != window+24 {
		t.Errorf("dc zva on Device memory: left by %#x, ESR %#x, FAR %#x, want an alignment fault of %#x",
			left, device.get(t, arm64.ESR_EL1), device.get(t, arm64.FAR_EL1), window+24)
	}
	m := newGuest(t, pageEL1, pageRO)
	m.reg(t, 1, window+0xffc)
	m.reg(t, 2, ^uint64(0))
	m.at(t, asm.Str(2, 1, 0))
	if far := m.get(t, arm64.FAR_EL1); m.fsc(t) != arm64.FSCPermission|3 || far != window+0x1000 || m.ram[dataPage-ramBase+0xffc] != 0 {
		t.Errorf("a store half on a read-only page: FSC %#x, FAR %#x, memory %#x", m.fsc(t), far, m.ram[dataPage-ramBase+0xffc])
	}
}

// TestRightsAreNotShared is mistake 8: what one EL or kind of access may do must
// not follow from what another has just done.
func TestRightsAreNotShared(t *testing.T) {
	m := newGuest(t, pageEL1, pageUserRO)
	m.reg(t, 1, window)
	if got := m.at(t, asm.Ldr(2, 1, 0), asm.Str(2, 1, 0)); got != 0xfff {
		t.Fatalf("EL1 could not use its page: %#x", got)
	}
	if got := m.user(t, asm.Ldr(2, 1, 0)); got != 0x400 || m.fsc(t) != arm64.FSCPermission|3 {
		t.Errorf("EL0 read a page of EL1 that was cached: vector %#x, ESR %#x", got, m.get(t, arm64.ESR_EL1))
	}
	if got := m.at(t, asm.Ldr(2, 1, 0), asm.Ldtr(2, 1)); got != 0x200 || m.fsc(t) != arm64.FSCPermission|3 {
		t.Errorf("LDTR read with EL1's rights: %#x", got)
	}
	m.reg(t, 1, window+0x1000)
	if got := m.user(t, asm.Ldr(2, 1, 0), asm.Str(2, 1, 0)); got != 0x400 || m.get(t, arm64.ESR_EL1)&arm64.ISSWnR == 0 {
		t.Errorf("EL0 wrote a read-only page after reading it: %#x", got)
	}
	if got := m.at(t, asm.Ldr(2, 1, 0), asm.Str(2, 1, 0)); got != 0x200 {
		t.Errorf("EL1 wrote a read-only page after reading it: %#x", got)
	}
}

// TestCodeOfAnotherELIsNotReused is mistake 14: the same address decoded for EL1
// must not serve EL0, nor with floating point on when it is off.
func TestCodeOfAnotherELIsNotReused(t *testing.T) {
	m := newGuest(t, pageEL1, 0)
	m.reg(t, hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
	privileged := []uint32{asm.Mrs(2, arm64.TTBR0_EL1), asm.Hvc(7)}
	for k, w := range privileged {
		binary.LittleEndian.PutUint32(m.ram[userPage-ramBase+4*k:], w)
	}
	for range 3 {
		m.reg(t, hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h)
		if got := m.runAt(t, userCode); got != 7 {
			t.Fatalf("EL1 left by %#x", got)
		}
		m.reg(t, hv.CPSR, arm64.ModeEL0t)
		if got := m.runAt(t, userCode); got != 0x400 || arm64.EC(m.get(t, arm64.ESR_EL1)) != arm64.ECUnknown {
			t.Fatalf("EL0 left by %#x, ESR %#x, want undefined", got, m.get(t, arm64.ESR_EL1))
		}
	}
	for _, fpen := range []uint64{3, 0, 3} {
		m.sys(t, arm64.CPACR_EL1, fpen<<20)
		got, want := m.at(t, asm.Fadd(1, 1, 1)), uint16(0xfff)
		if fpen == 0 {
			want = 0x200
		}
		if got != want {
			t.Errorf("FPEN %d: floating point left by %#x, want %#x", fpen, got, want)
		}
	}
}

// TestExclusiveMonitor is mistake 15.
func TestExclusiveMonitor(t *testing.T) {
	const (
		ldxr   = 0xc85f7c22 // ldxr x2, [x1]
		ldxrw  = 0x885f7c22 // ldxr w2, [x1]
		stxr   = 0xc8057c22 // stxr w5, x2, [x1]
		stxrw  = 0x88057c22 // stxr w5, w2, [x1]
		ldxp   = 0xc87f1022 // ldxp x2, x4, [x1]
		stxp   = 0xc8251022 // stxp w5, x2, x4, [x1]
		next   = 0x91004021 // add x1, x1, #16
		clrex  = 0xd5033f5f
		change = 0xf9000021 // str x1, [x1]
	)
	tests := []struct {
		name  string
		words []uint32
		fails uint64
	}{
		{"a pair of load and store", []uint32{ldxr, stxr}, 0},
		{"a pair of pairs", []uint32{ldxp, stxp}, 0},
		{"no load", []uint32{stxr}, 1},
		{"a second store", []uint32{ldxr, stxr, stxr}, 1},
		{"another address", []uint32{ldxr, next, stxr}, 1},
		{"a smaller store", []uint32{ldxr, stxrw}, 1},
		{"a larger store", []uint32{ldxrw, stxr}, 1},
		{"CLREX between", []uint32{ldxr, clrex, stxr}, 1},
		{"memory changed between", []uint32{ldxr, change, stxr}, 1},
		{"an exception return between", []uint32{
			ldxr, 0x10000083, // adr x3, 1f
			asm.Msr(arm64.ELR_EL1, 3), asm.Msr(arm64.SPSR_EL1, 6), asm.Eret(), stxr}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newGuest(t, pageEL1, 0)
			m.reg(t, 1, window)
			m.reg(t, 6, arm64.PSRDAIF|arm64.ModeEL1h)
			if got := m.at(t, tt.words...); got != 0xfff {
				t.Fatalf("left by %#x, ESR %#x", got, m.get(t, arm64.ESR_EL1))
			}
			if got := m.x(t, 5); got != tt.fails {
				t.Errorf("status %d, want %d", got, tt.fails)
			}
		})
	}
}

// TestStackPointerAlignment: SCTLR_EL1.SA and SA0 check the base register SP, also
// when it changes in the middle of a block.
func TestStackPointerAlignment(t *testing.T) {
	ldrSP := asm.Ldr(2, asm.SP, 0)
	tests := []struct {
		name   string
		words  []uint32
		faults bool
	}{
		{"an aligned base", []uint32{ldrSP}, false},
		{"an unaligned base", []uint32{asm.SubImm(asm.SP, asm.SP, 8), ldrSP}, true},
		{"moved and moved back", []uint32{asm.SubImm(asm.SP, asm.SP, 8), asm.AddImm(asm.SP, asm.SP, 8), ldrSP}, false},
		{"from a register", []uint32{asm.SubImm(3, asm.SP, 4), asm.MovToSP(3), ldrSP}, true},
		{"by write-back of the last access", []uint32{asm.LdrPost(2, asm.SP, 8), ldrSP}, true},
		{"unaligned but not a base", []uint32{asm.SubImm(asm.SP, asm.SP, 8), asm.MovFromSP(3), asm.Ldr(2, 3, 0)}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newGuest(t, pageUser, 0)
			m.sys(t, arm64.SP_EL1, window+0x800)
			m.sys(t, arm64.SP_EL0, window+0x800)
			for _, run := range []func(testing.TB, ...uint32) uint16{m.at, m.user} {
				run(t, tt.words...)
				if got := arm64.EC(m.get(t, arm64.ESR_EL1)) == arm64.ECSPAlign; got != tt.faults {
					t.Errorf("SP alignment fault %v, ESR %#x", got, m.get(t, arm64.ESR_EL1))
				}
				if err := m.SetSysReg(arm64.ESR_EL1, 0); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestSystemRegistersAtEL0 is mistake 23: what EL0 may not touch is undefined, or
// traps where a control bit says so.
func TestSystemRegistersAtEL0(t *testing.T) {
	tests := []struct {
		name  string
		word  uint32
		class uint64 // of the exception; ECSVC when the access is allowed
	}{
		{"MIDR_EL1", asm.Mrs(0, arm64.MIDR_EL1), arm64.ECUnknown},
		{"an ID register", asm.Mrs(0, arm64.ID_AA64ISAR0_EL1), arm64.ECUnknown},
		{"a reserved ID register", asm.Mrs(0, arm64.Encode(3, 0, 0, 7, 7)), arm64.ECUnknown},
		{"TTBR0_EL1", asm.Msr(arm64.TTBR0_EL1, 0), arm64.ECUnknown},
		{"ICC_IAR1_EL1", asm.Mrs(0, arm64.ICC_IAR1_EL1), arm64.ECUnknown},
		{"an unknown register", asm.Mrs(0, arm64.Encode(3, 3, 15, 0, 0)), arm64.ECUnknown},
		{"CTR_EL0 without UCT", asm.Mrs(0, arm64.CTR_EL0), arm64.ECSysReg},
		{"CNTVCT_EL0 without EL0VCTEN", asm.Mrs(0, arm64.CNTVCT_EL0), arm64.ECSysReg},
		{"DAIF without UMA", asm.DaifSet(2), arm64.ECSysReg},
		{"DCZID_EL0", asm.Mrs(0, arm64.DCZID_EL0), arm64.ECSVC},
		{"TPIDR_EL0", asm.Msr(arm64.TPIDR_EL0, 0), arm64.ECSVC},
		{"TPIDRRO_EL0 written", asm.Msr(arm64.TPIDRRO_EL0, 0), arm64.ECUnknown},
		{"TLBI", asm.TlbiAll(), arm64.ECUnknown},
		{"OSLAR_EL1 read", asm.Mrs(0, arm64.OSLAR_EL1), arm64.ECUnknown},
		{"ERET", asm.Eret(), arm64.ECUnknown},
		{"HVC", asm.Hvc(1), arm64.ECUnknown},
		{"WFI without nTWI", asm.Wfi(), arm64.ECWFx},
	}
	m := newGuest(t, pageEL1, 0)
	for _, tt := range tests {
		if got := m.user(t, tt.word); got != 0x400 || arm64.EC(m.get(t, arm64.ESR_EL1)) != tt.class {
			t.Errorf("%s: vector %#x, class %#x, want %#x", tt.name, got, arm64.EC(m.get(t, arm64.ESR_EL1)), tt.class)
		}
	}
}

// TestRegistersThatAreOnlyWritten: OSLAR_EL1 has no read.
func TestRegistersThatAreOnlyWritten(t *testing.T) {
	m := newGuest(t, pageEL1, 0)
	if left := m.at(t, asm.Mrs(0, arm64.OSLAR_EL1)); left != 0x200 || arm64.EC(m.get(t, arm64.ESR_EL1)) != arm64.ECUnknown {
		t.Errorf("a read of OSLAR_EL1 left by %#x, ESR %#x; want an undefined instruction", left, m.get(t, arm64.ESR_EL1))
	}
	if left := m.at(t, asm.Msr(arm64.OSLAR_EL1, 0)); left != 0xfff {
		t.Errorf("a write of OSLAR_EL1 left by %#x", left)
	}
}

// TestIDRegistersOfferWhatExists: the values that guests decide by.
func TestIDRegistersOfferWhatExists(t *testing.T) {
	m := newGuest(t, pageEL1, 0)
	for enc, want := range map[hv.SysReg]uint64{
		arm64.ID_AA64PFR0_EL1:       0x1100000001000011,
		arm64.ID_AA64DFR0_EL1:       6,
		arm64.ID_AA64ISAR0_EL1:      0x1021_2120,
		arm64.ID_AA64MMFR0_EL1:      0x0f00_0022,
		arm64.ID_AA64MMFR1_EL1:      2,
		arm64.ID_AA64ISAR1_EL1:      0,
		arm64.ID_PFR0_EL1:           0,
		arm64.Encode(3, 0, 0, 7, 7): 0,
		arm64.MPIDR_EL1:             1 << 31,
	} {
		if m.at(t, asm.Mrs(2, enc)); m.x(t, 2) != want {
			t.Errorf("%s reads %#x, want %#x", arm64.Name(enc), m.x(t, 2), want)
		}
	}
}
