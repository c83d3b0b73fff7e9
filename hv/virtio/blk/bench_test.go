package blk

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/virtiotest"
)

// imageSize is that of the image under the benchmarks, in bytes; it stays in the page cache.
const imageSize = 256 << 20

func benchImage(b *testing.B) *file.File {
	b.Helper()
	path := filepath.Join(b.TempDir(), "image")
	if err := os.WriteFile(path, make([]byte, imageSize), 0o600); err != nil {
		b.Fatal(err)
	}
	f, err := file.Open(path, false)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	return f
}

// BenchmarkFloor is what the device is held against: the bare calls, one after another.
func BenchmarkFloor(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, write := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dk,write=%v", size>>10, write), func(b *testing.B) {
				f := benchImage(b)
				rnd := rand.New(rand.NewPCG(1, 1))
				buf := make([]byte, size)
				b.SetBytes(int64(size))
				for b.Loop() {
					off := int64(rnd.IntN(imageSize/size)) * int64(size)
					if write {
						_, _ = f.WriteAt(buf, off)
					} else {
						_, _ = f.ReadAt(buf, off)
					}
				}
			})
		}
	}
}

// BenchmarkDevice drives the device as a guest with so many requests in flight.
func BenchmarkDevice(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		for _, depth := range []int{1, 32} {
			for _, write := range []bool{false, true} {
				b.Run(fmt.Sprintf("%dk,qd%d,write=%v", size>>10, depth, write), func(b *testing.B) {
					benchDevice(b, size, depth, write)
				})
			}
		}
	}
}

func benchDevice(b *testing.B, size, depth int, write bool) {
	d := drive{virtiotest.Start(b, device(b, benchImage(b), Options{}), virtiotest.Options{Memory: 64 << 20})}
	rnd := rand.New(rand.NewPCG(1, 1))
	q := d.Queues[0]
	free := make([][]virtiotest.Buf, 0, depth)
	op, data, in := uint32(opIn), []byte(nil), size
	if write {
		op, data, in = opOut, make([]byte, size), 0
	}
	for range depth {
		bufs, _, _ := d.chain(op, 0, data, in)
		free = append(free, bufs)
	}
	busy := make([][]virtiotest.Buf, q.Size)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for len(free) == 0 {
			head, _ := q.Wait()
			free = append(free, busy[head])
			for head, _, ok := q.Used(); ok; head, _, ok = q.Used() {
				free = append(free, busy[head])
			}
		}
		for len(free) > 0 {
			bufs := free[len(free)-1]
			free = free[:len(free)-1]
			sector := uint64(rnd.IntN(imageSize/size)) * uint64(size/SectorSize)
			copy(bufs[0].B[8:], virtiotest.Put(sector))
			busy[q.Add(bufs...)] = bufs
			if depth > 1 {
				break
			}
		}
		if len(free) == 0 {
			q.Kick()
		}
	}
}
