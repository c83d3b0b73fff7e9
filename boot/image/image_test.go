package image

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// put writes v little-endian at off.
func put[T uint16 | uint32 | uint64](b []byte, off int, v T) {
	switch v := any(v).(type) {
	case uint16:
		binary.LittleEndian.PutUint16(b[off:], v)
	case uint32:
		binary.LittleEndian.PutUint32(b[off:], v)
	case uint64:
		binary.LittleEndian.PutUint64(b[off:], v)
	}
}

// newImage is a flat arm64 Image of size bytes that needs 64 KiB more.
func newImage(size int) []byte {
	b := make([]byte, size)
	put(b, offCode0, uint32(0x14000010)) // b +0x40
	put(b, offImageSize, uint64(size+64<<10))
	put(b, offFlags, uint64(flagPage4K|flagAnywhere))
	put(b, offMagic, uint32(magicARM64))
	return b
}

// Where newPE puts the PE header and its only section.
const (
	testPE      = 0x40
	testSection = testPE + 4 + coffSize
)

// addPE gives an Image the PE header of an EFI stub with one section that
// reaches the end of the file.
func addPE(b []byte, machine uint16) []byte {
	put(b, offCode0, uint32(0xfa405a4d)) // "MZ", as Linux has it: ccmp x18, #0, #0xd, pl
	put(b, offPE, uint32(testPE))
	put(b, testPE, uint32(peSig))
	put(b, testPE+4, machine)
	put(b, testPE+4+offNumSections, uint16(1))
	put(b, testSection+offRawSize, uint32(len(b)-0x80))
	put(b, testSection+offRawPointer, uint32(0x80))
	return b
}

// newZboot wraps payload as Linux's EFI zboot does.
func newZboot(payload []byte, comp string, machine uint16) []byte {
	b := append(make([]byte, 0x100), payload...)
	addPE(b, machine)
	put(b, 0, uint32(0x5a4d))
	copy(b[offZimg:], "zimg")
	put(b, offPayload, uint32(0x100))
	put(b, offPayloadSize, uint32(len(payload)))
	copy(b[offComp:], comp)
	put(b, offMagic, uint32(0x818223cd)) // LINUX_PE_MAGIC
	return b
}

func gzipped(b []byte) []byte {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	z.Write(b)
	z.Close()
	return buf.Bytes()
}

func zstded(b []byte) []byte {
	z, _ := zstd.NewWriter(nil)
	defer z.Close()
	return z.EncodeAll(b, nil)
}

func open(b []byte) (*Kernel, error) { return Open(bytes.NewReader(b), int64(len(b))) }

func TestOpenUnpacksEveryForm(t *testing.T) {
	img := newImage(8 << 10)
	tests := []struct {
		name string
		file []byte
		how  string
	}{
		{"a flat image", img, Raw},
		{"gzip", gzipped(img), Gzip},
		{"gzip with padding behind it", append(gzipped(img), make([]byte, 512)...), Gzip},
		{"zstd", zstded(img), Zstd},
		{"zboot with gzip", newZboot(gzipped(img), "gzip", machineARM64), ZbootGzip},
		{"zboot with zstd", newZboot(zstded(img), "zstd", machineARM64), ZbootZstd},
		{"zboot with zstd by its newer name", newZboot(zstded(img), "zstd22", machineARM64), ZbootZstd},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := open(tt.file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(k.Data, img) || k.Compression != tt.how {
				t.Errorf("got %d bytes by %q, want the %d bytes of the image by %q", len(k.Data), k.Compression, len(img), tt.how)
			}
			if k.TextOffset != 0 || k.ImageSize != uint64(len(img)+64<<10) || k.PageSize() != 4096 || !k.Anywhere() {
				t.Errorf("header read as %#x, %#x, page size %d, anywhere %t", k.TextOffset, k.ImageSize, k.PageSize(), k.Anywhere())
			}
		})
	}
}

func TestOpenChecksEveryHeaderField(t *testing.T) {
	tests := []struct {
		name string
		edit func(b []byte)
		want string // part of the error, "" for none
	}{
		{"text_offset of an old kernel", func(b []byte) { put(b, offTextOffset, uint64(0x80000)) }, ""},
		{"highest text_offset", func(b []byte) { put(b, offTextOffset, uint64(0x1ff000)) }, ""},
		{"text_offset of 2 MiB", func(b []byte) { put(b, offTextOffset, uint64(2<<20)) }, "text_offset"},
		{"unaligned text_offset", func(b []byte) { put(b, offTextOffset, uint64(0x800)) }, "text_offset"},
		{"text_offset that overflows", func(b []byte) { put(b, offTextOffset, ^uint64(0)) }, "text_offset"},
		{"image_size below the file", func(b []byte) { put(b, offImageSize, uint64(100)) }, "image_size"},
		{"image_size that overflows", func(b []byte) { put(b, offImageSize, ^uint64(0)) }, "image_size"},
		{"image_size of the file", func(b []byte) { put(b, offImageSize, uint64(len(b))) }, ""},
		{"4 MiB of BSS behind a small file", func(b []byte) { put(b, offImageSize, uint64(len(b)+maxBSS)) }, ""},
		{"a file cut to a small part", func(b []byte) { put(b, offImageSize, uint64(len(b)+maxBSS+1)) }, "truncated"},
		{"page size not said", func(b []byte) { put(b, offFlags, uint64(0)) }, ""},
		{"16 KiB pages", func(b []byte) { put(b, offFlags, uint64(flagPage16K)) }, "16 KiB"},
		{"64 KiB pages", func(b []byte) { put(b, offFlags, uint64(flagPage64K)) }, "64 KiB"},
		{"big-endian", func(b []byte) { put(b, offFlags, uint64(flagPage4K|flagBigEndian)) }, "big-endian"},
		{"reserved flag", func(b []byte) { put(b, offFlags, uint64(1<<4)) }, "reserved flags"},
		{"first reserved word", func(b []byte) { b[0x20] = 1 }, "0x20"},
		{"last reserved word", func(b []byte) { b[0x37] = 1 }, "0x30"},
		{"no first instruction", func(b []byte) { put(b, offCode0, uint32(0)) }, "first instruction"},
		{"no magic", func(b []byte) { put(b, offMagic, uint32(0)) }, "not an arm64 Image"},
		{"EFI stub", func(b []byte) { addPE(b, machineARM64) }, ""},
		{"EFI stub of another machine", func(b []byte) { addPE(b, machineAMD64) }, "x86-64"},
		{"PE offset past the end", func(b []byte) { addPE(b, machineARM64); put(b, offPE, ^uint32(0)) }, "not there"},
		{"PE offset without MZ", func(b []byte) { put(b, offPE, uint32(testPE)) }, "not there"},
		{"sections past the end", func(b []byte) { addPE(b, machineARM64); put(b, testSection+offRawSize, ^uint32(0)) }, "truncated"},
		{"too many sections", func(b []byte) { addPE(b, machineARM64); put(b, testPE+4+offNumSections, ^uint16(0)) }, "sections"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newImage(8 << 10)
			tt.edit(b)
			_, err := open(b)
			wantError(t, err, tt.want)
		})
	}
}

func wantError(t *testing.T, err error, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("error %q, want none", err)
	case part != "" && err == nil:
		t.Errorf("no error, want one with %q", part)
	case part != "" && !strings.Contains(err.Error(), part):
		t.Errorf("error %q, want one with %q", err, part)
	}
}

func TestKernelWithoutImageSizeIsPlacedAsBefore317(t *testing.T) {
	b := newImage(8 << 10)
	put(b, offImageSize, uint64(0))
	k, err := open(b)
	if err != nil {
		t.Fatal(err)
	}
	if k.TextOffset != 0x80000 || k.ImageSize != uint64(len(b)) {
		t.Errorf("placed at %#x with %#x bytes, want 0x80000 with %#x", k.TextOffset, k.ImageSize, len(b))
	}
}

// at is a file of 8 KiB that has s at off.
func at(off int, s string) []byte {
	b := make([]byte, 8<<10)
	copy(b[off:], s)
	return b
}

func elf(data byte, machine ...byte) []byte {
	b := at(0, "\x7fELF\x02")
	b[elfDataOff] = data
	copy(b[elfMachineOff:], machine)
	return b
}

func TestOpenNamesWhatIsNoKernel(t *testing.T) {
	img := newImage(8 << 10)
	plainPE := func(machine uint16) []byte {
		b := addPE(newImage(8<<10), machine)
		put(b, offMagic, uint32(0))
		return b
	}
	damaged := gzipped(img)
	damaged[len(damaged)-8] ^= 1 // the CRC
	longName := newZboot(gzipped(img), strings.Repeat("x", offMagic-offComp), machineARM64)
	pastEnd := newZboot(gzipped(img), "gzip", machineARM64)
	put(pastEnd, offPayload, ^uint32(0))
	tests := []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "empty"},
		{"two bytes", []byte("MZ"), "truncated"},
		{"half a header", img[:32], "truncated"},
		{"zeros", make([]byte, 4096), "not an arm64 Image"},
		{"text", []byte(strings.Repeat("hello ", 40)), "not an arm64 Image"},
		{"bzImage", at(0x202, "HdrS"), "x86 kernel"},
		{"RISC-V Image", at(0x38, "RSC\x05"), "RISC-V"},
		{"arm zImage", at(0x24, "\x18\x28\x6f\x01"), "32-bit arm"},
		{"vmlinux of arm64", elf(1, 183), "arch/arm64/boot/Image"},
		{"vmlinux of x86-64", elf(1, 62), "x86-64"},
		{"vmlinux of big-endian s390", elf(2, 0, 22), "S/390"},
		{"ELF of an unknown machine", elf(1, 0xff, 0xff), "machine 65535"},
		{"cut ELF", []byte("\x7fELF"), "truncated ELF"},
		{"EFI program for x86-64", plainPE(machineAMD64), "x86-64"},
		{"EFI program for arm64", plainPE(machineARM64), "no kernel"},
		{"zboot for RISC-V", newZboot(gzipped(img), "gzip", machineRISCV64), "RISC-V"},
		{"zboot with lz4", newZboot([]byte("payload"), "lz4", machineARM64), `"lz4"`},
		{"zboot without end of name", longName, "end the name"},
		{"zboot with its payload elsewhere", pastEnd, "truncated"},
		{"cut zboot", newZboot(gzipped(img), "gzip", machineARM64)[:0x120], "truncated"},
		{"zboot of something else", newZboot(gzipped([]byte("#!/bin/sh")), "gzip", machineARM64), "script"},
		{"xz", at(0, "\xfd7zXZ\x00"), "xz"},
		{"lz4 frame", at(0, "\x04\x22\x4d\x18"), "lz4"},
		{"cut gzip", gzipped(img)[:40], "truncated"},
		{"gzip with a wrong CRC", damaged, "damaged"},
		{"cut zstd", zstded(img)[:20], "truncated"},
		{"gzip of gzip", gzipped(gzipped(img)), "compressed with gzip"},
		{"cpio", at(0, "070701"), "initrd"},
		{"device tree", at(0, "\xd0\x0d\xfe\xed"), "device tree"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k, err := open(tt.file)
			if k != nil {
				t.Errorf("a kernel of %d bytes was opened", len(k.Data))
			}
			wantError(t, err, tt.want)
		})
	}
}

// TestCutKernelWithEFIStubIsRefused cuts a kernel at many places: the section
// table tells where it should have ended.
func TestCutKernelWithEFIStubIsRefused(t *testing.T) {
	b := addPE(newImage(8<<10), machineARM64)
	for n := 0; n < len(b); n += 37 {
		if _, err := open(b[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken for a kernel", n, len(b))
		}
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	zeros := make([]byte, 1<<20)
	const max = 1<<20 - 1
	if _, err := gunzip(gzipped(zeros), max); err == nil {
		t.Error("gzip gave more than allowed")
	}
	if _, err := unzstd(zstded(zeros), max); err == nil {
		t.Error("zstd gave more than allowed")
	}
	if b, err := gunzip(gzipped(zeros), max+1); err != nil || len(b) != len(zeros) {
		t.Errorf("gzip of just what is allowed: %d bytes, %v", len(b), err)
	}
	if b, err := unzstd(zstded(zeros), max+1); err != nil || len(b) != len(zeros) {
		t.Errorf("zstd of just what is allowed: %d bytes, %v", len(b), err)
	}
}

var errDisk = errors.New("the disk is on fire")

type brokenReader struct{}

func (brokenReader) ReadAt([]byte, int64) (int, error) { return 3, errDisk }

func TestOpenReportsReadErrors(t *testing.T) {
	if _, err := Open(brokenReader{}, 4096); !errors.Is(err, errDisk) {
		t.Errorf("error %v, want the reader's", err)
	}
	img := newImage(4096)
	for _, tt := range []struct {
		name string
		size int64
		want string
	}{
		{"a file that shrank", 4097, "truncated"},
		{"a size that is not known", -1, "not known"},
		{"a size above the bound", MaxKernel + 1, "allowed"},
	} {
		_, err := Open(bytes.NewReader(img), tt.size)
		t.Run(tt.name, func(t *testing.T) { wantError(t, err, tt.want) })
	}
}

// TestOpenRealKernel reads the kernel that ARCBOX_TEST_KERNEL names.
func TestOpenRealKernel(t *testing.T) {
	name := os.Getenv("ARCBOX_TEST_KERNEL")
	if name == "" {
		t.Skip("ARCBOX_TEST_KERNEL names no kernel")
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Open(f, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes, image_size %d, text_offset %#x, flags %#x, %s", name, len(k.Data), k.ImageSize, k.TextOffset, k.Flags, k.Compression)
}

func FuzzOpen(f *testing.F) {
	img := newImage(512)
	f.Add(img)
	f.Add(addPE(newImage(512), machineARM64))
	f.Add(gzipped(img))
	f.Add(zstded(img))
	f.Add(newZboot(gzipped(img), "gzip", machineARM64))
	f.Add(newZboot(zstded(img), "zstd", machineARM64))
	f.Add(elf(1, 183))
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := open(b)
		if err != nil {
			return
		}
		if k.TextOffset >= 2<<20 || k.ImageSize < uint64(len(k.Data)) || k.ImageSize > MaxKernel || len(k.Data) < headerSize {
			t.Errorf("opened with text_offset %#x, image_size %#x, %d bytes", k.TextOffset, k.ImageSize, len(k.Data))
		}
	})
}
