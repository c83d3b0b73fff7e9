// Package image loads what an arm64 machine boots: a kernel Image (raw, gzip,
// zstd or EFI zboot) and an initrd. It works on an io.ReaderAt and gives bytes;
// where they go in guest RAM is the board's business.
//
// The format is Linux's Documentation/arch/arm64/booting.rst, "The decompressed
// kernel image contains a 64-byte header". Every field of it is checked before
// it is believed, decompression is bounded, and what is not an arm64 kernel is
// named: the usual mistakes (an x86 bzImage, vmlinux, a zipped zImage) deserve
// better than a machine that never says a word.
package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds on what is read into memory. Debian's largest arm64 kernel is 35 MB and
// its largest initrd 120 MB unpacked.
const (
	MaxKernel = 256 << 20 // bytes of a kernel, as stored and decompressed
	MaxInitrd = 1 << 30   // bytes of an initrd as stored
)

// Values of Kernel.Compression.
const (
	Raw       = "none"
	Gzip      = "gzip"
	Zstd      = "zstd"
	ZbootGzip = "zboot-gzip" // an EFI zboot image with a gzip payload
	ZbootZstd = "zboot-zstd" // the same with zstd
)

// A Kernel is a decompressed arm64 Image whose header has been checked.
type Kernel struct {
	// TextOffset is where Data begins, in bytes above a 2 MiB aligned base. It is
	// below 2 MiB and a multiple of 4 KiB.
	TextOffset uint64
	// ImageSize is how many bytes from the start of Data must be free RAM (Data,
	// then BSS). It is at least len(Data) and at most MaxKernel.
	ImageSize uint64
	// Flags are the header's, of which only bits 0 to 3 exist: little-endian
	// always, page size see PageSize, placement see Anywhere.
	Flags uint64
	// Data is the Image, header included: its first instruction is the entry.
	Data []byte
	// Compression is how the file held it: Raw, Gzip, Zstd, ZbootGzip, ZbootZstd.
	Compression string
}

// PageSize is the page size the kernel was built for in bytes, 4096, or 0 where
// the header does not say. Open refuses the others.
func (k *Kernel) PageSize() int {
	if k.Flags&flagPageMask == flagPage4K {
		return 4096
	}
	return 0
}

// Anywhere tells whether the kernel's 2 MiB aligned base may be anywhere in RAM.
// If not, it should be as near to the start of RAM as can be.
func (k *Kernel) Anywhere() bool { return k.Flags&flagAnywhere != 0 }

// Open reads and checks a kernel of size bytes. It reads the whole file, keeps
// no hold of r, and needs memory for the file and the decompressed Image.
//
// Errors say what the file is instead and what to give; they read on from
// "cannot boot FILE: ".
func Open(r io.ReaderAt, size int64) (*Kernel, error) {
	raw, err := readAll(r, size, MaxKernel, "kernel")
	if err != nil {
		return nil, err
	}
	data, how, err := unpack(raw)
	if err != nil {
		return nil, err
	}
	k, err := parse(data)
	if err != nil {
		if how != Raw {
			return nil, fmt.Errorf("what %s compression held is no kernel: %w", how, err)
		}
		return nil, err
	}
	k.Compression = how
	return k, nil
}

// unpack undoes the compression around an Image, if any.
func unpack(raw []byte) (data []byte, how string, err error) {
	switch {
	case isZboot(raw):
		return unpackZboot(raw)
	case sniff(raw) == Gzip:
		data, err = gunzip(raw, MaxKernel)
		return data, Gzip, err
	case sniff(raw) == Zstd:
		data, err = unzstd(raw, MaxKernel)
		return data, Zstd, err
	}
	return raw, Raw, nil
}

// readAll reads size bytes of r. what names them in errors.
func readAll(r io.ReaderAt, size, max int64, what string) ([]byte, error) {
	switch {
	case size < 0:
		return nil, fmt.Errorf("the %s's size is not known", what)
	case size == 0:
		return nil, fmt.Errorf("the %s is empty; give the file again or fetch it anew", what)
	case size > max:
		return nil, fmt.Errorf("the %s has %d bytes, more than the %d allowed", what, size, max)
	}
	b := make([]byte, size)
	n, err := r.ReadAt(b, 0)
	if n == len(b) {
		return b, nil // ReadAt may add io.EOF to a full read
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the %s ends after %d of %d bytes; it is truncated", what, n, size)
	}
	return nil, fmt.Errorf("the %s cannot be read: %w", what, err)
}

// le32 and le64 read a little-endian value whose place the caller has checked.
func le32(b []byte, off int) uint32 { return binary.LittleEndian.Uint32(b[off:]) }
func le64(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off:]) }
