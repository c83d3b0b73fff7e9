package soft_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
)

// skip is an exception handler that goes on behind the instruction.
var skip = []uint32{
	asm.Mrs(30, arm64.ELR_EL1), asm.AddImm(30, 30, 4), asm.Msr(arm64.ELR_EL1, 30), asm.Eret(),
}

// hostile makes a vCPU whose RAM is code, with handlers that skip what faults.
func hostile(t testing.TB, code []byte, seed uint64) hv.Counted {
	m := newGuestWith(t, hv.Config{Counted: &hv.CountedConfig{}}, pageUser, pageUserRO)
	copy(m.ram[:vectors-ramBase], code)
	copy(m.ram[userPage-ramBase:][:4096], code)
	for off := 0; off < 0x800; off += 0x80 {
		for k, w := range skip {
			binary.LittleEndian.PutUint32(m.ram[vectors-ramBase+off+4*k:], w)
		}
	}
	r := rand.New(rand.NewPCG(seed, 1))
	places := []uint64{ramBase, window, window + 0xff8, userCode, ttbr, tableL3, 0, 1 << 63, r.Uint64()}
	for k := hv.X0; k < hv.X30; k++ {
		m.reg(t, k, places[r.IntN(len(places))]+r.Uint64N(64))
	}
	m.reg(t, hv.PC, ramBase)
	if seed&1 != 0 {
		m.reg(t, hv.CPSR, arm64.ModeEL0t)
		m.reg(t, hv.PC, userCode)
	}
	return m.VCPU.(hv.Counted)
}

// drive runs n instructions in quanta, answering exits with what comes to hand,
// and checks that time and count go on together.
func drive(t testing.TB, c hv.Counted, n uint64) {
	var e hv.Exit
	for range n {
		before, now := c.Instructions(), c.Now()
		if err := c.RunN(100, &e); err != nil {
			t.Fatal(err)
		}
		if done := c.Instructions() - before; done > 100 || c.Now()-now != done {
			t.Fatalf("%d instructions took %d ns, exit %+v", done, c.Now()-now, e)
		}
		switch e.Kind {
		case hv.MMIO, hv.Trap:
			if !e.Write {
				if err := e.Complete(c, n); err != nil {
					t.Fatal(err)
				}
			}
		case hv.Fault, hv.Denied:
			pc, _ := c.Reg(hv.PC)
			if pc += 4; c.SetReg(hv.PC, pc) != nil {
				t.Fatal("cannot skip")
			}
		}
	}
}

// FuzzGuest: whatever a guest executes, the engine neither panics nor hangs, and
// charges what it runs.
func FuzzGuest(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 7))
	for seed := range uint64(8) {
		code := make([]byte, 512)
		for k := range code {
			code[k] = byte(r.Uint32())
		}
		f.Add(code, seed)
	}
	f.Add([]byte{0xe0, 0x03, 0x9f, 0xd6}, uint64(2)) // eret
	f.Fuzz(func(t *testing.T, code []byte, seed uint64) {
		if len(code) > vectors-ramBase {
			return
		}
		drive(t, hostile(t, code, seed), 20)
	})
}

// likely are words around which random ones are likely to be valid.
var likely = []uint32{
	0xf9400000, 0xb8000000, 0x0c000000, 0x0d000000, 0x08000000, 0x38200000, 0xa9000000, 0x6d000000, // memory
	0xd5000000, 0xd5300000, 0xd5100000, 0xd4000000, 0xd6000000, // system
	0x54000000, 0x34000000, 0x14000000, 0x36000000, // branches
	0x8b000000, 0x1ac00000, 0x1e200000, 0x4e200000, 0x91000000, 0x92000000, // processing
}

// TestRandomGuestsAreHarmless is FuzzGuest over programs that mostly mean
// something.
func TestRandomGuestsAreHarmless(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		r := rand.New(rand.NewPCG(uint64(seed), 3))
		code := make([]byte, 4096)
		for k := 0; k < len(code); k += 4 {
			w := likely[r.IntN(len(likely))]
			binary.LittleEndian.PutUint32(code[k:], w|r.Uint32()&^(w|0x1f000000))
		}
		t.Run("", func(t *testing.T) { drive(t, hostile(t, code, uint64(seed)), 30) })
	}
}
