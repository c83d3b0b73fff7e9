package hvtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

var smpChecks = []check{
	{"exclusives count right", "Arm ARM B2.12: a store-exclusive succeeds only if nobody stored in between", needsTwoCPUs, exclusivesCount},
	{"atomics count right", "Arm ARM C3.2.12: LDADD is one access", needsTwoCPUs, atomicsCount},
	{"store-release then load-acquire stay in order", "Arm ARM B2.3.11: a load-acquire is not observed before an earlier store-release", needsTwoCPUs, releaseThenAcquire},
	{"a message is seen after its flag", "Arm ARM B2.3: load-acquire and store-release order what surrounds them", needsTwoCPUs, messagePassing},
	{"a broadcast TLBI has finished at DSB", "Arm ARM D8.14: after the DSB no PE uses the removed entry", needsTwoCPUs, broadcastTLBI},
	{"bytes, halves and pairs are exclusive too", "Arm ARM B2.12: the granule of a store-exclusive does not lose a neighbour's store", needsTwoCPUs, smallAndLargeExclusives},
	{"code rewritten by another vCPU is run", "Arm ARM B2.4.4: IC IVAU is broadcast within the inner shareable domain", needsTwoCPUs, broadcastIC},
	{"Protect reaches every running vCPU", "no vCPU uses the old mapping afterwards", needsTwoCPUs, protectReachesAll},
	{"each vCPU has its own registers", "A VCPU belongs to the goroutine that made it", needsTwoCPUs, ownRegisters},
	{"a vCPU can be made again", "VCPU.Close ends the vCPU", needsTwoCPUs, vcpuAgain},
}

// onThread makes vCPU index on this goroutine and thread, runs f and closes it.
func onThread(vm hv.VM, index int, f func(hv.VCPU) error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu, err := vm.NewVCPU(index)
	if err != nil {
		return fmt.Errorf("NewVCPU(%d): %w", index, err)
	}
	return errors.Join(f(cpu), cpu.Close())
}

// together runs programs, each on a vCPU of its own with the MMU on, until each
// has ended with HVC #1, and hands each vCPU to look. Arguments are X0 and up.
func (m *machine) together(programs []*asm.Program, args []uint64, look func(i int, cpu hv.VCPU) error) {
	m.Helper()
	m.writeTables()
	for _, p := range programs {
		m.load(p)
	}
	errs := make(chan error, len(programs))
	for i, p := range programs {
		go func() {
			errs <- onThread(m.vm, 1+i, func(cpu hv.VCPU) error {
				if err := enter(cpu, p.Base, args); err != nil {
					return err
				}
				var e hv.Exit
				if err := runFor(cpu, &e, patience); err != nil {
					return err
				}
				if e.Kind != hv.HVC || e.Imm != 1 {
					return fmt.Errorf("vCPU %d: exit is %s, want hvc 1\n%s", 1+i, describe(e), dump(cpu))
				}
				return look(i, cpu)
			})
		}()
	}
	for range programs {
		if err := <-errs; err != nil {
			m.Error(err)
		}
	}
}

// enter prepares a secondary vCPU: MMU on, vectors, PC and arguments.
func enter(cpu hv.VCPU, pc uint64, args []uint64) error {
	err := errors.Join(cpu.SetSysReg(arm64.VBAR_EL1, vectors), cpu.SetSysReg(arm64.CPACR_EL1, 3<<20), cpu.SetReg(hv.PC, pc))
	for _, r := range mmuRegs {
		err = errors.Join(err, cpu.SetSysReg(r.enc, r.value))
	}
	for i, v := range args {
		err = errors.Join(err, cpu.SetReg(hv.Reg(i), v))
	}
	return err
}

// pair gives how many vCPUs an SMP check uses, vCPU 0 not among them: it has
// no need to run. One must be left over for it.
func (m *machine) pair() int { return min(2, m.engine.Caps().MaxVCPUs-1) }

func nothing(int, hv.VCPU) error { return nil }

// counting is a program that does body, which adds 1 at [X0], X1 times.
func counting(base uint64, body func(p *asm.Program)) *asm.Program {
	p := asm.New(base)
	p.Label("again")
	body(p)
	return p.Op(asm.SubImm(1, 1, 1)).Cbnz(1, "again").Op(asm.Hvc(1))
}

func (m *machine) countTogether(body func(p *asm.Program)) {
	const each = 20_000
	var programs []*asm.Program
	for i := range m.pair() {
		programs = append(programs, counting(code+uint64(i)*0x1000, body))
	}
	m.setWord(data, 0)
	m.together(programs, []uint64{data, each}, nothing)
	if got, want := m.word(data), uint64(each*len(programs)); got != want {
		m.Errorf("the counter is %d, want %d", got, want)
	}
}

func exclusivesCount(m *machine) {
	m.countTogether(func(p *asm.Program) {
		p.Label("retry")
		p.Op(asm.Ldxr(3, 0), asm.AddImm(3, 3, 1), asm.Stxr(4, 3, 0)).CbnzW(4, "retry")
	})
}

func atomicsCount(m *machine) {
	if m.sys(arm64.ID_AA64ISAR0_EL1)>>20&0xf < 2 {
		m.Skip("FEAT_LSE is not offered")
	}
	m.countTogether(func(p *asm.Program) {
		p.Op(asm.MovZ(3, 1, 0), asm.LdaddAL(3, 4, 0))
	})
}

// releaseThenAcquire is the store-buffer litmus test. Both sides store 1
// with STLR, then read the other's word with LDAR; in no round may both read 0.
// X0 is an array of two words and two results a round, X1 the rounds; the word
// at X2 plus 8 times the side counts the rounds begun, to run in step.
func releaseThenAcquire(m *machine) {
	const rounds = 20_000
	if m.pair() < 2 {
		m.Skip("needs three vCPUs")
	}
	var programs []*asm.Program
	for side := range 2 {
		own, other := 8*side, 8*(1-side)
		p := asm.New(code+uint64(side)*0x1000).Op(asm.MovZ(5, 1, 0), asm.MovZ(6, 0, 0))
		p.Label("round")
		p.Op(asm.AddImm(6, 6, 1), asm.AddImm(9, 2, own*8), asm.Stlr(6, 9), asm.AddImm(9, 2, other*8))
		p.Label("wait")
		p.Op(asm.Ldar(7, 9), asm.Sub(7, 7, 6), asm.Mov(8, 7)).Op(0xd37ffd08) // LSR X8, X8, #63
		p.Cbnz(8, "wait")
		p.Op(asm.AddImm(9, 0, own), asm.Stlr(5, 9), asm.AddImm(9, 0, other), asm.Ldar(7, 9), asm.Str(7, 0, 16+own))
		p.Op(asm.AddImm(0, 0, 32), asm.SubImm(1, 1, 1)).Cbnz(1, "round").Op(asm.Hvc(1))
		programs = append(programs, p)
	}
	clear(m.ram[data-ramBase:][:rounds*32+0x2000])
	m.together(programs, []uint64{data + 0x1000, rounds, data}, nothing)
	for r := range uint64(rounds) {
		if a, b := m.word(data+0x1000+r*32+16), m.word(data+0x1000+r*32+24); a == 0 && b == 0 {
			m.Fatalf("round %d: both sides read 0", r)
		}
	}
}

// messagePassing: one side writes n to the message and then, released, to the
// flag; the other must find the message at least as new as the flag.
func messagePassing(m *machine) {
	const rounds = 100_000
	if m.pair() < 2 {
		m.Skip("needs three vCPUs")
	}
	send := asm.New(code)
	send.Label("again")
	send.Op(asm.AddImm(5, 5, 1), asm.Str(5, 0, 0), asm.AddImm(9, 0, 128), asm.Stlr(5, 9), asm.SubImm(1, 1, 1))
	send.Cbnz(1, "again").Op(asm.Hvc(1))
	receive := asm.New(code + 0x1000).Op(asm.AddImm(9, 0, 128))
	receive.Label("again")
	receive.Op(asm.Ldar(6, 9), asm.Ldr(7, 0, 0), asm.Sub(8, 7, 6)).Op(0xd37ffd08) // LSR X8, X8, #63
	receive.Cbnz(8, "stale").Op(asm.Sub(8, 6, 1)).Cbnz(8, "again").Op(asm.Hvc(1))
	receive.Label("stale")
	receive.Op(asm.Hvc(2))
	clear(m.ram[data-ramBase:][:256])
	m.together([]*asm.Program{send, receive}, []uint64{data, rounds}, nothing)
}

// broadcastTLBI: the reader loads from a page without end; the writer moves the
// page elsewhere, invalidates, waits, and only then poisons the old page. A
// reader that still uses the old page reads the poison.
func broadcastTLBI(m *machine) {
	const rounds = 300
	if m.pair() < 2 {
		m.Skip("needs three vCPUs")
	}
	// X0 page, X1 rounds, X2 its entry, X3 and X4 entries, X5 and X6 their
	// memory, X7 the flag that ends the reader.
	write := asm.New(code).Op(asm.MovZ(10, 1, 0))
	write.Label("again")
	for _, r := range []struct{ entry, old int }{{4, 5}, {3, 6}} {
		write.Op(asm.Str(asm.ZR, 11-r.old, 0), asm.DsbSY())                                    // heal the new page
		write.Op(asm.Str(r.entry, 2, 0), asm.DsbSY(), asm.TlbiAllIS(), asm.DsbSY(), asm.Isb()) // move
		write.Op(asm.Str(10, r.old, 0), asm.DsbSY())                                           // poison the old page
	}
	write.Op(asm.SubImm(1, 1, 1)).Cbnz(1, "again").Op(asm.Stlr(10, 7), asm.Hvc(1))
	read := asm.New(code + 0x1000)
	read.Label("again")
	read.Op(asm.Ldr(8, 0, 0)).Cbnz(8, "poison").Op(asm.Ldar(9, 7)).Cbz(9, "again").Op(asm.Hvc(1))
	read.Label("poison")
	read.Op(asm.Hvc(2))
	clear(m.ram[spare-ramBase:][:0x3000])
	m.setWord(data, 0)
	m.page(0, spare|normal)
	m.together([]*asm.Program{write, read},
		[]uint64{paged, rounds, level3, spare | normal, (spare + 0x1000) | normal, spare, spare + 0x1000, data}, nothing)
}

// Exclusives of other sizes: LDXRB and STXRB of X3, LDXRH and STXRH, and LDXP
// and STXP of X3 and X6.
const (
	ldxrb, stxrb = 0x085f7c03, 0x08047c03
	ldxrh, stxrh = 0x485f7c03, 0x48047c03
	ldxp, stxp   = 0xc87f1803, 0xc8241803
)

// smallAndLargeExclusives counts together in a byte, a halfword and a pair, which
// must wrap without touching what lies beside.
func smallAndLargeExclusives(m *machine) {
	for _, tt := range []struct {
		name        string
		load, store uint32
		mask        uint64
	}{{"byte", ldxrb, stxrb, 0xff}, {"half", ldxrh, stxrh, 0xffff}, {"pair", ldxp, stxp, ^uint64(0)}} {
		const each = 10_000
		var programs []*asm.Program
		for i := range m.pair() {
			programs = append(programs, counting(code+uint64(i)*0x1000, func(p *asm.Program) {
				p.Label("retry")
				p.Op(tt.load, asm.AddImm(3, 3, 1), asm.AddImm(6, 6, 1), tt.store).CbnzW(4, "retry")
			}))
		}
		clear(m.ram[data-ramBase:][:64])
		m.together(programs, []uint64{data, each}, nothing)
		if got, want := m.word(data), uint64(each*len(programs))&tt.mask; got != want {
			m.Errorf("%s: the counter is %d, want %d", tt.name, got, want)
		}
	}
}

// broadcastIC: the writer replaces MOVZ X3, #n by the next n, invalidates, waits
// and only then says n; the runner, having heard n, must run MOVZ of at least n.
func broadcastIC(m *machine) {
	const rounds = 500
	if m.pair() < 2 {
		m.Skip("needs three vCPUs")
	}
	// X0 the function, X1 rounds, X2 where n is said, X5 the first instruction.
	write := asm.New(code)
	write.Label("again")
	write.Op(asm.AddImm(6, 6, 1), asm.AddImm(5, 5, 32), asm.StrW(5, 0, 0)) // imm16 lies at bit 5
	write.Op(asm.DcCVAU(0), asm.DsbSY(), asm.IcIVAU(0), asm.DsbSY(), asm.Isb(), asm.Stlr(6, 2))
	write.Op(asm.SubImm(1, 1, 1)).Cbnz(1, "again").Op(asm.Hvc(1))
	read := asm.New(code + 0x1000)
	read.Label("again")
	read.Op(asm.Ldar(6, 2), asm.Isb(), 0xd63f0000) // BLR X0
	read.Op(asm.Sub(8, 3, 6), 0xd37ffd08).Cbnz(8, "stale").Op(asm.Sub(8, 6, 1)).Cbnz(8, "again").Op(asm.Hvc(1))
	read.Label("stale")
	read.Op(asm.Hvc(2))
	m.load(asm.New(spare).Op(asm.MovZ(3, 0, 0), asm.Ret()))
	m.setWord(data, 0)
	m.together([]*asm.Program{write, read}, []uint64{spare, rounds, data, 0, 0, uint64(asm.MovZ(3, 0, 0))}, nothing)
}

// protectReachesAll: all vCPUs store to one page without end until it is
// read-only; after Protect returned not one store more arrives.
func protectReachesAll(m *machine) {
	g := m.engine.Caps().Granule
	buf := m.memory(max(g, 16<<10))
	m.must(m.vm.Map(window, buf[:g], hv.Read|hv.Write))
	errs := make(chan error, m.pair())
	m.writeTables()
	for i := range m.pair() {
		p := asm.New(code + uint64(i)*0x1000)
		p.Label("again")
		m.load(p.Op(asm.AddImm(1, 1, 1), asm.Str(1, 0, 64*(i+1))).B("again"))
		go func() {
			errs <- onThread(m.vm, 1+i, func(cpu hv.VCPU) error {
				if err := enter(cpu, p.Base, []uint64{window}); err != nil {
					return err
				}
				var e hv.Exit
				if err := runFor(cpu, &e, patience); err != nil {
					return err
				}
				if e.Kind != hv.Denied {
					return fmt.Errorf("vCPU %d: exit is %s, want denied", 1+i, describe(e))
				}
				return nil
			})
		}()
	}
	deadline := time.Now().Add(patience)
	for i := range m.pair() {
		for binary.LittleEndian.Uint64(buf[64*(i+1):]) == 0 && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
	}
	m.must(m.vm.Protect(window, g, hv.Read))
	then := bytes.Clone(buf[:256])
	time.Sleep(2 * time.Millisecond)
	if !bytes.Equal(then, buf[:256]) {
		m.Error("memory changed after Protect had returned")
	}
	for range m.pair() {
		if err := <-errs; err != nil {
			m.Error(err)
		}
	}
}

func ownRegisters(m *machine) {
	p := asm.New(code).Op(asm.Mrs(1, arm64.MPIDR_EL1), asm.Msr(arm64.TPIDR_EL1, 1), asm.MovToSP(1), asm.Hvc(1))
	var programs []*asm.Program
	for range m.pair() {
		programs = append(programs, p)
	}
	m.together(programs, nil, func(i int, cpu hv.VCPU) error {
		x1, _ := cpu.Reg(1)
		tpidr, _ := cpu.SysReg(arm64.TPIDR_EL1)
		if x1&0xff != uint64(1+i) || tpidr != x1 {
			return fmt.Errorf("vCPU %d: MPIDR %#x TPIDR %#x, want its own number", 1+i, x1, tpidr)
		}
		return nil
	})
}

func vcpuAgain(m *machine) {
	for range 3 {
		m.together([]*asm.Program{asm.New(code).Op(asm.Hvc(1))}, nil, nothing)
	}
}
