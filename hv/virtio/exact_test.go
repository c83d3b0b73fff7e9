package virtio

import (
	"encoding/binary"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
)

// TestExact: a queue of a reproducible machine shows the device what was there
// at the notification and no more, and gives chains back in the ring's order.
func TestExact(t *testing.T) {
	const desc, avail, used = 0x1000, 0x2000, 0x3000
	ram := make([]byte, 0x4000)
	le := binary.LittleEndian
	for i := range 4 { // one readable byte each
		le.PutUint64(ram[desc+16*i:], 0)
		le.PutUint32(ram[desc+16*i+8:], 1)
		le.PutUint16(ram[avail+4+2*i:], uint16(i))
	}
	space, err := mem.NewSpace(mem.Region{Mem: ram})
	if err != nil {
		t.Fatal(err)
	}
	signals := 0
	q, err := NewQueue(0, Layout{Size: 4, Desc: desc, Driver: avail, Dev: used}, 0, space, func() { signals++ })
	if err != nil {
		t.Fatal(err)
	}
	q.Exact()
	le.PutUint16(ram[avail+2:], 2)
	if c, err := q.Take(); c != nil || err != nil {
		t.Fatalf("took %v, %v before the driver notified", c, err)
	}
	q.Notify()
	le.PutUint16(ram[avail+2:], 3) // not notified yet
	first, _ := q.Take()
	second, _ := q.Take()
	if third, _ := q.Take(); first == nil || second == nil || third != nil {
		t.Fatalf("took %v, %v, %v, want the two that were notified", first, second, third)
	}
	second.Finish(22)
	if n := le.Uint16(ram[used+2:]); n != 0 || signals != 0 || q.AtRest() {
		t.Errorf("the second, finished first, is published: index %d, %d signals, at rest %v", n, signals, q.AtRest())
	}
	first.Finish(11)
	if n := le.Uint16(ram[used+2:]); n != 2 || signals != 1 || !q.AtRest() {
		t.Errorf("both finished: index %d, %d signals, at rest %v; want 2, 1, true", n, signals, q.AtRest())
	}
	for i, want := range []uint32{11, 22} {
		if id, n := le.Uint32(ram[used+4+8*i:]), le.Uint32(ram[used+8+8*i:]); id != uint32(i) || n != want {
			t.Errorf("used element %d is chain %d with %d bytes, want %d with %d", i, id, n, i, want)
		}
	}
	q.Refresh()
	if c, err := q.Take(); c == nil || err != nil {
		t.Errorf("took %v, %v after a Refresh, want the third", c, err)
	}
}
