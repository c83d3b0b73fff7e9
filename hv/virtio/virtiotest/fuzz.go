package virtiotest

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Fuzz lets a guest do what data says to a device: any descriptor, index, notification,
// register, configuration or memory write, and resets. The device must
// neither panic nor touch what is not guest memory, and must end when it is closed.
func Fuzz(f *testing.F, device func(t testing.TB) virtio.Device) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := New(t, device(t), Options{Memory: 1 << 20, QueueSize: 16})
		d.Init()
		g := &guest{d: d, data: data}
		for n := 0; n < maxSteps && g.step(); n++ {
		}
	})
}

// maxSteps bounds one guest: thousands of resets take seconds and find nothing that hundreds do not.
const maxSteps = 256

// Operations of the fuzzing guest; each is followed by its operands.
const (
	fzDesc   = 0 // queue, index, address, length, flags, next
	fzOffer  = 1 // queue, head
	fzIndex  = 2 // queue, index
	fzKick   = 3 // queue
	fzReg    = 4 // offset, size, value
	fzMemory = 5 // address, length, bytes
	fzReset  = 6
	fzPause  = 7
	fzConfig = 8 // offset, size, value
	fzChain  = 9 // queue, readable length, writable length: a correct chain, and a notification
	fzOps    = 10
)

var seeds = [][]byte{
	{fzChain, 0, 16, 0, 64, 0, fzPause, fzReset, fzChain, 1, 0, 0, 0, 2},
	{fzMemory, 0, 0x80, 8, 1, 0, 0, 0, 0, 0, 0, 0, fzChain, 0, 8, 0, 8, 0, fzChain, 1, 44, 0, 0, 0, fzPause},
	{fzDesc, 0, 0, 0, 0x80, 0, 16, 0, 1, 1, fzOffer, 0, 0, fzKick, 0, fzPause},
	{fzDesc, 0, 1, 0, 0x80, 0, 32, 0, 4, 0, fzOffer, 0, 1, fzKick, 0, fzPause},
	{fzIndex, 0, 0xff, 0xff, fzKick, 0, fzPause, fzReset},
	{fzReg, 0x70, 4, 0, 0, 0, 0, fzReg, 0x44, 4, 1, 0, 0, 0, fzConfig, 0, 4, 1, 2, 3, 4},
}

type guest struct {
	d    *Driver
	data []byte
}

func (g *guest) u8() byte {
	if len(g.data) == 0 {
		return 0
	}
	b := g.data[0]
	g.data = g.data[1:]
	return b
}

func (g *guest) u16() uint16 { return uint16(g.u8()) | uint16(g.u8())<<8 }
func (g *guest) u32() uint32 { return uint32(g.u16()) | uint32(g.u16())<<16 }

// address is mostly in guest memory, on a byte boundary of 16 half of the time.
func (g *guest) address() uint64 {
	v := uint64(g.u16())
	if v == 0xffff {
		return uint64(g.u32())<<32 | uint64(g.u32())
	}
	return Base + v*16
}

// ring is a queue of the device, nil when a reset has left none.
func (g *guest) ring() *Ring {
	if len(g.d.Queues) == 0 {
		return nil
	}
	return g.d.Queues[int(g.u8())%len(g.d.Queues)]
}

func (g *guest) step() bool {
	if len(g.data) == 0 {
		return false
	}
	switch g.u8() % fzOps {
	case fzReg:
		g.d.Bus.Write(uint64(g.u8()), int(g.u8()%8+1), uint64(g.u32()))
	case fzConfig:
		off, size := ConfigSpace+uint64(g.u8()), int(g.u8()%8+1)
		g.d.Bus.Write(off, size, uint64(g.u32()))
		g.d.Bus.Read(off, size)
	case fzMemory:
		g.memory()
	case fzReset:
		g.d.Init()
	case fzPause:
		time.Sleep(20 * time.Microsecond)
	case fzKick:
		g.d.W(QueueNotify, uint32(g.u8()))
	case fzDesc:
		if r := g.ring(); r != nil {
			i, addr, n := uint16(g.u8())%r.Size, g.address(), uint32(g.u16())
			r.SetDesc(i, addr, n, uint16(g.u8()), uint16(g.u8()))
		}
	case fzOffer:
		if r := g.ring(); r != nil {
			r.Offer(uint16(g.u8()))
		}
	case fzIndex:
		if r := g.ring(); r != nil {
			r.SetIdx(g.u16())
		}
	case fzChain:
		g.chain()
	}
	return true
}

// memory writes bytes anywhere, rings included.
func (g *guest) memory() {
	addr, n := g.address(), int(g.u8())
	b, err := g.d.Space.Slice(addr, uint64(n))
	if err != nil {
		return
	}
	for i := range b {
		b[i] = g.u8()
	}
}

// chain offers one correct chain in the middle of memory, over descriptors 0 and 1.
func (g *guest) chain() {
	r := g.ring()
	if r == nil {
		return
	}
	in, out := uint32(g.u16()), uint32(g.u16())
	at := uint64(Base + 0x80*16)
	r.SetDesc(0, at, in, DescNext, 1)
	r.SetDesc(1, at+1<<17, out, DescWrite, 0)
	r.Offer(0)
	r.Notify()
}

// Put is little endian bytes of v, for requests in tests: uint8 to uint64 and []byte.
func Put(v ...any) []byte {
	var b []byte
	for _, x := range v {
		b, _ = binary.Append(b, binary.LittleEndian, x)
	}
	return b
}
