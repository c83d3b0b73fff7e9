// Package exec executes one virtual AArch64 CPU: it finds or builds basic
// blocks, runs them, takes exceptions, keeps timers, and leaves to its caller
// what the engine contract (package hv) calls an Exit.
//
// # Threads
//
// A Core belongs to the goroutine that runs it. What other cores want of it
// (dropping translations and decoded code, looking at the memory map again)
// they post; the core does it at the next block boundary, or when it enters Run,
// and a barrier (DSB) or a memory map call waits until it has: see request.go.
//
// # Blocks
//
// A Block is at most 64 instructions within one 4 KiB page, decoded into
// isa.Ops (package isa). The generated loop executes blocks; inside a page they
// are chained directly, across pages they are found by the jump cache, whose
// entries carry a generation. A new generation, and thus a new look-up, comes
// with every change of what an address may mean: see translate.go and code.go.
//
// # Counting
//
// Every instruction that completes counts one, calls (SVC, HVC, SMC) too. Taking
// an exception counts nothing, but one that no instruction precedes
// since the last counts one: a guest that only faults uses up its budget.
package exec

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

// Core executes one vCPU. Exported methods but Kick are for its owner.
type Core struct {
	cpu.State

	// What the loop looks at.
	attention atomic.Uint32 // not zero: leave the loop at the next block
	left      int64         // budget, exact when System rows run and outside the loop
	gen       uint64        // generation of the current EL
	lines     uint32        // interrupt lines that are up: lineIRQ, lineFIQ
	spSel     bool          // PSTATE.SP
	jumps     [jumpSize]jump

	el      uint8 // 0 or 1
	illegal bool  // PSTATE.IL
	ss      bool  // PSTATE.SS
	fp      bool  // CPACR_EL1 lets the current EL use floating point

	pend    pending
	monitor monitor
	event   atomic.Bool // WFE's event register

	regs  mmu.Regs
	mem   *mmu.Memory
	tlbs  [2]cpu.TLB // by EL
	trans translations
	code  codeCache

	machine  *Machine
	index    int
	kicked   atomic.Bool
	timer    timer
	start    int64  // budget at the start of the quantum
	count    uint64 // instructions before the quantum
	lastTrap uint64 // count at the last synchronous exception
	stats    Stats
	faults   faultPlan
	debug    debug
	rest     rest
	host     host

	inbox
}

// Stats counts what happened since the core was made.
type Stats struct {
	Instructions uint64
	Blocks       uint64 // decoded
	DataFills    uint64 // data TLB misses
	CodeFills    uint64 // instruction page look-ups
	Flushes      uint64 // of a whole TLB
	Exceptions   uint64 // synchronous
	Interrupts   uint64
	Exits        [hv.ExitKinds]uint64
}

// NewCore makes core number index of m in the state that PSCI wants of a CPU
// that is switched on (DEN 0022, section 6.4), all registers zero.
func NewCore(m *Machine, index int) *Core {
	c := &Core{machine: m, index: index, mem: m.mem.Load()}
	c.inbox.idle.L = &c.inbox.mu
	c.resetSys()
	c.el, c.spSel = 1, true
	c.SetFlags(0)
	c.DAIF = arm64.PSRDAIF
	c.UserTLB = &c.tlbs[0]
	c.code.pages = map[uint64]*codePage{}
	c.rest.at = time.Now()
	c.tlbs[0].Flush()
	c.tlbs[1].Flush()
	c.flushAll()
	c.switched()
	m.add(c)
	return c
}

// Close takes the core out of its machine.
func (c *Core) Close() { c.machine.remove(c) }

// Stats gives the counters; the owner calls it between runs.
func (c *Core) Stats() Stats {
	s := c.stats
	s.Instructions = c.count
	return s
}

// Instructions is how many the core has begun; any goroutine may ask.
func (c *Core) Instructions() uint64 { return atomic.LoadUint64(&c.count) }

// Kick makes a Run end with hv.Kicked; any goroutine may call it.
func (c *Core) Kick() {
	c.kicked.Store(true)
	c.attention.Store(1)
}

// A Machine is what the cores of a VM share.
type Machine struct {
	mu      sync.Mutex // guards changes of mem and cores
	mem     atomic.Pointer[mmu.Memory]
	cores   atomic.Pointer[[]*Core]
	clock   clock
	hasCode [codeMapSize]atomic.Uint64 // bitmap by page hash: some core decoded code there
}

// NewMachine makes a machine without memory and cores. psPerInstruction is not
// zero for a machine whose time is counted.
func NewMachine(psPerInstruction uint64) *Machine {
	m := &Machine{}
	m.mem.Store(&mmu.Memory{})
	m.cores.Store(&[]*Core{})
	m.clock.init(psPerInstruction)
	return m
}

func (m *Machine) add(c *Core) {
	m.mu.Lock()
	defer m.mu.Unlock()
	cores := append(append([]*Core(nil), *m.cores.Load()...), c)
	m.cores.Store(&cores)
}

func (m *Machine) remove(c *Core) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var cores []*Core
	for _, other := range *m.cores.Load() {
		if other != c {
			cores = append(cores, other)
		}
	}
	m.cores.Store(&cores)
}

// Memory is the memory map now.
func (m *Machine) Memory() *mmu.Memory { return m.mem.Load() }

// SetMemory replaces the memory map by what change makes of it, which differs in
// the n bytes from base. When it returns, no core uses the old one. change
// returning nil leaves it.
func (m *Machine) SetMemory(base, n uint64, change func(*mmu.Memory) *mmu.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := change(m.mem.Load())
	if next == nil {
		return
	}
	m.mem.Store(next)
	m.broadcast(nil, func(r *request) { r.remap(span64{base, n}) })
}

// Invalidate drops decoded code of the n bytes at pa in all cores.
func (m *Machine) Invalidate(pa, n uint64) {
	for page := pa &^ 0xfff; page < pa+n; page += 0x1000 {
		if m.mayHaveCode(page) {
			m.broadcast(nil, func(r *request) { r.dropCode(page) })
		}
	}
}
