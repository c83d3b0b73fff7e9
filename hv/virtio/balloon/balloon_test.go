package balloon

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

func TestConformance(t *testing.T) {
	virtiotest.Run(t, virtiotest.Subject{
		New: func(testing.TB) virtio.Device { return New() },
		Probe: func(t testing.TB, d *virtiotest.Driver) {
			d.Queues[0].Do(d.Out(virtiotest.Put(uint32(1))))
			d.Queues[1].Do(d.Out(virtiotest.Put(uint32(1))))
		},
	})
}

// block is a run of the guest's memory, aligned to 16 KiB so that it is whole host pages.
func block(d *virtiotest.Driver, n int) virtiotest.Buf {
	b := d.Alloc(n + 16<<10)
	skip := -b.GPA & (16<<10 - 1)
	b.GPA += skip
	b.B = b.B[skip:][:n]
	for i := range b.B {
		b.B[i] = 0xa5
	}
	b.Write = true
	return b
}

// pfns are the page numbers of a run, shuffled.
func pfns(b virtiotest.Buf) []byte {
	rnd := rand.New(rand.NewPCG(1, 1))
	var p []byte
	for _, i := range rnd.Perm(len(b.B) / PageSize) {
		p = binary.LittleEndian.AppendUint32(p, uint32(b.GPA/PageSize)+uint32(i))
	}
	return p
}

// zeroes is how many bytes of b are zero.
func zeroes(b []byte) (n int) {
	for _, v := range b {
		if v == 0 {
			n++
		}
	}
	return n
}

func waitReturned(t *testing.T, dev *Device, want uint64) {
	t.Helper()
	for end := time.Now().Add(virtiotest.Patience); ; time.Sleep(time.Millisecond) {
		if got, _ := dev.Returned(); got >= want || time.Now().After(end) {
			if got != want {
				t.Errorf("%d bytes returned, want %d", got, want)
			}
			return
		}
	}
}

func TestInflatedPagesLeaveTheHost(t *testing.T) {
	for name, refuse := range map[string]uint64{"collected": 0, "at once": featMustTell} {
		t.Run(name, func(t *testing.T) {
			dev := New()
			d := virtiotest.Start(t, dev, virtiotest.Options{Refuse: refuse})
			b := block(d, 1<<20)
			d.Queues[0].Do(d.Out(pfns(b)))
			if refuse != 0 && zeroes(b.B) != len(b.B) {
				t.Error("the guest may use pages again, and they are not returned yet")
			}
			waitReturned(t, dev, 1<<20)
			if n := zeroes(b.B); n != len(b.B) {
				t.Errorf("%d bytes of %d are zero", n, len(b.B))
			}
			if got := d.Space.Returned(); got != 1<<20 {
				t.Errorf("the memory counts %d bytes", got)
			}
		})
	}
}

func TestABatchGoesBackWithoutWaiting(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	b := block(d, batch)
	p := pfns(b)
	d.Queues[0].Do(d.Out(p[:len(p)/2]))
	d.Queues[0].Do(d.Out(p[len(p)/2:]))
	if got, _ := dev.Returned(); got < batch/2 {
		t.Errorf("%d bytes returned, want about %d", got, batch)
	}
	waitReturned(t, dev, batch)
}

func TestDeflatedPagesAreLeftAlone(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	b := block(d, 64<<10)
	p := d.Out(pfns(b))
	d.Queues[0].Do(p)
	d.Queues[1].Do(p) // before they were returned, unless the machine is slow
	for i := range b.B {
		b.B[i] = 0x5a
	}
	time.Sleep(2 * patience)
	if n := zeroes(b.B); n != 0 {
		t.Errorf("%d bytes were lost that the guest has taken back", n)
	}
}

func TestPagesTwiceAndElsewhere(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	b := block(d, 64<<10)
	p := pfns(b)
	p = append(p, p...)
	p = append(p, virtiotest.Put(uint32(0), uint32(1<<32-1), uint32(virtiotest.Base/PageSize-1))...)
	d.Queues[0].Do(d.Out(append(p, 1, 2, 3))) // and a bit of a number
	waitReturned(t, dev, 64<<10)
	d.Queues[1].Do(d.Out(p))
	d.Queues[0].Do(d.Out(p))
	waitReturned(t, dev, 128<<10)
}

func TestPartsOfHostPagesStay(t *testing.T) {
	p := &pages{Device: New(), in: map[uint64]uint64{}}
	for _, u := range []uint64{4 << 10, 16 << 10, 64 << 10} {
		clear(p.in)
		p.unit = u
		for pfn := range u/PageSize - 1 {
			p.in[0] |= 1 << (pfn + 16)
		}
		if u > PageSize && p.whole(64<<10) {
			t.Errorf("a host page of %d bytes with one page missing is whole", u)
		}
		p.in[0] |= 1 << (u/PageSize - 1 + 16)
		if !p.whole(64 << 10) {
			t.Errorf("a host page of %d bytes is not whole", u)
		}
	}
}

func TestReportedPagesAreReturnedBeforeTheAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse uint64
		queue  int
	}{"beside statistics": {0, 3}, "in the place of statistics": {featStats, 2}} {
		t.Run(name, func(t *testing.T) {
			dev := New()
			d := virtiotest.Start(t, dev, virtiotest.Options{Refuse: tt.refuse})
			a, b := block(d, 2<<20), block(d, 2<<20)
			if n := d.Queues[tt.queue].Do(a, b); n != 0 {
				t.Errorf("%d bytes are said to be written", n)
			}
			if n := zeroes(a.B) + zeroes(b.B); n != 4<<20 {
				t.Errorf("%d bytes are zero, want all", n)
			}
			if _, got := dev.Returned(); got != 4<<20 {
				t.Errorf("%d bytes returned", got)
			}
		})
	}
}

func TestPoisonedPagesKeepTheirPattern(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	d.Bus.Write(virtiotest.ConfigSpace+cfgPoison, 4, 0xaaaaaaaa)
	b := block(d, 2<<20)
	d.Queues[3].Do(b)
	if n := zeroes(b.B); n != 0 {
		t.Errorf("%d bytes of the pattern are gone", n)
	}
}

func TestTargetAndActual(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	dev.SetTarget(100<<20 + 4095)
	d.WaitConfig()
	if got := d.Config32(cfgTarget); got != 100<<20/PageSize {
		t.Errorf("num_pages is %d", got)
	}
	d.Bus.Write(virtiotest.ConfigSpace+cfgActual, 4, 25)
	if got := dev.Actual(); got != 25*PageSize {
		t.Errorf("actual is %d", got)
	}
	d.Bus.Write(virtiotest.ConfigSpace+cfgTarget, 4, 1) // not the driver's
	if got := d.Config32(cfgTarget); got != 100<<20/PageSize {
		t.Errorf("num_pages is %d after the driver wrote it", got)
	}
}

func TestStatistics(t *testing.T) {
	dev := New()
	ctx := context.Background()
	if _, err := dev.Stats(ctx); !errors.Is(err, ErrNoStats) {
		t.Errorf("without a driver: %v", err)
	}
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	q := d.Queues[2]
	q.Add(d.Out(virtiotest.Put(uint16(4), uint64(1))))
	q.Kick()
	for i := range uint64(3) {
		got := make(chan Stats)
		go func() {
			for {
				if s, err := dev.Stats(ctx); err == nil { // ErrNoStats until it serves
					got <- s
					return
				}
			}
		}()
		q.Wait()
		q.Add(d.Out(virtiotest.Put(uint16(4), 100+i, uint16(5), uint64(200), uint16(99), uint64(1), uint16(6), 300+i, byte(0))))
		q.Kick()
		if s, want := <-got, (Stats{Free: 100 + i, Total: 200, Available: 300 + i}); s != want {
			t.Errorf("statistics %+v, want %+v", s, want)
		}
		d.WaitRest() // with the buffer held
	}
}

func TestStatisticsThatDoNotCome(t *testing.T) {
	dev := New()
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	d.WaitRest()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	if _, err := dev.Stats(ctx); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrNoStats) {
		t.Errorf("guest that does not answer: %v", err)
	}
	d.Bus.Close()
	if _, err := dev.Stats(context.Background()); !errors.Is(err, ErrNoStats) {
		t.Errorf("after the end: %v", err)
	}
}

func TestHostThatRefusesIsCounted(t *testing.T) {
	dev := New()
	d := virtiotest.New(t, dev, virtiotest.Options{})
	d.Space.OnReturn(mem.Granule, func(uint64, []byte) error { return mem.ErrRange })
	d.Init()
	d.Queues[3].Do(block(d, 2<<20))
	if _, got := dev.Returned(); got != 0 || dev.Failures() != 1 {
		t.Errorf("%d bytes returned, %d failures, want 0 and 1", got, dev.Failures())
	}
}

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(testing.TB) virtio.Device { return New() })
}
