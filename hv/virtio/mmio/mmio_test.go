package mmio_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

// echo is a device that copies what it reads to what it writes, on every queue.
type echo struct {
	info   virtio.Info
	serves atomic.Int64 // calls of Serve
	fail   error        // what Serve answers at once, if not nil
}

func newEcho(queues int) *echo {
	e := &echo{
		info: virtio.Info{ID: 42, Features: 1<<3 | 1<<50, Config: virtio.NewConfig([]byte("0123456789abcdef"), 4, 8)},
	}
	for range queues {
		e.info.QueueMax = append(e.info.QueueMax, 64)
	}
	return e
}

func (e *echo) Info() virtio.Info { return e.info }

func (e *echo) Serve(ctx context.Context, qs []*virtio.Queue) error {
	e.serves.Add(1)
	if e.fail != nil {
		return e.fail
	}
	var parts []func(context.Context) error
	for _, q := range qs {
		parts = append(parts, func(ctx context.Context) error { return e.serve(ctx, q) })
	}
	return virtio.Together(ctx, parts...)
}

func (e *echo) serve(ctx context.Context, q *virtio.Queue) error {
	for {
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		b := make([]byte, c.ReadLen())
		_ = c.ReadFull(b)
		n, _ := c.Write(b)
		c.Finish(uint32(n))
		c.Finish(99) // does nothing
	}
}

func TestConformance(t *testing.T) {
	virtiotest.Run(t, virtiotest.Subject{
		New: func(testing.TB) virtio.Device { return newEcho(1) },
		Probe: func(t testing.TB, d *virtiotest.Driver) {
			in := d.In(8)
			if n := d.Queues[0].Do(d.Out([]byte("abc")), d.Out([]byte("defgh")), in); n != 8 || string(in.B) != "abcdefgh" {
				t.Errorf("%d bytes came back: %q", n, in.B)
			}
		},
	})
}

func TestRegistersOfANewDevice(t *testing.T) {
	e := newEcho(2)
	e.info.Shared = []virtio.SharedRegion{{}, {Base: 0x1_2345_0000, Length: 0x3_0000_1000}}
	d := virtiotest.New(t, e, virtiotest.Options{})
	tests := []struct {
		name string
		off  uint64
		want uint32
	}{
		{"magic", virtiotest.Magic, 0x74726976},
		{"version", virtiotest.Version, 2},
		{"device", virtiotest.DeviceID, 42},
		{"features, low", virtiotest.DevFeatures, 1<<3 | 1<<28 | 1<<29},
		{"queue size", virtiotest.QueueMax, 64},
		{"queue ready", virtiotest.QueueReady, 0},
		{"interrupts", virtiotest.IntStatus, 0},
		{"status", virtiotest.Status, 0},
		{"a hole in the shared memory, low", virtiotest.ShmLen, 1<<32 - 1},
		{"a hole in the shared memory, high", virtiotest.ShmLen + 4, 1<<32 - 1},
		{"nothing there", 0x1c, 0},
		{"a register to write", virtiotest.QueueNotify, 0},
	}
	for _, tt := range tests {
		if got := d.R(tt.off); got != tt.want {
			t.Errorf("%s (%#x) is %#x, want %#x", tt.name, tt.off, got, tt.want)
		}
	}
	d.W(virtiotest.DevFeatSel, 1)
	d.W(virtiotest.ShmSel, 1)
	d.W(virtiotest.QueueSel, 2)
	for off, want := range map[uint64]uint32{
		virtiotest.DevFeatures: 1 | 1<<18, virtiotest.QueueMax: 0,
		virtiotest.ShmLen: 0x1000, virtiotest.ShmLen + 4: 3, virtiotest.ShmBase: 0x2345_0000, virtiotest.ShmBase + 4: 1,
	} {
		if got := d.R(off); got != want {
			t.Errorf("register %#x is %#x with the second selected, want %#x", off, got, want)
		}
	}
	d.W(virtiotest.DevFeatSel, 2)
	if got := d.R(virtiotest.DevFeatures); got != 0 {
		t.Errorf("features 64 and up are %#x", got)
	}
	for _, size := range []int{1, 2, 8} {
		if got := d.Bus.Read(virtiotest.Magic, size); got != 0 {
			t.Errorf("%d bytes of a register read as %#x", size, got)
		}
	}
}

func TestStatusMachine(t *testing.T) {
	const ack, driver, ok, features, failed = virtiotest.StAcknowledge, virtiotest.StDriver, virtiotest.StDriverOK, virtiotest.StFeaturesOK, virtiotest.StFailed
	tests := []struct {
		name   string
		writes []uint32
		want   uint32
	}{
		{"step by step", []uint32{ack, ack | driver, ack | driver | features, ack | driver | features | ok}, ack | driver | features | ok},
		{"the first two at once", []uint32{ack | driver}, ack | driver},
		{"the same again", []uint32{ack, ack}, ack},
		{"no acknowledge", []uint32{driver}, 0},
		{"no features", []uint32{ack, ack | driver, ack | driver | ok}, ack | driver},
		{"all at once", []uint32{ack | driver | features | ok}, 0},
		{"a bit taken away", []uint32{ack, ack | driver, driver}, ack | driver},
		{"a bit that does not exist", []uint32{ack | 0x20}, 0},
		{"the device's bit", []uint32{ack, ack | driver | virtiotest.StNeedsReset}, ack | driver},
		{"given up", []uint32{ack, ack | failed}, ack | failed},
		{"on after giving up", []uint32{ack, ack | failed, ack | driver}, ack | failed},
		{"reset", []uint32{ack, ack | driver, 0}, 0},
		{"again after reset", []uint32{ack, ack | failed, 0, ack}, ack},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := virtiotest.New(t, newEcho(1), virtiotest.Options{})
			d.W(virtiotest.DrvFeatSel, 1)
			for _, w := range tt.writes {
				d.W(virtiotest.DrvFeatures, 1) // VERSION_1
				d.W(virtiotest.Status, w)
			}
			if got := d.R(virtiotest.Status); got != tt.want {
				t.Errorf("status %#x after %#x, want %#x", got, tt.writes, tt.want)
			}
		})
	}
}

// queueSetup are ways to lay out a queue of 4 at the start of 16 MiB of memory.
var queueSetup = []struct {
	name             string
	size             uint32
	desc, avail, use uint64
	ready            bool
}{
	{"good", 4, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 128, true},
	{"at the end of memory", 4, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 16<<20 - 40, true},
	{"over the end of memory", 4, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 16<<20 - 36, false},
	{"no descriptors", 0, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 128, false},
	{"no power of two", 3, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 128, false},
	{"too large", 128, virtiotest.Base, virtiotest.Base + 4096, virtiotest.Base + 8192, false},
	{"65540 descriptors", 65540, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 128, false},
	{"unaligned descriptors", 4, virtiotest.Base + 8, virtiotest.Base + 128, virtiotest.Base + 256, false},
	{"unaligned avail ring", 4, virtiotest.Base, virtiotest.Base + 65, virtiotest.Base + 128, false},
	{"unaligned used ring", 4, virtiotest.Base, virtiotest.Base + 64, virtiotest.Base + 130, false},
	{"outside memory", 4, 0, virtiotest.Base + 64, virtiotest.Base + 128, false},
	{"address wraps", 4, 1<<64 - 16, virtiotest.Base + 64, virtiotest.Base + 128, false},
}

func TestQueueSetup(t *testing.T) {
	for _, tt := range queueSetup {
		t.Run(tt.name, func(t *testing.T) {
			d := virtiotest.New(t, newEcho(1), virtiotest.Options{})
			d.Negotiate()
			d.W(virtiotest.QueueSize, tt.size)
			for off, v := range map[uint64]uint64{
				virtiotest.QueueDesc: tt.desc, virtiotest.QueueDriver: tt.avail, virtiotest.QueueDevice: tt.use,
			} {
				d.W(off, uint32(v))
				d.W(off+4, uint32(v>>32))
			}
			d.W(virtiotest.QueueReady, 1)
			if got := d.R(virtiotest.QueueReady) == 1; got != tt.ready {
				t.Errorf("ready %v, want %v", got, tt.ready)
			}
		})
	}
}

func TestQueuesAreFixedOnceTheyWork(t *testing.T) {
	d := virtiotest.Start(t, newEcho(1), virtiotest.Options{})
	d.W(virtiotest.QueueSel, 0)
	d.W(virtiotest.QueueReady, 0)
	d.W(virtiotest.QueueDesc, 0)
	if d.R(virtiotest.QueueReady) != 1 {
		t.Error("a queue at work is not ready any more")
	}
	in := d.In(1)
	if d.Queues[0].Do(d.Out([]byte("x")), in); in.B[0] != 'x' {
		t.Error("the queue does not work any more")
	}
}

func TestSixtyFourQueues(t *testing.T) {
	d := virtiotest.Start(t, newEcho(virtio.MaxQueues), virtiotest.Options{QueueSize: 8})
	if len(d.Queues) != virtio.MaxQueues {
		t.Fatalf("%d queues", len(d.Queues))
	}
	for i, q := range d.Queues {
		in := d.In(1)
		if q.Do(d.Out([]byte{byte(i)}), in); in.B[0] != byte(i) {
			t.Errorf("queue %d answers %d", i, in.B[0])
		}
	}
}

func TestLineFollowsInterruptStatus(t *testing.T) {
	e := newEcho(1)
	levels := []bool{}
	tr := mmio.New(e, nil, func(level bool) { levels = append(levels, level) })
	defer tr.Close()
	e.info.Config.Set(0, []byte{1}) // before DRIVER_OK: not a word
	w := func(off uint64, v uint64) { tr.Write(off, 4, v) }
	for _, s := range []uint64{1, 3} {
		w(virtiotest.Status, s)
	}
	w(virtiotest.DrvFeatSel, 1)
	w(virtiotest.DrvFeatures, 1)
	w(virtiotest.Status, 11)
	w(virtiotest.Status, 15)
	if len(levels) != 0 {
		t.Fatalf("line %v before anything happened", levels)
	}
	e.info.Config.Set(0, []byte{2})
	e.info.Config.Set(0, []byte{3})
	if got := tr.Read(virtiotest.IntStatus, 4); got != 2 {
		t.Errorf("interrupt status %d, want 2", got)
	}
	w(virtiotest.IntAck, 1) // not what is pending
	w(virtiotest.IntAck, 2)
	w(virtiotest.IntAck, 2)
	e.info.Config.Set(0, []byte{4})
	w(virtiotest.Status, 0)
	want := []bool{true, false, true, false}
	if len(levels) != len(want) {
		t.Fatalf("line %v, want %v", levels, want)
	}
	for i := range want {
		if levels[i] != want[i] {
			t.Errorf("line %v, want %v", levels, want)
		}
	}
}

func TestConfigurationGeneration(t *testing.T) {
	e := newEcho(1)
	d := virtiotest.Start(t, e, virtiotest.Options{})
	gen := d.R(virtiotest.ConfigGen)
	d.Bus.Write(virtiotest.ConfigSpace+2, 4, 0x44434241) // bytes 2 to 5, of which 4 and 5 may be written
	if got := string(d.Config(0, 16)); got != "0123CD6789abcdef" || d.R(virtiotest.ConfigGen) != gen {
		t.Errorf("configuration %q, generation %d, was %d", got, d.R(virtiotest.ConfigGen), gen)
	}
	select {
	case <-e.info.Config.Written():
	default:
		t.Error("the device was not told that the driver wrote")
	}
	e.info.Config.Set(15, []byte("F"))
	if got := string(d.Config(0, 16)); got != "0123CD6789abcdeF" || d.R(virtiotest.ConfigGen) == gen {
		t.Errorf("configuration %q, generation %d is the same", got, gen)
	}
	if got := d.Bus.Read(virtiotest.ConfigSpace+14, 4); got != 'e'|'F'<<8 {
		t.Errorf("reading over the end gave %#x", got)
	}
}

func TestDeviceThatFailsAsksForReset(t *testing.T) {
	e := newEcho(1)
	e.fail = errors.New("broken")
	d := virtiotest.Start(t, e, virtiotest.Options{})
	d.WaitNeedsReset()
	if err := d.Bus.Err(); !errors.Is(err, e.fail) {
		t.Errorf("the transport says %v", err)
	}
	if !d.Bus.AtRest() {
		t.Error("a device that is over is not at rest")
	}
	d.W(virtiotest.Status, 0)
	if s := d.R(virtiotest.Status); s != 0 {
		t.Errorf("status %#x after reset", s)
	}
}

func TestServeRunsOncePerStart(t *testing.T) {
	e := newEcho(1)
	d := virtiotest.Start(t, e, virtiotest.Options{})
	for range 3 {
		d.W(virtiotest.Status, 15)
		d.Init()
	}
	d.Bus.Close()
	d.Bus.Close()
	if n := e.serves.Load(); n != 4 {
		t.Errorf("served %d times, want 4", n)
	}
	if v := d.R(virtiotest.Magic); v != 0 {
		t.Errorf("a closed window reads as %#x", v)
	}
	d.W(virtiotest.Status, 1)
	d.W(virtiotest.QueueNotify, 0)
}

func TestEmptyAndIndirectChains(t *testing.T) {
	for _, indirect := range []bool{false, true} {
		d := virtiotest.Start(t, newEcho(1), virtiotest.Options{Indirect: indirect})
		if n := d.Queues[0].Do(virtiotest.Buf{GPA: 1}); n != 0 { // no bytes, at no address
			t.Errorf("an empty buffer came back with %d bytes", n)
		}
		var bufs []virtiotest.Buf
		for range 63 {
			bufs = append(bufs, d.Out([]byte("x")))
		}
		in := d.In(63)
		if n := d.Queues[0].Do(append(bufs, in)...); n != 63 {
			t.Errorf("a chain as long as its queue (indirect %v): %d bytes", indirect, n)
		}
	}
}

// TestIndexWraps makes more requests than the 16-bit indices count.
func TestIndexWraps(t *testing.T) {
	for _, refuse := range []uint64{0, virtio.FeatureEventIdx} {
		d := virtiotest.Start(t, newEcho(1), virtiotest.Options{Refuse: refuse, QueueSize: 8})
		out, in := d.Out([]byte("x")), d.In(1)
		for range 1<<16/4 + 100 {
			for range 4 {
				d.Queues[0].Add(out, in)
			}
			d.Queues[0].Kick()
			for range 4 {
				d.Queues[0].Wait()
			}
		}
	}
}

func FuzzTransport(f *testing.F) {
	virtiotest.Fuzz(f, func(testing.TB) virtio.Device { return newEcho(3) })
}

func TestStateShowsWhatIsStuck(t *testing.T) {
	e := newEcho(2)
	d := virtiotest.New(t, e, virtiotest.Options{})
	if s := d.Bus.State(); s.Phase != mmio.Off || len(s.Queues) != 0 {
		t.Errorf("before the driver: %+v", s)
	}
	d.Init()
	in := d.In(8)
	d.Queues[1].Do(d.Out([]byte("abc")), in)
	s := d.Bus.State()
	if s.Phase != mmio.AtWork || len(s.Queues) != 2 {
		t.Fatalf("at work: %+v", s)
	}
	q := s.Queues[1]
	if q.Index != 1 || q.Size == 0 || q.Avail != 1 || q.Used != 1 || q.Taken != 0 || q.Notified != 1 || q.Signals != 1 {
		t.Errorf("after one request: %+v", q)
	}
}

func TestStateOfABrokenDevice(t *testing.T) {
	e := newEcho(1)
	e.fail = errors.New("the guest did what it may not")
	d := virtiotest.New(t, e, virtiotest.Options{})
	told := make(chan error, 1)
	d.Bus.OnFailure(func(err error) { told <- err })
	d.Init()
	if err := <-told; !errors.Is(err, e.fail) {
		t.Errorf("told of %v", err)
	}
	if s := d.Bus.State(); s.Phase != mmio.Broken || !errors.Is(s.Err, e.fail) {
		t.Errorf("broken: %+v", s)
	}
}

// stuck is a device that does not end when it should.
type stuck struct {
	*echo
	free chan struct{}
}

func (s stuck) Serve(ctx context.Context, _ []*virtio.Queue) error {
	<-s.free
	return ctx.Err()
}

func TestStateDoesNotWaitForAStuckReset(t *testing.T) {
	s := stuck{newEcho(1), make(chan struct{})}
	d := virtiotest.New(t, s, virtiotest.Options{})
	d.Init()
	done := make(chan struct{})
	go func() { defer close(done); d.Bus.Write(virtiotest.Status, 4, 0) }()
	for d.Bus.State().Phase != mmio.Busy { // a test that hangs here has found what it looks for
		runtime.Gosched()
	}
	close(s.free)
	<-done
}
