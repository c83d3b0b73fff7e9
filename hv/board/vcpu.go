package board

import (
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// What a vCPU is doing, for Stats.
const (
	stateOff      = 0
	stateStarting = 1
	stateRunning  = 2
	stateWaiting  = 3
	statePaused   = 4
)

var stateNames = [...]string{
	stateOff: "off", stateStarting: "starting", stateRunning: "running", stateWaiting: "waiting", statePaused: "paused",
}

// Fields of CNTV_CTL_EL0.
const (
	timerEnable = 1 << 0
	timerMask   = 1 << 1
	timerStatus = 1 << 2
)

// A cpu is one vCPU and the loop around it. All fields are its goroutine's but
// for those marked.
type cpu struct {
	b     *Board
	index int
	vc    hv.VCPU
	reset resetState // what the engine made it with

	on    bool // PSCI has it running
	timer bool // the virtual timer has fired and its line is high
	// waiting: in WFI, in deterministic mode, where nobody blocks.
	waiting bool
	step    bool   // a debugger lets it execute one instruction only
	offset  uint64 // what the virtual counter's offset was last set to
	parked  *time.Timer
	last    Registers // as they were when the loop ended

	// token wakes the goroutine wherever it waits outside the engine. It is put
	// before running is looked at, and taken after running is set: one of both
	// sides always sees the other. Any goroutine.
	token   chan struct{}
	running atomic.Bool // in Run, or about to be
	// asks holds what another goroutine wants done on this one; wake comes after it.
	asks  chan func()
	state atomic.Uint32
	count counters

	mu   sync.Mutex // guards kick and instructions
	kick func()     // nil while there is no vCPU
	// instructions counts them; final is its last word.
	instructions func() uint64
	final        uint64
}

func newCPU(b *Board, index int) *cpu {
	return &cpu{b: b, index: index, token: make(chan struct{}, 1), asks: make(chan func(), 1)}
}

// wake makes the vCPU look around: at its interrupts, at what others want of
// it. Any goroutine may call it, and nothing is lost whatever the vCPU does.
func (c *cpu) wake() {
	token := c.token
	if c.b.driver != nil {
		token = c.b.cpus[0].token // where the one goroutine waits
	}
	select {
	case token <- struct{}{}:
	default:
	}
	if !c.running.Load() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kick != nil {
		c.kick()
	}
}

// main is the goroutine of a vCPU. It reports on ready once, waits for begin
// and ends when the machine does.
func (c *cpu) main(ready chan<- bool, begin <-chan struct{}) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	vc, err := c.b.vm.NewVCPU(c.index)
	if err != nil {
		ready <- false
		return fmt.Errorf("cannot make vCPU %d: %w", c.index, err)
	}
	c.attach(vc)
	c.reset, err = readReset(vc)
	ready <- err == nil
	<-begin
	c.parked = time.NewTimer(time.Hour)
	c.parked.Stop()
	if err == nil {
		err = c.loop()
	}
	if err != nil {
		c.b.finish(Fault, "vCPU %d: %v", c.index, err)
	}
	return c.leave()
}

// leave keeps the last registers and closes the vCPU.
func (c *cpu) leave() error {
	c.last = c.registers()
	c.detach()
	if err := c.vc.Close(); err != nil {
		return fmt.Errorf("cannot close vCPU %d: %w", c.index, err)
	}
	return nil
}

func (c *cpu) attach(vc hv.VCPU) {
	c.vc = vc
	c.traceOn()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick = vc.Kick
	if n, ok := vc.(Instructer); ok {
		c.instructions = n.Instructions
	}
}

// detach keeps others away from a vCPU that is about to be closed.
func (c *cpu) detach() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kick = nil
	if c.instructions != nil {
		c.final = c.instructions()
		c.instructions = nil
	}
	c.state.Store(stateOff)
}

// loop enters the guest until the machine ends. An error is the engine's.
func (c *cpu) loop() error {
	var e hv.Exit
	for {
		if ok, err := c.ready(); !ok || err != nil {
			return err
		}
		left, err := c.enter(&e)
		if err != nil {
			return err
		}
		if !left {
			continue
		}
		c.count.exits[e.Kind].Add(1)
		if err := c.sampleTimer(); err != nil {
			return err
		}
		if err := c.handle(&e); err != nil {
			return err
		}
		c.endStep(&e)
	}
}

// ready does what others want of the vCPU and waits while it is off or paused.
// It answers false when the machine ends.
func (c *cpu) ready() (bool, error) {
	for {
		switch {
		case c.b.stopping.Load():
			return false, nil
		case c.held():
			if err := c.hold(); err != nil {
				return false, err
			}
		case !c.on:
			if err := c.awaitStart(); err != nil {
				return false, err
			}
		default:
			return true, c.syncOffset()
		}
	}
}

// held says whether a pause keeps the vCPU from running.
func (c *cpu) held() bool { return c.b.pause.holds(c.index) }

// hold waits for the end of a pause. A debugger sees the vCPU as it will start.
func (c *cpu) hold() error {
	if c.b.debugger != nil && !c.on {
		if err := c.tryStart(); err != nil {
			return err
		}
	}
	c.b.pause.hold(len(c.b.cpus))
	c.state.Store(statePaused)
	for c.held() && !c.b.stopping.Load() {
		c.rest(nil)
	}
	c.b.pause.release()
	return nil
}

// rest waits until somebody wakes the vCPU or timeout comes, which is nil for
// never, and answers whoever asks for registers meanwhile.
func (c *cpu) rest(timeout <-chan time.Time) {
	select {
	case <-c.token:
	case <-timeout:
	case do := <-c.asks:
		do()
	}
}

// syncOffset moves the guest's counter to where the last pause left it.
func (c *cpu) syncOffset() error {
	want := c.b.pause.offset.Load()
	if want == c.offset {
		return nil
	}
	c.offset = want
	return c.vc.SetVTimerOffset(want)
}

// enter runs the guest to its next exit. It answers false when there was a
// reason to look around first.
func (c *cpu) enter(e *hv.Exit) (left bool, err error) {
	if c.b.gic != nil && !c.step { // nobody wants to step into interrupt handlers
		irq, fiq := c.b.gic.Pending(c.index)
		if err := c.vc.SetPending(irq, fiq); err != nil {
			return false, err
		}
	}
	c.state.Store(stateRunning)
	c.running.Store(true)
	defer c.running.Store(false)
	select {
	case <-c.token:
		return false, nil
	case do := <-c.asks:
		do()
		return false, nil
	default:
	}
	return true, c.vc.Run(e)
}

// handle does what an exit wants.
func (c *cpu) handle(e *hv.Exit) error {
	switch e.Kind {
	case hv.MMIO:
		return c.mmio(e)
	case hv.Trap:
		return c.trap(e)
	case hv.HVC, hv.SMC:
		return c.call(e)
	case hv.WFI:
		return c.park()
	case hv.WFE:
		runtime.Gosched()
	case hv.VTimer:
		c.fire()
	case hv.DebugStop:
		c.b.debugger.stop(c.index, *e)
	case hv.Kicked, hv.Budget:
	default:
		c.b.finish(Fault, "vCPU %d: %s", c.index, describeExit(e))
	}
	return nil
}

// describeExit says what nobody can go on from.
func describeExit(e *hv.Exit) string {
	access := "load"
	if e.Write {
		access = "store"
	}
	switch {
	case e.Kind == hv.Denied:
		return fmt.Sprintf("store to read-only memory at %#x (VA %#x, ESR %#x)", e.IPA, e.VA, e.ESR)
	case e.Kind != hv.Fault:
		return fmt.Sprintf("unknown exit %s", e.Kind)
	case arm64.EC(e.ESR) == arm64.ECInstrAbortEL0 || arm64.EC(e.ESR) == arm64.ECInstrAbort:
		access = "instruction fetch"
	}
	return fmt.Sprintf("%s at %#x (VA %#x, ESR %#x), which nobody can answer", access, e.IPA, e.VA, e.ESR)
}

func (c *cpu) mmio(e *hv.Exit) error {
	if e.Write {
		c.traceAccess(e, e.Value)
		c.b.bus.write(e.IPA, int(e.Size), e.Value)
		return nil
	}
	v := c.b.bus.read(e.IPA, int(e.Size))
	c.traceAccess(e, v)
	return e.Complete(c.vc, v)
}

// trap answers for the GIC's registers; others read as zero and ignore writes.
func (c *cpu) trap(e *hv.Exit) error {
	var v uint64
	var ok bool
	if c.b.gic != nil {
		v, ok = c.b.gic.Access(c.index, e.Sys, e.Write, e.Value)
	}
	if !ok {
		c.b.unknown.see(e, c.b.cfg.Log)
	}
	if e.Write {
		return nil
	}
	c.traceAcknowledge(e, v)
	return e.Complete(c.vc, v)
}

// fire raises the virtual timer's line. The engine has masked the timer.
func (c *cpu) fire() {
	c.timer = true
	if c.b.gic != nil {
		c.b.gic.SetPPI(c.index, ppiVTimer, true)
	}
}

// sampleTimer lowers the line once the guest has dealt with the timer: stopped
// it, masked it or set it to a later time.
func (c *cpu) sampleTimer() error {
	if !c.timer {
		return nil
	}
	ctl, err := c.vc.SysReg(arm64.CNTV_CTL_EL0)
	if err != nil || ctl&(timerEnable|timerMask|timerStatus) == timerEnable|timerStatus {
		return err
	}
	c.timer = false
	if c.b.gic != nil {
		c.b.gic.SetPPI(c.index, ppiVTimer, false)
	}
	return c.vc.SetVTimerMask(false)
}

// park waits, as WFI does, for an interrupt that is pending, whatever masks it
// in PSTATE.
func (c *cpu) park() error {
	if c.b.gic == nil || c.step {
		return nil // the engine waits by itself, a step does not
	}
	if c.b.driver != nil {
		c.waiting = true
		c.state.Store(stateWaiting)
		return nil
	}
	c.state.Store(stateWaiting)
	for !c.b.stopping.Load() && !c.held() {
		if irq, fiq := c.b.gic.Pending(c.index); irq || fiq {
			return nil
		}
		left, armed, err := c.untilTimer()
		if err != nil {
			return err
		}
		if armed && left <= 0 {
			c.fire()
			if err := c.vc.SetVTimerMask(true); err != nil {
				return err
			}
			continue
		}
		c.wait(left, armed)
		c.count.wakeups.Add(1)
	}
	return nil
}

// wait rests for at most d when there is a limit.
func (c *cpu) wait(d time.Duration, limited bool) {
	if !limited {
		c.rest(nil)
		return
	}
	c.parked.Reset(d)
	c.rest(c.parked.C)
	c.parked.Stop()
}

// untilTimer is how long the virtual timer has left, if it will fire at all.
// One whose line is high already will not.
func (c *cpu) untilTimer() (left time.Duration, armed bool, err error) {
	if c.timer {
		return 0, false, nil
	}
	ctl, err := c.vc.SysReg(arm64.CNTV_CTL_EL0)
	if err != nil || ctl&(timerEnable|timerMask) != timerEnable {
		return 0, false, err
	}
	cval, err := c.vc.SysReg(arm64.CNTV_CVAL_EL0)
	if err != nil {
		return 0, false, err
	}
	now := c.b.vm.Counter() - c.offset
	if cval <= now {
		return 0, true, nil
	}
	return ticksToTime(cval-now, c.b.vm.CounterFreq()), true, nil
}

// maxWait is a wait that is tried again when it is over: CNTV_CVAL_EL0 may be
// centuries away.
const maxWait = time.Hour

// ticksToTime rounds up, so that the timer has fired when the time is over.
func ticksToTime(ticks, freq uint64) time.Duration {
	hi, lo := bits.Mul64(ticks, uint64(time.Second))
	if hi >= freq {
		return maxWait
	}
	ns, rem := bits.Div64(hi, lo, freq)
	if rem != 0 {
		ns++
	}
	return time.Duration(min(ns, uint64(maxWait)))
}

// stats are the counters, added to exits by kind too.
func (c *cpu) stats(exits map[string]uint64) CPUStats {
	for k := range c.count.exits {
		if n := c.count.exits[k].Load(); n > 0 {
			exits[hv.ExitKind(k).String()] += n
		}
	}
	s := CPUStats{State: stateNames[c.state.Load()], Exits: c.count.total(), Wakeups: c.count.wakeups.Load()}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Instructions = c.final
	if c.instructions != nil {
		s.Instructions = c.instructions()
	}
	return s
}
