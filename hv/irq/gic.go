// Package irq is an interrupt controller for boards whose engine brings none:
// an Arm GICv3 (IHI 0069) with one security state, affinity routing always on,
// both interrupt groups, 32 priorities, no LPIs and no legacy operation.
//
// Devices raise lines with SetSPI and SetPPI. The guest reaches the distributor
// and the redistributors through MMIO and its CPU interface through trapped
// ICC_* registers (Access). The board asks Pending before it enters a vCPU, and
// is told by a callback when that answer changes.
//
// Any goroutine may call anything. What the guest does, at whatever address and
// size, has an effect that the architecture allows or none.
package irq

import (
	"fmt"
	"math/bits"
	"sync"
)

// Interrupt numbers (INTID).
const (
	FirstPPI = 16
	FirstSPI = 32

	spurious    = 1023 // what IAR and HPPIR read when there is nothing
	firstNoINT  = 1020 // 1020 to 1023 are special
	bankSize    = 32   // interrupts that share the words of a register bank
	idle        = 0xff // running priority of a CPU that handles none
	priorityLSB = 3    // 5 of the 8 bits of a priority exist
	priorities  = 0xff << priorityLSB & 0xff
)

// Interrupt groups. Group 0 is signalled as FIQ, group 1 as IRQ.
const (
	group0 = 0
	group1 = 1
)

// MaxCPUs is how many vCPUs a GIC serves, and MaxSPIs how many shared
// interrupts it has at most.
const (
	MaxCPUs = 32
	MaxSPIs = 960
)

// A GIC is the whole controller.
type GIC struct {
	wake func(cpu int)

	mu   sync.Mutex // guards all that follows; never held when wake is called
	ctlr uint32     // GICD_CTLR, its enable bits
	cpus []cpu
	spis []bank // SPI 32 to 63 first
	// target is the CPU that each SPI is routed to, -1 for one that does not
	// exist; routes has what the guest wrote.
	target []int8
	routes []uint64
}

// A cpu is a redistributor and a CPU interface.
type cpu struct {
	private bank // SGIs and PPIs
	waker   uint32

	pmr       uint8 // priorities below this pass
	bpr       [2]uint8
	enable    [2]bool   // ICC_IGRPENx
	active    [2]uint32 // ICC_APxR0: a bit for each of the 32 priorities
	eoiMode   bool      // EOI drops the priority only, DIR deactivates
	commonBPR bool      // ICC_CTLR.CBPR: BPR0 serves both groups
	irq, fiq  bool      // what the vCPU sees
}

// A bank is 32 interrupts in the layout of the register file: bit n of a word
// is interrupt n of the bank.
type bank struct {
	group   uint32 // set: group 1
	enabled uint32
	latch   uint32 // pending by an edge or by software
	level   uint32 // the line is high
	active  uint32
	edge    uint32 // set: edge triggered, clear: level
	prio    [bankSize]uint8
}

// pending is each interrupt's pending state: a line counts by itself only
// where it is level triggered.
func (b *bank) pending() uint32 { return b.latch | b.level&^b.edge }

// ready are those that may be signalled.
func (b *bank) ready() uint32 { return b.pending() & b.enabled &^ b.active }

// set moves a line.
func (b *bank) set(n uint, high bool) {
	bit := uint32(1) << n
	if high {
		b.latch |= bit & b.edge &^ b.level
		b.level |= bit
		return
	}
	b.level &^= bit
}

// activate is what an acknowledgement does to interrupt n.
func (b *bank) activate(n uint) {
	b.active |= 1 << n
	b.latch &^= 1 << n
}

// New makes a controller for cpus vCPUs, whose Aff0 is their index, and spis
// shared interrupts, rounded up to a multiple of 32. wake(cpu) is called when
// what Pending answers for that vCPU has changed, by whichever goroutine
// changed it; it must not block and must not call back.
func New(cpus, spis int, wake func(cpu int)) (*GIC, error) {
	if cpus < 1 || cpus > MaxCPUs {
		return nil, fmt.Errorf("cannot make a GIC for %d vCPUs; ask for 1 to %d", cpus, MaxCPUs)
	}
	if spis < 1 || spis > MaxSPIs {
		return nil, fmt.Errorf("cannot make a GIC with %d SPIs; ask for 1 to %d", spis, MaxSPIs)
	}
	banks := (spis + bankSize - 1) / bankSize
	g := &GIC{
		wake:   wake,
		cpus:   make([]cpu, cpus),
		spis:   make([]bank, banks),
		target: make([]int8, banks*bankSize),
		routes: make([]uint64, banks*bankSize),
	}
	for i := range g.cpus {
		g.cpus[i].private.edge = 0xffff // SGIs always are
		g.cpus[i].waker = wakerReset
		g.cpus[i].resetInterface()
	}
	return g, nil
}

// SetSPI moves the line of a shared interrupt. One that does not exist has none.
func (g *GIC) SetSPI(intid uint32, level bool) {
	if b, n := g.shared(intid); b != nil {
		g.change(func() uint32 {
			b.set(n, level)
			return g.owner(intid)
		})
	}
}

// SPI is the line of a shared interrupt, for a device.
func (g *GIC) SPI(intid uint32) func(level bool) {
	return func(level bool) { g.SetSPI(intid, level) }
}

// SetPPI moves the line of a private interrupt, 16 to 31, of one vCPU.
func (g *GIC) SetPPI(cpu int, intid uint32, level bool) {
	if cpu < 0 || cpu >= len(g.cpus) || intid < FirstPPI || intid >= FirstSPI {
		return
	}
	g.change(func() uint32 {
		g.cpus[cpu].private.set(uint(intid), level)
		return 1 << cpu
	})
}

// Pending says which of a vCPU's interrupt inputs are asserted now.
func (g *GIC) Pending(cpu int) (irq, fiq bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := &g.cpus[cpu]
	return c.irq, c.fiq
}

// ResetCPU puts a CPU interface into the state after a reset of its PE, which
// is what PSCI CPU_ON gives. The redistributor keeps its state.
func (g *GIC) ResetCPU(cpu int) {
	g.change(func() uint32 {
		g.cpus[cpu].resetInterface()
		return 1 << cpu
	})
}

// change runs f with the lock held, works the outputs of the CPUs that f
// affected out again and tells the board of those that changed.
func (g *GIC) change(f func() (cpus uint32)) {
	g.mu.Lock()
	changed := g.update(f())
	g.mu.Unlock()
	for ; changed != 0; changed &= changed - 1 {
		g.wake(bits.TrailingZeros32(changed))
	}
}

// all is the mask of every CPU.
func (g *GIC) all() uint32 { return uint32(1<<len(g.cpus) - 1) }

// update works outputs out; the caller holds mu.
func (g *GIC) update(mask uint32) (changed uint32) {
	for ; mask != 0; mask &= mask - 1 {
		i := bits.TrailingZeros32(mask)
		c := &g.cpus[i]
		irq, fiq := false, false
		if best := g.best(i); c.preempts(best) {
			irq, fiq = best.group == group1, best.group == group0
		}
		if irq != c.irq || fiq != c.fiq {
			c.irq, c.fiq = irq, fiq
			changed |= 1 << i
		}
	}
	return changed
}

// A candidate is a pending interrupt with what decides about it.
type candidate struct {
	intid uint32
	prio  uint8
	group int
}

// nothing loses against every candidate: no enabled interrupt has its priority.
var nothing = candidate{intid: spurious, prio: idle}

// best is the highest priority pending interrupt of a CPU in an enabled group:
// the lowest priority value, then the lowest INTID.
func (g *GIC) best(i int) candidate {
	c := &g.cpus[i]
	best := g.better(nothing, c, &c.private, 0, c.private.ready())
	for n := range g.spis {
		b := &g.spis[n]
		first := uint32(FirstSPI + n*bankSize)
		ready := b.ready()
		for m := ready; m != 0; m &= m - 1 {
			bit := bits.TrailingZeros32(m)
			if int(g.target[n*bankSize+bit]) != i {
				ready &^= 1 << bit
			}
		}
		best = g.better(best, c, b, first, ready)
	}
	return best
}

// better is the best of best and the ready interrupts of a bank.
func (g *GIC) better(best candidate, c *cpu, b *bank, first, ready uint32) candidate {
	for ; ready != 0; ready &= ready - 1 {
		n := bits.TrailingZeros32(ready)
		group := int(b.group >> n & 1)
		if g.ctlr>>group&1 == 0 || !c.enable[group] {
			continue
		}
		if b.prio[n] < best.prio {
			best = candidate{first + uint32(n), b.prio[n], group}
		}
	}
	return best
}

// shared finds the bank of an SPI, nil when there is none.
func (g *GIC) shared(intid uint32) (b *bank, n uint) {
	i := int(intid) - FirstSPI
	if i < 0 || i >= len(g.routes) {
		return nil, 0
	}
	return &g.spis[i/bankSize], uint(i % bankSize)
}

// find is shared for the private interrupts of a CPU too.
func (g *GIC) find(cpu int, intid uint32) (b *bank, n uint) {
	if intid < FirstSPI {
		return &g.cpus[cpu].private, uint(intid)
	}
	return g.shared(intid)
}

// owner is the mask of the CPU that an SPI goes to, empty if none.
func (g *GIC) owner(intid uint32) uint32 {
	if t := g.target[intid-FirstSPI]; t >= 0 {
		return 1 << t
	}
	return 0
}
