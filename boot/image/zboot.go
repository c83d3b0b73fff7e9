package image

import (
	"bytes"
	"errors"
	"fmt"
)

// EFI zboot header (Linux drivers/firmware/efi/libstub/zboot-header.S): "MZ",
// the word "zimg", where the payload is, and the name of its compression.
const (
	offZimg        = 0x04 // "zimg"
	offPayload     = 0x08 // u32, offset of the payload in the file
	offPayloadSize = 0x0c // u32, its length in bytes
	offComp        = 0x18 // NUL terminated name, ends before offMagic
)

// isZboot tells whether b begins as an EFI zboot image.
func isZboot(b []byte) bool {
	return len(b) >= headerSize && b[0] == 'M' && b[1] == 'Z' && string(b[offZimg:offZimg+4]) == "zimg"
}

// unpackZboot gives the Image inside a zboot image.
func unpackZboot(b []byte) (data []byte, how string, err error) {
	pe, err := parsePE(b)
	if err != nil {
		return nil, "", err
	}
	if pe.machine != machineARM64 {
		return nil, "", fmt.Errorf("it is an EFI zboot kernel for %s; give one for arm64", machineName(pe.machine))
	}
	off, size := uint64(le32(b, offPayload)), uint64(le32(b, offPayloadSize))
	if off < headerSize || size == 0 || off+size > uint64(len(b)) {
		return nil, "", fmt.Errorf("it is a truncated EFI zboot kernel: its payload is bytes %d to %d, the file has %d; fetch it again", off, off+size, len(b))
	}
	name, _, ended := bytes.Cut(b[offComp:offMagic], []byte{0})
	if !ended {
		return nil, "", errors.New("its EFI zboot header does not end the name of the compression; it is damaged")
	}
	payload := b[off : off+size]
	switch string(name) {
	case Gzip:
		data, err = gunzip(payload, MaxKernel)
		return data, ZbootGzip, err
	case Zstd, "zstd22": // "zstd22" is the name from Linux 6.1 on (level 22)
		data, err = unzstd(payload, MaxKernel)
		return data, ZbootZstd, err
	}
	return nil, "", fmt.Errorf("it is an EFI zboot kernel compressed with %q; only gzip and zstd are read: unpack it to a raw Image", name)
}
