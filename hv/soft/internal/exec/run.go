package exec

import (
	"slices"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
)

// quantum is how many instructions run, at most, before the clock is looked at
// again: about 50 us.
const quantum = 20000

// Unlimited is a limit for Run that is never reached.
const Unlimited = 1 << 62

// Run executes until something is left to the caller, which e then says, or
// until limit instructions have completed. In a machine with a counted clock it
// ends with hv.Budget exactly at the limit, or before it when the guest moved
// the virtual timer's deadline.
func (c *Core) Run(limit uint64, e *hv.Exit) {
	c.inside(limit, e)
	c.stats.Exits[e.Kind]++
	if e.Kind == hv.WFI {
		c.wait()
	}
}

// inside is Run while others wait for what they ask of the core.
func (c *Core) inside(limit uint64, e *hv.Exit) {
	c.enter()
	defer c.pause()
	c.timer.moved = false
	c.run(min(limit, Unlimited), e)
	c.lines = 0
}

func (c *Core) run(limit uint64, e *hv.Exit) {
	counted := c.machine.clock.counted
	for spent := uint64(0); ; {
		if kind := c.attend(); kind != 0 {
			*e = hv.Exit{Kind: kind}
			return
		}
		if spent >= limit || c.timer.moved && counted {
			*e = hv.Exit{Kind: hv.Budget}
			return
		}
		c.timer.moved = false
		c.interrupt()
		spent += c.quantum(min(limit-spent, quantum))
		if c.pend.kind == pendExit {
			*e = c.pend.exit
			c.pend.kind = pendNothing
			return
		}
	}
}

// attend does what others asked for and looks at the timer; a kind that is not
// zero ends the run.
func (c *Core) attend() hv.ExitKind {
	if c.attention.Load() != 0 {
		c.attention.Store(0) // before looking: what comes later sets it again
		c.drain()
	}
	if c.kicked.Swap(false) {
		return hv.Kicked
	}
	if c.timerDue() {
		c.timer.masked = true
		return hv.VTimer
	}
	return 0
}

// quantum executes at most n instructions, exactly n of a counted clock unless
// something comes up, and returns how many it did.
func (c *Core) quantum(n uint64) uint64 {
	counted := c.machine.clock.counted
	if counted {
		n = min(n, c.untilTimer())
	}
	if c.host.active {
		n = c.host.plan(c.count, n)
	}
	c.start, c.left = int64(n), int64(n)
	switch {
	case c.host.step:
		c.stepOnce()
	case c.debug.slow || c.illegal || c.faults.slow || c.host.slow:
		c.slowly()
	default:
		c.loop(nil)
		if c.pend.kind == pendNothing && c.attention.Load() == 0 && c.left > 0 && (counted || c.host.active || c.left >= maxBlock) {
			c.cut()
		}
	}
	spent := uint64(c.start - c.left)
	atomic.StoreUint64(&c.count, c.count+spent) // Instructions reads it from elsewhere
	if counted {
		c.machine.clock.add(spent)
	}
	c.start, c.left = 0, 0
	return spent
}

// cut executes the start of the block at PC that the loop refused: the budget
// does not cover it, or it uses SP as a base and SP is not aligned. In the
// latter case it goes one instruction at a time.
func (c *Core) cut() {
	limit := min(c.left, maxBlock)
	if c.X[cpu.SP]&spAlign != 0 {
		limit = 1
	}
	if b := c.piece(int(limit)); b != nil {
		c.loop(b)
	}
}

// piece builds a block of at most limit instructions at PC that is not kept,
// and checks SP if limit is 1. It returns nil when an exception was taken or an
// exit is pending.
func (c *Core) piece(limit int) *Block {
	if u := c.regs.Untag(c.PC); u != c.PC {
		c.PC = u
	}
	if c.stopsAt(c.PC) {
		return nil
	}
	page := c.fetch(c.PC)
	if page == nil {
		c.trap()
		return nil
	}
	draft, ops := c.build(page, c.PC, limit)
	b := &draft
	b.lead, b.stale = &slices.Clone(ops)[0], true
	if limit == 1 {
		if b.spMask != 0 && c.X[cpu.SP]&spAlign != 0 {
			c.raisePlain(arm64.ESR(arm64.ECSPAlign, 0))
			c.trap()
			return nil
		}
		b.spMask = 0
	}
	return b
}

// slowly executes one block, or one instruction, with everything checked that
// the loop does not: illegal state, debug events, planned faults.
func (c *Core) slowly() {
	if c.faults.slow {
		c.faults.block(c)
	}
	if !c.before() {
		c.trap()
		return
	}
	limit := int64(maxBlock)
	if c.host.slow {
		c.tellExec()
	}
	if c.host.slow || c.debug.slow || c.faults.SingleStepBlock || c.X[cpu.SP]&spAlign != 0 {
		limit = 1
	}
	b := c.piece(int(min(limit, c.left)))
	if b == nil {
		return
	}
	stepping := c.debug.stepping(c)
	rest := c.left - b.n // kept from the loop, and from c.start, by which time is told
	c.left, c.start = b.n, c.start-rest
	c.loop(b)
	c.left, c.start = c.left+rest, c.start+rest
	if stepping && c.pend.kind == pendNothing {
		c.ss = false
	}
}

// before raises what comes before the instruction at PC is even fetched; false
// means that an exception is pending.
func (c *Core) before() bool {
	switch {
	case c.illegal:
		c.raisePlain(arm64.ESR(arm64.ECIllegal, 0))
	case c.debug.slow:
		return c.debugEvent()
	default:
		return true
	}
	return false
}

// faultPlan is hv.Faults and what it has counted.
type faultPlan struct {
	hv.Faults
	slow           bool // the loop must be left after each block
	blocks, stores uint64
}

// SetFaults plans misbehaviour.
func (c *Core) SetFaults(f hv.Faults) {
	c.faults = faultPlan{Faults: f, slow: f.FlushTLBEvery != 0 || f.SingleStepBlock}
}

// block counts a block and flushes when it is time to.
func (f *faultPlan) block(c *Core) {
	f.blocks++
	if f.FlushTLBEvery != 0 && f.blocks%f.FlushTLBEvery == 0 {
		c.flushAll()
	}
}

// failStore counts a store-exclusive and says whether it must fail.
func (f *faultPlan) failStore() bool {
	if f.FailStoreEvery == 0 {
		return false
	}
	f.stores++
	return f.stores%f.FailStoreEvery == 0
}
