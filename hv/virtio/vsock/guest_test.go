package vsock

import (
	"runtime"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

const guestCID = 7

// guest is a driver that speaks vsock packets. Its methods are for one goroutine.
type guest struct {
	*virtiotest.Driver
	t      testing.TB
	dev    *Device
	bufs   map[uint16]virtiotest.Buf // by head, with the device
	out    []virtiotest.Buf          // buffers to send from
	busy   map[uint16]virtiotest.Buf
	room   uint32          // buf_alloc to say
	kind   uint16          // of all connections
	echoes bool            // see echo
	read   map[pair]uint32 // fwd_cnt by connection
}

const guestBuf = 4096 // what Linux gives, header included

func device(t testing.TB) *Device {
	t.Helper()
	d, err := New(guestCID)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func startGuest(t testing.TB, dev *Device) *guest {
	t.Helper()
	g := &guest{Driver: virtiotest.Start(t, dev, virtiotest.Options{}), t: t, dev: dev, room: 64 << 10, kind: typeStream}
	g.setup()
	t.Cleanup(dev.Close) // runs after the last connection was used, before the driver's own
	return g
}

// setup waits for the device to serve, and gives it all buffers.
func (g *guest) setup() {
	for serving := false; !serving; runtime.Gosched() {
		g.dev.mu.Lock()
		serving = g.dev.rx != nil
		g.dev.mu.Unlock()
	}
	g.bufs, g.busy, g.read = map[uint16]virtiotest.Buf{}, map[uint16]virtiotest.Buf{}, map[pair]uint32{}
	g.out = nil
	rx := g.Queues[0]
	for range rx.Size {
		b := g.In(guestBuf)
		g.bufs[rx.Add(b)] = b
	}
	rx.Kick()
	for range 64 {
		g.out = append(g.out, g.Alloc(headerLen+maxPacket))
	}
}

// send puts a packet into the transmit queue.
func (g *guest) send(h header, data []byte) {
	g.t.Helper()
	tx := g.Queues[1]
	for {
		head, _, ok := tx.Used()
		if !ok && len(g.out) == 0 {
			head, _ = tx.Wait()
			ok = true
		}
		if !ok {
			break
		}
		b := g.busy[head]
		delete(g.busy, head)
		g.out = append(g.out, b)
	}
	b := g.out[len(g.out)-1]
	g.out = g.out[:len(g.out)-1]
	h.bufAlloc = g.room
	h.fwdCnt = g.read[pair{h.srcPort, h.dstPort}]
	h.put((*[headerLen]byte)(b.B))
	n := headerLen + copy(b.B[headerLen:], data)
	g.busy[tx.Add(virtiotest.Buf{GPA: b.GPA, B: b.B[:n]})] = b
	tx.Kick()
}

// say sends a packet of the connection from port here to port there.
func (g *guest) say(op uint16, here, there uint32, flags uint32, data string) {
	g.t.Helper()
	g.send(header{
		srcCID: guestCID, dstCID: HostCID, srcPort: here, dstPort: there,
		size: uint32(len(data)), kind: g.kind, op: op, flags: flags,
	}, []byte(data))
}

// hear waits for the next packet, which the guest has read at once.
func (g *guest) hear() (header, string) {
	g.t.Helper()
	h, s, ok := g.tryHear(virtiotest.Patience)
	if !ok {
		g.t.Fatal("no packet for the guest")
	}
	return h, s
}

func (g *guest) tryHear(wait time.Duration) (h header, s string, ok bool) {
	rx := g.Queues[0]
	head, n, ok := rx.WaitFor(wait)
	if !ok {
		return h, "", false
	}
	b := g.bufs[head]
	delete(g.bufs, head)
	h.parse((*[headerLen]byte)(b.B))
	if h.srcCID != HostCID || h.dstCID != guestCID || int(n) != headerLen+int(h.size) || h.kind != g.kind {
		g.t.Fatalf("packet %+v in %d bytes", h, n)
	}
	s = string(b.B[headerLen:n])
	if g.echoes {
		// What was not taken back from us counts as unread, so that we never hold more
		// than we may send.
		g.read[pair{h.dstPort, h.srcPort}] = h.fwdCnt
	} else {
		g.read[pair{h.dstPort, h.srcPort}] += h.size
	}
	g.bufs[rx.Add(b)] = b
	rx.Kick()
	return h, s, true
}

// expect waits for a packet with that op on the connection from host port there to here.
func (g *guest) expect(op uint16, here, there uint32) (header, string) {
	g.t.Helper()
	h, s := g.hear()
	if h.op != op || h.dstPort != here || (there != 0 && h.srcPort != there) {
		g.t.Fatalf("packet %+v %q, want op %d from %d to %d", h, s, op, there, here)
	}
	return h, s
}

// echo answers all connections to port 1 and sends back what comes, until it is told to
// stop. It is a whole guest: nobody else may use g meanwhile.
func (g *guest) echo(stop <-chan struct{}) {
	g.echoes = true
	for {
		select {
		case <-stop:
			return
		default:
		}
		h, s, ok := g.tryHear(20 * time.Millisecond)
		if !ok {
			continue
		}
		switch h.op {
		case opRequest:
			g.say(opResponse, h.dstPort, h.srcPort, 0, "")
		case opData:
			g.say(opData, h.dstPort, h.srcPort, 0, s)
		case opCreditUpdate:
			g.say(opCreditUpdate, h.dstPort, h.srcPort, 0, "")
		case opShutdown:
			if h.flags == noneLeft {
				g.say(opReset, h.dstPort, h.srcPort, 0, "")
			} else {
				g.say(opShutdown, h.dstPort, h.srcPort, noSend, "")
			}
		}
	}
}

// sink answers connections to port 1 and reads what comes. It is a whole guest.
func (g *guest) sink(stop <-chan struct{}) {
	told := uint32(0)
	for {
		select {
		case <-stop:
			return
		default:
		}
		h, _, ok := g.tryHear(20 * time.Millisecond)
		if !ok {
			continue
		}
		key := pair{h.dstPort, h.srcPort}
		switch {
		case h.op == opRequest:
			g.say(opResponse, h.dstPort, h.srcPort, 0, "")
		case g.read[key]-told >= window/4: // as Linux does
			told = g.read[key]
			g.say(opCreditUpdate, h.dstPort, h.srcPort, 0, "")
		}
	}
}
