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
// What is mounted has said what it is within the first knownSize.
const (
	headSize  = 1 << 20
	tailSize  = 512 << 10
	pieceSize = 64 << 10
	knownSize = btrfsMagicAt + len(btrfsMagic)
)

// MinSize is the smallest disk that Identify calls Blank, in bytes.
const MinSize = 16 << 20

// Identify reads where superblocks are, and of a disk without one that it knows the first MiB
// and the last 512 KiB. A disk below MinSize is Unknown at best.
func Identify(r io.ReaderAt, size int64) (Kind, error) {
	head := make([]byte, min(int64(knownSize), max(size, 0)))
	for _, part := range [][2]int{{extAt, extEnd}, {btrfsMagicAt, knownSize}} {
		if part[1] > len(head) {
			break
		}
		if err := readFull(r, head[part[0]:part[1]], int64(part[0])); err != nil {
			return Unknown, err
		}
	}
	switch {
	case isExt(head):
		return Ext4, nil
	case isBtrfs(head):
		return Btrfs, nil
	case size < MinSize:
		return Unknown, nil
	}
	for _, area := range [][2]int64{{0, headSize}, {size - tailSize, size}} {
		if blank, err := zero(r, area[0], area[1]); err != nil || !blank {
			return Unknown, err
		}
	}
	return Blank, nil
}

func readFull(r io.ReaderAt, b []byte, off int64) error {
	if n, err := r.ReadAt(b, off); n < len(b) {
		return fmt.Errorf("cannot look for a file system: reading %d bytes at %d: %w", len(b), off, err)
	}
	return nil
}

// Where ext2, ext3 and ext4 have s_magic 0xEF53: at 56 in the superblock at 1024 (kernel:
// Documentation/filesystems/ext4/super.rst).
const (
	extAt  = 1024 + 0x38
	extEnd = extAt + 2
)

func isExt(head []byte) bool {
	return len(head) >= extEnd && binary.LittleEndian.Uint16(head[extAt:]) == 0xEF53
}

// Where a Btrfs has its magic: at 0x40 in the superblock at 64 KiB (kernel:
// include/uapi/linux/btrfs_tree.h).
const (
	btrfsMagicAt = 64<<10 + 0x40
	btrfsMagic   = "_BHRfS_M"
)

func isBtrfs(head []byte) bool {
	return len(head) >= knownSize && string(head[btrfsMagicAt:knownSize]) == btrfsMagic
}

var zeroes [pieceSize]byte

// zero says whether a disk has nothing from one offset to another.
func zero(r io.ReaderAt, from, to int64) (bool, error) {
	b := make([]byte, pieceSize)
	for ; from < to; from += pieceSize {
		piece := b[:min(pieceSize, to-from)]
		if err := readFull(r, piece, from); err != nil {
			return false, err
		}
		if !bytes.Equal(piece, zeroes[:len(piece)]) {
			return false, nil
		}
	}
	return true, nil
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
