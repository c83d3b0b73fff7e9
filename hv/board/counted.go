package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// Deterministic asks for a machine whose every run with the same configuration
// is the same: console, count of instructions, memory. It needs an engine with
// Caps.Counted.
//
// One goroutine runs all vCPUs in turns of a seeded length. Time is counted in
// instructions and skips ahead while all wait. After a notification of a virtio
// device nothing runs until that device is at rest. What comes from outside, by UARTInput
// and Input, is given at a counted instruction that the log keeps; devices that take input
// otherwise are reproducible without any.
type Deterministic struct {
	Seed uint64 // of the turns, and of Config.Seed where that is nil
	// Quantum is the longest turn in instructions; 0 means 20000.
	Quantum uint64
	// PSPerInstruction is virtual picoseconds for each instruction; 0 means 1000.
	PSPerInstruction uint64
	Record           io.Writer // takes the log of inputs; nil for none
	Replay           io.Reader // gives it; nil for none
	Outside          []Outside // what Input may be given to
	Faults           Faults
}

// Faults are what a correct guest must survive. Zero values mean never.
type Faults struct {
	Engine hv.Faults
	// DelayIRQ keeps every so-manieth interrupt from a vCPU for one turn.
	DelayIRQ uint64
	// SpuriousIRQ shows a vCPU an interrupt that is not there, every so many turns.
	SpuriousIRQ uint64
}

const (
	defaultQuantum = 20000
	defaultPS      = 1000
	// settleLimit is how long a device may work on one notification, in the
	// host's time.
	settleLimit = 30 * time.Second
)

// A driver runs a deterministic machine. It is used by its goroutine alone, but
// for inputs and clock.
type driver struct {
	b      *Board
	cfg    Deterministic
	rng    *rand.Rand
	clock  *virtualClock
	inputs *inputs
	cpus   []hv.Counted

	turn  int    // whose turn it is
	left  uint64 // instructions left of it
	turns uint64
	held  uint64 // interrupts seen by DelayIRQ
}

func newDriver(b *Board, cfg Deterministic) (*driver, error) {
	if cfg.Quantum == 0 {
		cfg.Quantum = defaultQuantum
	}
	if cfg.PSPerInstruction == 0 {
		cfg.PSPerInstruction = defaultPS
	}
	d := &driver{
		b: b, cfg: cfg, clock: &virtualClock{},
		rng:    rand.New(rand.NewPCG(cfg.Seed, 0)),
		inputs: &inputs{record: cfg.Record, wake: func() { b.cpus[0].wake() }},
	}
	uart := Outside{Name: uartInput, Device: -1, Give: func(p []byte) { b.uart.input(p) }, Room: func() int { return b.uart.free() }}
	for _, o := range append([]Outside{uart}, cfg.Outside...) {
		if !outsideName.MatchString(o.Name) || d.inputs.source(o.Name) != nil || o.Device >= len(b.cfg.Devices) {
			return nil, fmt.Errorf("cannot take input for %q: its name is bad or there twice, or it is of no device", o.Name)
		}
		d.inputs.sources = append(d.inputs.sources, newSource(o))
	}
	if cfg.Replay != nil {
		if err := d.inputs.load(cfg.Replay); err != nil {
			return nil, err
		}
	}
	d.inputs.write(replayHeader + "\n")
	return d, nil
}

// run makes all vCPUs on the calling goroutine and drives them to the end.
func (d *driver) run() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := d.makeCPUs()
	if err == nil {
		d.b.power.boot(d.b.place)
		err = d.loop()
	}
	if err != nil {
		d.b.finish(Fault, "%v", err)
	}
	for _, c := range d.b.cpus {
		if c.vc != nil {
			err = errors.Join(err, c.leave())
		}
	}
	return errors.Join(err, d.inputs.failed())
}

func (d *driver) makeCPUs() error {
	for _, c := range d.b.cpus {
		vc, err := d.b.vm.NewVCPU(c.index)
		if err != nil {
			return fmt.Errorf("cannot make vCPU %d: %w", c.index, err)
		}
		c.attach(vc)
		n, ok := vc.(hv.Counted)
		if !ok {
			return fmt.Errorf("cannot count instructions of vCPU %d: %w", c.index, hv.ErrUnsupported)
		}
		n.SetFaults(d.cfg.Faults.Engine)
		d.cpus = append(d.cpus, n)
		if c.reset, err = readReset(vc); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) loop() error {
	var e hv.Exit
	for !d.b.stopping.Load() {
		d.attend()
		d.clock.move(d.cpus[0].Now())
		if err := d.deliver(); err != nil {
			return err
		}
		c, err := d.pick()
		if err != nil {
			return err
		}
		if c == nil {
			err = d.idle()
		} else {
			err = d.enter(c, &e)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// attend holds all vCPUs while the machine is paused, and answers who asks
// for registers.
func (d *driver) attend() {
	for _, c := range d.b.cpus {
		select {
		case do := <-c.asks:
			do()
		default:
		}
	}
	if !d.b.pause.want.Load() {
		return
	}
	for range d.b.cpus {
		d.b.pause.hold(len(d.b.cpus))
	}
	for d.b.pause.want.Load() && !d.b.stopping.Load() {
		d.b.cpus[0].rest(nil)
	}
	for range d.b.cpus {
		d.b.pause.release()
	}
}

// deliver gives the guest what is due now: input, timers.
func (d *driver) deliver() error {
	for _, in := range d.inputs.take(d.instructions(), d.cpus[0].Now()) {
		s := d.inputs.source(in.to)
		if s.Device >= 0 {
			d.b.virtio[s.Device].Refresh()
		}
		s.Give(in.bytes)
		if s.Device >= 0 {
			if err := d.await(s.Name, d.b.virtio[s.Device]); err != nil {
				return err
			}
		}
	}
	for _, c := range d.b.cpus {
		if !c.on {
			continue
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
		}
	}
	return nil
}

// instructions is the count over all vCPUs.
func (d *driver) instructions() (n uint64) {
	for _, c := range d.cpus {
		n += c.Instructions()
	}
	return n
}

// pick is the vCPU whose turn it is, passing those over that are off or wait.
// It starts those that PSCI wants on. nil means that all wait.
func (d *driver) pick() (*cpu, error) {
	n := len(d.b.cpus)
	for i := range n + 1 {
		c := d.b.cpus[(d.turn+i)%n]
		if i == 0 && d.left == 0 {
			continue
		}
		if ok, err := c.runnable(); !ok || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		if i > 0 {
			d.begin(c.index)
		}
		return c, nil
	}
	return nil, nil
}

// begin gives a vCPU its turn.
func (d *driver) begin(index int) {
	d.turn = index
	d.turns++
	d.left = max(d.cfg.Quantum/2+d.rng.Uint64N(d.cfg.Quantum/2+1), 1)
}

// runnable says whether a vCPU has something to do.
func (c *cpu) runnable() (bool, error) {
	if !c.on {
		if err := c.tryStart(); err != nil {
			return false, err
		}
	}
	return c.on && !c.stillWaits(), nil
}

// stillWaits says whether a WFI goes on.
func (c *cpu) stillWaits() bool {
	if irq, fiq := c.b.gic.Pending(c.index); irq || fiq {
		c.waiting = false
	}
	return c.waiting
}

// enter runs a vCPU for what is left of its turn, or up to the next thing that
// is due.
func (d *driver) enter(c *cpu, e *hv.Exit) error {
	due, _, err := d.untilDue()
	if err != nil {
		return err
	}
	n := min(d.left, due)
	if err := c.vc.SetPending(d.lines(c)); err != nil {
		return err
	}
	vc := d.cpus[c.index]
	before := vc.Instructions()
	c.state.Store(stateRunning)
	c.running.Store(true)
	err = vc.RunN(n, e)
	c.running.Store(false)
	if err != nil {
		return err
	}
	d.left -= min(d.left, vc.Instructions()-before)
	c.count.exits[e.Kind].Add(1)
	if err := c.sampleTimer(); err != nil {
		return err
	}
	if err := c.handle(e); err != nil {
		return err
	}
	if c.waiting || e.Kind == hv.WFE {
		d.left = 0
	}
	return d.settle(e)
}

// lines are a vCPU's interrupts, with the faults that were asked for.
func (d *driver) lines(c *cpu) (irq, fiq bool) {
	irq, fiq = d.b.gic.Pending(c.index)
	if n := d.cfg.Faults.DelayIRQ; n != 0 && irq {
		if d.held++; d.held%n == 0 {
			irq = false
		}
	}
	if n := d.cfg.Faults.SpuriousIRQ; n != 0 && d.turns%n == 0 {
		irq = true
	}
	return irq, fiq
}

// never is longer than any machine runs, in instructions or nanoseconds.
const never = 1 << 62

// untilDue is how many instructions, and nanoseconds, there are until something
// is due: a timer of any vCPU, an event, an input of a replay.
func (d *driver) untilDue() (instructions, ns uint64, err error) {
	ns = never
	if t, ok := d.clock.next(); ok {
		ns = min(ns, t)
	}
	for _, c := range d.b.cpus {
		if !c.on {
			continue
		}
		left, armed, err := c.untilTimer()
		if err != nil {
			return 0, 0, err
		}
		if armed {
			ns = min(ns, uint64(max(left, 0)))
		}
	}
	instructions = never
	if in, ok := d.inputs.next(); ok {
		if count := d.instructions(); in.at > count {
			instructions = in.at - count
		} else {
			ns = min(ns, in.ns-min(in.ns, d.cpus[0].Now()))
		}
	}
	if ns < never/1000 {
		instructions = min(instructions, (ns*1000+d.cfg.PSPerInstruction-1)/d.cfg.PSPerInstruction)
	}
	return max(instructions, 1), ns, nil
}

// idle skips to the next thing that is due, or waits for the outside when
// nothing is.
func (d *driver) idle() error {
	_, ns, err := d.untilDue()
	if err != nil {
		return err
	}
	if ns < never {
		d.cpus[0].Skip(max(ns, 1))
		return nil
	}
	c := d.b.cpus[0]
	c.state.Store(stateWaiting)
	c.rest(nil)
	c.count.wakeups.Add(1)
	return nil
}

// settle waits until a virtio device that was written to is at rest.
func (d *driver) settle(e *hv.Exit) error {
	if e.Kind != hv.MMIO || !e.Write {
		return nil
	}
	s := d.b.bus.find(e.IPA, int(e.Size))
	if s == nil {
		return nil
	}
	t, ok := s.dev.(*mmio.Transport)
	if !ok {
		return nil
	}
	return d.await(s.name, t)
}

// await lets a device come to rest.
func (d *driver) await(name string, t *mmio.Transport) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleLimit)
	defer cancel()
	for n := 0; !t.AtRest() && !d.b.stopping.Load(); n++ {
		if ctx.Err() != nil {
			return fmt.Errorf("device %s is not at rest %s after a notification or an input", name, settleLimit)
		}
		if n < settleSpins {
			runtime.Gosched()
			continue
		}
		time.Sleep(settleNap)
	}
	return nil
}

// settle looks this often before it begins to sleep, and then for this long.
const (
	settleSpins = 200
	settleNap   = 20 * time.Microsecond
)
