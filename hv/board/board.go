// Package board makes one machine from parts: guest memory, an engine's vCPUs,
// a GICv3, UART, clock and virtio-mmio windows at the addresses of Layout,
// described to the guest by a devicetree and booted as the arm64 boot protocol
// of Linux wants it.
//
// A Board is made by New, run once by Run and released by Close. Everything the
// guest does is an event that the board handles, or an Outcome that ends Run;
// an error from Run is the host's failure.
//
// # Goroutines
//
// Run starts one goroutine for each vCPU, locked to its thread, and one for the
// UART's output; it has ended them all when it returns. Stop, Pause, Resume,
// UARTInput and Stats may be called from any goroutine at any time.
//
// # Ordered stop
//
// vCPUs are told and kicked until each has left the engine and closed its vCPU;
// then the devices are closed, then the VM, and in Close guest memory.
package board

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/irq"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/trace"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// Config is what a machine is made of.
type Config struct {
	Engine hv.Engine
	CPUs   int    // 1 to MaxCPUs, at most the engine's
	Memory uint64 // bytes of RAM, a multiple of 1 MiB, at least MinMemory
	Kernel *image.Kernel
	Initrd []byte // nil for none
	// Cmdline is the kernel's command line.
	Cmdline string
	// Seed makes /chosen/rng-seed and kaslr-seed; nil takes it from the host.
	Seed []byte
	// Devices sit behind virtio-mmio windows in this order, which is the order
	// that the guest sees them in. At most MaxDevices.
	Devices []virtio.Device
	// UART takes what the guest writes to its PL011; nil discards it. A writer
	// that blocks slows the guest's console and nothing else.
	UART io.Writer
	// Watch sees the guest's consoles; tap a virtio console with Watch.Tap. The
	// UART is tapped by the board. nil makes one for the UART alone.
	Watch *Watch
	// Failed is told when the guest has broken the rules of Devices[i], so that it must
	// reset it; nil for nobody. It must not block.
	Failed func(i int, err error)
	// Log takes a line for the host's log now and then; nil discards it.
	Log func(format string, args ...any)
	// DigestMemory asks for Outcome.MemorySHA256.
	DigestMemory bool
	// Trace writes down what the machine does, as far as the engine can tell; nil for
	// nothing. Run flushes it at the end.
	Trace *trace.Tracer
	// Debug makes a Debugger, which holds the machine before its first instruction.
	Debug bool
	// Deterministic asks for reproducible runs; nil for the host's time.
	Deterministic *Deterministic
}

// ErrRunning: Run may be called once.
var ErrRunning = errors.New("the board has been run already")

// ErrEnded: there is no machine any more.
var ErrEnded = errors.New("the machine has ended")

// A Board is one machine.
type Board struct {
	cfg        Config
	ram        *mem.RAM
	blob       []byte // the devicetree
	place      placement
	kernelSize uint64   // bytes of it in guest RAM
	gic        *irq.GIC // nil with the engine's own
	bus        bus
	uart       *uart
	out        *outlet
	rtc        *rtc
	virtio     []*mmio.Transport
	cpus       []*cpu
	vm         hv.VM
	setSPI     func(intid uint32, level bool)

	unknown unknownRegs
	doom    doom
	clock   clock
	driver  *driver // of deterministic mode, else nil
	// debugger is nil without Config.Debug.
	debugger *Debugger

	stopping atomic.Bool   // set with end, for the vCPUs
	stopped  chan struct{} // closed with end

	mu      sync.Mutex // guards what follows
	started time.Time  // when Run began
	ran     time.Duration
	end     *Outcome // how it ends, once that is known; Kind and Message only
	closed  bool

	power power
	pause pause
}

// New makes a machine with its memory filled, ready to run. It needs Close.
// Errors say what does not fit: sizes, counts, a kernel that overlaps what
// comes after it.
func New(cfg Config) (*Board, error) {
	b, err := newBoard(cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot make the machine: %w", err)
	}
	return b, nil
}

func newBoard(cfg Config) (*Board, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = func(string, ...any) {}
	}
	if cfg.Watch == nil {
		cfg.Watch = NewWatch()
	}
	b := &Board{cfg: cfg, stopped: make(chan struct{}), clock: hostClock{}}
	if d := cfg.Deterministic; d != nil {
		if err := b.setDeterministic(*d); err != nil {
			return nil, err
		}
	}
	if cfg.Debug {
		if err := b.setDebug(); err != nil {
			return nil, err
		}
	}
	if err := b.load(); err != nil {
		return nil, err
	}
	if err := b.wire(); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// setDeterministic makes the driver and what follows from it.
func (b *Board) setDeterministic(cfg Deterministic) error {
	if caps := b.cfg.Engine.Caps(); !caps.Counted || caps.GIC {
		return fmt.Errorf("it cannot be deterministic: %w", hv.ErrUnsupported)
	}
	d, err := newDriver(b, cfg)
	if err != nil {
		return err
	}
	b.driver, b.clock = d, d.clock
	if b.cfg.Seed == nil {
		b.cfg.Seed = fmt.Appendf(nil, "deterministic %d", cfg.Seed)
	}
	return nil
}

// check holds a configuration to its bounds and the engine's.
func (c *Config) check() error {
	caps := c.Engine.Caps()
	switch {
	case c.CPUs < 1 || c.CPUs > min(MaxCPUs, caps.MaxVCPUs):
		return fmt.Errorf("it cannot have %d vCPUs; ask for 1 to %d", c.CPUs, min(MaxCPUs, caps.MaxVCPUs))
	case c.Memory < MinMemory || c.Memory%(1<<20) != 0:
		return fmt.Errorf("it cannot have %d bytes of memory; ask for whole MiB from %d", c.Memory, MinMemory>>20)
	case c.Memory > 1<<caps.IPABits-RAMBase:
		return fmt.Errorf("it cannot have %d MiB of memory; the engine's addresses have %d bits", c.Memory>>20, caps.IPABits)
	case len(c.Devices) > MaxDevices:
		return fmt.Errorf("it cannot have %d devices; %d fit", len(c.Devices), MaxDevices)
	case strings.ContainsRune(c.Cmdline, 0) || len(c.Cmdline) > maxCmdline:
		return fmt.Errorf("its command line holds NUL or has %d bytes, more than %d", len(c.Cmdline), maxCmdline)
	}
	for i, d := range c.Devices {
		if err := d.Info().Check(); err != nil {
			return fmt.Errorf("device %d: %w", i, err)
		}
	}
	return nil
}

// load makes guest memory and puts kernel, initrd and devicetree into it. The
// devicetree is made twice: its size decides where the initrd may go.
func (b *Board) load() error {
	s := newSeeds(b.cfg.Seed)
	probe := placement{initrdEnd: uint64(len(b.cfg.Initrd))}
	blob, err := describe(b.cfg, s, probe)
	if err != nil {
		return err
	}
	if b.place, err = place(b.cfg.Memory, b.cfg.Kernel, len(b.cfg.Initrd), len(blob)); err != nil {
		return err
	}
	if b.blob, err = describe(b.cfg, s, b.place); err != nil {
		return err
	}
	if b.ram, err = mem.New(b.cfg.Memory); err != nil {
		return err
	}
	b.place.fill(b.ram.Bytes(), b.cfg.Kernel, b.cfg.Initrd, b.blob)
	b.kernelSize = uint64(len(b.cfg.Kernel.Data))
	b.cfg.Kernel, b.cfg.Initrd = nil, nil // the guest has them; ours would be as large as all the rest
	return nil
}

// wire makes the devices and puts them on the bus.
func (b *Board) wire() error {
	b.bus.log = b.cfg.Log
	b.setSPI = func(uint32, bool) {}
	line := func(intid uint32) func(bool) {
		return func(level bool) { b.setSPI(intid, level) }
	}
	if err := b.wireGIC(); err != nil {
		return err
	}
	space, err := mem.NewSpace(mem.Region{Base: RAMBase, Mem: b.ram.Bytes()})
	if err != nil {
		return err
	}
	if caps := b.cfg.Engine.Caps(); caps.Remap {
		space.OnReturn(caps.Granule, b.renew)
	}
	for i, d := range b.cfg.Devices {
		t := mmio.New(d, space, line(intVirtio+uint32(i)))
		if b.driver != nil {
			t.Exact()
		}
		if b.cfg.Failed != nil {
			t.OnFailure(func(err error) { b.cfg.Failed(i, err) })
		}
		b.virtio = append(b.virtio, t)
		b.bus.add(virtioName(i), VirtioBase+uint64(i)*virtioStride, virtioWindow, t)
	}
	b.out = newOutlet(b.cfg.UART, b.driver != nil)
	b.uart = newUART(line(intUART), b.cfg.Watch.Tap("ttyAMA0", nil), b.out)
	b.rtc = newRTC(line(intRTC), b.clock)
	b.bus.add("pl011", UARTBase, mmioPage, b.uart)
	b.bus.add("pl031", RTCBase, mmioPage, b.rtc)
	b.bus.add("pvpanic", PvpanicBase, pvpanicSize, pvpanic{b.pvpanic})
	for i := range b.cfg.CPUs {
		b.cpus = append(b.cpus, newCPU(b, i))
	}
	b.cfg.Watch.tell(b.panicHint)
	return nil
}

// renew gives pages back where the engine keeps what it has mapped. Meanwhile the
// guest, which has said that it does not use them, sees no memory there.
func (b *Board) renew(gpa uint64, ram []byte) error {
	if err := b.vm.Unmap(gpa, uint64(len(ram))); err != nil {
		return err
	}
	err := mem.Renew(ram)
	return errors.Join(err, b.vm.Map(gpa, ram, ramProt))
}

func (b *Board) wireGIC() error {
	if b.cfg.Engine.Caps().GIC {
		return nil // made with the VM
	}
	var err error
	spis := intVirtio - irq.FirstSPI + len(b.cfg.Devices)
	if b.gic, err = irq.New(b.cfg.CPUs, spis, func(i int) { b.cpus[i].wake() }); err != nil {
		return err
	}
	b.setSPI = b.gic.SetSPI
	b.bus.add("gicd", GICDBase, irq.DistributorSize, b.gic.Distributor())
	b.bus.add("gicr", GICRBase, uint64(b.cfg.CPUs)*irq.RedistributorSize, b.gic.Redistributors())
	return nil
}

// FDT is the devicetree blob that the guest gets.
func (b *Board) FDT() []byte { return b.blob }

// UARTInput is what somebody types on the PL011. It waits while the guest has
// more to read than fits. Errors: ErrEnded when the machine has ended. One
// goroutine at a time may type.
func (b *Board) UARTInput(p []byte) error {
	if b.driver != nil {
		return b.Input(uartInput, p)
	}
	return b.feed(p, b.uart.input, b.uart.room)
}

// Input is what comes from outside to an Outside of a deterministic machine. It
// waits as UARTInput does, and one goroutine at a time may give input of a name.
func (b *Board) Input(name string, p []byte) error {
	if b.driver == nil {
		return errors.New("cannot give input by name: the machine is not deterministic")
	}
	s := b.driver.inputs.source(name)
	if s == nil {
		return fmt.Errorf("cannot give input to %q: the machine has none of that name", name)
	}
	return b.feed(p, func(p []byte) int { return b.driver.inputs.add(s, p) }, s.room)
}

// feed gives p, waiting for room.
func (b *Board) feed(p []byte, take func([]byte) int, room <-chan struct{}) error {
	for {
		p = p[take(p):]
		if len(p) == 0 {
			return nil
		}
		select {
		case <-room:
		case <-b.stopped:
			return ErrEnded
		}
	}
}

// Close releases guest memory and devices. It must come after Run has returned.
func (b *Board) Close() error {
	b.mu.Lock()
	done := b.closed
	b.closed = true
	b.mu.Unlock()
	if done {
		return nil
	}
	b.closeDevices()
	return b.ram.Close()
}

// closeDevices ends everything that may touch guest memory or raise a line.
func (b *Board) closeDevices() {
	for _, t := range b.virtio {
		t.Close()
	}
	if b.rtc != nil {
		b.rtc.close()
	}
	if b.out != nil {
		b.out.close()
	}
}
