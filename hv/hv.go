// Package hv says what a machine that can run a guest must do, and nothing
// about how. hv/hvf does it with Apple's Hypervisor.framework, hv/soft by
// executing AArch64 in Go; hv/hvtest holds both to the same behaviour.
//
// # Threads
//
// Any goroutine may use an Engine and a VM. A VCPU belongs to the goroutine
// that made it, locked to its thread (runtime.LockOSThread) from NewVCPU to
// Close, because Hypervisor.framework ties a vCPU to its thread. Kick is the
// exception: any goroutine may call it at any time until Close returns.
// A Counted engine lifts the rule: one goroutine may drive all of its vCPUs.
//
// # Errors
//
// What the guest does, right or wrong, is an Exit. An error means that the
// host failed or that the caller broke this contract; the VM is then useful
// only for reading registers and for Close.
//
// # Order of teardown
//
// Kick each vCPU until its goroutine has left Run and called Close; then
// VM.Close; only then may the memory given to Map be released.
package hv

import (
	"errors"
	"fmt"
)

// Errors that callers branch on. They come wrapped.
var (
	// ErrUnsupported: the engine, or the system it runs on, cannot do this.
	ErrUnsupported = errors.New("not supported by this engine")
	// ErrBusy: the engine has as many VMs as it may (HV_BUSY).
	ErrBusy = errors.New("the engine cannot hold another VM")
	// ErrRange: an address or size is unaligned, overlaps a mapping, is not
	// mapped, or lies outside the VM's IPA space.
	ErrRange = errors.New("bad guest physical range")
)

// An Engine makes VMs.
type Engine interface {
	// Name is the word for --engine: "hvf" or "soft".
	Name() string
	// Caps says what the engine can do on this host. It does not change.
	Caps() Caps
	// FeatureReg gives the value that a new vCPU's ID register enc will read
	// as. Errors: ErrUnsupported for a register that the engine does not know.
	FeatureReg(enc SysReg) (uint64, error)
	// NewVM makes an empty VM: no memory, no vCPUs. Errors: ErrBusy, and
	// ErrUnsupported when cfg asks for more than Caps offers.
	NewVM(cfg Config) (VM, error)
}

// Caps are an engine's abilities on this host.
type Caps struct {
	MaxVMs   int    // VMs at once in this process; 0 means no limit
	MaxVCPUs int    // vCPUs in one VM, at least 1
	IPABits  int    // largest guest physical address width, in bits
	Granule  uint64 // alignment in bytes of Map, Unmap and Protect, a power of two
	GIC      bool   // VM.NewGIC works: the interrupt controller is the engine's
	Counted  bool   // Config.Counted works
	// Remap: pages that the guest has touched go back to the host only by Unmap, new
	// pages at the same place, and Map.
	Remap bool
}

// Config is what must be known before a VM exists.
type Config struct {
	IPABits int // guest physical address width; 0 means the engine's default, at least 36
	// Counted, when set, asks for reproducible time: see Counted.
	Counted *CountedConfig
}

// Prot is what the guest may do with a mapping.
type Prot uint8

// The values are those of HV_MEMORY_READ, _WRITE and _EXEC.
const (
	Read  Prot = 1
	Write Prot = 2
	Exec  Prot = 4
)

// A VM is one guest's physical address space and its vCPUs. All methods may
// be called while vCPUs run, and take effect before they return: no vCPU uses
// the old mapping afterwards.
type VM interface {
	// Map puts host memory at a guest physical address. mem must start and
	// end on Caps.Granule, come from mmap rather than from Go's heap, and stay
	// valid until it is unmapped or the VM is closed. Errors: ErrRange.
	Map(ipa uint64, mem []byte, p Prot) error
	// Unmap removes a range. It may be part of a mapping or span several, but
	// must be mapped throughout. Errors: ErrRange.
	Unmap(ipa, size uint64) error
	// Protect changes the rights of a mapped range. Errors: ErrRange.
	Protect(ipa, size uint64, p Prot) error
	// Invalidate says that the host has written to guest memory which may hold
	// code that has run: stale decodings are dropped. Data needs no such call.
	Invalidate(ipa, size uint64)

	// NewGIC makes the engine's own interrupt controller, before the first
	// vCPU. Errors: ErrUnsupported where Caps.GIC is false.
	NewGIC(cfg GICConfig) (GIC, error)

	// NewVCPU makes vCPU number index (0 up to Caps.MaxVCPUs-1) on the calling
	// goroutine, which must be locked to its thread. It starts as PSCI
	// wants it: EL1h, interrupts masked, MMU off, all registers zero,
	// MPIDR_EL1 with Aff0 = index.
	NewVCPU(index int) (VCPU, error)

	// CounterFreq is CNTFRQ_EL0 in Hz, and Counter the physical count now.
	// CNTVCT_EL0 is Counter minus the vCPU's offset.
	CounterFreq() uint64
	Counter() uint64

	// Close frees the VM. Every VCPU must be closed before.
	Close() error
}

// Reg is a general register of a vCPU, numbered as HV_REG_*.
type Reg uint8

// X0 to X30 are Reg(0) to Reg(30).
const (
	X0   Reg = 0
	X29  Reg = 29
	X30  Reg = 30
	PC   Reg = 31
	FPCR Reg = 32
	FPSR Reg = 33
	CPSR Reg = 34 // PSTATE in the layout of SPSR_EL1
)

// SysReg is a system register as MSR and MRS encode it:
// Op0<<14 | Op1<<11 | CRn<<7 | CRm<<3 | Op2, as HV_SYS_REG_* does.
// Names are in hv/arm64. SP_EL0 and SP_EL1 are system registers here.
type SysReg = uint16

// A VCPU is one virtual CPU. See the package doc for who may call what.
type VCPU interface {
	// Run enters the guest and fills in the next event that the engine does
	// not handle itself. It allocates nothing.
	Run(e *Exit) error
	// Kick makes a Run end with Kicked: the one under way or, when none is, the
	// next one. Kicks before that Run returns are one kick. It does not
	// wake a goroutine that waits outside Run: whoever parks there must also
	// be told another way.
	Kick()

	Reg(r Reg) (uint64, error)
	SetReg(r Reg, v uint64) error
	// VReg is V0 to V31, little endian.
	VReg(n int) ([16]byte, error)
	SetVReg(n int, v [16]byte) error
	// SysReg and SetSysReg reach every register that a snapshot needs. ID
	// registers may be set before the first Run only.
	SysReg(enc SysReg) (uint64, error)
	SetSysReg(enc SysReg, v uint64) error

	// SetPending raises or lowers the virtual IRQ and FIQ lines for the next
	// Run alone: afterwards both are low again.
	SetPending(irq, fiq bool) error

	// The virtual timer. When it fires and is not masked, Run ends with VTimer
	// and the timer is masked, as by SetVTimerMask(true): the caller raises
	// PPI 27 and unmasks once CNTV_CTL_EL0.ISTATUS or ENABLE says that the
	// guest has dealt with it. Nothing of this happens with the engine's GIC.
	VTimerMask() (bool, error)
	SetVTimerMask(masked bool) error
	VTimerOffset() (uint64, error)
	SetVTimerOffset(off uint64) error

	// Close ends the vCPU, on its own goroutine.
	Close() error
}

// GICConfig places the engine's GICv3.
type GICConfig struct {
	Distributor   uint64 // guest physical base of GICD, 64 KiB aligned
	Redistributor uint64 // base of the GICR region, 128 KiB a vCPU
}

// A GIC is an interrupt controller inside the engine. Any goroutine may use it.
type GIC interface {
	// SetSPI sets the level of shared interrupt intid (32 to 1019) and wakes
	// whichever vCPU takes it.
	SetSPI(intid uint32, level bool) error
	Reset() error
	// State and SetState carry a snapshot; vCPUs must exist and be stopped.
	State() ([]byte, error)
	SetState(b []byte) error
}

// CountedConfig asks for time that is counted in instructions.
type CountedConfig struct {
	// PSPerInstruction is virtual picoseconds for each instruction; 0 means 1000.
	PSPerInstruction uint64
}

// Counted is what a VCPU of a VM made with Config.Counted also is. All vCPUs of
// such a VM share one clock, which only RunN and Skip move, and may all be
// driven by one goroutine, one at a time.
type Counted interface {
	VCPU
	// RunN is Run for at most n guest instructions; when they are spent it
	// ends with Budget. It ends early, also with Budget, when the virtual timer's
	// deadline moved, and exactly at n otherwise.
	RunN(n uint64, e *Exit) error
	// Instructions is how many this vCPU has completed.
	Instructions() uint64
	// Now is the VM's virtual time in nanoseconds since it was made.
	Now() uint64
	// Skip moves virtual time on by ns nanoseconds, as if all vCPUs had slept.
	Skip(ns uint64)
	// SetFaults makes the engine misbehave within the architecture's rules.
	SetFaults(f Faults)
}

// Faults are allowed misbehaviours that a correct guest must not notice. Zero
// values mean never.
type Faults struct {
	FlushTLBEvery   uint64 // drop all translations every so many blocks
	FailStoreEvery  uint64 // let every so-manieth store-exclusive fail
	SingleStepBlock bool   // blocks of one instruction
}

// ExitKind says which fields of an Exit hold.
type ExitKind uint8

// The values are spelled out because traces and crash reports carry them.
const (
	// MMIO: a load or store outside mapped memory. PC is past it.
	// A load waits for Exit.Complete.
	MMIO ExitKind = 1
	// HVC and SMC: a call; PC is past it, the arguments are in X0 to X7.
	HVC ExitKind = 2
	SMC ExitKind = 3
	// WFI: the guest waits for an interrupt; PC is past it. The caller waits, and
	// may run again at any time.
	WFI ExitKind = 4
	// WFE: the guest spins politely; PC is past it. The caller yields.
	WFE ExitKind = 5
	// Trap: an access to a system register that the engine leaves to the
	// caller, such as ICC_* without the engine's GIC. PC is past it; a read
	// waits for Complete.
	Trap ExitKind = 6
	// VTimer: the virtual timer fired; it is masked now.
	VTimer ExitKind = 7
	// Kicked: somebody called Kick.
	Kicked ExitKind = 8
	// Budget: RunN's instructions are spent.
	Budget ExitKind = 9
	// Denied: a store to memory mapped without Write. PC is on the store, which
	// runs again after Protect.
	Denied ExitKind = 10
	// Fault: nobody can handle this: an instruction fetched from outside
	// mapped memory or from memory without Exec, or an access to it that has
	// no syndrome (ISV=0). PC is on the instruction; entering again would loop.
	Fault ExitKind = 11
	// DebugStop: a Debuggable vCPU came to what SetDebug asked for; see Exit.Reason.
	DebugStop ExitKind = 12
)

// An Exit is why Run came back.
type Exit struct {
	Kind  ExitKind
	Write bool  // MMIO, Trap: the guest writes
	Size  uint8 // MMIO: 1, 2, 4 or 8 bytes
	Reg   uint8 // MMIO, Trap: register that holds or takes the value; 31 is XZR
	// Signed and Wide are SSE and SF of the syndrome: how Complete extends.
	Signed bool
	Wide   bool
	Sys    SysReg      // Trap
	Imm    uint16      // HVC, SMC
	Value  uint64      // MMIO, Trap: what is written, zero extended from Size
	IPA    uint64      // MMIO, Denied, Fault: guest physical address
	VA     uint64      // MMIO, Denied, Fault, DebugStop by a watchpoint: guest virtual address
	ESR    uint64      // Fault, Denied: ESR_EL2 syndrome
	Reason DebugReason // DebugStop
}

// Complete finishes a read: it puts v into the register that the exit names,
// truncated to Size and extended as the instruction says. XZR takes nothing.
func (e *Exit) Complete(c VCPU, v uint64) error {
	if e.Write || (e.Kind != MMIO && e.Kind != Trap) {
		return fmt.Errorf("cannot complete %s: it waits for no value", e.Kind)
	}
	if e.Reg >= 31 {
		return nil
	}
	if e.Kind == MMIO {
		v = e.extend(v)
	}
	return c.SetReg(Reg(e.Reg), v)
}

// extend applies SAS, SSE and SF of the data abort syndrome (Arm ARM, ISS
// encoding for an exception from a Data Abort).
func (e *Exit) extend(v uint64) uint64 {
	shift := 64 - 8*uint(e.Size)
	if !e.Signed {
		return v << shift >> shift
	}
	v = uint64(int64(v<<shift) >> shift)
	if !e.Wide {
		v = uint64(uint32(v))
	}
	return v
}

var kindNames = [...]string{
	MMIO: "mmio", HVC: "hvc", SMC: "smc", WFI: "wfi", WFE: "wfe", Trap: "trap",
	VTimer: "vtimer", Kicked: "kicked", Budget: "budget", Denied: "denied", Fault: "fault",
	DebugStop: "debug",
}

// ExitKinds is one more than the largest ExitKind, for tables by kind.
const ExitKinds = len(kindNames)

func (k ExitKind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("exit(%d)", uint8(k))
}
