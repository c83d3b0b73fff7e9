package oracle

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// qemu is the reference, or the end of the test where it is missing. In CI it
// must not be missing.
func qemu(t testing.TB) *QEMU {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	q, err := NewQEMU(filepath.Join(dir, "arcbox-test"))
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// The runner itself is right about things that need no second opinion.
func TestRunnerReportsWhatHappened(t *testing.T) {
	q := qemu(t)
	vs := []*Vector{
		{Words: []uint32{asm.Add(0, 1, 2)}},
		{Words: []uint32{asm.Nop(), asm.Udf(0)}},
		{Words: []uint32{asm.Ldr(0, 1, 0)}},
		{Words: []uint32{asm.Str(1, 28, 0), asm.CmpImm(1, 1)}},
		{Words: []uint32{asm.Ldxr(0, 28)}},
		{Words: []uint32{asm.Br(2)}},
		{Words: []uint32{asm.Add16B(0, 1, 1)}},
	}
	for i, v := range vs {
		v.CPU, v.Slot = BaseCPU, i
		v.Regs.X[1], v.Regs.X[2], v.Regs.X[28] = 1, 4, Scratch+Window
		v.Regs.V[2] = 0x0102
	}
	vs[4].Regs.X[28]++
	rs, err := q.Run(vs)
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ signal, pc, x0 uint64 }{
		{sigTRAP, vs[0].PC() + 4, 5}, {sigILL, vs[1].PC() + 4, 0}, {sigSEGV, vs[2].PC(), 0},
		{sigTRAP, vs[3].PC() + 8, 0}, {sigBUS, vs[4].PC(), 0}, {sigSEGV, 4, 0}, {sigTRAP, vs[6].PC() + 4, 0},
	}
	for i, w := range want {
		if r := rs[i]; r.Signal != w.signal || r.PC != w.pc || r.Regs.X[0] != w.x0 {
			t.Errorf("vector %d: signal %d pc %#x x0 %#x, want %d %#x %#x", i, r.Signal, r.PC, r.Regs.X[0], w.signal, w.pc, w.x0)
		}
	}
	var scratch [ScratchSize]byte
	fillScratch(scratch[:], vs[0])
	if rs[0].Hash != hashScratch(scratch[:]) {
		t.Error("the runner's memory starts with other contents than ours")
	}
	if rs[3].Mem[0] != 1 || rs[3].Regs.NZCV != 6<<28 {
		t.Errorf("store and compare left %#x and flags %#x", rs[3].Mem[0], rs[3].Regs.NZCV)
	}
	if rs[6].Regs.V[0] != 0x0204 {
		t.Errorf("vector addition gave %#x", rs[6].Regs.V[0])
	}
}
