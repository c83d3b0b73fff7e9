package image

import (
	"errors"
	"fmt"
)

// PE/COFF, as far as an EFI stub has it (Microsoft's "PE Format": COFF file
// header, section table).
const (
	peSig          = 0x00004550 // "PE\0\0"
	coffSize       = 20         // COFF header after the signature
	sectionSize    = 40
	maxPESections  = 96 // the Windows loader's limit; kernels have 2 to 5
	offNumSections = 2  // in the COFF header, u16
	offOptSize     = 16 // in the COFF header, u16
	offRawSize     = 16 // in a section header, u32
	offRawPointer  = 20 // in a section header, u32
)

// Machine types in a COFF header.
const (
	machineI386        = 0x014c
	machineARM         = 0x01c0
	machineThumb       = 0x01c2
	machineRISCV32     = 0x5032
	machineRISCV64     = 0x5064
	machineLoongArch64 = 0x6264
	machineAMD64       = 0x8664
	machineARM64       = 0xaa64
)

type peInfo struct {
	machine uint16
	end     uint64 // bytes that the file must have for all of its sections
}

// parsePE reads the PE header of a file that begins with a DOS header, whose
// offset word the Image header shares. data has at least headerSize bytes.
func parsePE(data []byte) (peInfo, error) {
	at := uint64(le32(data, offPE))
	if data[0] != 'M' || data[1] != 'Z' || at+4+coffSize > uint64(len(data)) || le32(data, int(at)) != peSig {
		return peInfo{}, errors.New("its header names a PE header that is not there; it is damaged or truncated")
	}
	coff := data[at+4:]
	pe := peInfo{machine: uint16(coff[0]) | uint16(coff[1])<<8}
	n := int(coff[offNumSections]) | int(coff[offNumSections+1])<<8
	table := coffSize + (int(coff[offOptSize]) | int(coff[offOptSize+1])<<8)
	if n > maxPESections || table+n*sectionSize > len(coff) {
		return peInfo{}, fmt.Errorf("its PE header has %d sections that do not fit; it is damaged or truncated", n)
	}
	for s := coff[table:]; n > 0; n, s = n-1, s[sectionSize:] {
		end := uint64(le32(s, offRawPointer)) + uint64(le32(s, offRawSize))
		pe.end = max(pe.end, end)
	}
	return pe, nil
}

// machineName names a COFF machine type.
func machineName(m uint16) string {
	switch m {
	case machineI386:
		return "x86 (32 bit)"
	case machineAMD64:
		return "x86-64"
	case machineARM, machineThumb:
		return "arm (32 bit)"
	case machineRISCV32, machineRISCV64:
		return "RISC-V"
	case machineLoongArch64:
		return "LoongArch"
	case machineARM64:
		return "arm64"
	}
	return fmt.Sprintf("machine type %#04x", m)
}
