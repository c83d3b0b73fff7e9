//go:build macshim && !darwin

package hvf_test

import (
	"runtime"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// loops leave the guest once a round: with a call, and with a load that a device answers.
var loops = []struct {
	name string
	ops  []uint32
}{
	{"hvc", []uint32{asm.Hvc(1)}},
	{"mmio", []uint32{asm.Ldr(1, 0, 0)}},
}

// BenchmarkExit is the run loop: into the guest, out, answered, in again. What hvf takes more
// than soft is the binding and the stand-in's part; the framework's own is a Mac's to tell.
func BenchmarkExit(b *testing.B) {
	for _, e := range []hv.Engine{hvf.New(), soft.New()} {
		for _, l := range loops {
			b.Run(e.Name()+"/"+l.name, func(b *testing.B) { exits(b, e, l.ops) })
		}
	}
}

func exits(b *testing.B, e hv.Engine, ops []uint32) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ram, err := mem.New(mem.Granule)
	if err != nil {
		b.Fatal(err)
	}
	defer ram.Close()
	p := asm.New(ramBase)
	p.Label("again")
	copy(ram.Bytes(), p.Op(ops...).B("again").Bytes())
	vm, err := e.NewVM(hv.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Map(ramBase, ram.Bytes(), hv.Read|hv.Exec); err != nil {
		b.Fatal(err)
	}
	cpu, err := vm.NewVCPU(0)
	if err != nil {
		b.Fatal(err)
	}
	defer cpu.Close()
	if err := cpu.SetReg(hv.PC, ramBase); err != nil {
		b.Fatal(err)
	}
	if err := cpu.SetReg(hv.X0, device); err != nil {
		b.Fatal(err)
	}
	var x hv.Exit
	b.ReportAllocs()
	for b.Loop() {
		if err := cpu.Run(&x); err != nil {
			b.Fatal(err)
		}
		if x.Kind == hv.MMIO {
			if err := x.Complete(cpu, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
}
