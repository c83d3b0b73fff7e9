package userland

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// image is a loaded program.
type image struct {
	entry     uint64
	end       uint64 // the page after its last byte
	phdr      uint64 // address of the program headers
	phentsize uint64
	phnum     uint64
}

// load copies the segments of a static program to their addresses.
func load(ram, file []byte) (*image, error) {
	f, err := elf.NewFile(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("cannot load program: %w", err)
	}
	if f.Machine != elf.EM_AARCH64 || f.Type != elf.ET_EXEC || len(file) < 64 {
		return nil, errors.New("cannot load program: it is no static arm64 executable; link it with -static -no-pie")
	}
	im := &image{entry: f.Entry, phentsize: 56, phnum: uint64(len(f.Progs))}
	phoff := binary.LittleEndian.Uint64(file[32:])
	for _, s := range f.Progs {
		if s.Type != elf.PT_LOAD {
			continue
		}
		if s.Vaddr >= mapBase || s.Memsz > mapBase-s.Vaddr || s.Filesz > s.Memsz {
			return nil, fmt.Errorf("cannot load program: a segment at %#x, %#x bytes, is out of range", s.Vaddr, s.Memsz)
		}
		if _, err := io.ReadFull(s.Open(), ram[s.Vaddr:s.Vaddr+s.Filesz]); err != nil {
			return nil, fmt.Errorf("cannot load program: %w", err)
		}
		if phoff >= s.Off && phoff < s.Off+s.Filesz {
			im.phdr = s.Vaddr + phoff - s.Off
		}
		im.end = max(im.end, (s.Vaddr+s.Memsz+pageSize-1)&^(pageSize-1))
	}
	return im, nil
}

// Entries of the auxiliary vector (elf.h, AT_*), and the HWCAP bits that an
// Armv8.0 with AES, PMULL, SHA1, SHA2, CRC32 and atomics has.
const (
	atNull, atPHDR, atPHEnt, atPHNum, atPageSize, atEntry = 0, 3, 4, 5, 6, 9
	atHWCap, atRandom                                     = 16, 25
	hwcap                                                 = 1<<9 - 1&^(1<<2)
)

// writeStack puts argc, argv, an empty environment and the auxiliary vector on
// the stack and returns its pointer.
func (p *process) writeStack(im *image, args []string) uint64 {
	ram, sp := p.ram.Bytes(), uint64(stackTop-64)
	random := sp // 16 bytes, which stay zero: runs shall not differ
	words := []uint64{uint64(len(args))}
	for _, a := range args {
		sp -= uint64(len(a)) + 1
		copy(ram[sp:], a)
		words = append(words, sp)
	}
	words = append(words, 0, 0,
		atPHDR, im.phdr, atPHEnt, im.phentsize, atPHNum, im.phnum, atPageSize, pageSize,
		atEntry, im.entry, atHWCap, hwcap, atRandom, random, atNull, 0)
	sp = (sp - 8*uint64(len(words))) &^ 15
	for i, w := range words {
		binary.LittleEndian.PutUint64(ram[sp+8*uint64(i):], w)
	}
	return sp
}
