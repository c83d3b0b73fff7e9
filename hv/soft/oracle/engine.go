package oracle

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// Guest physical layout beside Scratch and Code, which lie at their own
// addresses: translation tables and the EL1 side of things.
const (
	homeBase = 0x4000_0000
	homeSize = 64 << 10
	tableL1  = homeBase
	tableL2  = homeBase + 0x1000 // of 1 GiB from 0x4000_0000
	tableL3  = homeBase + 0x2000 // of 2 MiB from Scratch
	codeL3   = homeBase + 0x3000 // of 2 MiB from Code
	vectors  = homeBase + 0x8000
	entry    = homeBase + 0x9000 // ERET

	scratchMapped = 16 << 10 // of host memory; the guest sees ScratchSize of it
	codeSize      = MaxBatch * CodeStride
)

// Descriptor and register values (Arm ARM D8.3, D19.2). SCTLR_EL1.SA0 is off:
// QEMU's user mode does not check SP's alignment.
const (
	descTable = 3
	descBlock = 1 | 3<<8 | 1<<10 | descUXN      // normal, inner shareable, accessed, EL1 only
	descPage  = 3 | 3<<8 | 1<<10 | 1<<6 | 1<<53 // also EL0, not executable at EL1
	descUXN   = 1 << 54
	tcr       = 1<<37 | 1<<32 | 1<<23 | 3<<12 | 1<<10 | 1<<8 | 25 // TBI0, 36 bits, TTBR1 off, write-back, T0SZ 25
	sctlr     = 0x30d0_0800 | 1<<0 | 1<<2 | 1<<12 | 1<<14 | 1<<15 | 1<<16 | 1<<18 | 1<<26
)

// A Machine runs vectors at EL0 of one vCPU. It belongs to the goroutine that
// made it, locked to its thread.
type Machine struct {
	vm      hv.VM
	cpu     hv.VCPU
	scratch []byte
	code    []byte
	rams    []*mem.RAM
}

// NewMachine makes a VM of e with the oracle's memory map. faults, if not nil,
// asks for counted time and these misbehaviours.
func NewMachine(e hv.Engine, faults *hv.Faults) (*Machine, error) {
	var cfg hv.Config
	if faults != nil {
		cfg.Counted = &hv.CountedConfig{}
	}
	vm, err := e.NewVM(cfg)
	if err != nil {
		return nil, err
	}
	m := &Machine{vm: vm}
	if err := m.prepare(faults); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// prepare maps memory and makes the vCPU.
func (m *Machine) prepare(faults *hv.Faults) error {
	home, err := m.memory(homeBase, homeSize)
	if err != nil {
		return err
	}
	if m.scratch, err = m.memory(Scratch, scratchMapped); err != nil {
		return err
	}
	if m.code, err = m.memory(Code, codeSize); err != nil {
		return err
	}
	writeHome(home)
	if m.cpu, err = m.vm.NewVCPU(0); err != nil {
		return err
	}
	if c, ok := m.cpu.(hv.Counted); ok && faults != nil {
		c.SetFaults(*faults)
	}
	for _, r := range []struct {
		enc   hv.SysReg
		value uint64
	}{
		{arm64.MAIR_EL1, 0xff}, {arm64.TCR_EL1, tcr}, {arm64.TTBR0_EL1, tableL1}, {arm64.SCTLR_EL1, sctlr},
		{arm64.VBAR_EL1, vectors}, {arm64.CPACR_EL1, 3 << 20},
	} {
		if err := m.cpu.SetSysReg(r.enc, r.value); err != nil {
			return err
		}
	}
	return nil
}

// memory maps size bytes at ipa.
func (m *Machine) memory(ipa, size uint64) ([]byte, error) {
	ram, err := mem.New(size)
	if err != nil {
		return nil, err
	}
	m.rams = append(m.rams, ram)
	return ram.Bytes(), m.vm.Map(ipa, ram.Bytes(), hv.Read|hv.Write|hv.Exec)
}

// writeHome fills in tables, vectors (HVC) and the way to EL0 (ERET).
func writeHome(home []byte) {
	put := func(gpa, v uint64) { binary.LittleEndian.PutUint64(home[gpa-homeBase:], v) }
	put(tableL1+8, tableL2|descTable)
	put(tableL2, homeBase|descBlock)
	put(tableL2+8*((Scratch-homeBase)>>21), tableL3|descTable)
	put(tableL2+8*((Code-homeBase)>>21), codeL3|descTable)
	for off := uint64(0); off < ScratchSize; off += 0x1000 {
		put(tableL3+off>>12*8, Scratch+off|descPage|descUXN)
	}
	for off := uint64(0); off < codeSize; off += 0x1000 {
		put(codeL3+off>>12*8, Code+off|descPage)
	}
	for off := uint64(0); off < 0x800; off += 0x80 {
		copy(home[vectors-homeBase+off:], asm.New(vectors+off).Op(asm.Hvc(uint16(off))).Bytes())
	}
	copy(home[entry-homeBase:], asm.New(entry).Op(asm.Eret()).Bytes())
}

// Close frees the VM and its memory.
func (m *Machine) Close() error {
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	if m.cpu != nil {
		keep(m.cpu.Close())
	}
	keep(m.vm.Close())
	for _, r := range m.rams {
		keep(r.Close())
	}
	return first
}

// Run gives the result of every vector, as QEMU.Run does.
func (m *Machine) Run(vs []*Vector) ([]Result, error) {
	m.place(vs)
	results := make([]Result, len(vs))
	for i, v := range vs {
		if err := m.run(v, &results[i]); err != nil {
			return nil, fmt.Errorf("vector %d: %w", i, err)
		}
	}
	return results, nil
}

// place writes all code, and BRK behind each.
func (m *Machine) place(vs []*Vector) {
	for _, v := range vs {
		slot := m.code[v.Slot*CodeStride:][:CodeStride]
		for i := range CodeStride / 4 {
			w := asm.Brk(0)
			if i < len(v.Words) {
				w = v.Words[i]
			}
			binary.LittleEndian.PutUint32(slot[4*i:], w)
		}
	}
	m.vm.Invalidate(Code, codeSize)
}

// patience is far more than the few instructions of a vector take.
const patience = 10 * time.Second

// run enters EL0 by ERET, which also clears the exclusive monitor, and goes on
// until an exception to EL1.
func (m *Machine) run(v *Vector, res *Result) error {
	fillScratch(m.scratch, v)
	if err := m.give(v); err != nil {
		return err
	}
	dog := time.AfterFunc(patience, m.cpu.Kick)
	defer dog.Stop()
	var e hv.Exit
	for {
		if err := m.cpu.Run(&e); err != nil {
			return err
		}
		switch e.Kind {
		case hv.WFI, hv.WFE:
			continue
		case hv.HVC:
			return m.take(res)
		}
		return fmt.Errorf("exit %s %+v", e.Kind, e)
	}
}

// give sets the state that v starts with.
func (m *Machine) give(v *Vector) error {
	c, r := m.cpu, &v.Regs
	var first error
	keep := func(err error) {
		if first == nil {
			first = err
		}
	}
	for i, x := range r.X {
		keep(c.SetReg(hv.Reg(i), x))
	}
	for i := range 32 {
		var b [16]byte
		binary.LittleEndian.PutUint64(b[:], r.V[2*i])
		binary.LittleEndian.PutUint64(b[8:], r.V[2*i+1])
		keep(c.SetVReg(i, b))
	}
	keep(c.SetReg(hv.FPCR, r.FPCR))
	keep(c.SetReg(hv.FPSR, r.FPSR))
	keep(c.SetSysReg(arm64.SP_EL0, r.SP))
	keep(c.SetSysReg(arm64.SPSR_EL1, r.NZCV|arm64.ModeEL0t))
	keep(c.SetSysReg(arm64.ELR_EL1, v.PC()))
	keep(c.SetReg(hv.CPSR, arm64.PSRDAIF|arm64.ModeEL1h))
	keep(c.SetReg(hv.PC, entry))
	return first
}

// take reads what is left after the exception.
func (m *Machine) take(res *Result) error {
	c, r := m.cpu, &res.Regs
	var first error
	get := func(v uint64, err error) uint64 {
		if first == nil {
			first = err
		}
		return v
	}
	for i := range r.X {
		r.X[i] = get(c.Reg(hv.Reg(i)))
	}
	for i := range 32 {
		b, err := c.VReg(i)
		r.V[2*i] = get(binary.LittleEndian.Uint64(b[:]), err)
		r.V[2*i+1] = binary.LittleEndian.Uint64(b[8:])
	}
	r.FPCR, r.FPSR = get(c.Reg(hv.FPCR)), get(c.Reg(hv.FPSR))
	r.SP = get(c.SysReg(arm64.SP_EL0))
	r.NZCV = get(c.SysReg(arm64.SPSR_EL1)) & 0xf000_0000
	res.PC = get(c.SysReg(arm64.ELR_EL1))
	res.Signal = signal(get(c.SysReg(arm64.ESR_EL1)))
	res.Hash = hashScratch(m.scratch)
	copy(res.Mem[:], m.scratch[Window:])
	return first
}

// signal is what Linux makes of a syndrome from EL0; for those it has no signal
// for, the class plus 1000.
func signal(esr uint64) uint64 {
	fsc := esr & arm64.ISSFSC
	switch ec := arm64.EC(esr); ec {
	case arm64.ECBRK:
		return sigTRAP
	case arm64.ECUnknown, arm64.ECIllegal, arm64.ECSysReg:
		return sigILL
	case arm64.ECPCAlign, arm64.ECSPAlign:
		return sigBUS
	case arm64.ECDataAbortEL0, arm64.ECInstrAbortEL0:
		if fsc == arm64.FSCAlignment {
			return sigBUS
		}
		return sigSEGV
	default:
		return 1000 + ec
	}
}
