package debian

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// The trailer of a signed module (Linux include/linux/module_signature.h): the
// signature, a struct module_signature whose last four bytes are its length,
// big-endian, and a magic line.
const (
	signatureMagic  = "~Module signature appended~\n"
	signatureStruct = 12
)

// Sections of a module: its types for BPF programs, and where its functions can be traced.
const (
	btfSection    = ".BTF"
	tracedSection = "__patchable_function_entries"
)

// lean takes out of a module what costs much to load and serves nobody here: the
// signature, whose key our command line leaves unloaded, the BTF, for which
// the kernel parses all types of its own as soon as the first module has some, and
// what the function tracer wants, which leanKernel keeps from working. The first two
// are 70 million of 305 million instructions of a boot.
//
// The object stays as long as it is: the sections lose their names and are not
// loaded any more.
func lean(object []byte) ([]byte, error) {
	object = bytes.Clone(unsigned(object))
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.ByteOrder(binary.LittleEndian) {
		return nil, fmt.Errorf("it is %v with %v", f.Class, f.Data)
	}
	var h elf.Header64
	if err := binary.Read(bytes.NewReader(object), binary.LittleEndian, &h); err != nil {
		return nil, err
	}
	for i, s := range f.Sections {
		if s.Name != btfSection && s.Name != tracedSection {
			continue
		}
		at := h.Shoff + uint64(i)*uint64(h.Shentsize) // NewFile has read it there
		s64 := elf.Section64{}
		if _, err := binary.Decode(object[at:], binary.LittleEndian, &s64); err != nil {
			return nil, err
		}
		s64.Name = 0 // the empty name, by the ELF specification
		s64.Flags &^= uint64(elf.SHF_ALLOC)
		if _, err := binary.Encode(object[at:], binary.LittleEndian, &s64); err != nil {
			return nil, err
		}
	}
	return object, nil
}

// unsigned is a module without its signature, if it has one.
func unsigned(object []byte) []byte {
	rest, signed := bytes.CutSuffix(object, []byte(signatureMagic))
	if !signed || len(rest) < signatureStruct {
		return object
	}
	body := rest[:len(rest)-signatureStruct]
	n := uint64(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	if n > uint64(len(body)) {
		return object
	}
	return body[:uint64(len(body))-n]
}
