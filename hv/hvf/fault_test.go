//go:build macshim && !darwin

package hvf_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvf"
	"github.com/arcboxlabs/arcbox-go/hv/hvf/standin"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

const (
	ramBase = 0x4000_0000
	device  = 0x0900_0000
)

// A guest is a VM with RAM and one vCPU, on the goroutine of the test.
type guest struct {
	vm  hv.VM
	gic hv.GIC
	cpu hv.VCPU
	ram *mem.RAM
}

// start makes what it can; close must follow in any case.
func (g *guest) start(program *asm.Program) error {
	runtime.LockOSThread()
	e := hvf.New()
	_, ferr := e.FeatureReg(arm64.ID_AA64PFR0_EL1)
	var err error
	if g.vm, err = e.NewVM(hv.Config{}); err != nil {
		return err
	}
	if g.gic, err = g.vm.NewGIC(hv.GICConfig{Distributor: 0x0800_0000, Redistributor: 0x080a_0000}); err != nil {
		return err
	}
	if g.ram, err = mem.New(4 * mem.Granule); err != nil {
		return err
	}
	copy(g.ram.Bytes(), program.Bytes())
	if err = g.vm.Map(ramBase, g.ram.Bytes(), hv.Read|hv.Write|hv.Exec); err != nil {
		return err
	}
	if g.cpu, err = g.vm.NewVCPU(0); err != nil {
		return err
	}
	return errors.Join(ferr, g.cpu.SetReg(hv.PC, ramBase))
}

// close ends what there is; a part that refuses once is asked again.
func (g *guest) close() error {
	defer runtime.UnlockOSThread()
	var err error
	twice := func(end func() error) {
		if first := end(); first != nil {
			err = errors.Join(err, first, end())
		}
	}
	if g.cpu != nil {
		twice(g.cpu.Close)
	}
	if g.vm != nil {
		twice(g.vm.Close)
	}
	if g.ram != nil {
		err = errors.Join(err, g.ram.Close())
	}
	return err
}

// everything has exits of every kind, then calls all that an engine has.
func everything(g *guest) error {
	if err := g.start(asm.New(ramBase).Mov64(0, device).Op(
		asm.Ldr(1, 0, 0), asm.Str(1, 0, 8), asm.Smc(1), asm.Mrs(1, arm64.OSDLR_EL1), asm.Hvc(2))); err != nil {
		return err
	}
	var e hv.Exit
	for range 100 {
		if err := g.cpu.Run(&e); err != nil {
			return err
		}
		if (e.Kind == hv.MMIO || e.Kind == hv.Trap) && !e.Write {
			if err := e.Complete(g.cpu, 1); err != nil {
				return err
			}
		}
		if e.Kind == hv.HVC {
			break
		}
	}
	return errors.Join(g.state(), g.gic.SetSPI(40, true), g.gic.Reset(), g.gicState(),
		g.vm.Protect(ramBase, mem.Granule, hv.Read), g.vm.Unmap(ramBase+mem.Granule, mem.Granule))
}

// state reads and writes each kind of register.
func (g *guest) state() error {
	c := g.cpu
	v, err1 := c.VReg(3)
	x, err2 := c.SysReg(arm64.TPIDR_EL1)
	masked, err3 := c.VTimerMask()
	off, err4 := c.VTimerOffset()
	_, err5 := c.Reg(0)
	return errors.Join(err1, err2, err3, err4, err5, c.SetVReg(3, v), c.SetSysReg(arm64.TPIDR_EL1, x),
		c.SetVTimerMask(masked), c.SetVTimerOffset(off))
}

func (g *guest) gicState() error {
	b, err := g.gic.State()
	if err != nil {
		return err
	}
	return g.gic.SetState(b)
}

// TestEveryFailingCallIsAnError fails each call of the framework once, in turn, until
// none is left: each is an error of the contract, and what follows can be closed.
func TestEveryFailingCallIsAnError(t *testing.T) {
	for n := 1; ; n++ {
		standin.FailCall(n)
		var g guest
		err := errors.Join(everything(&g), g.close())
		failed := standin.FailedCall()
		standin.FailCall(0)
		if failed == "" {
			if err != nil || n < 40 {
				t.Errorf("with %d calls that work: %v", n-1, err)
			}
			return
		}
		if err == nil {
			t.Errorf("call %d, %s, failed and nobody says so", n, failed)
		}
	}
}

// TestExitsThatNobodyExpects: what the framework should not report is an error or a
// Fault, never a guest that is entered again.
func TestExitsThatNobodyExpects(t *testing.T) {
	const instr = arm64.ECInstrAbortEL0
	tests := []struct {
		name     string
		reason   uint32
		syndrome uint64
		ipa      uint64
		want     hv.ExitKind // 0: an error
	}{
		{"the unknown reason", 3, 0, 0, 0},
		{"a reason of the future", 9, 0, 0, 0},
		{"an exception without a class", 1, 0, 0, hv.Fault},
		{"an SVE trap", 1, arm64.ESR(0x19, 0), 0, hv.Fault},
		{"a load from memory that is there", 1, arm64.ESR(arm64.ECDataAbortEL0, arm64.DataAbort{Valid: true, Size: 8}.ISS()), ramBase, hv.Fault},
		{"a store to memory that is there", 1, arm64.ESR(arm64.ECDataAbortEL0, arm64.DataAbort{Valid: true, Size: 8, Write: true}.ISS()), ramBase, hv.Fault},
		{"a fetch from memory that is there", 1, arm64.ESR(instr, 0), ramBase, hv.Fault},
		{"a walk that stores to a read-only table", 1, arm64.ESR(arm64.ECDataAbortEL0, arm64.ISSS1PTW), ramBase + mem.Granule, hv.Denied},
		{"a load from read-only memory", 1, arm64.ESR(arm64.ECDataAbortEL0, 0), ramBase + mem.Granule, hv.Fault},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var g guest
			defer func() {
				if err := g.close(); err != nil {
					t.Error(err)
				}
			}()
			if err := g.start(asm.New(ramBase).Op(asm.Hvc(1))); err != nil {
				t.Fatal(err)
			}
			if err := g.vm.Protect(ramBase+mem.Granule, mem.Granule, hv.Read); err != nil {
				t.Fatal(err)
			}
			standin.NextExit(tt.reason, tt.syndrome, tt.ipa)
			var e hv.Exit
			err := g.cpu.Run(&e)
			if (err != nil) != (tt.want == 0) || err == nil && e.Kind != tt.want {
				t.Errorf("error %v, exit %s, want %s", err, e.Kind, tt.want)
			}
			if pc, err := g.cpu.Reg(hv.PC); pc != ramBase || err != nil {
				t.Errorf("PC is %#x, %v, want it where it was", pc, err)
			}
		})
	}
}

// TestWordsForStatuses: what a person reads says what to do.
func TestWordsForStatuses(t *testing.T) {
	for status, want := range map[hvf.Error]string{0xfae94007: "entitlement", 0xfae9400f: "cannot run virtual machines", 0xfae94123: "0xfae94123"} {
		if got := fmt.Sprint(status); !strings.Contains(got, want) {
			t.Errorf("%#x: %q, want %q in it", uint32(status), got, want)
		}
	}
	if !errors.Is(hvf.Error(0xfae94002), hv.ErrBusy) || !errors.Is(hvf.Error(0xfae9400f), hv.ErrUnsupported) || errors.Is(hvf.Error(0xfae94001), hv.ErrBusy) {
		t.Error("statuses are not the errors of the contract")
	}
}

// TestAfterTheEnd: a vCPU that is closed says so, and bears a Kick that comes late.
func TestAfterTheEnd(t *testing.T) {
	var g guest
	if err := g.start(asm.New(ramBase).Op(asm.Hvc(1))); err != nil {
		t.Fatal(err)
	}
	g.vm.Invalidate(ramBase, 0)
	g.vm.Invalidate(1<<60, 4096)
	ram := g.ram.Bytes()
	if err := g.vm.Map(1<<30, ram[4096:4096+mem.Granule], hv.Read); !errors.Is(err, hv.ErrRange) {
		t.Errorf("memory that is not aligned on the host: %v", err)
	}
	for range 2 {
		if err := g.cpu.Close(); err != nil {
			t.Error(err)
		}
	}
	g.cpu.Kick()
	if err := g.cpu.Run(new(hv.Exit)); err == nil {
		t.Error("a closed vCPU runs")
	}
	if _, err := g.cpu.Reg(hv.CPSR + 1); err == nil {
		t.Error("there is a register 35")
	}
	if err := g.close(); err != nil {
		t.Error(err)
	}
}
