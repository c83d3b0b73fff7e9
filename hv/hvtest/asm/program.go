package asm

import (
	"encoding/binary"
	"fmt"
)

// A Program is instruction words from address Base on, with labels. Branches
// may name labels that come later; Bytes resolves them.
type Program struct {
	Base   uint64 // address of the first word, a multiple of 4
	words  []uint32
	labels map[string]int
	fixups []fixup
}

// A fixup is a branch at word index at whose offset, counted in words, goes
// into width bits from bit lo on.
type fixup struct {
	at    int
	label string
	lo    uint
	width uint
}

// New starts a program at address base.
func New(base uint64) *Program {
	return &Program{Base: base, labels: map[string]int{}}
}

// Op appends instruction words.
func (p *Program) Op(words ...uint32) *Program {
	p.words = append(p.words, words...)
	return p
}

// PC is the address of the next word.
func (p *Program) PC() uint64 { return p.Base + 4*uint64(len(p.words)) }

// Label names the address of the next word, and returns that address.
func (p *Program) Label(name string) uint64 {
	if _, dup := p.labels[name]; dup {
		panic(fmt.Sprintf("asm: label %q is there already", name))
	}
	p.labels[name] = len(p.words)
	return p.PC()
}

// Org fills with UDF up to address, which must not lie behind.
func (p *Program) Org(address uint64) *Program {
	if address < p.PC() {
		panic(fmt.Sprintf("asm: cannot go back from %#x to %#x", p.PC(), address))
	}
	for p.PC() < address {
		p.Op(Udf(0))
	}
	return p
}

// Mov64 puts a constant into Xrd, in one to four words.
func (p *Program) Mov64(rd int, v uint64) *Program {
	p.Op(MovZ(rd, uint16(v), 0))
	for shift := 16; shift < 64; shift += 16 {
		if part := uint16(v >> shift); part != 0 {
			p.Op(MovK(rd, part, shift))
		}
	}
	return p
}

// MsrImm puts a constant into a system register, by way of Xtmp.
func (p *Program) MsrImm(enc uint16, v uint64, tmp int) *Program {
	return p.Mov64(tmp, v).Op(Msr(enc, tmp))
}

// B is B label.
func (p *Program) B(label string) *Program { return p.branch(0x14000000, label, 0, 26) }

// BL is BL label.
func (p *Program) BL(label string) *Program { return p.branch(0x94000000, label, 0, 26) }

// Bcond is B.cond label.
func (p *Program) Bcond(c Cond, label string) *Program {
	return p.branch(0x54000000|uint32(c), label, 5, 19)
}

// Cbz is CBZ Xt, label.
func (p *Program) Cbz(rt int, label string) *Program {
	return p.branch(0xb4000000|reg(rt, 0), label, 5, 19)
}

// Cbnz is CBNZ Xt, label.
func (p *Program) Cbnz(rt int, label string) *Program {
	return p.branch(0xb5000000|reg(rt, 0), label, 5, 19)
}

// CbnzW is CBNZ Wt, label.
func (p *Program) CbnzW(rt int, label string) *Program {
	return p.branch(0x35000000|reg(rt, 0), label, 5, 19)
}

// Adr is ADR Xt, label, for labels within 1 MiB.
func (p *Program) Adr(rt int, label string) *Program {
	return p.Op(0x10000000 | reg(rt, 0)).fix(fixup{at: len(p.words) - 1, label: label, lo: 5, width: 19})
}

func (p *Program) branch(word uint32, label string, lo, width uint) *Program {
	return p.Op(word).fix(fixup{at: len(p.words) - 1, label: label, lo: lo, width: width})
}

func (p *Program) fix(f fixup) *Program {
	p.fixups = append(p.fixups, f)
	return p
}

// Words gives the program with all branches resolved.
func (p *Program) Words() []uint32 {
	out := append([]uint32(nil), p.words...)
	for _, f := range p.fixups {
		target, ok := p.labels[f.label]
		if !ok {
			panic(fmt.Sprintf("asm: no label %q", f.label))
		}
		out[f.at] |= signed(int64(target-f.at), f.lo, f.width)
	}
	return out
}

// Bytes is Words as they lie in memory.
func (p *Program) Bytes() []byte {
	var out []byte
	for _, w := range p.Words() {
		out = binary.LittleEndian.AppendUint32(out, w)
	}
	return out
}
