package virtio_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

// script is a device with one queue, on which serve is the whole of its work.
type script struct {
	serve func(ctx context.Context, q *virtio.Queue) error
	size  uint16
}

func (s script) Info() virtio.Info { return virtio.Info{ID: 99, QueueMax: []uint16{s.size}} }
func (s script) Serve(ctx context.Context, qs []*virtio.Queue) error {
	return s.serve(ctx, qs[0])
}

// start runs serve against a driver.
func start(t testing.TB, opt virtiotest.Options, serve func(ctx context.Context, q *virtio.Queue) error) *virtiotest.Driver {
	t.Helper()
	return virtiotest.Start(t, script{serve, 64}, opt)
}

// use takes one chain, has f look at it, and finishes it.
func use(f func(c *virtio.Chain)) func(context.Context, *virtio.Queue) error {
	return func(ctx context.Context, q *virtio.Queue) error {
		c, err := q.Next(ctx)
		if err != nil {
			return err
		}
		f(c)
		c.Finish(0)
		<-ctx.Done()
		return ctx.Err()
	}
}

func TestInfoCheck(t *testing.T) {
	tests := []struct {
		name   string
		queues []uint16
		ok     bool
	}{
		{"one queue", []uint16{64}, true},
		{"the most there may be", bytes16(virtio.MaxQueues, virtio.MaxQueueSize), true},
		{"no queue", nil, false},
		{"one too many", bytes16(virtio.MaxQueues+1, 8), false},
		{"no power of two", []uint16{64, 48}, false},
		{"an empty queue", []uint16{0}, false},
		{"a queue that is too large", []uint16{2 * virtio.MaxQueueSize}, false},
	}
	for _, tt := range tests {
		if err := (virtio.Info{QueueMax: tt.queues}).Check(); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func bytes16(n int, v uint16) (s []uint16) {
	for range n {
		s = append(s, v)
	}
	return s
}

func TestChainMovesBytesInOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		want := make([]byte, 1+rnd.IntN(5000))
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		most := 1 + rnd.IntN(300)
		d := start(t, virtiotest.Options{}, use(func(c *virtio.Chain) {
			if c.ReadLen() != int64(len(want)) || c.WriteLen() != int64(len(want)) {
				t.Errorf("%d bytes to read, %d to write, want %d", c.ReadLen(), c.WriteLen(), len(want))
			}
			for i := 0; c.ReadLen() > 0; i++ { // pieces of any size
				b := make([]byte, 1+(i*7)%most)
				n, _ := c.Read(b)
				if k, err := c.Write(b[:n]); k != n || err != nil {
					t.Errorf("writing %d bytes: %d, %v", n, k, err)
				}
			}
			if c.Written() != uint32(len(want)) {
				t.Errorf("written %d", c.Written())
			}
		}))
		var bufs, in []virtiotest.Buf
		for rest := len(want); rest > 0; {
			n := min(rest, 1+rnd.IntN(2000))
			bufs = append(bufs, d.Out(want[len(want)-rest:][:n]))
			in = append(in, d.In(n))
			rest -= n
		}
		d.Queues[0].Do(append(bufs, in...)...)
		var got []byte
		for _, b := range in {
			got = append(got, b.B...)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as others", len(want))
		}
	}
}

func TestEndsOfAChain(t *testing.T) {
	d := start(t, virtiotest.Options{}, use(func(c *virtio.Chain) {
		if err := c.ReadFull(make([]byte, 6)); err != io.ErrUnexpectedEOF {
			t.Errorf("6 bytes of 5: %v", err)
		}
		b := make([]byte, 8)
		if n, err := c.Read(b); n != 5 || err != nil || string(b[:5]) != "hello" {
			t.Errorf("read %d, %v", n, err)
		}
		if n, err := c.Read(b); n != 0 || err != io.EOF {
			t.Errorf("read at the end: %d, %v", n, err)
		}
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("read of nothing at the end: %d, %v", n, err)
		}
		tail := c.Tail()
		if len(tail) != 1 || c.WriteLen() != 3 {
			t.Errorf("tail of %d bytes leaves %d", len(tail), c.WriteLen())
		}
		tail[0] = '!'
		if n, err := c.Write([]byte("world")); n != 3 || err != io.ErrShortWrite {
			t.Errorf("5 bytes into 3: %d, %v", n, err)
		}
		if c.Tail() != nil {
			t.Error("a full chain has a tail")
		}
	}))
	a, b := d.In(2), d.In(2)
	d.Queues[0].Do(d.Out([]byte("he")), d.Out([]byte("llo")), a, b)
	if got := string(a.B) + string(b.B); got != "wor!" {
		t.Errorf("guest finds %q", got)
	}
}

func TestPlacesOfWritableBuffers(t *testing.T) {
	var got []uint64
	stop := errors.New("stop")
	d := start(t, virtiotest.Options{}, use(func(c *virtio.Chain) {
		err := c.EachWritable(func(gpa, n uint64) error {
			if got = append(got, gpa, n); len(got) == 4 {
				return stop
			}
			return nil
		})
		if err != stop {
			t.Errorf("error %v, want that of the callback", err)
		}
	}))
	a, b := d.In(10), d.In(20)
	d.Queues[0].Do(d.Out([]byte("x")), a, b, d.In(30))
	d.Bus.Close()
	if want := []uint64{a.GPA, 10, b.GPA, 20}; len(got) != 4 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] || got[3] != want[3] {
		t.Errorf("places %#x, want %#x", got, want)
	}
}

func TestRestIsWhenNothingIsLeftToDo(t *testing.T) {
	step := make(chan func(q *virtio.Queue))
	d := start(t, virtiotest.Options{}, func(ctx context.Context, q *virtio.Queue) error {
		for {
			select {
			case f := <-step:
				f(q)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
	do := func(f func(q *virtio.Queue)) {
		done := make(chan struct{})
		step <- func(q *virtio.Queue) { f(q); close(done) }
		<-done
	}
	var c *virtio.Chain
	take := func(q *virtio.Queue) { c, _ = q.Take() }
	want := func(what string, rest bool) {
		t.Helper()
		if got := d.Bus.AtRest(); got != rest {
			t.Errorf("%s: at rest %v, want %v", what, got, rest)
		}
	}
	want("nothing asked", true)
	d.Queues[0].Add(d.In(4))
	d.Queues[0].Notify()
	want("notified", false)
	do(take)
	want("taken", false)
	do(func(*virtio.Queue) { c.Finish(0) })
	want("finished, but the ring not looked at again", false)
	do(take)
	want("found empty", true)
	d.Queues[0].Add(d.In(4))
	d.Queues[0].Notify()
	do((*virtio.Queue).Park)
	want("parked with a buffer in the ring", true)
	do(take)
	want("taken after parking", false)
	do(func(q *virtio.Queue) { c.Hold(); c.Hold(); q.Park() })
	want("held", true)
	do(func(*virtio.Queue) { c.Finish(0); c.Finish(0) })
	want("finished what was held", true)
}

// TestNotificationsAreSuppressed counts doorbells and interrupts for a burst of requests that
// the device finds in its ring when it comes to look.
func TestNotificationsAreSuppressed(t *testing.T) {
	for name, refuse := range map[string]uint64{"by index": 0, "by flag": virtio.FeatureEventIdx} {
		t.Run(name, func(t *testing.T) {
			taken, hold := make(chan struct{}), make(chan struct{})
			d := start(t, virtiotest.Options{Refuse: refuse}, func(ctx context.Context, q *virtio.Queue) error {
				for n := 0; ; n++ {
					c, err := q.Next(ctx)
					if err != nil {
						return err
					}
					if n == 0 {
						close(taken)
						<-hold
					}
					c.Finish(0)
				}
			})
			q := d.Queues[0]
			for i := range 32 {
				q.Add(d.In(1))
				q.Kick()
				if i == 0 {
					<-taken // and the device is busy
				}
			}
			if n := d.Bus.Notifications(); n != 1 {
				t.Errorf("%d notifications while the device is busy, want 1", n)
			}
			close(hold)
			for range 32 {
				q.Wait()
			}
		})
	}
}

func TestQueueSaysWhatTheGuestDidWrong(t *testing.T) {
	got := make(chan error, 1)
	d := start(t, virtiotest.Options{}, func(ctx context.Context, q *virtio.Queue) error {
		_, err := q.Next(ctx)
		_, again := q.Take()
		if again == nil {
			t.Error("a broken ring works again by itself")
		}
		got <- err
		return err
	})
	d.Queues[0].Offer(64)
	d.Queues[0].Notify()
	d.WaitNeedsReset()
	var bad *virtio.GuestError
	if err := <-got; !errors.As(err, &bad) || bad.Queue != 0 || bad.What == "" {
		t.Errorf("error %v, want a GuestError of queue 0", err)
	}
}

func TestTogether(t *testing.T) {
	broken := errors.New("broken")
	wait := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	tests := []struct {
		name  string
		parts []func(context.Context) error
		want  error
	}{
		{"no parts", nil, nil},
		{"all done", []func(context.Context) error{func(context.Context) error { return nil }}, nil},
		{"one fails", []func(context.Context) error{wait, func(context.Context) error { return broken }, wait}, broken},
		{"stopped", []func(context.Context) error{wait, wait}, context.Canceled},
		{"one done, then stopped", []func(context.Context) error{wait, func(context.Context) error { return nil }}, context.Canceled},
	}
	for _, tt := range tests {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			time.AfterFunc(time.Hour, cancel)
			if err := virtio.Together(ctx, tt.parts...); !errors.Is(err, tt.want) || (tt.want == nil) != (err == nil) {
				t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
			}
		})
	}
}

func TestConfigWithoutADevice(t *testing.T) {
	var none *virtio.Config
	none.Store(0, 4, 1)
	if none.Load(0, 4) != 0 || none.Generation() != 0 {
		t.Error("a device without configuration space has something in it")
	}
}

func TestNoAllocationPerChain(t *testing.T) {
	d := start(t, virtiotest.Options{}, func(ctx context.Context, q *virtio.Queue) error {
		for {
			c, err := q.Next(ctx)
			if err != nil {
				return err
			}
			c.Finish(0)
		}
	})
	out, in := d.Out([]byte("x")), d.In(1)
	q := d.Queues[0]
	round := func() {
		q.Add(out, in)
		q.Kick()
		for ok := false; !ok; time.Sleep(time.Microsecond) {
			_, _, ok = q.Used()
		}
	}
	round()
	if n := testing.AllocsPerRun(100, round); n >= 1 {
		t.Errorf("%v allocations for each chain, want 0", n)
	}
}
