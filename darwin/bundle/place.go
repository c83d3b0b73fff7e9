package main

import (
	"bytes"
	"encoding/binary"
	"errors"

	gosign "github.com/blacktop/go-macho/pkg/codesign"
)

// Load commands of a Mach-O and where their fields are: <mach-o/loader.h>.
const (
	machoMagic64    = 0xfeedfacf
	machoHead       = 32
	lcSegment64     = 0x19
	segmentSize     = 72
	segmentName     = 8
	segmentVMSize   = 32
	segmentFileOff  = 40
	segmentFileSize = 48
	signatureOff    = 8
	signatureSize   = 12
	machoPage       = 16 << 10 // of Apple silicon
)

// A config is what a signature is to say. The library makes the signature; its own way of putting it into a file drops what is
// between segments, so place does that.
type config struct{ gosign.Config }

// segment is one segment's command and its place in the file.
type segment struct {
	command   []byte
	off, size uint64
}

// commands finds the commands that a signature concerns. They are parts of file.
func commands(file []byte) (signature []byte, text, linkedit segment, err error) {
	le := binary.LittleEndian
	if len(file) < machoHead || le.Uint32(file) != machoMagic64 {
		return nil, text, linkedit, errors.New("it is no thin 64-bit Mach-O")
	}
	at := uint64(machoHead)
	for range le.Uint32(file[16:]) {
		if at+8 > uint64(len(file)) || at+uint64(le.Uint32(file[at+4:])) > uint64(len(file)) || le.Uint32(file[at+4:]) < 8 {
			return nil, text, linkedit, errors.New("its load commands are cut off")
		}
		c := file[at : at+uint64(le.Uint32(file[at+4:]))]
		at += uint64(len(c))
		switch {
		case le.Uint32(c) == lcCodeSignature && len(c) >= 16:
			signature = c
		case le.Uint32(c) == lcSegment64 && len(c) >= segmentSize:
			s := segment{c, le.Uint64(c[segmentFileOff:]), le.Uint64(c[segmentFileSize:])}
			switch string(bytes.TrimRight(c[segmentName:segmentName+16], "\x00")) {
			case "__TEXT":
				text = s
			case "__LINKEDIT":
				linkedit = s
			}
		}
	}
	if signature == nil || text.command == nil || linkedit.command == nil {
		return nil, text, linkedit, errors.New("its linker has not signed it")
	}
	return signature, text, linkedit, nil
}

// place is file with the signature that c says instead of its own, which is the last of a Mach-O.
func (c *config) place(file []byte) ([]byte, error) {
	file = bytes.Clone(file)
	command, text, linkedit, err := commands(file)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	off := uint64(le.Uint32(command[signatureOff:]))
	if off > uint64(len(file)) || linkedit.off > off {
		return nil, errors.New("its signature is beyond its end")
	}
	c.CodeSize, c.TextOffset, c.TextSize = off, text.off, text.size
	c.NSpecialSlots = maxSpecialSlots // for the estimate; Sign counts them
	room := roundUp(gosign.EstimateCodeSignatureSize(&c.Config), 16)
	le.PutUint32(command[signatureSize:], uint32(room))
	le.PutUint64(linkedit.command[segmentFileSize:], off-linkedit.off+room)
	le.PutUint64(linkedit.command[segmentVMSize:], roundUp(off-linkedit.off+room, machoPage))
	signature, err := gosign.Sign(bytes.NewReader(file[:off]), &c.Config)
	if err != nil {
		return nil, err
	}
	if uint64(len(signature)) > room {
		return nil, errors.New("the signature is larger than was foreseen")
	}
	return append(append(file[:off:off], signature...), make([]byte, room-uint64(len(signature)))...), nil
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }
