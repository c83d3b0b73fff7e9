package oracle

import "slices"

// nop is what the minimizer puts in place of an instruction.
const nop = 0xd503201f

// Minimize cuts a difference down: as long as the two sides still differ, it
// drops instructions, then takes registers, flags and memory to zero. The
// result differs too, though perhaps elsewhere.
func Minimize(engine, reference Runner, d Difference) (Difference, error) {
	for {
		smaller := smallerThan(d.Vector)
		if len(smaller) == 0 {
			return d, nil
		}
		found, err := Compare(engine, reference, smaller)
		if err != nil || len(found) == 0 {
			return d, err
		}
		d = found[0]
	}
}

// smallerThan gives vectors with one thing less than v, those first that leave
// out most.
func smallerThan(v *Vector) []*Vector {
	var out []*Vector
	try := func(change func(c *Vector)) {
		c := *v
		c.Words = append([]uint32(nil), v.Words...)
		c.Slot = len(out)
		change(&c)
		if c.Regs == v.Regs && c.Mem == v.Mem && slices.Equal(c.Words, v.Words) {
			return // nothing was there to leave out, and trying again would not end
		}
		c.rebase(v)
		out = append(out, &c)
	}
	for i, w := range v.Words {
		if len(v.Words) > 1 && i == len(v.Words)-1 {
			try(func(c *Vector) { c.Words = c.Words[:i] })
		}
		if w != nop && w&31 != regCount && len(v.Words) > 1 { // a loop without its counter has no end
			try(func(c *Vector) { c.Words[i] = nop })
		}
	}
	if v.Mem != [WindowSize]byte{} {
		try(func(c *Vector) { c.Mem = [WindowSize]byte{} })
	}
	if v.Regs.X != [31]uint64{} {
		try(func(c *Vector) { c.Regs.X = [31]uint64{} })
		try(func(c *Vector) { clear(c.Regs.X[:regCode]) })
	}
	if v.Regs.V != [64]uint64{} {
		try(func(c *Vector) { c.Regs.V = [64]uint64{} })
		try(func(c *Vector) { clear(c.Regs.V[:32]) })
		try(func(c *Vector) { clear(c.Regs.V[32:]) })
	}
	zero := func(get func(r *Registers) *uint64) {
		if *get(&v.Regs) != 0 {
			try(func(c *Vector) { *get(&c.Regs) = 0 })
		}
	}
	for i := range v.Regs.X {
		zero(func(r *Registers) *uint64 { return &r.X[i] })
	}
	zero(func(r *Registers) *uint64 { return &r.SP })
	zero(func(r *Registers) *uint64 { return &r.NZCV })
	zero(func(r *Registers) *uint64 { return &r.FPCR })
	zero(func(r *Registers) *uint64 { return &r.FPSR })
	for i := range v.Regs.V {
		zero(func(r *Registers) *uint64 { return &r.V[i] })
	}
	return out
}

// rebase makes a pointer into the code of from one into that of v.
func (v *Vector) rebase(from *Vector) {
	for i, x := range v.Regs.X {
		if off := x - from.PC(); off < CodeStride {
			v.Regs.X[i] = v.PC() + off
		}
	}
}
