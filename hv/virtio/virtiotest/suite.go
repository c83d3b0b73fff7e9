package virtiotest

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// A Subject is a device under the conformance suite.
type Subject struct {
	// New makes a device in the state in which a machine starts.
	New func(t testing.TB) virtio.Device
	// Probe uses the device through d as a correct driver does, and fails t if
	// it does not work. It is called after every start.
	Probe func(t testing.TB, d *Driver)
}

// Run holds a device to what every device promises its transport and its guest.
func Run(t *testing.T, s Subject) {
	t.Run("starts with all features", func(t *testing.T) { s.Probe(t, Start(t, s.New(t), Options{})) })
	t.Run("starts with indirect tables", func(t *testing.T) { s.Probe(t, Start(t, s.New(t), Options{Indirect: true})) })
	t.Run("starts without ring features", func(t *testing.T) {
		s.Probe(t, Start(t, s.New(t), Options{Refuse: virtio.FeatureEventIdx | virtio.FeatureIndirect}))
	})
	t.Run("starts with features one by one left out", s.features)
	t.Run("refuses features that it did not offer", s.refuses)
	t.Run("says nothing before DRIVER_OK", s.silent)
	t.Run("is at rest when nothing was asked", s.rest)
	t.Run("can be reset at any moment", s.reset)
	t.Run("leaves guest memory alone after reset", s.letsGo)
	t.Run("survives garbage in its rings", s.garbage)
	t.Run("runs without any queue", s.noQueues)
	t.Run("reads and writes outside its configuration", s.config)
}

// features leaves out each feature in turn: no device may count on one.
func (s Subject) features(t *testing.T) {
	all := s.New(t).Info().Features
	for bit := range 64 {
		if f := uint64(1) << bit; all&f != 0 {
			d := Start(t, s.New(t), Options{Refuse: f})
			s.Probe(t, d)
		}
	}
}

func (s Subject) refuses(t *testing.T) {
	offered := s.New(t).Info().Features | virtio.RingFeatures
	for bit := range 64 {
		want := offered | 1<<bit
		if want == offered {
			want &^= virtio.FeatureVersion1 // section 6.1: a driver must take it
		}
		d := New(t, s.New(t), Options{})
		d.W(Status, StAcknowledge)
		d.W(Status, StAcknowledge|StDriver)
		for i := range uint32(2) {
			d.W(DrvFeatSel, i)
			d.W(DrvFeatures, uint32(want>>(32*i)))
		}
		d.W(Status, StAcknowledge|StDriver|StFeaturesOK)
		if st := d.R(Status); st&StFeaturesOK != 0 {
			t.Fatalf("features %#x of %#x offered: status %#x, want FEATURES_OK clear", want, offered, st)
		}
		d.W(Status, StAcknowledge|StDriver|StFeaturesOK|StDriverOK)
		if st := d.R(Status); st&StDriverOK != 0 {
			t.Fatalf("status %#x after DRIVER_OK without FEATURES_OK", st)
		}
		d.close()
	}
}

// silent fills the queues before DRIVER_OK: nothing may be raised or used.
func (s Subject) silent(t *testing.T) {
	d := New(t, s.New(t), Options{})
	d.Negotiate()
	d.SetupQueues()
	for _, q := range d.Queues {
		q.Add(d.In(64))
		q.Notify()
	}
	time.Sleep(5 * time.Millisecond)
	if d.Rises() != 0 || d.R(IntStatus) != 0 {
		t.Errorf("%d interrupts before DRIVER_OK, status %#x", d.Rises(), d.R(IntStatus))
	}
	for _, q := range d.Queues {
		if _, _, ok := q.Used(); ok {
			t.Errorf("queue %d was served before DRIVER_OK", q.Index)
		}
	}
}

func (s Subject) rest(t *testing.T) {
	d := Start(t, s.New(t), Options{})
	d.WaitRest()
	s.Probe(t, d)
	d.WaitRest()
	for _, q := range d.Queues {
		q.Notify() // for nothing
	}
	d.WaitRest()
}

// reset resets while chains of random shape are being served.
func (s Subject) reset(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	d := Start(t, s.New(t), Options{})
	for range 60 {
		for _, q := range d.Queues {
			d.fill(rnd, q, 1+rnd.IntN(8), 4)
			q.Notify()
		}
		if rnd.IntN(2) == 0 {
			time.Sleep(time.Duration(rnd.IntN(300)) * time.Microsecond)
		}
		d.Init()
	}
	s.Probe(t, d)
	d.within("reset", func() { d.W(Status, 0) })
	if d.Level() || d.R(IntStatus) != 0 {
		t.Errorf("line %v, status %#x after reset", d.Level(), d.R(IntStatus))
	}
}

// fill adds up to chains chains of up to n buffers, as the queue has room.
func (d *Driver) fill(rnd *rand.Rand, q *Ring, chains, n int) {
	for range chains {
		if bufs := d.random(rnd, n); len(bufs) <= q.Room() {
			q.Add(bufs...)
		}
	}
}

// random is a chain of up to n buffers of readable, then writable memory.
func (d *Driver) random(rnd *rand.Rand, n int) []Buf {
	var bufs []Buf
	write := false
	for range 1 + rnd.IntN(n) {
		write = write || rnd.IntN(2) == 0
		b := d.Alloc(rnd.IntN(600))
		for i := range b.B {
			b.B[i] = byte(rnd.Uint32()) & 0xf // small numbers are likelier to mean something
		}
		b.Write = write
		bufs = append(bufs, b)
	}
	return bufs
}

func (s Subject) letsGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	d := Start(t, s.New(t), Options{})
	for range 20 {
		for _, q := range d.Queues {
			d.fill(rnd, q, 8, 3)
			q.Notify()
		}
		d.within("reset", func() { d.W(Status, 0) })
		before := slices.Clone(d.ram.Bytes()[:d.used()])
		time.Sleep(200 * time.Microsecond)
		if !bytes.Equal(before, d.ram.Bytes()[:d.used()]) {
			t.Fatal("guest memory changed after reset")
		}
		d.Init()
	}
}

// garbage is what a ring must not hold, by what is wrong.
var garbage = []struct {
	name string
	make func(r *Ring)
}{
	{"a head that does not exist", func(r *Ring) { r.Offer(r.Size) }},
	{"an index far ahead", func(r *Ring) { r.SetIdx(r.Size + 1) }},
	{"an index that went back", func(r *Ring) { r.SetIdx(0xfff0) }},
	{"a descriptor that leads to itself", func(r *Ring) {
		r.SetDesc(0, Base, 1, DescNext, 0)
		r.Offer(0)
	}},
	{"a loop of two", func(r *Ring) {
		r.SetDesc(0, Base, 1, DescNext, 1)
		r.SetDesc(1, Base, 1, DescNext, 0)
		r.Offer(0)
	}},
	{"a next that does not exist", func(r *Ring) {
		r.SetDesc(0, Base, 1, DescNext, r.Size)
		r.Offer(0)
	}},
	{"a buffer below memory", func(r *Ring) {
		r.SetDesc(0, Base-1, 2, 0, 0)
		r.Offer(0)
	}},
	{"a buffer past the end of memory", func(r *Ring) {
		r.SetDesc(0, Base+16<<20-1, 2, DescWrite, 0)
		r.Offer(0)
	}},
	{"a buffer that wraps", func(r *Ring) {
		r.SetDesc(0, ^uint64(0)-7, 16, DescWrite, 0)
		r.Offer(0)
	}},
	{"readable after writable", func(r *Ring) {
		r.SetDesc(0, Base, 1, DescNext|DescWrite, 1)
		r.SetDesc(1, Base, 1, 0, 0)
		r.Offer(0)
	}},
	{"an empty indirect table", func(r *Ring) {
		r.SetDesc(0, Base, 0, DescIndirect, 0)
		r.Offer(0)
	}},
	{"an indirect table of half a descriptor", func(r *Ring) {
		r.SetDesc(0, Base, 8, DescIndirect, 0)
		r.Offer(0)
	}},
	{"an indirect table outside memory", func(r *Ring) {
		r.SetDesc(0, Base-16, 16, DescIndirect, 0)
		r.Offer(0)
	}},
	{"an indirect table longer than the queue", func(r *Ring) {
		r.SetDesc(0, Base, 16*(uint32(r.Size)+1), DescIndirect, 0)
		r.Offer(0)
	}},
	{"an indirect table with a successor", func(r *Ring) {
		r.SetDesc(0, Base, 16, DescIndirect|DescNext, 1)
		r.Offer(0)
	}},
	{"an indirect table that is its own entry", func(r *Ring) {
		r.SetDesc(0, r.Desc.GPA, 16, DescIndirect, 0)
		r.Offer(0)
	}},
	{"a chain of more than 4 GiB", func(r *Ring) {
		for i := range r.Size - 1 {
			r.SetDesc(i, Base, 16<<20, DescNext|DescWrite, i+1)
		}
		r.SetDesc(r.Size-1, Base, 16<<20, DescWrite, 0)
		r.Offer(0)
	}},
}

// garbage puts each into each queue. A device may refuse it or, where it does
// not look at that queue, ignore it; it must work after the next reset.
func (s Subject) garbage(t *testing.T) {
	for _, g := range garbage {
		t.Run(g.name, func(t *testing.T) {
			d := Start(t, s.New(t), Options{})
			for i := range d.Queues {
				g.make(d.Queues[i])
				d.Queues[i].Notify()
				d.WaitRest()
				d.Init()
			}
			s.Probe(t, d)
		})
	}
}

func (s Subject) noQueues(t *testing.T) {
	d := New(t, s.New(t), Options{})
	d.Negotiate()
	d.W(Status, StAcknowledge|StDriver|StFeaturesOK|StDriverOK)
	for i := range uint32(virtio.MaxQueues + 1) {
		d.W(QueueNotify, i)
	}
	d.WaitRest()
	d.Init()
	s.Probe(t, d)
}

func (s Subject) config(t *testing.T) {
	d := Start(t, s.New(t), Options{})
	for _, off := range []uint64{0, 1, 3, 63, 64, 0xff, 0x1ff, 0x1000, 1<<63 - 1, ^uint64(0) - ConfigSpace - 7, ^uint64(0) - ConfigSpace} {
		for _, size := range []int{1, 2, 4, 8} {
			v := d.Bus.Read(ConfigSpace+off, size)
			if size < 8 && v>>(8*size) != 0 {
				t.Errorf("%d bytes at configuration offset %#x read as %#x", size, off, v)
			}
			d.Bus.Write(ConfigSpace+off, size, v) // what was there
		}
	}
	s.Probe(t, d)
}
