package board_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// debugged is two vCPUs that each add to X22 for ever, under a debugger.
type debugged struct {
	*testing.T
	*board.Debugger
	ctx  context.Context
	spin uint64 // address of the loop's addition
	end  <-chan *board.Outcome
}

func newDebugged(t *testing.T) *debugged {
	t.Helper()
	g := newGuest()
	entry := uint64(board.RAMBase + 0x1000)
	g.call(arm64.PSCICPUOn64, 1, entry, 0)
	g.Mov64(5, entry).Op(asm.Br(5))
	g.Org(entry)
	g.Label("spin")
	g.Op(asm.AddImm(22, 22, 1)).B("spin")
	b, err := board.New(board.Config{
		Engine: soft.New(), CPUs: 2, Memory: board.MinMemory, Debug: true,
		Kernel: &image.Kernel{Data: g.Bytes(), ImageSize: 8 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	end := make(chan *board.Outcome, 1)
	var running sync.WaitGroup
	running.Go(func() {
		out, _ := b.Run(ctx)
		end <- out
	})
	d := &debugged{T: t, Debugger: b.Debugger(), ctx: ctx, spin: entry, end: end}
	t.Cleanup(func() {
		d.Kill()
		running.Wait()
		b.Close()
		cancel()
	})
	return d
}

// stop interrupts, or waits for what the machine stops for by itself.
func (d *debugged) stop(interrupt bool) (int, hv.Exit) {
	d.Helper()
	if interrupt {
		d.Interrupt()
	}
	cpu, e, err := d.Wait(d.ctx)
	if err != nil {
		d.Fatal(err)
	}
	return cpu, e
}

func (d *debugged) resume(run, step uint32) {
	d.Helper()
	if err := d.Resume(d.ctx, run, step); err != nil {
		d.Fatal(err)
	}
}

func (d *debugged) reg(cpu int, r hv.Reg) (v uint64) {
	d.Helper()
	err := d.Do(d.ctx, cpu, func(vc hv.VCPU) (err error) {
		v, err = vc.Reg(r)
		return err
	})
	if err != nil {
		d.Fatal(err)
	}
	return v
}

// spinning lets both run until both are in the loop, and holds them.
func (d *debugged) spinning() {
	d.Helper()
	for d.stop(true); d.reg(0, 22) == 0 || d.reg(1, 22) == 0; d.stop(true) {
		d.resume(3, 0)
		time.Sleep(time.Millisecond)
	}
}

func TestTheMachineIsHeldBeforeItsFirstInstruction(t *testing.T) {
	d := newDebugged(t)
	if _, e := d.stop(true); e.Kind != hv.DebugStop || e.Reason != 0 {
		t.Errorf("interrupted by %+v", e)
	}
	on0, _ := d.On(d.ctx, 0)
	on1, _ := d.On(d.ctx, 1)
	if pc := d.reg(0, hv.PC); pc != board.RAMBase || !on0 || on1 {
		t.Errorf("PC %#x, vCPU 0 on %v, vCPU 1 on %v", pc, on0, on1)
	}
}

func TestOneRunsWhileTheOtherIsHeld(t *testing.T) {
	d := newDebugged(t)
	d.spinning()
	for cpu := range 2 {
		a, b := d.reg(cpu, 22), d.reg(1-cpu, 22)
		for d.reg(cpu, 22) == a {
			d.resume(1<<cpu, 0)
			time.Sleep(time.Millisecond)
			d.stop(true)
		}
		if got := d.reg(1-cpu, 22); got != b {
			t.Errorf("vCPU %d, which was held, went from %d to %d", 1-cpu, b, got)
		}
	}
}

func TestOneStepsWhileTheOtherIsHeldOrRuns(t *testing.T) {
	d := newDebugged(t)
	d.spinning()
	for _, run := range []uint32{0, 1} {
		for range 10 {
			at, other := d.reg(1, hv.PC), d.reg(0, 22)
			d.resume(run, 2)
			if cpu, e := d.stop(false); cpu != 1 || e.Reason != hv.DebugStep {
				t.Fatalf("stopped by vCPU %d: %+v", cpu, e)
			}
			want := d.spin
			if at == d.spin {
				want += 4
			}
			if pc := d.reg(1, hv.PC); pc != want {
				t.Fatalf("a step from %#x led to %#x", at, pc)
			}
			if got := d.reg(0, 22); run == 0 && got != other {
				t.Fatalf("vCPU 0, which was held, went from %d to %d", other, got)
			}
		}
	}
}

func TestABreakpointHoldsAll(t *testing.T) {
	d := newDebugged(t)
	d.spinning()
	d.SetStops([]uint64{d.spin + 4}, nil)
	d.resume(3, 0)
	cpu, e := d.stop(false)
	if pc := d.reg(cpu, hv.PC); e.Reason != hv.DebugBreakpoint || pc != d.spin+4 {
		t.Errorf("stopped at %#x by %+v", pc, e)
	}
	was := d.reg(1-cpu, 22)
	time.Sleep(2 * time.Millisecond)
	if got := d.reg(1-cpu, 22); got != was {
		t.Error("the other vCPU runs on")
	}
}

func TestCodeThatADebuggerWritesIsExecuted(t *testing.T) {
	d := newDebugged(t)
	d.spinning()
	var op [4]byte
	binary.LittleEndian.PutUint32(op[:], asm.AddImm(23, 23, 1))
	if n, err := d.WriteMemory(d.ctx, 0, d.spin, op[:]); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	was := d.reg(0, 22)
	for d.reg(0, 23) < 10 {
		d.resume(3, 0)
		time.Sleep(time.Millisecond)
		d.stop(true)
	}
	if got := d.reg(0, 22); got > was+1 {
		t.Errorf("the old instruction ran %d times", got-was)
	}
	var back [8]byte
	if n, err := d.ReadMemory(d.ctx, 0, board.RAMBase+board.MinMemory-4, back[:]); n > 4 || err == nil {
		t.Errorf("%d bytes across the end of RAM, %v", n, err)
	}
}

func TestADetachedMachineRunsUntilItIsKilled(t *testing.T) {
	d := newDebugged(t)
	d.spinning()
	d.SetStops([]uint64{d.spin}, nil)
	if err := d.Detach(d.ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Millisecond)
	d.Kill()
	if _, _, err := d.Wait(d.ctx); !errors.Is(err, io.EOF) {
		t.Errorf("Wait says %v", err)
	}
	if out := <-d.end; out == nil || out.Kind != board.Stopped {
		t.Errorf("the outcome is %+v", out)
	}
	if err := d.Resume(d.ctx, 3, 0); !errors.Is(err, board.ErrEnded) {
		t.Errorf("Resume says %v", err)
	}
}
