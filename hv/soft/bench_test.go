package soft_test

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

const (
	ramBase = 0x4000_0000
	ramSize = 64 << 20
	ttbr    = ramBase + ramSize - 4096 // a level 1 table that maps 1 GiB blocks to themselves
)

// bench is a vCPU with stage 1 on, at EL1, that executes what its RAM begins with.
type bench struct {
	hv.VCPU
	vm  hv.VM
	ram []byte
}

// invalidate says that the host wrote code.
func (m *bench) invalidate() { m.vm.Invalidate(ramBase, ramSize/2) }

func newBench(b testing.TB, cfg hv.Config) *bench {
	runtime.LockOSThread()
	ram, err := unix.Mmap(-1, 0, ramSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		b.Fatal(err)
	}
	vm, err := soft.New().NewVM(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := vm.Map(ramBase, ram, hv.Read|hv.Write|hv.Exec); err != nil {
		b.Fatal(err)
	}
	c, err := vm.NewVCPU(0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Close()
		_ = vm.Close()
		_ = unix.Munmap(ram)
		runtime.UnlockOSThread()
	})
	const block = 0x701 // a block descriptor: valid, AF, inner shareable, attribute 0
	binary.LittleEndian.PutUint64(ram[ramSize-4096+8:], ramBase|block)
	m := &bench{c, vm, ram}
	m.sys(b, arm64.MAIR_EL1, 0xff)
	m.sys(b, arm64.TCR_EL1, 25|25<<16|2<<30|2<<32) // 39 bits, 4 KiB, 40-bit physical
	m.sys(b, arm64.TTBR0_EL1, ttbr)
	m.sys(b, arm64.SCTLR_EL1, 0x30d0_0801)
	return m
}

func (m *bench) sys(b testing.TB, enc hv.SysReg, v uint64) {
	if err := m.SetSysReg(enc, v); err != nil {
		b.Fatal(err)
	}
}

func (m *bench) reg(b testing.TB, r hv.Reg, v uint64) {
	if err := m.SetReg(r, v); err != nil {
		b.Fatal(err)
	}
}

func (m *bench) load(words []uint32) {
	for k, w := range words {
		binary.LittleEndian.PutUint32(m.ram[4*k:], w)
	}
}

// cpuTime is what the process has used: hosts are shared, and MIPS of wall time
// would measure the neighbours.
func cpuTime(b testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkGuest runs loops in the guest and reports guest MIPS of processor
// time. Each ends with
// HVC when X0, which counts down, is 0.
func BenchmarkGuest(b *testing.B) {
	loops := []struct {
		name  string
		count uint64 // X0
		words []uint32
	}{
		{"integer", 1 << 16, []uint32{
			0x9b020021, // loop: madd x1, x1, x2, x0
			0xca410c21, // eor x1, x1, x1, lsr #3
			0x8b010063, // add x3, x3, x1
			0x92401c24, // and x4, x1, #0xff
			0xaa030085, // orr x5, x4, x3
			0xf1000400, // subs x0, x0, #1
			0x54ffff41, // b.ne loop
			0xd4000022, // hvc #1
		}},
		{"memory", 128, []uint32{
			0xaa0103e6, // loop: mov x6, x1
			0xaa0203e7, // mov x7, x2
			0xd2804008, // mov x8, #512
			0xa8c110c3, // 1: ldp x3, x4, [x6], #16
			0xf94004c5, // ldr x5, [x6, #8]
			0xa88110e3, // stp x3, x4, [x7], #16
			0xf90004e5, // str x5, [x7, #8]
			0xf1000508, // subs x8, x8, #1
			0x54ffff61, // b.ne 1b
			0xf1000400, // subs x0, x0, #1
			0x54fffec1, // b.ne loop
			0xd4000022, // hvc #1
		}},
		{"calls", 1 << 15, []uint32{
			0x94000004, // loop: bl f
			0xf1000400, // subs x0, x0, #1
			0x54ffffc1, // b.ne loop
			0xd4000022, // hvc #1
			0xa9bf7bfd, // f: stp x29, x30, [sp, #-16]!
			0xb4000060, // cbz x0, 1f
			0x37000040, // tbnz w0, #0, 1f
			0x91000421, // add x1, x1, #1
			0xa8c17bfd, // 1: ldp x29, x30, [sp], #16
			0xd65f03c0, // ret
		}},
		{"floating point", 1 << 15, []uint32{
			0x1f420400, // loop: fmadd d0, d0, d2, d1
			0x1e610803, // fmul d3, d0, d1
			0x1e632884, // fadd d4, d4, d3
			0x1e633884, // fsub d4, d4, d3
			0xf1000400, // subs x0, x0, #1
			0x54ffff61, // b.ne loop
			0xd4000022, // hvc #1
		}},
	}
	for _, loop := range loops {
		b.Run(loop.name, func(b *testing.B) {
			m := newBench(b, hv.Config{})
			m.load(loop.words)
			m.sys(b, arm64.SP_EL1, ramBase+ramSize/2)
			m.sys(b, arm64.CPACR_EL1, 3<<20)
			count := m.VCPU.(interface{ Instructions() uint64 })
			before, began := count.Instructions(), cpuTime(b)
			b.ResetTimer()
			for range b.N {
				m.reg(b, hv.X0, loop.count)
				m.reg(b, 1, ramBase+1<<20)
				m.reg(b, 2, ramBase+2<<20)
				m.reg(b, hv.PC, ramBase)
				var e hv.Exit
				if err := m.Run(&e); err != nil || e.Kind != hv.HVC {
					b.Fatalf("exit %+v, %v", e, err)
				}
			}
			b.ReportMetric(float64(count.Instructions()-before)/(cpuTime(b)-began).Seconds()/1e6, "MIPS")
			b.ReportMetric(0, "ns/op")
		})
	}
}
