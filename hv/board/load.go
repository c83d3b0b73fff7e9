package board

import (
	"errors"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/boot/image"
)

const (
	kernelAlign = 2 << 20 // of the base that the text offset counts from
	pageSize    = 4096
	maxFDT      = 2 << 20
)

// A placement is where the boot protocol puts things, as guest physical
// addresses (Documentation/arch/arm64/booting.rst).
type placement struct {
	kernel    uint64
	initrd    uint64 // its first byte
	initrdEnd uint64 // one past its last, 0 without an initrd
	fdt       uint64
}

// place puts the kernel at the start of RAM, the initrd on the next 2 MiB
// boundary after it, and the devicetree into the last pages. None may
// overlap. RAMBase is a multiple of kernelAlign.
func place(memory uint64, k *image.Kernel, initrd, fdt int) (placement, error) {
	if k == nil || len(k.Data) == 0 {
		return placement{}, errors.New("there is no kernel")
	}
	if fdt > maxFDT {
		return placement{}, fmt.Errorf("the devicetree has %d bytes; the boot protocol allows %d", fdt, maxFDT)
	}
	size := max(k.ImageSize, uint64(len(k.Data)))
	room := alignDown(memory-min(memory, uint64(fdt)), pageSize)
	if k.TextOffset > room || size > room-k.TextOffset {
		return placement{}, fmt.Errorf("the kernel needs %d MiB of RAM, with %d MiB in all; give more memory",
			(k.TextOffset+size)>>20+1, memory>>20)
	}
	p := placement{kernel: RAMBase + k.TextOffset, fdt: RAMBase + room}
	if initrd == 0 {
		return p, nil
	}
	at := alignUp(k.TextOffset+size, kernelAlign)
	if at > room || uint64(initrd) > room-at {
		return placement{}, fmt.Errorf("the initrd of %d MiB does not fit behind the kernel in %d MiB of RAM; give more memory",
			initrd>>20+1, memory>>20)
	}
	p.initrd, p.initrdEnd = RAMBase+at, RAMBase+at+uint64(initrd)
	return p, nil
}

func alignDown(v, to uint64) uint64 { return v &^ (to - 1) }
func alignUp(v, to uint64) uint64   { return (v + to - 1) &^ (to - 1) }

// fill copies everything to where p says.
func (p placement) fill(ram []byte, k *image.Kernel, initrd, fdt []byte) {
	copy(ram[p.kernel-RAMBase:], k.Data)
	copy(ram[p.fdt-RAMBase:], fdt)
	if p.initrdEnd != 0 {
		copy(ram[p.initrd-RAMBase:], initrd)
	}
}
