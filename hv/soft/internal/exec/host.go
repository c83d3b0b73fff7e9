package exec

import (
	"slices"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

// A host is what a debugger or tracer outside the guest wants of a core. All of
// it is off the paths that instructions take: blocks end before breakpoints,
// so that the look-up of the next one finds them, pages with watchpoints stay
// out of the TLBs, and single steps are the slow way that the guest's own debug
// registers use.
type host struct {
	active bool // plan has something to decide
	slow   bool // one instruction at a time, for this quantum
	step   bool
	breaks map[uint64]bool // nil for none
	watch  []hv.Watchpoint

	trace hv.Trace
	told  uint64 // count and PC of the instruction that was told last
	toldX uint64
}

// SetDebug replaces what stops the core. It must not run.
func (c *Core) SetDebug(d hv.Debug) {
	c.host.step = d.Step
	changed := len(d.Breakpoints)+len(c.host.breaks)+len(d.Watchpoints)+len(c.host.watch) > 0
	c.host.breaks, c.host.watch = nil, slices.Clone(d.Watchpoints)
	for _, at := range d.Breakpoints {
		if c.host.breaks == nil {
			c.host.breaks = map[uint64]bool{}
		}
		c.host.breaks[at] = true
	}
	if changed {
		c.flushAll()
		c.dropAllCode()
	}
	c.host.update()
}

// SetTrace replaces what the core tells. It must not run.
func (c *Core) SetTrace(t *hv.Trace) {
	c.host.trace = hv.Trace{}
	if t != nil {
		c.host.trace = *t
		c.flushAll() // what is cached was never told
	}
	c.host.told = ^uint64(0)
	c.host.update()
}

func (h *host) update() {
	h.active = h.step || h.trace.Events&hv.TraceExec != 0
	h.slow = false
}

// plan decides how the next at most n instructions are executed, and how many.
func (h *host) plan(count, n uint64) uint64 {
	t := &h.trace
	exec := t.Events&hv.TraceExec != 0
	h.slow = h.step || exec && t.Within(count)
	if exec && count < t.First {
		n = min(n, t.First-count)
	}
	return n
}

// stopsAt says whether the guest stops before the instruction at pc; then
// the exit is pending.
func (c *Core) stopsAt(pc uint64) bool {
	if !c.host.breaks[pc] {
		return false
	}
	c.stop(hv.Exit{Reason: hv.DebugBreakpoint})
	return true
}

// stop makes a debugger's exit pending.
func (c *Core) stop(e hv.Exit) {
	e.Kind = hv.DebugStop
	c.pend = pending{kind: pendExit, exit: e}
}

// stepOnce is slowly for a debugger: it stops when an instruction was
// executed or an exception taken, and not when there was cause to look around.
func (c *Core) stepOnce() {
	left, exceptions := c.left, c.stats.Exceptions
	c.slowly()
	if c.pend.kind == pendNothing && (c.left != left || c.stats.Exceptions != exceptions) {
		c.stop(hv.Exit{Reason: hv.DebugStep})
	}
}

// watches says whether any byte of the page is watched.
func (h *host) watches(page uint64) bool {
	for _, w := range h.watch {
		if w.Addr < page+pageSize && w.Addr+w.Size > page {
			return true
		}
	}
	return false
}

// stopsAccess says whether the guest stops before it accesses the n bytes at
// va; then the exit is pending.
func (c *Core) stopsAccess(va, n uint64, write bool) bool {
	va = c.regs.Untag(va)
	for _, w := range c.host.watch {
		if va < w.Addr+w.Size && va+n > w.Addr && (write && w.Write || !write && w.Read) {
			c.stop(hv.Exit{Reason: hv.DebugWatchpoint, VA: va, Write: write})
			return true
		}
	}
	return false
}

// completed is how many instructions come before an event; during a block it is how
// many came before the loop was entered.
func (c *Core) completed() uint64 { return c.count + uint64(c.start-c.left) }

// tells says whether an event of this kind is to be told now.
func (c *Core) tells(kind hv.TraceEvents) bool {
	return c.host.trace.Events&kind != 0 && c.host.trace.Within(c.completed())
}

// tell completes and passes on an event.
func (c *Core) tell(e hv.TraceEvent) {
	e.Count = c.completed()
	c.host.trace.Tell(&e)
}

// tellExec tells the instruction at PC, once.
func (c *Core) tellExec() {
	count := c.completed()
	if c.host.told == count && c.host.toldX == c.PC || !c.tells(hv.TraceExec) {
		return
	}
	page := c.fetch(c.PC)
	if page == nil {
		c.pend = pending{} // raised again when it is executed
		return
	}
	c.host.told, c.host.toldX = count, c.PC
	c.tell(hv.TraceEvent{Kind: hv.TraceExec, EL: c.el, PC: c.PC, Word: loadWord(page.words, c.PC)})
}

// tellMMU tells a translation that was looked up.
func (c *Core) tellMMU(el uint8, va uint64, r mmu.Result, exec bool) {
	c.tell(hv.TraceEvent{
		Kind: hv.TraceMMU, EL: el, PC: c.PC, VA: va &^ 0xfff, PA: r.PA &^ 0xfff,
		Shift: r.Shift, Exec: exec, Write: !exec && r.Write, Device: r.Device,
	})
}

// tellTaken tells an exception of a kind, a vector offset, that has been taken
// from an EL.
func (c *Core) tellTaken(kind uint64, from uint8) {
	e := hv.TraceEvent{Kind: hv.TraceExceptions, EL: from, PC: c.Sys[cpu.SysELR], To: c.PC}
	if kind == vectorSync {
		e.ESR = c.pend.esr
		if c.pend.hasFAR {
			e.FAR = c.pend.far
		}
	} else {
		e.Kind, e.FIQ = hv.TraceIRQ, kind == vectorFIQ
	}
	if c.tells(e.Kind) {
		c.tell(e)
	}
}
