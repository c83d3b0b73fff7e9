package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// A Debugger stops the machine, looks at it and lets it run. It is made with the
// board, by Config.Debug, and begins with every vCPU held before its first
// instruction. While the machine is held the guest's counter stands still.
//
// One goroutine uses it; Interrupt may come from any. Board.Pause and Resume
// are not for a machine that is debugged.
type Debugger struct {
	b      *Board
	events chan debugEvent // why the machine stopped: the first of several reasons

	breaks  []uint64
	watches []hv.Watchpoint
}

type debugEvent struct {
	cpu  int
	exit hv.Exit
}

// Debugger is nil without Config.Debug.
func (b *Board) Debugger() *Debugger { return b.debugger }

func (b *Board) setDebug() error {
	if b.driver != nil {
		return fmt.Errorf("it cannot be debugged and deterministic: %w", hv.ErrUnsupported)
	}
	b.debugger = &Debugger{b: b, events: make(chan debugEvent, 1)}
	b.pause.begins(b.cfg.CPUs)
	return nil
}

// CPUs is how many vCPUs there are.
func (d *Debugger) CPUs() int { return len(d.b.cpus) }

// Do has f use a vCPU while the machine is held. Errors: f's, and ErrEnded.
func (d *Debugger) Do(ctx context.Context, cpu int, f func(hv.VCPU) error) error {
	c := d.b.cpus[cpu]
	var err error
	if asked := c.do(ctx, func() { err = f(c.vc) }); asked != nil {
		return asked
	}
	return err
}

// On says whether PSCI has a vCPU switched on.
func (d *Debugger) On(ctx context.Context, cpu int) (on bool, err error) {
	err = d.b.cpus[cpu].do(ctx, func() { on = d.b.cpus[cpu].on })
	return on, err
}

// SetStops replaces breakpoints and watchpoints, of all vCPUs, from the next
// Resume on.
func (d *Debugger) SetStops(breaks []uint64, watches []hv.Watchpoint) {
	d.breaks, d.watches = slices.Clone(breaks), slices.Clone(watches)
}

// Resume lets vCPUs go on: bit n of run is vCPU n, and bit n of step is set when
// it executes one instruction only, without taking interrupts. The machine
// stops as a whole at the first reason, which Wait tells. Errors: what
// hv.Debuggable says about breakpoints and watchpoints, and ErrEnded.
func (d *Debugger) Resume(ctx context.Context, run, step uint32) error {
	select {
	case <-d.events: // another reason of the last stop; it comes again
	default:
	}
	for _, c := range d.b.cpus {
		if err := d.prepare(ctx, c, step>>c.index&1 == 1); err != nil {
			return fmt.Errorf("cannot let vCPU %d go on: %w", c.index, err)
		}
	}
	run |= step
	if run&d.everyone() == d.everyone() {
		d.b.Resume()
		return nil
	}
	d.b.pause.liberate(run & d.everyone())
	for _, c := range d.b.cpus {
		c.wake()
	}
	return nil
}

func (d *Debugger) everyone() uint32 { return 1<<len(d.b.cpus) - 1 }

// prepare tells a vCPU where to stop.
func (d *Debugger) prepare(ctx context.Context, c *cpu, step bool) error {
	var err error
	asked := c.do(ctx, func() {
		vc, ok := c.vc.(hv.Debuggable)
		if !ok {
			err = hv.ErrUnsupported
			return
		}
		c.step = step
		err = vc.SetDebug(hv.Debug{Step: step, Breakpoints: d.breaks, Watchpoints: d.watches})
	})
	return errors.Join(asked, err)
}

// Interrupt stops the machine; Wait then tells an exit without a Reason.
func (d *Debugger) Interrupt() { d.stop(0, hv.Exit{Kind: hv.DebugStop}) }

// Wait returns when the machine has stopped as a whole: which vCPU was the reason,
// and its exit, of kind DebugStop. Errors: io.EOF when the machine has ended, or
// ctx's; the machine then goes on.
func (d *Debugger) Wait(ctx context.Context) (cpu int, e hv.Exit, err error) {
	select {
	case ev := <-d.events:
		return ev.cpu, ev.exit, d.settled(ctx)
	case <-d.b.stopped:
		return 0, e, io.EOF
	case <-ctx.Done():
		return 0, e, ctx.Err()
	}
}

// settled waits until every vCPU is held.
func (d *Debugger) settled(ctx context.Context) error {
	select {
	case <-d.b.pause.begins(len(d.b.cpus)):
		return nil
	case <-d.b.stopped:
		return io.EOF
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Detach lets the machine run without breakpoints. Debugging may go on later
// with Interrupt.
func (d *Debugger) Detach(ctx context.Context) error {
	d.SetStops(nil, nil)
	return d.Resume(ctx, d.everyone(), 0)
}

// Kill ends the machine.
func (d *Debugger) Kill() { d.b.Stop("the debugger killed it") }

// Done is closed when the machine has ended.
func (d *Debugger) Done() <-chan struct{} { return d.b.stopped }

// stop holds every vCPU. Any goroutine may call it, a vCPU's too.
func (d *Debugger) stop(cpu int, e hv.Exit) {
	select {
	case d.events <- debugEvent{cpu, e}:
	default:
	}
	d.b.pause.begins(len(d.b.cpus))
	for _, c := range d.b.cpus {
		if c.index != cpu || e.Reason == 0 {
			c.wake()
		}
	}
}

// endStep stops the machine when a step has led to an exit of its own.
func (c *cpu) endStep(e *hv.Exit) {
	if !c.step {
		return
	}
	switch e.Kind {
	case hv.DebugStop, hv.Kicked, hv.VTimer, hv.Budget:
		return
	}
	c.b.debugger.stop(c.index, hv.Exit{Kind: hv.DebugStop, Reason: hv.DebugStep})
}
