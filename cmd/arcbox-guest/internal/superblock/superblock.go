// Package superblock tells what a disk holds, so that a disk is formatted only
// when it holds nothing at all.
//
// It works on bytes, never panics on them, and is tested without a disk.
package superblock

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// A Kind says what was found on a disk.
type Kind string

// The kinds. Only a Blank disk may be formatted.
const (
	Blank   Kind = "blank"   // zeroes wherever anything keeps a superblock
	Ext4    Kind = "ext4"    // ext2, ext3 or ext4
	Btrfs   Kind = "btrfs"   //
	Unknown Kind = "unknown" // something else: not ours to touch
)

// Where file systems, volume managers, partition tables and swap keep what
// they are known by: all within the first MiB, or at the very end (GPT's
// backup, md metadata, ZFS labels). An area is read in pieces of pieceSize.
const (
	headSize  = 1 << 20
	tailSize  = 512 << 10
	pieceSize = 64 << 10
)

// MinSize is the smallest disk that Identify calls Blank, in bytes.
const MinSize = 16 << 20

// Identify reads the first MiB and the last 512 KiB of a disk of size bytes.
// A disk below MinSize is Unknown at best.
func Identify(r io.ReaderAt, size int64) (Kind, error) {
	head := make([]byte, min(headSize, max(size, 0)))
	if err := readFull(r, head, 0); err != nil {
		return Unknown, err
	}
	switch {
	case isExt(head):
		return Ext4, nil
	case isBtrfs(head):
		return Btrfs, nil
	case size < MinSize || !zero(head):
		return Unknown, nil
	}
	tail := make([]byte, tailSize)
	if err := readFull(r, tail, size-tailSize); err != nil {
		return Unknown, err
	}
	if !zero(tail) {
		return Unknown, nil
	}
	return Blank, nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("cannot look for a file system: reading %d bytes at %d: %w", len(b), off, err)
	}
	return nil
}

// isExt looks for s_magic 0xEF53 at 56 in the superblock at 1024 (kernel:
// Documentation/filesystems/ext4/super.rst).
func isExt(head []byte) bool {
	const at = 1024 + 0x38
	return len(head) >= at+2 && binary.LittleEndian.Uint16(head[at:]) == 0xEF53
}

// isBtrfs looks for the magic at 0x40 in the superblock at 64 KiB (kernel:
// include/uapi/linux/btrfs_tree.h).
func isBtrfs(head []byte) bool {
	const at = 64<<10 + 0x40
	return len(head) >= at+8 && string(head[at:at+8]) == "_BHRfS_M"
}

var zeroes [pieceSize]byte

func zero(b []byte) bool {
	for len(b) > 0 {
		n := min(len(b), pieceSize)
		if !bytes.Equal(b[:n], zeroes[:n]) {
			return false
		}
		b = b[n:]
	}
	return true
}

// Where an EROFS keeps what it is known by, in bytes.
const (
	erofsMagicAt = 1024
	erofsMagic   = 0xe0f5e1e2
	erofsUUIDAt  = erofsMagicAt + 48
	erofsEnd     = erofsUUIDAt + 16
)

// EROFS is the UUID of a disk that holds one.
func EROFS(r io.ReaderAt) (uuid [16]byte, ok bool) {
	head := make([]byte, erofsEnd)
	if readFull(r, head, 0) != nil || binary.LittleEndian.Uint32(head[erofsMagicAt:]) != erofsMagic {
		return uuid, false
	}
	return [16]byte(head[erofsUUIDAt:]), true
}
