package image

import (
	"bytes"
	"errors"
	"fmt"
)

// A signature is how a format begins: magic at offset off.
type signature struct {
	off   int
	magic string
	name  string
}

// compressions are the formats that a kernel or an initrd may be wrapped in.
// The kernel's own decompressors take them for an initrd (lib/decompress.c).
var compressions = []signature{
	{0, "\x1f\x8b", Gzip},
	{0, "\x28\xb5\x2f\xfd", Zstd},
	{0, "\xfd7zXZ\x00", "xz"},
	{0, "\x02\x21\x4c\x18", "lz4"},
	{0, "BZh", "bzip2"},
	{0, "\x5d\x00\x00", "lzma"},
	{0, "\x89LZO", "lzop"},
}

// lz4Frame is the format that the lz4 command writes by default, which the
// kernel does not read.
var lz4Frame = []byte("\x04\x22\x4d\x18")

// foreign are files that people hand over by mistake, more telling ones first.
var foreign = []signature{
	{0x202, "HdrS", "an x86 kernel (bzImage); give an arm64 Image"},
	{0x38, "RSC\x05", "a RISC-V kernel; give an arm64 Image"},
	{0x24, "\x18\x28\x6f\x01", "a 32-bit arm kernel (zImage); give an arm64 Image"},
	{0, "ANDROID!", "an Android boot image; extract the kernel from it"},
	{0, "\x27\x05\x19\x56", "a U-Boot image (uImage); extract the kernel from it"},
	{0, "\xd0\x0d\xfe\xed", "a device tree or FIT image; give the kernel itself"},
	{0, "070701", "a cpio archive, perhaps the initrd; give an arm64 Image"},
	{0, "070702", "a cpio archive, perhaps the initrd; give an arm64 Image"},
	{0, "!<arch>\n", "an ar archive, perhaps a .deb; give the Image inside"},
	{0, "\x04\x22\x4d\x18", "compressed with lz4; unpack it first (lz4 -d)"},
	{0, "#!", "a script; give an arm64 Image"},
}

// sniff names the compression that b begins with, or "".
func sniff(b []byte) string { return match(compressions, b) }

// match gives the name of the first signature that b has, or "".
func match(sigs []signature, b []byte) string {
	for _, s := range sigs {
		if len(b) >= s.off && bytes.HasPrefix(b[s.off:], []byte(s.magic)) {
			return s.name
		}
	}
	return ""
}

// notArm64 says what b is, given that it has no arm64 Image header.
func notArm64(b []byte) error {
	if name := match(foreign, b); name != "" {
		return errors.New("it is " + name)
	}
	if bytes.HasPrefix(b, []byte("\x7fELF")) {
		return elfError(b)
	}
	if how := sniff(b); how != "" {
		return fmt.Errorf("it is compressed with %s, which is not read for kernels; unpack it to a raw Image", how)
	}
	if len(b) < headerSize {
		return fmt.Errorf("it has %d bytes, less than the %d of an arm64 Image header; it is truncated", len(b), headerSize)
	}
	if b[0] == 'M' && b[1] == 'Z' {
		return peError(b)
	}
	return errors.New(`it is not an arm64 Image: there is no "ARM\x64" at offset 0x38; give arch/arm64/boot/Image or a distribution's vmlinuz`)
}

// peError says what a PE file without the arm64 magic is.
func peError(b []byte) error {
	pe, err := parsePE(b)
	if err != nil {
		return fmt.Errorf("it is a DOS or Windows program: %w", err)
	}
	if pe.machine != machineARM64 {
		return fmt.Errorf("it is an EFI program for %s; give an arm64 Image", machineName(pe.machine))
	}
	return errors.New("it is an EFI program for arm64 but no kernel, perhaps a boot loader or a unified kernel image; give the kernel itself")
}

// ELF identification and machine numbers (System V ABI, e_machine).
const (
	elfDataOff    = 5 // 1 little-endian, 2 big-endian
	elfMachineOff = 18
	elfMachineEnd = 20
)

var elfMachines = map[uint16]string{
	3: "x86 (32 bit)", 8: "MIPS", 20: "PowerPC", 21: "PowerPC 64", 22: "S/390",
	40: "arm (32 bit)", 62: "x86-64", 183: "arm64", 243: "RISC-V", 258: "LoongArch",
}

// elfError says what kind of ELF file was given.
func elfError(b []byte) error {
	if len(b) < elfMachineEnd {
		return errors.New("it is a truncated ELF file; give an arm64 Image")
	}
	m := uint16(b[elfMachineOff]) | uint16(b[elfMachineOff+1])<<8
	if b[elfDataOff] == 2 {
		m = m>>8 | m<<8
	}
	name, ok := elfMachines[m]
	switch {
	case !ok:
		return fmt.Errorf("it is an ELF file for machine %d; give an arm64 Image", m)
	case name == "arm64":
		return errors.New("it is an arm64 ELF file, perhaps vmlinux; give arch/arm64/boot/Image instead")
	}
	return fmt.Errorf("it is an ELF file for %s; give an arm64 Image", name)
}
