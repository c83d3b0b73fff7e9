package exec

import (
	"math/bits"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/cpu"
)

// CounterFreq is CNTFRQ_EL0 in Hz: 10 ns a tick.
const CounterFreq = 1_000_000_000 / nsPerTick

const nsPerTick = 10

// A clock is a machine's time: the host's monotonic clock or, where it is
// counted, what instructions and Skip make of it. A counted clock
// belongs to the goroutine that drives the machine's cores.
type clock struct {
	began   time.Time
	counted bool
	perOp   uint64 // picoseconds an instruction
	ns, ps  uint64 // counted time: ns and the rest below one
}

func (k *clock) init(psPerInstruction uint64) {
	k.began, k.perOp, k.counted = time.Now(), psPerInstruction, psPerInstruction != 0
}

// add moves counted time on by n instructions.
func (k *clock) add(n uint64) {
	ns, ps := k.after(n)
	k.ns, k.ps = ns, ps
}

// after is the time n instructions from now.
func (k *clock) after(n uint64) (ns, ps uint64) {
	hi, lo := bits.Mul64(n, k.perOp)
	lo, carry := bits.Add64(lo, k.ps, 0)
	q, r := bits.Div64((hi+carry)%1000, lo, 1000)
	return k.ns + q, r
}

// until is how many instructions it takes until time ns, at least 1.
func (k *clock) until(ns uint64) uint64 {
	if ns <= k.ns {
		return 1
	}
	hi, lo := bits.Mul64(ns-k.ns, 1000)
	lo, borrow := bits.Sub64(lo, k.ps, 0)
	if hi -= borrow; hi >= k.perOp {
		return 1 << 62
	}
	q, r := bits.Div64(hi, lo, k.perOp)
	if r != 0 {
		q++
	}
	return max(q, 1)
}

// Now is the machine's time in nanoseconds since it was made.
func (m *Machine) Now() uint64 {
	if m.clock.counted {
		return m.clock.ns
	}
	return uint64(time.Since(m.clock.began))
}

// Skip moves counted time on.
func (m *Machine) Skip(ns uint64) { m.clock.ns += ns }

// now is the time at the operation that runs: c.left is exact then.
func (c *Core) now() uint64 {
	k := &c.machine.clock
	if !k.counted {
		return uint64(time.Since(k.began))
	}
	ns, _ := k.after(uint64(c.start - c.left))
	return ns
}

// timer is what the generic timer has beside its registers.
type timer struct {
	offset uint64 // of the virtual counter, in ticks
	masked bool   // hv's mask: the virtual timer makes no exit
	moved  bool   // the guest changed the deadline
}

// Fields of CNTx_CTL_EL0.
const (
	ctlEnable = 1
	ctlIMask  = 2
	ctlStatus = 4
)

var timerRegisters = []register{
	{enc: arm64.CNTKCTL_EL1, slot: cpu.SysCNTKCTL, mask: 0x3ff},
	{enc: arm64.CNTFRQ_EL0, read: func(*Core) uint64 { return CounterFreq }, user: userRead, gate: counterGate(3)},
	{enc: arm64.CNTPCT_EL0, read: (*Core).physical, user: userRead, gate: counterGate(1)},
	{enc: arm64.CNTVCT_EL0, read: (*Core).virtual, user: userRead, gate: counterGate(2)},
	{enc: arm64.CNTP_CTL_EL0, read: (*Core).readPCtl, slot: cpu.SysCNTPCtl, mask: 3, user: userBoth, gate: counterGate(1 << 9)},
	{enc: arm64.CNTP_CVAL_EL0, slot: cpu.SysCNTPCval, mask: all, user: userBoth, gate: counterGate(1 << 9)},
	{enc: arm64.CNTP_TVAL_EL0, read: (*Core).readPTval, write: (*Core).writePTval, user: userBoth, gate: counterGate(1 << 9)},
	{enc: arm64.CNTV_CTL_EL0, read: (*Core).readVCtl, write: (*Core).writeVCtl, user: userBoth, gate: counterGate(1 << 8)},
	{enc: arm64.CNTV_CVAL_EL0, slot: cpu.SysCNTVCval, write: (*Core).writeVCval, user: userBoth, gate: counterGate(1 << 8)},
	{enc: arm64.CNTV_TVAL_EL0, read: (*Core).readVTval, write: (*Core).writeVTval, user: userBoth, gate: counterGate(1 << 8)},
}

// counterGate is open while one of the bits of CNTKCTL_EL1 is set.
func counterGate(mask uint64) func(*Core) bool {
	return func(c *Core) bool { return c.Sys[cpu.SysCNTKCTL]&mask != 0 }
}

func (c *Core) physical() uint64 { return c.now() / nsPerTick }
func (c *Core) virtual() uint64  { return c.physical() - c.timer.offset }

// status adds ISTATUS to a control register: the timer is on and due, masked
// or not.
func status(ctl, cval, count uint64) uint64 {
	ctl &= ctlEnable | ctlIMask
	if ctl&ctlEnable != 0 && count >= cval {
		ctl |= ctlStatus
	}
	return ctl
}

func (c *Core) readPCtl() uint64 {
	return status(c.Sys[cpu.SysCNTPCtl], c.Sys[cpu.SysCNTPCval], c.physical())
}

func (c *Core) readVCtl() uint64 {
	return status(c.Sys[cpu.SysCNTVCtl], c.Sys[cpu.SysCNTVCval], c.virtual())
}

func (c *Core) readPTval() uint64 { return uint64(uint32(c.Sys[cpu.SysCNTPCval] - c.physical())) }
func (c *Core) readVTval() uint64 { return uint64(uint32(c.Sys[cpu.SysCNTVCval] - c.virtual())) }

// A write of TVAL is signed.
func (c *Core) writePTval(v uint64) {
	c.Sys[cpu.SysCNTPCval] = c.physical() + uint64(int64(int32(v)))
}

func (c *Core) writeVTval(v uint64) { c.writeVCval(c.virtual() + uint64(int64(int32(v)))) }

func (c *Core) writeVCval(v uint64) {
	c.Sys[cpu.SysCNTVCval] = v
	c.timerMoved()
}

func (c *Core) writeVCtl(v uint64) {
	c.Sys[cpu.SysCNTVCtl] = v & (ctlEnable | ctlIMask)
	c.timerMoved()
}

// timerMoved leaves the loop, whose budget the deadline may have cut short.
func (c *Core) timerMoved() {
	c.timer.moved = true
	c.attention.Store(1)
}

// timerArmed says whether the virtual timer can make an exit.
func (c *Core) timerArmed() bool {
	return !c.timer.masked && c.Sys[cpu.SysCNTVCtl]&(ctlEnable|ctlIMask) == ctlEnable
}

// timerDue says whether it makes one now.
func (c *Core) timerDue() bool {
	return c.timerArmed() && c.virtual() >= c.Sys[cpu.SysCNTVCval]
}

// untilTimer is how many instructions of counted time remain until the virtual
// timer is due.
func (c *Core) untilTimer() uint64 {
	if !c.timerArmed() {
		return 1 << 62
	}
	now, due := c.machine.clock.ns/nsPerTick-c.timer.offset, c.Sys[cpu.SysCNTVCval]
	if now >= due {
		return 1
	}
	ticks := due - now
	if ticks > 1<<58 {
		return 1 << 62
	}
	return c.machine.clock.until((c.machine.clock.ns/nsPerTick + ticks) * nsPerTick)
}

// SetTimer sets what hv.VCPU.SetVTimerMask and SetVTimerOffset set.
func (c *Core) SetTimer(masked bool, offset uint64) { c.timer.masked, c.timer.offset = masked, offset }

// Timer is what SetTimer set, and the engine when the timer fired.
func (c *Core) Timer() (masked bool, offset uint64) { return c.timer.masked, c.timer.offset }
