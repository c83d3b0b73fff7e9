// Package hvtest is the conformance suite of package hv: one line,
// hvtest.Run(t, engine), holds an engine to the contract.
//
// Each check runs a few guest instructions, written with hvtest/asm, on a
// machine of 16 MiB of RAM and nothing else, and names the promise that it
// proves. Checks that need an ability are skipped where Caps lacks it; nothing
// else is skipped. No check waits on the guest without a limit: a guest that
// does not come back is kicked and reported.
package hvtest

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// The memory map of the suite's machine.
const (
	ramBase = 0x4000_0000 // guest physical address of RAM
	ramSize = 16 << 20
	code    = ramBase             // where programs start
	vectors = ramBase + 0x8000    // VBAR_EL1; see machine.vectors
	data    = ramBase + 0x40_0000 // free for programs, up to the tables
	tables  = ramBase + 0x80_0000 // translation tables, see mmu.go
	spare   = ramBase + 0xc0_0000 // pages that mmu checks map
	device  = 0x0900_0000         // nothing is mapped here
)

// patience is how long a guest may run before the suite gives up on it. Two vCPUs that wait
// for each other take most of a minute on a host that has half a core for them.
const patience = 2 * time.Minute

// A check is one promise and the proof.
type check struct {
	name    string // a phrase that says what holds
	promise string // the sentence of the contract or of the Arm ARM behind it
	needs   func(hv.Caps) bool
	run     func(m *machine)
}

// Run proves that e keeps the contract of package hv. It may not run beside
// another test when e.Caps().MaxVMs is 1.
func Run(t *testing.T, e hv.Engine) {
	groups := []struct {
		name   string
		checks []check
	}{
		{groupGIC, gicChecks}, {"engine", engineChecks}, {"mapping", mappingChecks}, {"exits", exitChecks},
		{"registers", registerChecks}, {"exceptions", exceptionChecks}, {"mmu", mmuChecks},
		{"interrupts", interruptChecks}, {"timer", timerChecks}, {"kick", kickChecks},
		{"smp", smpChecks}, {"counted", countedChecks}, {"debug", debugChecks},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.checks {
				t.Run(c.name, func(t *testing.T) { c.prove(t, e, g.name == groupGIC) })
			}
		})
	}
}

// groupGIC is of checks whose machine has the engine's GIC.
const groupGIC = "gic"

// prove runs one check on a machine of its own.
func (c check) prove(t *testing.T, e hv.Engine, gic bool) {
	if c.needs != nil && !c.needs(e.Caps()) {
		t.Skipf("%s cannot do this", e.Name())
	}
	defer func() {
		if t.Failed() {
			t.Logf("promise: %s", c.promise)
		}
	}()
	c.run(newMachine(t, e, hv.Config{}, gic))
}

// Abilities that checks need.
func needsCounted(c hv.Caps) bool { return c.Counted }
func needsTwoCPUs(c hv.Caps) bool { return c.MaxVCPUs >= 2 }

// A machine is a VM with RAM, a vector table and vCPU 0, which belongs to the
// goroutine of the test. It closes with the test.
type machine struct {
	*testing.T
	engine hv.Engine
	vm     hv.VM
	ram    []byte // RAM as the host sees it, ramBase on
	gic    hv.GIC // nil where the suite's machine has none
	cpu    hv.VCPU
}

// newMachine makes a machine whose exception vectors tell the host, see
// vectorProgram.
func newMachine(t *testing.T, e hv.Engine, cfg hv.Config, gic bool) *machine {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	m := &machine{T: t, engine: e}
	m.ram = m.memory(ramSize)
	vm, err := e.NewVM(cfg)
	if err != nil {
		t.Fatalf("NewVM: %v", err)
	}
	m.vm = vm
	t.Cleanup(func() {
		if err := vm.Close(); err != nil {
			t.Errorf("VM.Close: %v", err)
		}
	})
	if gic {
		m.gic, err = vm.NewGIC(hv.GICConfig{Distributor: gicd, Redistributor: gicr})
		m.must(err)
	}
	m.must(vm.Map(ramBase, m.ram, hv.Read|hv.Write|hv.Exec))
	m.cpu = m.vcpu(0)
	m.load(vectorProgram())
	m.must(m.cpu.SetSysReg(arm64.VBAR_EL1, vectors))
	m.must(m.cpu.SetSysReg(arm64.CPACR_EL1, 3<<20)) // FP and SIMD do not trap
	return m
}

// memory is size bytes from mmap, freed after the VM has closed.
func (m *machine) memory(size uint64) []byte {
	m.Helper()
	ram, err := mem.New(size)
	if err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() { ram.Close() })
	return ram.Bytes()
}

// vcpu makes a vCPU on the calling goroutine; the test closes it.
func (m *machine) vcpu(index int) hv.VCPU {
	m.Helper()
	cpu, err := m.vm.NewVCPU(index)
	if err != nil {
		m.Fatalf("NewVCPU(%d): %v", index, err)
	}
	m.Cleanup(func() {
		if err := cpu.Close(); err != nil {
			m.Errorf("VCPU.Close: %v", err)
		}
	})
	return cpu
}

// vectorHVC plus the index of the vector (offset / 0x80) is the immediate of
// the HVC that each vector starts with.
const vectorHVC = 0x1000

// Indices of vectors, added to vectorHVC.
const (
	vecSyncSP0 = vectorHVC + 0x000/0x80 // from EL1 with SP_EL0
	vecSync    = vectorHVC + 0x200/0x80 // from EL1 with SP_EL1
	vecIRQ     = vectorHVC + 0x280/0x80
	vecFIQ     = vectorHVC + 0x300/0x80
	vecSyncEL0 = vectorHVC + 0x400/0x80
	vecIRQEL0  = vectorHVC + 0x480/0x80
)

// vectorProgram is a vector table that says with HVC which vector was taken
// and then returns with ERET.
func vectorProgram() *asm.Program {
	p := asm.New(vectors)
	for i := range 16 {
		p.Org(vectors + uint64(i)*0x80)
		p.Op(asm.Hvc(vectorHVC+uint16(i)), asm.Eret())
	}
	return p
}

// must ends the test on a host error.
func (m *machine) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

// load writes a program to RAM and says so to the engine.
func (m *machine) load(p *asm.Program) {
	b := p.Bytes()
	copy(m.ram[p.Base-ramBase:], b)
	m.vm.Invalidate(p.Base, uint64(len(b)))
}

// exec loads a program and puts PC on its first word.
func (m *machine) exec(p *asm.Program) {
	m.Helper()
	m.load(p)
	m.set(hv.PC, p.Base)
}

// set and get move a general register of vCPU 0.
func (m *machine) set(r hv.Reg, v uint64) {
	m.Helper()
	m.must(m.cpu.SetReg(r, v))
}

func (m *machine) get(r hv.Reg) uint64 {
	m.Helper()
	v, err := m.cpu.Reg(r)
	m.must(err)
	return v
}

// sys reads a system register of vCPU 0.
func (m *machine) sys(enc hv.SysReg) uint64 {
	m.Helper()
	v, err := m.cpu.SysReg(enc)
	if err != nil {
		m.Fatalf("SysReg(%s): %v", arm64.Name(enc), err)
	}
	return v
}

// setSys writes one.
func (m *machine) setSys(enc hv.SysReg, v uint64) {
	m.Helper()
	if err := m.cpu.SetSysReg(enc, v); err != nil {
		m.Fatalf("SetSysReg(%s, %#x): %v", arm64.Name(enc), v, err)
	}
}

// wantReg compares a register of vCPU 0.
func (m *machine) wantReg(r hv.Reg, want uint64) {
	m.Helper()
	if got := m.get(r); got != want {
		m.Errorf("register %d is %#x, want %#x", r, got, want)
	}
}

// run enters vCPU 0 until its next exit, which must be of this kind.
func (m *machine) run(kind hv.ExitKind) hv.Exit {
	m.Helper()
	var e hv.Exit
	if err := runFor(m.cpu, &e, patience); err != nil {
		m.Fatalf("Run: %v", err)
	}
	if e.Kind != kind {
		m.Fatalf("exit is %s, want %s\n%s", describe(e), kind, dump(m.cpu))
	}
	return e
}

// runHVC is run for an HVC with this immediate.
func (m *machine) runHVC(imm uint16) {
	m.Helper()
	if e := m.run(hv.HVC); e.Imm != imm {
		m.Fatalf("exit is %s, want hvc %#x\n%s", describe(e), imm, dump(m.cpu))
	}
}

// runFor is Run, kicked after d.
func runFor(cpu hv.VCPU, e *hv.Exit, d time.Duration) error {
	dog := time.AfterFunc(d, cpu.Kick)
	defer dog.Stop()
	return cpu.Run(e)
}

// describe says what an exit holds, for messages.
func describe(e hv.Exit) string {
	return fmt.Sprintf("%s %+v", e.Kind, e)
}

// dump is the state that explains a surprise.
func dump(cpu hv.VCPU) string {
	s := ""
	for _, r := range []hv.Reg{hv.PC, hv.CPSR, 0, 1, 2, 3, 30} {
		v, _ := cpu.Reg(r)
		s += fmt.Sprintf("  r%d=%#x", r, v)
	}
	for _, r := range []hv.SysReg{arm64.ESR_EL1, arm64.ELR_EL1, arm64.FAR_EL1, arm64.SPSR_EL1} {
		v, _ := cpu.SysReg(r)
		s += fmt.Sprintf("  %s=%#x", arm64.Name(r), v)
	}
	return s
}
