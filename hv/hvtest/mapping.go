package hvtest

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var mappingChecks = []check{
	{"bad ranges are refused", "ErrRange: an address or size is unaligned, overlaps a mapping, is not mapped, or lies outside the VM's IPA space", nil, badRangesRefused},
	{"part of a mapping can go", "Unmap: it may be part of a mapping or span several", nil, unmapPart},
	{"a store to read-only memory runs again after Protect", "Denied: PC is on the store, which runs again after Protect", nil, deniedThenRetried},
	{"a store by EL0 is denied alike", "Denied: a store to memory mapped without Write", nil, deniedBySimdStore},
	{"Unmap reaches a running vCPU", "no vCPU uses the old mapping afterwards", nil, unmapWhileRunning},
	{"Protect reaches a running vCPU", "no vCPU uses the old mapping afterwards", nil, protectWhileRunning},
	{"Map reaches a running vCPU", "All methods may be called while vCPUs run, and take effect before they return", nil, mapWhileRunning},
	{"other memory can take an address", "no vCPU uses the old mapping afterwards", nil, remap},
	{"code that the host rewrote is run", "Invalidate: stale decodings are dropped", nil, hostRewritesCode},
	{"code in remapped memory is run", "Unmap and Map: no vCPU uses the old mapping afterwards", nil, remapCode},
	{"memory without Exec cannot be run", "Fault: an instruction fetched from outside mapped memory or from memory without Exec", nil, fetchNeedsExec},
}

// window is an IPA at which mapping checks map memory of their own.
const window = 0x8000_0000

func badRangesRefused(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(4 * max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:2*g], hv.Read))
	rw := hv.Read | hv.Write
	tests := []struct {
		name string
		do   func() error
	}{
		{"map at an unaligned address", func() error { return m.vm.Map(window+8*g+1, buf[:g], rw) }},
		{"map of an unaligned size", func() error { return m.vm.Map(window+8*g, buf[:g/2], rw) }},
		{"map of nothing", func() error { return m.vm.Map(window+8*g, nil, rw) }},
		{"map over a mapping", func() error { return m.vm.Map(window+g, buf[2*g:4*g], rw) }},
		{"map beyond the address space", func() error { return m.vm.Map(1<<52, buf[2*g:3*g], rw) }},
		{"map across the top of 64 bits", func() error { return m.vm.Map(-g, buf[2*g:4*g], rw) }},
		{"unmap of a hole", func() error { return m.vm.Unmap(window+8*g, g) }},
		{"unmap beyond the end", func() error { return m.vm.Unmap(window+g, 2*g) }},
		{"unmap of an unaligned range", func() error { return m.vm.Unmap(window+1, g) }},
		{"unmap whose end overflows", func() error { return m.vm.Unmap(window, -g) }},
		{"protect of a hole", func() error { return m.vm.Protect(window+8*g, g, rw) }},
		{"protect beyond the end", func() error { return m.vm.Protect(window, 3*g, rw) }},
		{"protect of an unaligned size", func() error { return m.vm.Protect(window, g+4, rw) }},
	}
	for _, tt := range tests {
		if err := tt.do(); !errors.Is(err, hv.ErrRange) {
			m.Errorf("%s: error is %v, want ErrRange", tt.name, err)
		}
	}
	m.must(m.vm.Unmap(window, 2*g)) // what was refused changed nothing
}

// loadFrom runs LDR X1, [addr]; HVC #1 and returns the MMIO exit's address or,
// where memory answered, what was loaded.
func (m *machine) loadFrom(addr uint64) (value uint64, mmio bool) {
	m.Helper()
	m.set(0, addr)
	m.exec(asm.New(code).Op(asm.Ldr(1, 0, 0), asm.Hvc(1)))
	var e hv.Exit
	m.must(runFor(m.cpu, &e, patience))
	switch e.Kind {
	case hv.MMIO:
		if e.IPA != addr {
			m.Fatalf("MMIO at %#x, want %#x", e.IPA, addr)
		}
		m.must(e.Complete(m.cpu, 0))
		m.runHVC(1)
		return 0, true
	case hv.HVC:
		return m.get(1), false
	}
	m.Fatalf("load from %#x: exit is %s\n%s", addr, describe(e), dump(m.cpu))
	return 0, false
}

func unmapPart(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(4 * max(g, 16<<10))
	for i := range uint64(4) {
		binary.LittleEndian.PutUint64(buf[i*g:], 100+i)
	}
	m.must(m.vm.Map(window, buf[:2*g], hv.Read))
	m.must(m.vm.Map(window+2*g, buf[2*g:4*g], hv.Read))
	m.must(m.vm.Unmap(window+g, 2*g)) // the end of one, the start of the other
	for i, gone := range []bool{false, true, true, false} {
		v, mmio := m.loadFrom(window + uint64(i)*g)
		if mmio != gone || (!gone && v != 100+uint64(i)) {
			m.Errorf("granule %d: value %d, outside memory %t, want outside %t", i, v, mmio, gone)
		}
	}
}

func deniedThenRetried(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:g], hv.Read))
	m.set(0, window)
	m.set(1, 0x1122334455667788)
	m.exec(asm.New(code).Op(asm.Str(1, 0, 8), asm.Hvc(1)))
	e := m.run(hv.Denied)
	if e.IPA != window+8 || e.VA != window+8 {
		m.Errorf("denied at IPA %#x VA %#x, want %#x", e.IPA, e.VA, window+8)
	}
	if arm64.EC(e.ESR) != arm64.ECDataAbortEL0 || e.ESR&arm64.ISSWnR == 0 {
		m.Errorf("syndrome %#x is not that of a store from a lower level", e.ESR)
	}
	m.wantReg(hv.PC, code)
	if got := binary.LittleEndian.Uint64(buf[8:]); got != 0 {
		m.Errorf("memory without Write holds %#x", got)
	}
	m.must(m.vm.Protect(window, g, hv.Read|hv.Write))
	m.runHVC(1)
	if got := binary.LittleEndian.Uint64(buf[8:]); got != 0x1122334455667788 {
		m.Errorf("the store ran again and left %#x", got)
	}
}

// deniedBySimdStore: the stores that have no syndrome are denied and retried
// like any other, with no register changed in between.
func deniedBySimdStore(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:g], hv.Read))
	m.mmuOn()
	tests := []struct {
		name string
		word uint32
		base uint64 // X0 afterwards
	}{
		{"pair", asm.Stp(1, 2, 0, 0), window},
		{"vector", asm.StrQ(0, 0), window},
		{"pre-index", asm.StrPre(1, 0, 16), window + 16},
	}
	for _, tt := range tests {
		m.must(m.vm.Protect(window, g, hv.Read))
		m.set(0, window)
		m.exec(asm.New(code).Op(tt.word, asm.Hvc(1)))
		m.run(hv.Denied)
		if x0, pc := m.get(0), m.get(hv.PC); x0 != window || pc != code {
			m.Errorf("%s: X0 %#x PC %#x after the denial, want %#x and %#x", tt.name, x0, pc, window, code)
		}
		m.must(m.vm.Protect(window, g, hv.Read|hv.Write))
		m.runHVC(1)
		if x0 := m.get(0); x0 != tt.base {
			m.Errorf("%s: X0 %#x after the retry, want %#x", tt.name, x0, tt.base)
		}
	}
}

// changeWhile runs vCPU 0 and calls change from another goroutine a moment
// later. The guest must come out with kind.
func (m *machine) changeWhile(change func() error, kind hv.ExitKind) hv.Exit {
	m.Helper()
	done := make(chan error, 1)
	go func() {
		time.Sleep(5 * time.Millisecond)
		done <- change()
	}()
	e := m.run(kind)
	m.must(<-done)
	return e
}

func unmapWhileRunning(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:g], hv.Read|hv.Write))
	m.set(0, window)
	p := asm.New(code)
	p.Label("again")
	p.Op(asm.Ldr(1, 0, 0)).B("again")
	m.exec(p)
	e := m.changeWhile(func() error { return m.vm.Unmap(window, g) }, hv.MMIO)
	if e.IPA != window || e.Write {
		m.Errorf("exit %s, want a load from %#x", describe(e), window)
	}
}

// protectWhileRunning: after Protect returned, not one store more arrives.
func protectWhileRunning(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:g], hv.Read|hv.Write))
	m.set(0, window)
	p := asm.New(code)
	p.Label("again")
	p.Op(asm.AddImm(1, 1, 1), asm.Str(1, 0, 0)).B("again")
	m.exec(p)
	var then, later uint64
	m.changeWhile(func() error {
		err := m.vm.Protect(window, g, hv.Read)
		then = binary.LittleEndian.Uint64(buf)
		time.Sleep(2 * time.Millisecond)
		later = binary.LittleEndian.Uint64(buf)
		return err
	}, hv.Denied)
	if then == 0 || then != later {
		m.Errorf("memory held %d when Protect returned and %d later, want the same and not 0", then, later)
	}
}

func mapWhileRunning(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	binary.LittleEndian.PutUint64(buf, 7)
	m.set(0, window)
	p := asm.New(code)
	p.Label("again")
	p.Op(asm.Ldr(1, 0, 0)).Cbz(1, "again").Op(asm.Hvc(1))
	m.exec(p)
	done := make(chan error, 1)
	go func() {
		time.Sleep(2 * time.Millisecond)
		done <- m.vm.Map(window, buf[:g], hv.Read)
	}()
	deadline := time.Now().Add(patience)
	for {
		var e hv.Exit
		m.must(runFor(m.cpu, &e, patience))
		if e.Kind == hv.HVC {
			break
		}
		if e.Kind != hv.MMIO || time.Now().After(deadline) {
			m.Fatalf("exit %s, want mmio until the memory is there\n%s", describe(e), dump(m.cpu))
		}
		m.must(e.Complete(m.cpu, 0))
	}
	m.must(<-done)
	m.wantReg(1, 7)
}

func remap(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(2 * max(g, 16<<10))
	binary.LittleEndian.PutUint64(buf, 1)
	binary.LittleEndian.PutUint64(buf[g:], 2)
	m.must(m.vm.Map(window, buf[:g], hv.Read))
	if v, _ := m.loadFrom(window); v != 1 {
		m.Fatalf("first memory reads %d, want 1", v)
	}
	m.must(m.vm.Unmap(window, g))
	m.must(m.vm.Map(window, buf[g:2*g], hv.Read))
	if v, _ := m.loadFrom(window); v != 2 {
		m.Errorf("second memory reads %d, want 2", v)
	}
}

func hostRewritesCode(m *machine) {
	for imm := range uint16(3) {
		m.exec(asm.New(code).Op(asm.Nop(), asm.Hvc(imm))) // load calls Invalidate
		m.runHVC(imm)
	}
}

func remapCode(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(2 * max(g, 16<<10))
	copy(buf, asm.New(window).Op(asm.Nop(), asm.Hvc(1)).Bytes())
	copy(buf[g:], asm.New(window).Op(asm.Nop(), asm.Hvc(2)).Bytes())
	for i := range uint64(2) {
		m.must(m.vm.Map(window, buf[i*g:(i+1)*g], hv.Read|hv.Exec))
		m.set(hv.PC, window)
		m.runHVC(uint16(i + 1))
		m.must(m.vm.Unmap(window, g))
	}
}

func fetchNeedsExec(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	copy(buf, asm.New(window).Op(asm.Nop(), asm.Hvc(1)).Bytes())
	m.must(m.vm.Map(window, buf[:g], hv.Read|hv.Write))
	m.set(hv.PC, window)
	m.run(hv.Fault)
	m.wantReg(hv.PC, window)
	m.must(m.vm.Protect(window, g, hv.Read|hv.Exec))
	m.runHVC(1)
}
