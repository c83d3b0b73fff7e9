package gdb

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// A register is one that gdb sees; its number is its place in the list.
type register struct {
	name  string
	bytes int // 4, 8 or 16
	attrs string
	get   func(hv.VCPU) ([]byte, error) // little endian
	set   func(hv.VCPU, []byte) error
}

// A feature is a group of registers. The first two are gdb's, which fixes their
// names and order (GDB manual, G.5.1).
type feature struct {
	name string
	regs []register
}

var features = []feature{
	{"org.gnu.gdb.aarch64.core", coreRegisters()},
	{"org.gnu.gdb.aarch64.fpu", fpRegisters()},
	{"dev.arcbox.aarch64.system", systemRegisters()},
}

var registers = func() (all []register) {
	for _, f := range features {
		all = append(all, f.regs...)
	}
	return all
}()

func coreRegisters() (list []register) {
	for i := range 31 {
		list = append(list, word(fmt.Sprintf("x%d", i), 8, `type="int"`, fixed(hv.Reg(i))))
	}
	list = append(list, register{
		name: "sp", bytes: 8, attrs: `type="data_ptr"`,
		get: func(vc hv.VCPU) ([]byte, error) { return stackPointer(vc, nil) },
		set: func(vc hv.VCPU, b []byte) error { _, err := stackPointer(vc, b); return err },
	})
	return append(list,
		word("pc", 8, `type="code_ptr"`, fixed(hv.PC)),
		word("cpsr", 4, `type="int"`, fixed(hv.CPSR)))
}

func fpRegisters() (list []register) {
	for i := range 32 {
		list = append(list, register{
			name: fmt.Sprintf("v%d", i), bytes: 16, attrs: `type="aarch64v"`,
			get: func(vc hv.VCPU) ([]byte, error) {
				v, err := vc.VReg(i)
				return v[:], err
			},
			set: func(vc hv.VCPU, b []byte) error { return vc.SetVReg(i, [16]byte(b)) },
		})
	}
	return append(list,
		word("fpsr", 4, `type="int" group="float"`, fixed(hv.FPSR)),
		word("fpcr", 4, `type="int" group="float"`, fixed(hv.FPCR)))
}

// shown are the system registers that a kernel's debugger asks for.
var shown = []hv.SysReg{
	arm64.SCTLR_EL1, arm64.TCR_EL1, arm64.TTBR0_EL1, arm64.TTBR1_EL1, arm64.MAIR_EL1, arm64.VBAR_EL1,
	arm64.ELR_EL1, arm64.SPSR_EL1, arm64.ESR_EL1, arm64.FAR_EL1, arm64.SP_EL0, arm64.SP_EL1,
	arm64.TPIDR_EL0, arm64.TPIDR_EL1, arm64.CONTEXTIDR_EL1, arm64.CPACR_EL1,
	arm64.CNTV_CTL_EL0, arm64.CNTV_CVAL_EL0, arm64.MPIDR_EL1,
}

func systemRegisters() (list []register) {
	for _, enc := range shown {
		list = append(list, word(arm64.Name(enc), 8, `type="int" group="system" save-restore="no"`, place{
			get: func(vc hv.VCPU) (uint64, error) { return vc.SysReg(enc) },
			set: func(vc hv.VCPU, v uint64) error { return vc.SetSysReg(enc, v) },
		}))
	}
	return list
}

// A place holds a value of at most 64 bits.
type place struct {
	get func(hv.VCPU) (uint64, error)
	set func(hv.VCPU, uint64) error
}

func fixed(r hv.Reg) place {
	return place{
		get: func(vc hv.VCPU) (uint64, error) { return vc.Reg(r) },
		set: func(vc hv.VCPU, v uint64) error { return vc.SetReg(r, v) },
	}
}

// word makes a register of 4 or 8 bytes of a place.
func word(name string, bytes int, attrs string, p place) register {
	return register{
		name: name, bytes: bytes, attrs: attrs,
		get: func(vc hv.VCPU) ([]byte, error) {
			v, err := p.get(vc)
			return binary.LittleEndian.AppendUint64(nil, v)[:bytes], err
		},
		set: func(vc hv.VCPU, b []byte) error {
			var wide [8]byte
			copy(wide[:], b)
			return p.set(vc, binary.LittleEndian.Uint64(wide[:]))
		},
	}
}

// stackPointer is the SP that PSTATE selects; b, if any, is its new value.
func stackPointer(vc hv.VCPU, b []byte) ([]byte, error) {
	pstate, err := vc.Reg(hv.CPSR)
	if err != nil {
		return nil, err
	}
	enc := arm64.SP_EL0
	if pstate&arm64.PSRMode == arm64.ModeEL1h {
		enc = arm64.SP_EL1
	}
	if b != nil {
		return b, vc.SetSysReg(enc, binary.LittleEndian.Uint64(b))
	}
	v, err := vc.SysReg(enc)
	return binary.LittleEndian.AppendUint64(nil, v), err
}

// hexRegisters is some registers of a vCPU as gdb reads them: one that cannot
// be read is "x"es.
func hexRegisters(vc hv.VCPU, list []register) string {
	var s strings.Builder
	for _, r := range list {
		b, err := r.get(vc)
		if err != nil {
			s.WriteString(strings.Repeat("xx", r.bytes))
			continue
		}
		s.WriteString(hex.EncodeToString(b))
	}
	return s.String()
}

// targetXML is the target description (GDB manual, appendix G).
var targetXML = func() string {
	var s strings.Builder
	s.WriteString(`<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0"><architecture>aarch64</architecture>`)
	for _, f := range features {
		fmt.Fprintf(&s, `<feature name="%s">`, f.name)
		if strings.HasSuffix(f.name, ".fpu") {
			s.WriteString(vectorTypes)
		}
		for _, r := range f.regs {
			fmt.Fprintf(&s, `<reg name="%s" bitsize="%d" %s/>`, r.name, r.bytes*8, r.attrs)
		}
		s.WriteString(`</feature>`)
	}
	s.WriteString(`</target>`)
	return s.String()
}()

// vectorTypes make aarch64v, the many ways to look at a vector register.
const vectorTypes = `<vector id="v2d" type="ieee_double" count="2"/><vector id="v2u" type="uint64" count="2"/>` +
	`<vector id="v4f" type="ieee_single" count="4"/><vector id="v4u" type="uint32" count="4"/>` +
	`<vector id="v8u" type="uint16" count="8"/><vector id="v16u" type="uint8" count="16"/>` +
	`<vector id="v1u" type="uint128" count="1"/>` +
	`<union id="vnd"><field name="f" type="v2d"/><field name="u" type="v2u"/></union>` +
	`<union id="vns"><field name="f" type="v4f"/><field name="u" type="v4u"/></union>` +
	`<union id="vnh"><field name="u" type="v8u"/></union><union id="vnb"><field name="u" type="v16u"/></union>` +
	`<union id="vnq"><field name="u" type="v1u"/></union>` +
	`<union id="aarch64v"><field name="d" type="vnd"/><field name="s" type="vns"/><field name="h" type="vnh"/>` +
	`<field name="b" type="vnb"/><field name="q" type="vnq"/></union>`
