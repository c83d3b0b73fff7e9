// Package virtiotest is the guest's side of virtio in Go: a driver that works any
// virtio.Device through the mmio transport and real guest memory, without a
// kernel. Tests, fuzz targets and benchmarks of devices are written with it.
//
// A Driver behaves as a correct guest does until it is told otherwise: the rings
// are there to be spoiled by a test. Whatever a test leaves behind, its cleanup
// closes the device and checks that no goroutine is left.
package virtiotest

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// Base is where guest memory starts.
const Base = 0x4000_0000

// Patience is how long a driver waits for a device before the test has failed.
const Patience = 20 * time.Second

// Registers of the mmio transport (virtio 1.2, section 4.2.2), spelled out a second
// time so that an error in the transport's own table does not cancel out.
const (
	Magic         = 0x000
	Version       = 0x004
	DeviceID      = 0x008
	DevFeatures   = 0x010
	DevFeatSel    = 0x014
	DrvFeatures   = 0x020
	DrvFeatSel    = 0x024
	QueueSel      = 0x030
	QueueMax      = 0x034
	QueueSize     = 0x038
	QueueReady    = 0x044
	QueueNotify   = 0x050
	IntStatus     = 0x060
	IntAck        = 0x064
	Status        = 0x070
	QueueDesc     = 0x080
	QueueDriver   = 0x090
	QueueDevice   = 0x0a0
	ShmSel        = 0x0ac
	ShmLen        = 0x0b0
	ShmBase       = 0x0b8
	ConfigGen     = 0x0fc
	ConfigSpace   = 0x100
	StAcknowledge = 1
	StDriver      = 2
	StDriverOK    = 4
	StFeaturesOK  = 8
	StNeedsReset  = 64
	StFailed      = 128
)

// Options change what a Driver does; the zero value takes everything it is offered.
type Options struct {
	Refuse    uint64 // features not to take
	Skip      []int  // queues not to set up
	QueueSize uint16 // size of every queue; 0 means the device's largest
	Memory    uint64 // bytes of guest memory; 0 means 16 MiB
	Indirect  bool   // put every chain into an indirect table
}

// A Driver is one guest with one device.
type Driver struct {
	Bus      *mmio.Transport
	Space    *mem.Space
	Features uint64  // what was negotiated
	Queues   []*Ring // nil where skipped

	t    testing.TB
	opt  Options
	ram  *mem.RAM
	free uint64 // next free GPA

	config chan struct{} // a token after a configuration interrupt
	line   *line
	wg     sync.WaitGroup
}

// Start makes a guest with dev and drives it to DRIVER_OK.
func Start(t testing.TB, dev virtio.Device, opt Options) *Driver {
	t.Helper()
	d := New(t, dev, opt)
	d.Init()
	return d
}

// New makes a guest whose driver has done nothing yet.
func New(t testing.TB, dev virtio.Device, opt Options) *Driver {
	t.Helper()
	checkLeaks(t)
	if opt.Memory == 0 {
		opt.Memory = 16 << 20
	}
	if err := dev.Info().Check(); err != nil {
		t.Fatal(err)
	}
	ram, err := mem.New(opt.Memory)
	if err != nil {
		t.Fatal(err)
	}
	space, err := mem.NewSpace(mem.Region{Base: Base, Mem: ram.Bytes()})
	if err != nil {
		t.Fatal(err)
	}
	d := &Driver{
		t: t, opt: opt, ram: ram, Space: space,
		config: make(chan struct{}, 1),
		line:   newLine(),
	}
	d.Bus = mmio.New(dev, space, d.line.set)
	d.wg.Go(d.interrupts)
	t.Cleanup(d.close)
	return d
}

// leaks are the tests whose goroutines are to be checked. A test's first driver does it, when the
// last one is closed: others start goroutines at any time.
var leaks sync.Map

func checkLeaks(t testing.TB) {
	if _, there := leaks.LoadOrStore(t, true); there {
		return
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		leaks.Delete(t)
		goleak.VerifyNone(t, before)
	})
}

func (d *Driver) close() {
	d.within("close the device", d.Bus.Close)
	d.line.close()
	d.wg.Wait()
	if err := d.ram.Close(); err != nil {
		d.t.Error(err)
	}
}

// within fails the test when f takes longer than a device may.
func (d *Driver) within(what string, f func()) {
	d.t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(Patience):
		panic("virtiotest: the device took too long to " + what)
	}
}

// R and W are 32-bit accesses to a register.
func (d *Driver) R(off uint64) uint32    { return uint32(d.Bus.Read(off, 4)) }
func (d *Driver) W(off uint64, v uint32) { d.Bus.Write(off, 4, uint64(v)) }

func (d *Driver) w64(off uint64, v uint64) {
	d.W(off, uint32(v))
	d.W(off+4, uint32(v>>32))
}

// Level is whether the interrupt line is high.
func (d *Driver) Level() bool { return d.line.level() }

// Rises is how often the line has gone high.
func (d *Driver) Rises() int { return d.line.count() }

// Init drives the device from reset to DRIVER_OK, as section 3.1.1 says.
func (d *Driver) Init() {
	d.t.Helper()
	d.Reset()
	d.Negotiate()
	d.SetupQueues()
	d.W(Status, StAcknowledge|StDriver|StFeaturesOK|StDriverOK)
	if s := d.R(Status); s&StDriverOK == 0 {
		d.t.Fatalf("status %#x after DRIVER_OK", s)
	}
}

// Reset resets the device and frees all guest memory, which is zero again.
func (d *Driver) Reset() {
	d.t.Helper()
	d.within("reset", func() { d.W(Status, 0) })
	if s := d.R(Status); s != 0 {
		d.t.Fatalf("status %#x after reset", s)
	}
	clear(d.ram.Bytes()[:d.used()])
	d.free = Base
	d.Queues = nil
	d.line.forget()
}

func (d *Driver) used() uint64 {
	if d.free == 0 {
		return 0
	}
	return d.free - Base
}

// Negotiate goes to FEATURES_OK with all that is offered but Options.Refuse.
func (d *Driver) Negotiate() {
	d.t.Helper()
	d.W(Status, StAcknowledge)
	d.W(Status, StAcknowledge|StDriver)
	d.W(DevFeatSel, 0)
	offered := uint64(d.R(DevFeatures))
	d.W(DevFeatSel, 1)
	offered |= uint64(d.R(DevFeatures)) << 32
	d.Features = offered &^ d.opt.Refuse
	for i := range uint32(2) {
		d.W(DrvFeatSel, i)
		d.W(DrvFeatures, uint32(d.Features>>(32*i)))
	}
	d.W(Status, StAcknowledge|StDriver|StFeaturesOK)
	if s := d.R(Status); s&StFeaturesOK == 0 {
		d.t.Fatalf("device refuses features %#x, status %#x", d.Features, s)
	}
}

// SetupQueues lays out and readies all queues but Options.Skip.
func (d *Driver) SetupQueues() {
	d.t.Helper()
	for i := 0; ; i++ {
		d.W(QueueSel, uint32(i))
		n := uint16(d.R(QueueMax))
		if n == 0 {
			return
		}
		if d.opt.QueueSize != 0 {
			n = min(n, d.opt.QueueSize)
		}
		d.Queues = append(d.Queues, d.setup(i, n))
	}
}

func (d *Driver) setup(i int, n uint16) *Ring {
	d.t.Helper()
	for _, s := range d.opt.Skip {
		if s == i {
			return nil
		}
	}
	r := newRing(d, i, n)
	d.W(QueueSize, uint32(n))
	d.w64(QueueDesc, r.Desc.GPA)
	d.w64(QueueDriver, r.Avail.GPA)
	d.w64(QueueDevice, r.UsedRing.GPA)
	d.W(QueueReady, 1)
	if d.R(QueueReady) != 1 {
		d.t.Fatalf("queue %d does not become ready", i)
	}
	return r
}

// Has says whether feature bits were negotiated.
func (d *Driver) Has(f uint64) bool { return d.Features&f == f }

// Config reads n bytes of configuration space, 1 byte at a time.
func (d *Driver) Config(off, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Bus.Read(ConfigSpace+uint64(off+i), 1))
	}
	return b
}

// Config32 reads 4 bytes of configuration space.
func (d *Driver) Config32(off int) uint32 { return binary.LittleEndian.Uint32(d.Config(off, 4)) }

// WaitConfig waits for a configuration change interrupt.
func (d *Driver) WaitConfig() {
	d.t.Helper()
	select {
	case <-d.config:
	case <-time.After(Patience):
		d.t.Fatal("no configuration change interrupt")
	}
}

// WaitNeedsReset waits until the device has given up on the driver.
func (d *Driver) WaitNeedsReset() {
	d.t.Helper()
	for d.R(Status)&StNeedsReset == 0 {
		d.WaitConfig()
	}
}

// WaitRest waits until the device has nothing left to do. It looks at the device
// again and again: nothing tells a guest of it.
func (d *Driver) WaitRest() {
	d.t.Helper()
	for end := time.Now().Add(Patience); !d.Bus.AtRest(); time.Sleep(50 * time.Microsecond) {
		if time.Now().After(end) {
			d.t.Fatal("the device does not come to rest")
		}
	}
}

// A Buf is a piece of guest memory.
type Buf struct {
	GPA   uint64
	B     []byte
	Write bool // for the device to write
}

// Alloc takes n bytes of guest memory, aligned to 16, until Reset.
func (d *Driver) Alloc(n int) Buf {
	d.t.Helper()
	if d.free == 0 {
		d.free = Base
	}
	d.free = (d.free + 15) &^ 15
	b, err := d.Space.Slice(d.free, uint64(n))
	if err != nil {
		d.t.Fatalf("guest memory is used up: %d bytes at %#x", n, d.free)
	}
	buf := Buf{GPA: d.free, B: b}
	d.free += uint64(n)
	return buf
}

// Out is guest memory holding b for the device to read; In is n bytes for it to write.
func (d *Driver) Out(b []byte) Buf {
	d.t.Helper()
	buf := d.Alloc(len(b))
	copy(buf.B, b)
	return buf
}

func (d *Driver) In(n int) Buf {
	d.t.Helper()
	buf := d.Alloc(n)
	buf.Write = true
	return buf
}

// interrupts is the guest's interrupt handler: it acknowledges and wakes
// whoever waits.
func (d *Driver) interrupts() {
	for d.line.wait() {
		s := d.R(IntStatus)
		d.W(IntAck, s)
		if s&2 != 0 {
			poke(d.config)
		}
		if s&1 != 0 {
			for _, q := range d.line.rings() {
				poke(q.woken)
			}
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// line is the interrupt line and the guest's side of it.
type line struct {
	mu     sync.Mutex
	cond   sync.Cond
	high   bool
	closed bool
	rises  int
	queues []*Ring
}

func newLine() *line {
	l := &line{}
	l.cond.L = &l.mu
	return l
}

func (l *line) set(level bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.high = level; level {
		l.rises++
		l.cond.Broadcast()
	}
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.cond.Broadcast()
}

// wait returns when the line is high, or false when the guest ends.
func (l *line) wait() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.high && !l.closed {
		l.cond.Wait()
	}
	return !l.closed
}

func (l *line) level() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.high
}

func (l *line) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rises
}

func (l *line) add(r *Ring) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = append(l.queues, r)
}

func (l *line) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queues = nil
}

func (l *line) rings() []*Ring {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.queues
}
