package oracle

import (
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// faulty is QEMU with a mistake: where a vector holds instruction word, X0 of the
// result is off by one if X1 was odd.
type faulty struct {
	*QEMU
	word uint32
}

func (f faulty) Run(vs []*Vector) ([]Result, error) {
	rs, err := f.QEMU.Run(vs)
	for i, v := range vs {
		if err == nil && v.any(f.word, ^uint32(0)) && v.Regs.X[1]&1 == 1 {
			rs[i].Regs.X[0]++
		}
	}
	return rs, err
}

func TestMinimizeLeavesWhatMatters(t *testing.T) {
	q := qemu(t)
	engine := faulty{q, asm.Add(0, 1, 2)}
	v := NewGenerator(5, func(name string) bool { return name == "add-sub-imm" }).Batch(1)[0]
	v.Words = []uint32{asm.Nop(), asm.AddImm(3, 3, 1), asm.Add(0, 1, 2), asm.AddImm(4, 4, 1)}
	v.Regs.X[1] = 3
	diffs, err := Compare(engine, q, []*Vector{v})
	if err != nil || len(diffs) != 1 {
		t.Fatalf("%d differences, %v, want 1", len(diffs), err)
	}
	d, err := Minimize(engine, q, diffs[0])
	if err != nil {
		t.Fatal(err)
	}
	var want Registers
	want.X[1] = 3
	if d.Vector.Regs != want || d.Vector.Mem != [WindowSize]byte{} {
		t.Errorf("state left over: %+v", d.Vector.Regs)
	}
	for _, w := range d.Vector.Words {
		if w != nop && w != engine.word {
			t.Errorf("instruction %#08x left over", w)
		}
	}
}
