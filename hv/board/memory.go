package board

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// ReadMemory fills p from guest memory at a virtual address of a vCPU, as its
// tables translate it now, whatever the rights; an address that they do not
// translate counts as physical. It returns how many bytes it could read; with
// fewer than asked for, err says why.
func (d *Debugger) ReadMemory(ctx context.Context, cpu int, va uint64, p []byte) (int, error) {
	return d.copyMemory(ctx, cpu, va, len(p), func(_ uint64, n int, ram []byte) { copy(p[n:], ram) })
}

// WriteMemory is ReadMemory the other way. Code may be written.
func (d *Debugger) WriteMemory(ctx context.Context, cpu int, va uint64, p []byte) (int, error) {
	return d.copyMemory(ctx, cpu, va, len(p), func(pa uint64, n int, ram []byte) {
		d.b.vm.Invalidate(pa, uint64(copy(ram, p[n:])))
	})
}

// debugPage is the smallest page that tables have.
const debugPage = 4096

// copyMemory gives the RAM behind n bytes at va to move, page by page, with its
// physical address and how many bytes came before.
func (d *Debugger) copyMemory(ctx context.Context, cpu int, va uint64, n int, move func(pa uint64, done int, ram []byte)) (int, error) {
	var t tables
	if err := d.Do(ctx, cpu, t.read); err != nil {
		return 0, err
	}
	for done := 0; done < n; {
		at := va + uint64(done)
		size := min(uint64(n-done), debugPage-at%debugPage)
		pa, ok := t.translate(d.b.word, at)
		if !ok {
			pa = at
		}
		ram := d.b.slice(pa, size)
		if ram == nil {
			return done, fmt.Errorf("cannot reach memory at %#x: it is neither mapped nor physical RAM", at)
		}
		move(pa, done, ram)
		done += int(size)
	}
	return n, nil
}

// slice is n bytes of RAM at a physical address, or nil.
func (b *Board) slice(pa, n uint64) []byte {
	ram := b.ram.Bytes()
	off := pa - RAMBase
	if pa < RAMBase || off > uint64(len(ram)) || n > uint64(len(ram))-off {
		return nil
	}
	return ram[off : off+n]
}

// word is a descriptor of a translation table.
func (b *Board) word(pa uint64) (uint64, bool) {
	ram := b.slice(pa, 8)
	if ram == nil {
		return 0, false
	}
	return binary.LittleEndian.Uint64(ram), true
}

// tables are the registers that say how a vCPU translates at EL1 and EL0.
type tables struct{ sctlr, tcr, ttbr0, ttbr1 uint64 }

func (t *tables) read(vc hv.VCPU) (err error) {
	for _, r := range []struct {
		enc hv.SysReg
		to  *uint64
	}{
		{arm64.SCTLR_EL1, &t.sctlr}, {arm64.TCR_EL1, &t.tcr}, {arm64.TTBR0_EL1, &t.ttbr0}, {arm64.TTBR1_EL1, &t.ttbr1},
	} {
		if *r.to, err = vc.SysReg(r.enc); err != nil {
			return err
		}
	}
	return nil
}

// Fields of descriptors (Arm ARM, D8.3).
const (
	descValid = 1 << 0
	descTable = 1 << 1 // at level 3: a page
	descAddr  = 0xffff_ffff_f000
)

// granules are log2 of the page size by TCR_EL1.TG0 and TG1.
var (
	granules0 = [4]uint{12, 16, 14, 0}
	granules1 = [4]uint{0, 14, 12, 16}
)

// translate walks the tables for va, without regard to rights and access flags.
// Addresses have 48 bits at most: LPA2 and 52-bit tables are not understood.
func (t *tables) translate(word func(pa uint64) (uint64, bool), va uint64) (uint64, bool) {
	if t.sctlr&1 == 0 {
		return va, true
	}
	size, table, page := t.tcr&63, t.ttbr0, granules0[t.tcr>>14&3]
	if va>>55&1 == 1 {
		size, table, page = t.tcr>>16&63, t.ttbr1, granules1[t.tcr>>30&3]
	}
	bits := 64 - uint(min(max(size, 16), 39))
	if page == 0 || bits <= page || uint64(int64(va<<8)>>8)>>bits != uint64(int64(va<<8)>>63)>>bits {
		return 0, false
	}
	stride := page - 3
	level := 4 - (bits-page+stride-1)/stride
	return walk(word, table&descAddr, va&(1<<bits-1), page, level)
}

// walk goes from a table at a level down to a page or block.
func walk(word func(pa uint64) (uint64, bool), table, va uint64, page, level uint) (uint64, bool) {
	stride := page - 3
	for ; level <= 3; level++ {
		shift := page + stride*(3-level)
		index := va >> shift
		va &= 1<<shift - 1
		d, ok := word(table + index*8)
		if !ok || d&descValid == 0 || level == 3 && d&descTable == 0 {
			return 0, false
		}
		table = d & descAddr &^ (1<<page - 1)
		if level == 3 || d&descTable == 0 {
			return table&^(1<<shift-1) | va, true
		}
	}
	return 0, false
}
