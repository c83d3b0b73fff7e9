// Package userland runs a static Linux program for arm64 at EL0 of an
// hv.Engine, without a kernel: the few system calls that a single-threaded test
// program makes of libc are answered here. It is how suites of instructions
// (valgrind's, TestFloat) run on an engine in a second, and against
// qemu-aarch64, whose answers the tests compare.
//
// The program sees 128 MiB of memory at their physical addresses, all of it
// writable and executable, an empty standard input, no files, no signals and
// one thread. A system call that is not answered returns ENOSYS and is listed
// in the Result, so that a program that depends on it can be told from one that
// computes wrongly.
package userland

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// Memory, from address 0. The last 2 MiB are EL1's.
const (
	memSize  = 128 << 20
	mapBase  = 64 << 20 // anonymous mappings grow up from here
	mapEnd   = 112 << 20
	stackTop = 126 << 20
	homeBase = 126 << 20
	tableL1  = homeBase
	tableL2  = homeBase + 0x1000
	vectors  = homeBase + 0x2000
	pageSize = 4096
	fromEL0  = 0x400 // vector of synchronous exceptions from EL0

	// MaxOutput is how much a program may write before it is stopped.
	MaxOutput = 64 << 20
)

// Descriptors and registers (Arm ARM D8.3, D19.2): 1 GiB of 2 MiB blocks,
// normal memory; EL0 may do anything with the program's.
const (
	descTable = 3
	descBlock = 1 | 3<<8 | 1<<10 // inner shareable, accessed, EL1 only
	descUser  = 1 << 6
	tcr       = 1<<32 | 1<<23 | 3<<12 | 1<<10 | 1<<8 | 25 // 36 bits, TTBR1 off, write-back, T0SZ 25
	sctlr     = 0x30d0_0800 | 1<<0 | 1<<2 | 1<<4 | 1<<12 | 1<<14 | 1<<15 | 1<<16 | 1<<18 | 1<<26
)

// A Result is what a program left.
type Result struct {
	Code    int    // exit status
	Output  []byte // standard output and standard error, as written
	Unknown []uint64
}

// ErrOutput: the program wrote more than MaxOutput.
var ErrOutput = errors.New("the program writes too much")

// process is the program while it runs.
type process struct {
	vm     hv.VM
	cpu    hv.VCPU
	ram    *mem.RAM
	brk    uint64
	mapped uint64 // end of the anonymous mappings
	done   bool
	Result
}

// Run runs the ELF file elf with args (args[0] is its name) until it exits.
// Errors: the file is not a static arm64 program that fits, the program took an
// exception other than a system call, or the engine failed.
func Run(e hv.Engine, elf []byte, args ...string) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	vm, err := e.NewVM(hv.Config{})
	if err != nil {
		return nil, err
	}
	p := &process{vm: vm, mapped: mapBase}
	err = p.start(elf, args)
	for err == nil && !p.done {
		err = p.step()
	}
	return &p.Result, errors.Join(err, p.close())
}

// start loads the program and makes the vCPU that enters it.
func (p *process) start(elf []byte, args []string) (err error) {
	if p.ram, err = mem.New(memSize); err != nil {
		return err
	}
	image, err := load(p.ram.Bytes(), elf)
	if err != nil {
		return err
	}
	p.brk = image.end
	p.writeHome()
	if err := p.vm.Map(0, p.ram.Bytes(), hv.Read|hv.Write|hv.Exec); err != nil {
		return err
	}
	if p.cpu, err = p.vm.NewVCPU(0); err != nil {
		return err
	}
	sp := p.writeStack(image, args)
	for _, r := range []struct {
		enc   hv.SysReg
		value uint64
	}{
		{arm64.MAIR_EL1, 0xff}, {arm64.TCR_EL1, tcr}, {arm64.TTBR0_EL1, tableL1}, {arm64.SCTLR_EL1, sctlr},
		{arm64.VBAR_EL1, vectors}, {arm64.CPACR_EL1, 3 << 20},
		{arm64.SP_EL0, sp}, {arm64.ELR_EL1, image.entry}, {arm64.SPSR_EL1, arm64.ModeEL0t},
	} {
		if err := p.cpu.SetSysReg(r.enc, r.value); err != nil {
			return err
		}
	}
	if err := p.cpu.SetReg(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h); err != nil {
		return err
	}
	return p.cpu.SetReg(hv.PC, vectors+4)
}

// writeHome fills in the translation tables and, at each vector, HVC and ERET.
func (p *process) writeHome() {
	ram := p.ram.Bytes()
	put := func(at, v uint64) { binary.LittleEndian.PutUint64(ram[at:], v) }
	put(tableL1, tableL2|descTable)
	for at := uint64(0); at < homeBase; at += 2 << 20 {
		put(tableL2+at>>21*8, at|descBlock|descUser)
	}
	put(tableL2+homeBase>>21*8, homeBase|descBlock)
	for off := uint64(0); off < 0x800; off += 0x80 {
		copy(ram[vectors+off:], asm.New(vectors+off).Op(asm.Hvc(uint16(off))).Op(asm.Eret()).Bytes())
	}
}

// step runs until the next exception from EL0 and answers it.
func (p *process) step() error {
	var e hv.Exit
	if err := p.cpu.Run(&e); err != nil {
		return err
	}
	switch e.Kind {
	case hv.HVC:
	case hv.WFI, hv.WFE, hv.VTimer, hv.Kicked:
		return nil
	default:
		return fmt.Errorf("exit %s: %+v", e.Kind, e)
	}
	esr, err := p.cpu.SysReg(arm64.ESR_EL1)
	if err != nil {
		return err
	}
	if e.Imm != fromEL0 || arm64.EC(esr) != arm64.ECSVC {
		return p.trouble(e.Imm, esr)
	}
	return p.systemCall()
}

// trouble describes an exception that no program should take.
func (p *process) trouble(vector uint16, esr uint64) error {
	pc, err := p.cpu.SysReg(arm64.ELR_EL1)
	far, err2 := p.cpu.SysReg(arm64.FAR_EL1)
	word := uint32(0)
	if pc < memSize-4 {
		word = binary.LittleEndian.Uint32(p.ram.Bytes()[pc:])
	}
	return errors.Join(fmt.Errorf("exception to vector %#x, ESR %#x, FAR %#x, at %#x: %08x", vector, esr, far, pc, word), err, err2)
}

// close ends the VM.
func (p *process) close() error {
	var errs [3]error
	if p.cpu != nil {
		errs[0] = p.cpu.Close()
	}
	errs[1] = p.vm.Close()
	if p.ram != nil {
		errs[2] = p.ram.Close()
	}
	return errors.Join(errs[:]...)
}
