package soft_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/mem"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// With the MMU off all data is Device memory, in which an access must be
// aligned (Arm ARM, B2.5.2): of a pair, each register's part.
func TestPairsInDeviceMemoryNeedTheAlignmentOfOneRegister(t *testing.T) {
	const (
		base, data       = 0x4000_0000, 0x4000_2000
		vectors, current = 0x4000_1000, 0x200 // exceptions from the same EL
	)
	tests := []struct {
		name   string
		word   uint32
		offset uint64
		faults bool
	}{
		{"stp x1, x2", 0xa9000801, 8, false},
		{"stp x1, x2", 0xa9000801, 4, true},
		{"stp w1, w2", 0x29000801, 4, false},
		{"stp w1, w2", 0x29000801, 2, true},
		{"ldp w1, w2", 0x29400801, 12, false},
		{"stp d1, d2", 0x6d000801, 8, false},
		{"ldp d1, d2", 0x6d400801, 8, false},
		{"stp d1, d2", 0x6d000801, 12, true},
		{"stp s1, s2", 0x2d000801, 4, false},
		{"stp q1, q2", 0xad000801, 16, false},
		{"stp q1, q2", 0xad000801, 8, true},
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ram, err := mem.New(64 << 10)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	vm, err := soft.New().NewVM(hv.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if err := vm.Map(base, ram.Bytes(), hv.Read|hv.Write|hv.Exec); err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		code := ram.Bytes()[8*i:] // a place of its own: decoded code is kept
		binary.LittleEndian.PutUint32(code, tt.word)
		binary.LittleEndian.PutUint32(code[4:], asm.Hvc(0))
		binary.LittleEndian.PutUint32(ram.Bytes()[vectors+current-base:], asm.Hvc(1))
		c, err := vm.NewVCPU(i)
		if err != nil {
			t.Fatal(err)
		}
		for reg, v := range map[hv.SysReg]uint64{arm64.VBAR_EL1: vectors, arm64.CPACR_EL1: 3 << 20} {
			if err := c.SetSysReg(reg, v); err != nil {
				t.Fatal(err)
			}
		}
		c.SetReg(hv.PC, base+8*uint64(i))
		c.SetReg(hv.X0, data+tt.offset)
		var e hv.Exit
		if err := c.Run(&e); err != nil || e.Kind != hv.HVC || (e.Imm == 1) != tt.faults {
			t.Errorf("%s, [x0] at offset %d: %+v, %v; want a fault: %v", tt.name, tt.offset, e, err, tt.faults)
		}
		if esr, _ := c.SysReg(arm64.ESR_EL1); tt.faults && esr&0x3f != arm64.FSCAlignment {
			t.Errorf("%s, [x0] at offset %d: ESR %#x, want an alignment fault", tt.name, tt.offset, esr)
		}
		c.Close()
	}
}
