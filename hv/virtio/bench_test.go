package virtio_test

import (
	"encoding/binary"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// BenchmarkChain is what a queue costs for a request of three descriptors, from Take to the
// used ring, the driver's stores included.
func BenchmarkChain(b *testing.B) {
	const base, size, usedAt = 0x4000_0000, 256, 8192
	ram, err := mem.New(64 << 10)
	if err != nil {
		b.Fatal(err)
	}
	defer ram.Close()
	space, err := mem.NewSpace(mem.Region{Base: base, Mem: ram.Bytes()})
	if err != nil {
		b.Fatal(err)
	}
	q, err := virtio.NewQueue(0, virtio.Layout{Size: size, Desc: base, Driver: base + 4096, Dev: base + usedAt},
		virtio.RingFeatures, space, func() {})
	if err != nil {
		b.Fatal(err)
	}
	m := ram.Bytes()
	for i := range uint64(3) {
		flags := []uint64{1, 3, 2}[i] // next; next and writable; writable
		binary.LittleEndian.PutUint64(m[16*i:], base+16384+4096*i)
		binary.LittleEndian.PutUint64(m[16*i+8:], 512|flags<<32|(i+1)<<48)
	}
	idx := uint16(0)
	for b.Loop() {
		idx++ // every ring entry names chain 0
		mem.Store16(m, 4096+2, idx)
		c, err := q.Take()
		if c == nil || err != nil {
			b.Fatal(err)
		}
		c.Finish(0)
	}
}
