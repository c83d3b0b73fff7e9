package irq

import (
	"math/bits"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Fields of ICC_CTLR_EL1 (IHI 0069, 12.2.6).
const (
	iccCBPR     = 1 << 0
	iccEOImode  = 1 << 1
	iccPRIbits  = 4 << 8 // one less than the 5 that exist
	iccIDbits   = 0 << 11
	iccRSS      = 1 << 18 // SGIs reach Aff0 beyond 15
	iccSRE      = 7       // system registers only: SRE, DFB and DIB are fixed
	minBPR0     = 2       // with 5 bits of preemption
	minBPR1     = 3
	maxBPR      = 7
	noBits      = 32 // bits.TrailingZeros32 of nothing
	aprPriority = priorityLSB
)

// Access is a vCPU's MRS or MSR of an ICC_* register: v is what is written, the
// answer what is read. ok is false for a register or direction that the
// interface does not have.
func (g *GIC) Access(cpu int, reg arm64.SysReg, write bool, v uint64) (value uint64, ok bool) {
	if cpu < 0 || cpu >= len(g.cpus) {
		return 0, false
	}
	g.change(func() (affected uint32) {
		if write {
			affected, ok = g.writeICC(cpu, reg, v)
		} else {
			value, affected, ok = g.readICC(cpu, reg)
		}
		return affected
	})
	return value, ok
}

func (g *GIC) readICC(i int, reg arm64.SysReg) (v uint64, affected uint32, ok bool) {
	c := &g.cpus[i]
	switch reg {
	case arm64.ICC_IAR0_EL1, arm64.ICC_IAR1_EL1:
		return g.acknowledge(i, groupOf(reg == arm64.ICC_IAR1_EL1)), 1 << i, true
	case arm64.ICC_HPPIR0_EL1, arm64.ICC_HPPIR1_EL1:
		return g.highest(i, groupOf(reg == arm64.ICC_HPPIR1_EL1)), 0, true
	case arm64.ICC_PMR_EL1:
		return uint64(c.pmr), 0, true
	case arm64.ICC_RPR_EL1:
		return uint64(c.running()), 0, true
	case arm64.ICC_BPR0_EL1:
		return uint64(c.bpr[group0]), 0, true
	case arm64.ICC_BPR1_EL1:
		return c.readBPR1(), 0, true
	case arm64.ICC_AP0R0_EL1:
		return uint64(c.active[group0]), 0, true
	case arm64.ICC_AP1R0_EL1:
		return uint64(c.active[group1]), 0, true
	case arm64.ICC_IGRPEN0_EL1:
		return bit(c.enable[group0], 1), 0, true
	case arm64.ICC_IGRPEN1_EL1:
		return bit(c.enable[group1], 1), 0, true
	case arm64.ICC_CTLR_EL1:
		return iccPRIbits | iccIDbits | iccRSS | bit(c.eoiMode, iccEOImode) | bit(c.commonBPR, iccCBPR), 0, true
	case arm64.ICC_SRE_EL1:
		return iccSRE, 0, true
	}
	return 0, 0, false
}

func (g *GIC) writeICC(i int, reg arm64.SysReg, v uint64) (affected uint32, ok bool) {
	c := &g.cpus[i]
	switch reg {
	case arm64.ICC_EOIR0_EL1, arm64.ICC_EOIR1_EL1:
		return 1<<i | g.end(i, groupOf(reg == arm64.ICC_EOIR1_EL1), v), true
	case arm64.ICC_DIR_EL1:
		if !c.eoiMode {
			return 0, true
		}
		return g.deactivate(i, v), true
	case arm64.ICC_SGI0R_EL1, arm64.ICC_SGI1R_EL1:
		return g.send(i, groupOf(reg == arm64.ICC_SGI1R_EL1), v), true
	case arm64.ICC_ASGI1R_EL1, arm64.ICC_SRE_EL1:
		return 0, true // there is no other security state, and no other interface
	case arm64.ICC_PMR_EL1:
		c.pmr = uint8(v) & priorities
	case arm64.ICC_BPR0_EL1:
		c.bpr[group0] = max(uint8(v)&maxBPR, minBPR0)
	case arm64.ICC_BPR1_EL1:
		if !c.commonBPR {
			c.bpr[group1] = max(uint8(v)&maxBPR, minBPR1)
		}
	case arm64.ICC_AP0R0_EL1:
		c.active[group0] = uint32(v)
	case arm64.ICC_AP1R0_EL1:
		c.active[group1] = uint32(v)
	case arm64.ICC_IGRPEN0_EL1:
		c.enable[group0] = v&1 != 0
	case arm64.ICC_IGRPEN1_EL1:
		c.enable[group1] = v&1 != 0
	case arm64.ICC_CTLR_EL1:
		c.eoiMode, c.commonBPR = v&iccEOImode != 0, v&iccCBPR != 0
	default:
		return 0, false
	}
	return 1 << i, true
}

func groupOf(one bool) int {
	if one {
		return group1
	}
	return group0
}

func bit(set bool, b uint64) uint64 {
	if set {
		return b
	}
	return 0
}

// resetInterface gives the registers the values that a reset leaves.
func (c *cpu) resetInterface() {
	c.pmr, c.bpr = 0, [2]uint8{minBPR0, minBPR1}
	c.enable, c.active = [2]bool{}, [2]uint32{}
	c.eoiMode, c.commonBPR = false, false
}

// readBPR1 is BPR0 plus one, at most 7, while that serves both groups.
func (c *cpu) readBPR1() uint64 {
	if c.commonBPR {
		return uint64(min(c.bpr[group0]+1, maxBPR))
	}
	return uint64(c.bpr[group1])
}

// groupPriority is the part of a priority that decides about preemption: bits
// 7 to BPR1 in group 1, 7 to BPR0+1 in group 0.
func (c *cpu) groupPriority(prio uint8, group int) uint8 {
	low := c.bpr[group0] + 1
	if group == group1 && !c.commonBPR {
		low = c.bpr[group1]
	}
	return prio >> low << low
}

// running is the priority of what the CPU handles, 0xff when it is nothing.
func (c *cpu) running() uint8 {
	n := bits.TrailingZeros32(c.active[group0] | c.active[group1])
	if n == noBits {
		return idle
	}
	return uint8(n << aprPriority)
}

// preempts says whether a candidate passes the mask and the running priority.
func (c *cpu) preempts(x candidate) bool {
	return x.intid != spurious && x.prio < c.pmr && c.groupPriority(x.prio, x.group) < c.running()
}

// acknowledge is a read of IAR: the interrupt becomes active.
func (g *GIC) acknowledge(i, group int) uint64 {
	c := &g.cpus[i]
	x := g.best(i)
	if x.group != group || !c.preempts(x) {
		return spurious
	}
	b, n := g.find(i, x.intid)
	b.activate(n)
	c.active[group] |= 1 << (c.groupPriority(x.prio, group) >> aprPriority)
	return uint64(x.intid)
}

// highest is a read of HPPIR, which neither the mask nor the running priority
// hides.
func (g *GIC) highest(i, group int) uint64 {
	if x := g.best(i); x.intid != spurious && x.group == group {
		return uint64(x.intid)
	}
	return spurious
}

// end is a write of EOIR: the running priority drops when its group is the
// register's, and the interrupt is deactivated unless that is DIR's part.
func (g *GIC) end(i, group int, v uint64) (affected uint32) {
	c := &g.cpus[i]
	if v&intidMask >= firstNoINT {
		return 0
	}
	n := bits.TrailingZeros32(c.active[group0] | c.active[group1])
	if n == noBits || c.active[group]>>n&1 == 0 {
		return 0
	}
	c.active[group] &^= 1 << n
	if c.eoiMode {
		return 0
	}
	return g.deactivate(i, v)
}

const intidMask = 1<<24 - 1

// deactivate ends an interrupt for CPU i and says whose output that may change.
func (g *GIC) deactivate(i int, v uint64) (affected uint32) {
	intid := uint32(v & intidMask)
	b, n := g.find(i, intid)
	if b == nil {
		return 0
	}
	b.active &^= 1 << n
	if intid < FirstSPI {
		return 1 << i
	}
	return g.owner(intid)
}

// send is a write of SGI0R or SGI1R by CPU i: bits 27:24 name the SGI, bit 40
// means all but the sender, else affinities and a list of 16 in the range that
// bits 47:44 select. SGI0R reaches SGIs of group 0 only.
func (g *GIC) send(i, group int, v uint64) (affected uint32) {
	targets := g.all() &^ (1 << i)
	if v>>40&1 == 0 {
		targets = 0
		if v>>48&0xff == 0 && v>>32&0xff == 0 && v>>16&0xff == 0 { // Aff3, Aff2, Aff1
			targets = uint32(v&0xffff<<(v>>44&0xf*16)) & g.all()
		}
	}
	sgi := uint32(1) << (v >> 24 & 0xf)
	for m := targets; m != 0; m &= m - 1 {
		b := &g.cpus[bits.TrailingZeros32(m)].private
		if group == group1 || b.group&sgi == 0 {
			b.latch |= sgi
		}
	}
	return targets
}
