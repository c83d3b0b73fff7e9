package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// CPIO is the Initrd.Format of an archive that is not compressed.
const CPIO = "cpio"

// An Initrd is an initial RAM file system as the kernel takes it.
type Initrd struct {
	Data []byte
	// Format is CPIO or the compression of the first archive: gzip, zstd, xz,
	// lz4, bzip2, lzma or lzop. Whether the kernel was built with it is not known.
	Format string
}

// OpenInitrd reads an initrd of size bytes. It refuses what the kernel would
// not take for a cpio archive, and a first archive that is cut short. It does
// not decompress. Errors read on from "cannot use FILE as initrd: ".
func OpenInitrd(r io.ReaderAt, size int64) (*Initrd, error) {
	data, err := readAll(r, size, MaxInitrd, "initrd")
	if err != nil {
		return nil, err
	}
	if isCPIO(data) {
		if err := walkCPIO(data); err != nil {
			return nil, err
		}
		return &Initrd{Data: data, Format: CPIO}, nil
	}
	if how := sniff(data); how != "" {
		return &Initrd{Data: data, Format: how}, nil
	}
	return nil, notInitrd(data)
}

// The newc header (Linux Documentation/driver-api/early-userspace/buffer-format.rst):
// 6 bytes of magic and 13 fields of 8 hexadecimal digits, then the name and the
// contents, each padded to 4 bytes.
const (
	cpioHeader   = 110
	cpioFileSize = 54 // offset of c_filesize
	cpioNameSize = 94 // offset of c_namesize
	cpioMaxName  = 4096
	cpioTrailer  = "TRAILER!!!"
)

func isCPIO(b []byte) bool {
	return bytes.HasPrefix(b, []byte("070701")) || bytes.HasPrefix(b, []byte("070702"))
}

// walkCPIO follows the entries of an archive to its trailer.
func walkCPIO(b []byte) error {
	for at := uint64(0); ; {
		if uint64(len(b)) < at+cpioHeader {
			return fmt.Errorf("its cpio archive is cut short at byte %d; make it again", len(b))
		}
		h := b[at : at+cpioHeader]
		if !isCPIO(h) {
			return fmt.Errorf("its cpio archive is damaged at byte %d; make it again", at)
		}
		nameLen, err1 := strconv.ParseUint(string(h[cpioNameSize:cpioNameSize+8]), 16, 32)
		size, err2 := strconv.ParseUint(string(h[cpioFileSize:cpioFileSize+8]), 16, 32)
		if err1 != nil || err2 != nil || nameLen == 0 || nameLen > cpioMaxName {
			return fmt.Errorf("its cpio archive has a bad header at byte %d; make it again", at)
		}
		name := at + cpioHeader
		body := (name + nameLen + 3) &^ 3
		if body+size > uint64(len(b)) {
			return fmt.Errorf("its cpio archive is cut short at byte %d; make it again", len(b))
		}
		if string(b[name:name+nameLen-1]) == cpioTrailer {
			return nil
		}
		at = (body + size + 3) &^ 3
	}
}

// notInitrd says what b is, given that the kernel would not unpack it.
func notInitrd(b []byte) error {
	const disk = "; attach it with --disk instead"
	for _, s := range []signature{
		{1024, "\xe2\xe1\xf5\xe0", "an EROFS file system" + disk},
		{1024 + 0x38, "\x53\xef", "an ext2, ext3 or ext4 file system" + disk},
		{0, "hsqs", "a squashfs file system" + disk},
		{0x10040, "_BHRfS_M", "a Btrfs file system" + disk},
		{510, "\x55\xaa", "a disk with a partition table or an x86 program" + disk},
		{0, "QFI\xfb", "a qcow2 disk image; convert it to raw and attach it with --disk"},
		{offMagic, "ARM\x64", "an arm64 kernel; give it as --kernel"},
		{0, "\x7fELF", "an ELF program; put it into a cpio archive (cpio -o -H newc)"},
		{0, "070707", "a cpio archive of the old format; make it with cpio -H newc"},
		{0, "\xc7\x71", "a cpio archive of the old binary format; make it with cpio -H newc"},
		{257, "ustar", "a tar archive; make a cpio archive (cpio -o -H newc)"},
	} {
		if match([]signature{s}, b) != "" {
			return errors.New("it is " + s.name)
		}
	}
	if bytes.HasPrefix(b, lz4Frame) {
		return errors.New("it is compressed with lz4 in a format the kernel does not read; use lz4 -l")
	}
	return errors.New("it is neither a cpio archive nor compressed with gzip, zstd, xz, lz4, bzip2, lzma or lzop")
}
