package board

import (
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// traceOn has the engine tell what the trace wants to know, on the vCPU's
// goroutine. Devices and interrupts are traced with any engine.
func (c *cpu) traceOn() {
	if c.b.cfg.Trace == nil {
		return
	}
	sink := c.b.cfg.Trace.Sink(c.index)
	if sink == nil {
		return
	}
	if vc, ok := c.vc.(hv.Traceable); ok {
		vc.SetTrace(sink)
		return
	}
	c.b.cfg.Log("vCPU %d: engine %s cannot trace what it executes", c.index, c.b.cfg.Engine.Name())
}

// traceAccess traces a load or store, whose value is known.
func (c *cpu) traceAccess(e *hv.Exit, value uint64) {
	if c.b.cfg.Trace == nil {
		return
	}
	name := ""
	if s := c.b.bus.find(e.IPA, int(e.Size)); s != nil {
		name = s.name
	}
	c.b.cfg.Trace.Access(c.index, c.executed(), e, name, value)
}

// traceAcknowledge traces which interrupt a vCPU takes from the GIC.
func (c *cpu) traceAcknowledge(e *hv.Exit, intid uint64) {
	if c.b.cfg.Trace != nil && e.Sys == arm64.ICC_IAR1_EL1 {
		c.b.cfg.Trace.Acknowledged(c.index, c.executed(), intid)
	}
}

// executed is the vCPU's instructions, where the engine counts them.
func (c *cpu) executed() uint64 {
	if n, ok := c.vc.(Instructer); ok {
		return n.Instructions()
	}
	return 0
}

func (b *Board) endTrace() {
	if b.cfg.Trace == nil {
		return
	}
	if err := b.cfg.Trace.Flush(); err != nil {
		b.cfg.Log("cannot write the trace: %v", err)
	}
}
