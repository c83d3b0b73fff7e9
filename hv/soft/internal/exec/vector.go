package exec

import (
	"encoding/binary"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/simd"
)

// A place is where one element of a structure goes.
type place struct{ reg, lane uint8 }

// places lists, in memory order, where the elements of s go, register numbers
// wrapping from 31 to 0.
func places(s isa.Structure, first uint8, visit func(place)) {
	lanes := uint8(8) >> s.Size
	if s.Q {
		lanes *= 2
	}
	reg := func(k uint8) uint8 { return (first + k) & 31 }
	switch {
	case s.Single || s.Repl:
		for k := range s.Regs {
			visit(place{reg(k), s.Lane})
		}
	case s.Inter:
		for lane := range lanes {
			for k := range s.Regs {
				visit(place{reg(k), lane})
			}
		}
	default:
		for k := range s.Regs {
			for lane := range lanes {
				visit(place{reg(k), lane})
			}
		}
	}
}

// structure gives the base address, the size in memory and what to add to the
// base afterwards.
func (c *Core) structure(i *isa.Op) (s isa.Structure, va, n, step uint64) {
	s = isa.UnpackStructure(i.Imm2)
	step = i.Imm
	if i.Rm != cpu.ZR {
		step = c.X[i.Rm]
	}
	return s, c.X[i.Rn], s.Bytes(), step
}

// vectorLoad is LD1 to LD4 in all forms. Registers change only if all of the
// memory could be read.
func (c *Core) vectorLoad(i *isa.Op) bool {
	s, va, n, step := c.structure(i)
	mem, ok := c.spanAt(va, n, c.element(s, false))
	if !ok {
		return false
	}
	var buf [64]byte
	mem.get(buf[:n])
	if !s.Single {
		for k := range s.Regs {
			c.V[(i.Rd+k)&31] = simd.Vec{}
		}
	}
	at := 0
	places(s, i.Rd, func(p place) {
		v := element(buf[at:], s.Size)
		at += 1 << s.Size
		if s.Repl {
			c.replicate(p.reg, v, s)
			return
		}
		c.setLane(p, s.Size, v)
	})
	if s.Back {
		c.X[i.Rn] = va + step
	}
	return true
}

// vectorStore is ST1 to ST4 in all forms.
func (c *Core) vectorStore(i *isa.Op) bool {
	s, va, n, step := c.structure(i)
	mem, ok := c.spanAt(va, n, c.element(s, true))
	if !ok {
		return false
	}
	var buf [64]byte
	at := 0
	places(s, i.Rd, func(p place) {
		shift := uint(p.lane) << s.Size * 8
		putElement(buf[at:], s.Size, c.V[p.reg][shift/64]>>(shift%64))
		at += 1 << s.Size
	})
	mem.put(buf[:n])
	if s.Back {
		c.X[i.Rn] = va + step
	}
	return true
}

// element is how accesses of structures are checked: by their elements.
func (c *Core) element(s isa.Structure, write bool) want {
	return c.plain(c.TLB, 1<<s.Size, write)
}

func element(b []byte, size uint8) uint64 {
	switch size {
	case 0:
		return uint64(b[0])
	case 1:
		return uint64(binary.LittleEndian.Uint16(b))
	case 2:
		return uint64(binary.LittleEndian.Uint32(b))
	}
	return binary.LittleEndian.Uint64(b)
}

func putElement(b []byte, size uint8, v uint64) {
	switch size {
	case 0:
		b[0] = byte(v)
	case 1:
		binary.LittleEndian.PutUint16(b, uint16(v))
	case 2:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// setLane sets one lane, leaving the others.
func (c *Core) setLane(p place, size uint8, v uint64) {
	shift := uint(p.lane) << size * 8
	mask := ^uint64(0) >> (64 - 8<<size)
	word := &c.V[p.reg][shift/64]
	*word = *word&^(mask<<(shift%64)) | v<<(shift%64)
}

// replicate fills a register with v.
func (c *Core) replicate(reg uint8, v uint64, s isa.Structure) {
	for bits := uint(8) << s.Size; bits < 64; bits *= 2 {
		v |= v << bits
	}
	c.V[reg] = simd.Vec{v, 0}
	if s.Q {
		c.V[reg][1] = v
	}
}
