package console

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

func device(t testing.TB, ports ...PortOptions) *Device {
	t.Helper()
	d, err := New(ports...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// say writes text to the transmit queue, as the guest.
func say(d *virtiotest.Driver, queue int, text string) {
	d.Queues[queue].Do(d.Out([]byte(text)))
}

func TestConformance(t *testing.T) {
	for _, n := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d ports", n), func(t *testing.T) {
			virtiotest.Run(t, virtiotest.Subject{
				New: func(t testing.TB) virtio.Device { return device(t, make([]PortOptions, n)...) },
				Probe: func(t testing.TB, d *virtiotest.Driver) {
					if n := d.Queues[1].Do(d.Out([]byte("hello"))); n != 0 {
						t.Errorf("%d bytes written into an output buffer", n)
					}
				},
			})
		})
	}
}

func TestNewRefusesPortCounts(t *testing.T) {
	for _, n := range []int{0, MaxPorts + 1} {
		if _, err := New(make([]PortOptions, n)...); err == nil {
			t.Errorf("a console with %d ports was made", n)
		}
	}
	if _, err := New(make([]PortOptions, MaxPorts)...); err != nil {
		t.Error(err)
	}
}

func TestOutputGoesToTapAndReaders(t *testing.T) {
	var tap bytes.Buffer
	dev := device(t, PortOptions{Tap: &tap})
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	say(d, 1, "before ")
	late := dev.Port(0).Attach(AttachOptions{})
	all := dev.Port(0).Attach(AttachOptions{History: true})
	rest := dev.Port(0).Attach(AttachOptions{History: true, From: 3})
	if at := rest.Position(); at != 3 {
		t.Errorf("a reader from byte 3 is at %d", at)
	}
	say(d, 1, "after")
	none := dev.Port(0).Attach(AttachOptions{History: true, From: 1000})
	d.Bus.Close()
	dev.Close()
	for _, tt := range []struct {
		name string
		r    *Reader
		want string
	}{
		{"new reader", late, "after"}, {"reader with history", all, "before after"}, {"reader of the rest", rest, "ore after"},
		{"reader of what is to come", none, ""},
	} {
		if got, err := io.ReadAll(tt.r); string(got) != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if tap.String() != "before after" {
		t.Errorf("tap saw %q", tap.String())
	}
}

func TestRingKeepsTheLastBytes(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{Memory: 64 << 20})
	slow := dev.Port(0).Attach(AttachOptions{})
	var want []byte
	for i := range 5 {
		b := bytes.Repeat([]byte{byte('a' + i)}, RingSize/4+i)
		say(d, 1, string(b))
		want = append(want, b...)
	}
	d.Bus.Close()
	dev.Close()
	got, _ := io.ReadAll(slow)
	if !bytes.Equal(got, want[len(want)-RingSize:]) || slow.Lost() != uint64(len(want)-RingSize) {
		t.Errorf("%d bytes and %d lost of %d, want the last %d", len(got), slow.Lost(), len(want), RingSize)
	}
}

func TestGuestWaitsForReaderThatAsksForIt(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{Memory: 64 << 20})
	r := dev.Port(0).Attach(AttachOptions{Wait: true})
	q := d.Queues[1]
	want := bytes.Repeat([]byte("0123456789abcdef"), RingSize/8) // two rings full
	q.Add(d.Out(want))
	q.Kick()
	if _, _, ok := q.WaitFor(20 * time.Millisecond); ok {
		t.Fatal("the guest was told that all is written, and nobody has read")
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, want) || r.Lost() != 0 {
		t.Errorf("reading: %v, %d lost, equal %v", err, r.Lost(), bytes.Equal(got, want))
	}
	q.Wait()
}

func TestClosedReaderHoldsNobodyUp(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{Memory: 64 << 20})
	r := dev.Port(0).Attach(AttachOptions{Wait: true})
	q := d.Queues[1]
	q.Add(d.Out(make([]byte, 2*RingSize)))
	q.Kick()
	_ = r.Close()
	q.Wait()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read from a closed reader: %v", err)
	}
}

func TestResetEndsWaitForReader(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{Memory: 64 << 20})
	dev.Port(0).Attach(AttachOptions{Wait: true})
	d.Queues[1].Add(d.Out(make([]byte, 2*RingSize)))
	d.Queues[1].Kick()
	time.Sleep(time.Millisecond)
	d.Init() // fails the test if it takes too long
}

func TestInputFillsBuffersInOrder(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	if _, err := dev.Port(0).Write([]byte("hello world")); err != nil {
		t.Fatal(err)
	}
	bufs := map[uint16]virtiotest.Buf{}
	for range 3 {
		b := d.In(4)
		bufs[d.Queues[0].Add(b)] = b
	}
	d.Queues[0].Kick()
	var got []byte
	for range 3 {
		head, n := d.Queues[0].Wait()
		got = append(got, bufs[head].B[:n]...)
	}
	if string(got) != "hello world" {
		t.Errorf("guest reads %q", got)
	}
}

func TestInputWaitsForTheGuest(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	text := strings.Repeat("0123456789", inputSize/5) // twice as much as may wait
	var wg sync.WaitGroup
	wg.Go(func() {
		if n, err := io.WriteString(dev.Port(0), text); n != len(text) || err != nil {
			t.Errorf("wrote %d of %d: %v", n, len(text), err)
		}
	})
	var got []byte
	buf := d.In(4096)
	for len(got) < len(text) {
		n := d.Queues[0].Do(buf)
		got = append(got, buf.B[:n]...)
	}
	wg.Wait()
	if string(got) != text {
		t.Error("input came in another order")
	}
}

func TestCloseEndsWriters(t *testing.T) {
	dev := device(t, PortOptions{})
	virtiotest.Start(t, dev, virtiotest.Options{})
	done := make(chan error)
	go func() {
		_, err := dev.Port(0).Write(make([]byte, 2*inputSize))
		done <- err
	}()
	dev.Close()
	if err := <-done; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write: %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestInputSurvivesReset(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	_, _ = io.WriteString(dev.Port(0), "typed ahead")
	d.Init()
	buf := d.In(64)
	if n := d.Queues[0].Do(buf); string(buf.B[:n]) != "typed ahead" {
		t.Errorf("guest reads %q", buf.B[:n])
	}
}

// message is one control message as the guest sees it.
type message struct {
	id           uint32
	event, value uint16
	extra        string
}

// guest is a driver of the control queues.
type guest struct {
	*virtiotest.Driver
	bufs map[uint16]virtiotest.Buf
}

func startPorts(t *testing.T, dev *Device) *guest {
	g := &guest{virtiotest.Start(t, dev, virtiotest.Options{}), map[uint16]virtiotest.Buf{}}
	for range 16 {
		g.offer(g.In(64))
	}
	return g
}

func (g *guest) offer(b virtiotest.Buf) {
	g.bufs[g.Queues[controlIn].Add(b)] = b
	g.Queues[controlIn].Kick()
}

func (g *guest) tell(id uint32, event, value uint16) {
	g.Queues[controlOut].Do(g.Out(virtiotest.Put(id, event, value)))
}

func (g *guest) hear(t *testing.T, want ...message) {
	t.Helper()
	for _, w := range want {
		head, n := g.Queues[controlIn].Wait()
		b := g.bufs[head].B[:n]
		le := binary.LittleEndian
		got := message{le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), string(b[8:])}
		if got != w {
			t.Errorf("control message %+v, want %+v", got, w)
		}
		g.offer(g.bufs[head])
	}
}

func TestPortsIntroduceThemselves(t *testing.T) {
	dev := device(t, PortOptions{}, PortOptions{Name: "org.arcbox.agent"})
	dev.Port(1).Resize(80, 25)
	g := startPorts(t, dev)
	if n := g.Config32(4); n != 2 {
		t.Errorf("max_nr_ports is %d, want 2", n)
	}
	g.tell(0, evDeviceReady, 1)
	g.hear(t, message{0, evDeviceAdd, 1, ""}, message{1, evDeviceAdd, 1, ""})
	g.tell(1, evPortReady, 1)
	g.hear(t, message{1, evConsolePort, 1, ""}, message{1, evPortName, 1, "org.arcbox.agent"},
		message{1, evPortOpen, 1, ""}, message{1, evResize, 0, "\x50\x00\x19\x00"})
	g.tell(0, evPortReady, 1)
	g.hear(t, message{0, evConsolePort, 1, ""}, message{0, evPortOpen, 1, ""})
	dev.Port(0).Resize(132, 43)
	g.hear(t, message{0, evResize, 0, "\x84\x00\x2b\x00"})
	g.Queues[5].Do(g.Out([]byte("on the second port")))
	r := dev.Port(1).Attach(AttachOptions{History: true})
	b := make([]byte, 64)
	if n, _ := r.Read(b); string(b[:n]) != "on the second port" {
		t.Errorf("port 1 wrote %q", b[:n])
	}
}

func TestControlMessagesThatMakeNoSense(t *testing.T) {
	dev := device(t, PortOptions{}, PortOptions{})
	g := startPorts(t, dev)
	for _, m := range []message{
		{2, evPortReady, 1, ""}, {1 << 31, evPortReady, 1, ""}, {0, evPortReady, 0, ""},
		{0, 99, 1, ""}, {0, evResize, 1, ""}, {0, evDeviceReady, 0, ""},
	} {
		g.tell(m.id, m.event, m.value)
	}
	g.Queues[controlOut].Do(g.Out([]byte("short")))
	g.tell(0, evDeviceReady, 1)
	g.hear(t, message{0, evDeviceAdd, 1, ""}) // and nothing before it
}

func TestDriverThatTakesNoMessagesIsHeldUp(t *testing.T) {
	g := &guest{Driver: virtiotest.Start(t, device(t, make([]PortOptions, 8)...), virtiotest.Options{})}
	q := g.Queues[controlOut]
	for range maxPending {
		q.Add(g.Out(virtiotest.Put(uint32(0), uint16(evDeviceReady), uint16(1))))
		q.Kick()
		if _, _, ok := q.WaitFor(50 * time.Millisecond); !ok {
			return
		}
	}
	t.Errorf("%d messages that make 8 each are taken from a driver that reads none", maxPending)
}

func TestOnePortResizesByConfiguration(t *testing.T) {
	dev := device(t, PortOptions{})
	d := virtiotest.Start(t, dev, virtiotest.Options{})
	dev.Port(0).Resize(80, 25)
	d.WaitConfig()
	if got := d.Config32(0); got != 25<<16|80 {
		t.Errorf("cols and rows are %#x, want 80 and 25", got)
	}
}

func FuzzDevice(f *testing.F) {
	virtiotest.Fuzz(f, func(t testing.TB) virtio.Device {
		return device(t, PortOptions{}, PortOptions{})
	})
}

func TestInputWaitsUntilTheDriverOpensThePort(t *testing.T) {
	dev := device(t, PortOptions{}, PortOptions{})
	g := startPorts(t, dev)
	if _, err := io.WriteString(dev.Port(0), "typed ahead"); err != nil {
		t.Fatal(err)
	}
	buf := g.In(64)
	g.Queues[0].Add(buf)
	g.Queues[0].Kick()
	if _, _, ok := g.Queues[0].WaitFor(20 * time.Millisecond); ok {
		t.Fatal("a driver that has not opened the port got input, which Linux discards")
	}
	g.tell(0, evPortOpen, 1)
	if _, n := g.Queues[0].Wait(); string(buf.B[:n]) != "typed ahead" {
		t.Errorf("guest reads %q", buf.B[:n])
	}
}
