package net

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	stdnet "net"
	"testing"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = Options{MAC: [6]byte{0x02, 1, 2, 3, 4, 5}, MTU: 1500}

// cable makes a connected pair of streams: one for a Link, one for the test.
func cable(t testing.TB) (ours, theirs stdnet.Conn) {
	l, err := stdnet.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if ours, err = stdnet.Dial("unix", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if theirs, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// plugged makes a device with a link, and gives the other end of that.
func plugged(t testing.TB, opt Options, max int) (*Device, stdnet.Conn) {
	d, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := cable(t)
	d.SetLink(NewLink(ours, max))
	t.Cleanup(d.Close)
	return d, theirs
}

// get reads one frame from the far end of a link.
func get(t testing.TB, c io.Reader) []byte {
	t.Helper()
	var n [prefix]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, binary.BigEndian.Uint32(n[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		t.Fatal(err)
	}
	return frame
}

// put sends frames there.
func put(t testing.TB, c io.Writer, frames ...[]byte) {
	t.Helper()
	var out []byte
	for _, f := range frames {
		out = appendFrame(out, f)
	}
	if _, err := c.Write(out); err != nil {
		t.Fatal(err)
	}
}

// some is a frame of n bytes of noise.
func some(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

// plain is a header without offloads.
var plain = make([]byte, headerLen)

func TestConformance(t *testing.T) {
	far := map[*virtiotest.Driver]stdnet.Conn{}
	var last stdnet.Conn
	virtiotest.Run(t, virtiotest.Subject{
		New: func(t testing.TB) virtio.Device {
			d, c := plugged(t, options, 0)
			last = c
			return d
		},
		Probe: func(t testing.TB, d *virtiotest.Driver) {
			if far[d] == nil {
				far[d] = last
			}
			out := some(100)
			d.Queues[txQueue].Do(d.Out(append(bytes.Clone(plain), out...)))
			for !bytes.Equal(get(t, far[d]), out) { // what the suite made the guest send before
			}
			in := some(200)
			buf := d.In(headerLen + 1500)
			ring := d.Queues[rxQueue]
			ring.Add(buf)
			ring.Kick()
			put(t, far[d], in)
			if _, n := ring.Wait(); int(n) != headerLen+len(in) || !bytes.Equal(buf.B[headerLen:n], in) {
				t.Errorf("the guest got %d bytes %x, want %x", n, buf.B[:n], in)
			}
		},
	})
}

func TestLargeFramesFillSeveralBuffers(t *testing.T) {
	d, far := plugged(t, options, 0)
	drv := virtiotest.Start(t, d, virtiotest.Options{})
	ring := drv.Queues[rxQueue]
	var bufs []virtiotest.Buf
	for range 20 {
		bufs = append(bufs, drv.In(4096))
		ring.Add(bufs[len(bufs)-1])
	}
	ring.Kick()
	frame := some(maxFrame)
	put(t, far, frame)
	var got []byte
	for i := range 17 { // 65553 + 12 bytes in buffers of 4096
		_, n := ring.Wait()
		got = append(got, bufs[i].B[:n]...)
	}
	if n := binary.LittleEndian.Uint16(got[hdrNumBuffers:]); n != 17 {
		t.Errorf("the header says %d buffers, want 17", n)
	}
	if !bytes.Equal(got[headerLen:], frame) {
		t.Error("the frame came changed")
	}
}

func TestFramesThatDoNotFitAreDropped(t *testing.T) {
	d, far := plugged(t, options, 0)
	drv := virtiotest.Start(t, d, virtiotest.Options{Refuse: featMergeable})
	ring := drv.Queues[rxQueue]
	buf, next := drv.In(500), drv.In(500)
	ring.Add(buf)
	ring.Add(next)
	ring.Kick()
	small := some(60)
	put(t, far, some(1000), small)
	if _, n := ring.Wait(); n != 0 {
		t.Errorf("%d bytes of a frame that does not fit", n)
	}
	if _, n := ring.Wait(); !bytes.Equal(next.B[headerLen:n], small) {
		t.Error("the frame after it did not come")
	}
	if s := d.Stats(); s.Dropped != 1 || s.Received != 1 {
		t.Errorf("%+v, want one dropped and one received", s)
	}
}

func TestValidLinksSpareTheGuestItsChecks(t *testing.T) {
	for _, valid := range []bool{false, true} {
		opt := options
		opt.Valid = valid
		d, far := plugged(t, opt, 0)
		drv := virtiotest.Start(t, d, virtiotest.Options{})
		buf := drv.In(200)
		drv.Queues[rxQueue].Add(buf)
		drv.Queues[rxQueue].Kick()
		put(t, far, some(60))
		drv.Queues[rxQueue].Wait()
		if got := buf.B[hdrFlags] == flagDataValid; got != valid {
			t.Errorf("link vouched for: %v; the guest is told so: %v", valid, got)
		}
	}
}

func TestTheCableIsPulledAndPluggedIn(t *testing.T) {
	down := make(chan error, 1)
	opt := options
	opt.Down = func(err error) { down <- err }
	d, far := plugged(t, opt, 0)
	drv := virtiotest.Start(t, d, virtiotest.Options{})
	if drv.Config(cfgStatus, 1)[0] != statusLinkUp {
		t.Error("the guest does not see the link")
	}
	far.Close()
	if err := <-down; err == nil {
		t.Error("a link ended without a reason")
	}
	drv.WaitConfig()
	if drv.Config(cfgStatus, 1)[0] != 0 || d.Up() {
		t.Error("the guest sees a link that is gone")
	}
	drv.Queues[txQueue].Do(drv.Out(append(bytes.Clone(plain), some(60)...))) // lost
	ours, far := cable(t)
	d.SetLink(NewLink(ours, 0))
	drv.WaitConfig()
	frame := some(80)
	drv.Queues[txQueue].Do(drv.Out(append(bytes.Clone(plain), frame...)))
	if got := get(t, far); !bytes.Equal(got, frame) {
		t.Error("the new link does not work")
	}
	if s := d.Stats(); s.Dropped != 1 || s.Sent != 1 {
		t.Errorf("%+v, want one dropped and one sent", s)
	}
}

func TestALinkThatLiesIsGivenUp(t *testing.T) {
	for _, n := range []uint32{0, minFrame - 1, maxFrame + 1, 1 << 31} {
		down := make(chan error, 1)
		opt := options
		opt.Down = func(err error) { down <- err }
		d, far := plugged(t, opt, 0)
		virtiotest.Start(t, d, virtiotest.Options{})
		far.Write(binary.BigEndian.AppendUint32(nil, n))
		if err := <-down; err == nil {
			t.Errorf("a frame of %d bytes was taken", n)
		}
	}
}

// A guest that resets its device in the middle of a frame must not tear it for the other end.
func TestNoFrameIsTornByAReset(t *testing.T) {
	d, far := plugged(t, options, 0)
	drv := virtiotest.Start(t, d, virtiotest.Options{})
	frame := some(60000)
	for range 3 {
		for range 40 { // more than the socket holds
			drv.Queues[txQueue].Add(drv.Out(append(bytes.Clone(plain), frame...)))
			if drv.Queues[txQueue].Room() == 0 {
				break
			}
		}
		drv.Queues[txQueue].Kick()
		head := make([]byte, 1000) // the device is at work
		if _, err := io.ReadFull(far, head[:prefix]); err != nil {
			t.Fatal(err)
		}
		if n := binary.BigEndian.Uint32(head); int(n) != len(frame) {
			t.Fatalf("a frame of %d bytes, want %d", n, len(frame))
		}
		if _, err := io.CopyN(io.Discard, far, int64(len(frame))); err != nil {
			t.Fatal(err)
		}
		drv.Reset()
		drv.Init()
	}
	mark := some(77)
	drv.Queues[txQueue].Add(drv.Out(append(bytes.Clone(plain), mark...)))
	drv.Queues[txQueue].Kick()
	for {
		got := get(t, far)
		if bytes.Equal(got, mark) {
			return
		}
		if !bytes.Equal(got, frame) {
			t.Fatalf("a torn frame of %d bytes", len(got))
		}
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	for _, opt := range []Options{
		{MAC: options.MAC, MTU: 1279}, {MAC: options.MAC, MTU: 65521}, {MTU: 1500}, {MAC: [6]byte{1}, MTU: 1500},
	} {
		if _, err := New(opt); err == nil {
			t.Errorf("%+v was taken", opt)
		}
	}
}

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(t testing.TB) virtio.Device {
		d, far := plugged(t, options, 0)
		go io.Copy(io.Discard, far)
		put(t, far, some(60), some(3000), some(60000))
		return d
	})
}
