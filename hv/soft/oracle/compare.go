package oracle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Runner runs vectors: QEMU or a Machine.
type Runner interface {
	Run(vs []*Vector) ([]Result, error)
}

// A Difference is a vector that ended differently, and how.
type Difference struct {
	Vector *Vector
	Got    Result // the engine's
	Want   Result // QEMU's
}

// Compare runs vectors on both sides and gives the unexplained differences. It may
// number the slots anew.
func Compare(engine, reference Runner, vs []*Vector) ([]Difference, error) {
	want, err := reference.Run(vs)
	if errors.Is(err, ErrStuck) && len(vs) > 1 {
		return compareHalves(engine, reference, vs)
	}
	if err != nil {
		return nil, err
	}
	got, err := engine.Run(vs)
	if err != nil {
		return nil, err
	}
	var diffs []Difference
	for i, v := range vs {
		if d := (Difference{v, got[i], want[i]}); !d.Explained() {
			diffs = append(diffs, d)
		}
	}
	return diffs, nil
}

// compareHalves compares vectors that do not end together: one branched to an
// address in a register which is in another's loop, whose counter it has not. Apart
// they find no such code.
func compareHalves(engine, reference Runner, vs []*Vector) ([]Difference, error) {
	var diffs []Difference
	for half := range slices.Chunk(vs, (len(vs)+1)/2) {
		for i, v := range half {
			v.Slot = i
		}
		d, err := Compare(engine, reference, half)
		if err != nil {
			return nil, err
		}
		diffs = append(diffs, d...)
	}
	return diffs, nil
}

// String says what differs, one line each.
func (d *Difference) String() string {
	var b strings.Builder
	line := func(name string, got, want uint64) {
		if got != want {
			fmt.Fprintf(&b, "  %-6s %#x, QEMU %#x\n", name, got, want)
		}
	}
	g, w := &d.Got.Regs, &d.Want.Regs
	line("signal", d.Got.Signal, d.Want.Signal)
	line("pc", d.Got.PC-d.Vector.PC(), d.Want.PC-d.Vector.PC())
	for i := range g.X {
		line(fmt.Sprintf("x%d", i), g.X[i], w.X[i])
	}
	line("sp", g.SP, w.SP)
	line("nzcv", g.NZCV, w.NZCV)
	line("fpcr", g.FPCR, w.FPCR)
	line("fpsr", g.FPSR, w.FPSR)
	for i := range 32 {
		if got, want := g.V[2*i:2*i+2], w.V[2*i:2*i+2]; got[0] != want[0] || got[1] != want[1] {
			fmt.Fprintf(&b, "  v%-5d %016x_%016x, QEMU %016x_%016x\n", i, got[1], got[0], want[1], want[0])
		}
	}
	for i := range d.Got.Mem {
		line(fmt.Sprintf("m+%#x", Window+i), uint64(d.Got.Mem[i]), uint64(d.Want.Mem[i]))
	}
	if d.Got.Mem == d.Want.Mem {
		line("memory", d.Got.Hash, d.Want.Hash)
	}
	return b.String()
}
