package image

import (
	"errors"
	"fmt"
)

// The 64-byte header, little-endian (booting.rst, section 4).
const (
	offCode0      = 0x00 // u32, an instruction; with an EFI stub its low half reads "MZ"
	offTextOffset = 0x08 // u64
	offImageSize  = 0x10 // u64, 0 before Linux 3.17
	offFlags      = 0x18 // u64
	offRes2       = 0x20 // u64, three reserved words up to the magic
	offMagic      = 0x38 // u32, "ARM\x64"
	offPE         = 0x3c // u32, offset of the PE header or 0
	headerSize    = 0x40

	magicARM64 = 0x644d5241
	imageAlign = 2 << 20 // alignment of the base that text_offset counts from
	textAlign  = 4 << 10

	// oldTextOffset is assumed when image_size is 0 (booting.rst: "Where
	// image_size is zero, text_offset can be assumed to be 0x80000").
	oldTextOffset = 0x80000
)

// Bits of flags.
const (
	flagBigEndian = 1 << 0
	flagPageMask  = 3 << 1 // 0 says nothing
	flagPage4K    = 1 << 1
	flagPage16K   = 2 << 1
	flagPage64K   = 3 << 1
	flagAnywhere  = 1 << 3
	flagsKnown    = 1<<4 - 1
)

// parse checks the header of a decompressed Image. The Kernel shares data.
func parse(data []byte) (*Kernel, error) {
	if len(data) < headerSize || le32(data, offMagic) != magicARM64 {
		return nil, notArm64(data)
	}
	k := &Kernel{
		TextOffset: le64(data, offTextOffset),
		ImageSize:  le64(data, offImageSize),
		Flags:      le64(data, offFlags),
		Data:       data,
	}
	if k.ImageSize == 0 {
		k.TextOffset, k.ImageSize = oldTextOffset, uint64(len(data))
	}
	if err := checkPlace(k); err != nil {
		return nil, err
	}
	if err := checkFlags(k.Flags); err != nil {
		return nil, err
	}
	if err := checkRest(data); err != nil {
		return nil, err
	}
	return k, checkWhole(k)
}

// maxBSS is how much zeroed memory behind its file a kernel may ask for without
// being suspect, in bytes.
const maxBSS = 4 << 20

// checkWhole looks for a file that was cut off where no PE header tells its length.
// image_size counts the BSS too, which in Linux is a few hundredths of it: a file
// that lacks more than half, and more than a small kernel's BSS could be, was
// cut. What was cut by less is found only when the kernel crashes.
func checkWhole(k *Kernel) error {
	have := uint64(len(k.Data))
	if k.ImageSize-have <= maxBSS || have >= k.ImageSize/2 {
		return nil
	}
	return fmt.Errorf("it is truncated: its header asks for %d bytes and the file has %d; fetch it again", k.ImageSize, have)
}

// checkPlace checks text_offset and image_size.
func checkPlace(k *Kernel) error {
	switch {
	case k.TextOffset >= imageAlign:
		return fmt.Errorf("its text_offset %#x is not below 2 MiB; the header is damaged", k.TextOffset)
	case k.TextOffset%textAlign != 0:
		return fmt.Errorf("its text_offset %#x is not a multiple of 4 KiB; the header is damaged", k.TextOffset)
	case k.ImageSize > MaxKernel:
		return fmt.Errorf("its image_size %#x is more than the %d MiB allowed; the header is damaged", k.ImageSize, MaxKernel>>20)
	case k.ImageSize < uint64(len(k.Data)):
		return fmt.Errorf("its image_size is %d but the Image has %d bytes; the header is damaged or something was appended", k.ImageSize, len(k.Data))
	}
	return nil
}

// checkFlags refuses kernels that could not run: our engines are little-endian
// and offer the 4 KiB granule only.
func checkFlags(flags uint64) error {
	if flags&^flagsKnown != 0 {
		return fmt.Errorf("its header has reserved flags (%#x); the boot protocol is newer than this program", flags)
	}
	if flags&flagBigEndian != 0 {
		return errors.New("it is a big-endian kernel; give a little-endian one")
	}
	switch flags & flagPageMask {
	case flagPage16K:
		return errors.New("it is built for 16 KiB pages; give one built for 4 KiB (CONFIG_ARM64_4K_PAGES)")
	case flagPage64K:
		return errors.New("it is built for 64 KiB pages; give one built for 4 KiB (CONFIG_ARM64_4K_PAGES)")
	}
	return nil
}

// checkRest checks the entry instruction, the reserved words and the PE header
// that an EFI stub brings, whose section table tells a truncated file.
func checkRest(data []byte) error {
	if le32(data, offCode0) == 0 {
		return errors.New("its first instruction is 0 (UDF); the header is damaged")
	}
	for off := offRes2; off < offMagic; off += 8 {
		if v := le64(data, off); v != 0 {
			return fmt.Errorf("its reserved header word at %#x is %#x, not 0; the header is damaged", off, v)
		}
	}
	if le32(data, offPE) == 0 {
		return nil
	}
	pe, err := parsePE(data)
	if err != nil {
		return err
	}
	if pe.machine != machineARM64 {
		return fmt.Errorf("its PE header is for %s, not arm64", machineName(pe.machine))
	}
	if pe.end > uint64(len(data)) {
		return fmt.Errorf("it is truncated: its sections need %d bytes, the file has %d; fetch it again", pe.end, len(data))
	}
	return nil
}
