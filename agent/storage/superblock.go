package storage

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// superblocks is how many bytes from the beginning of a disk hold the superblock of
// any file system that is known here.
const superblocks = 64<<10 + 4096

// fileSystem says which file system begins with head, and how many bytes it says
// that it has. The name is "" when there is none. head is the guest's: a size that no disk
// can have is math.MaxInt64.
func fileSystem(head []byte) (name string, size int64) {
	for _, known := range []struct {
		name string
		size func([]byte) (int64, bool)
	}{{"ext4", extSize}, {"btrfs", btrfsSize}, {"xfs", xfsSize}} {
		if size, ok := known.size(head); ok {
			return known.name, size
		}
	}
	return "", 0
}

// extSize reads the superblock of ext2, ext3 and ext4 at 1024 (kernel:
// Documentation/filesystems/ext4/super.rst).
func extSize(head []byte) (int64, bool) {
	const at, incompat64Bit = 1024, 0x80
	le := binary.LittleEndian
	if len(head) < at+1024 || le.Uint16(head[at+0x38:]) != 0xEF53 {
		return 0, false
	}
	sb := head[at:]
	blocks := uint64(le.Uint32(sb[0x4:])) // s_blocks_count_lo
	if le.Uint32(sb[0x60:])&incompat64Bit != 0 {
		blocks |= uint64(le.Uint32(sb[0x150:])) << 32 // s_blocks_count_hi
	}
	shift := le.Uint32(sb[0x18:]) // s_log_block_size: 1024 << shift
	return times(blocks, 1024<<min(shift, 6)), true
}

// btrfsSize reads the superblock at 64 KiB (kernel: include/uapi/linux/btrfs_tree.h): dev_item.total_bytes
// is that of the device, which total_bytes of several devices is not.
func btrfsSize(head []byte) (int64, bool) {
	const at, devItem = 64 << 10, 0xc9
	if len(head) < at+4096 || string(head[at+0x40:at+0x48]) != "_BHRfS_M" {
		return 0, false
	}
	return times(binary.LittleEndian.Uint64(head[at+devItem+8:]), 1), true
}

// xfsSize reads the superblock at 0 (kernel: fs/xfs/libxfs/xfs_format.h): sb_blocksize, sb_dblocks.
func xfsSize(head []byte) (int64, bool) {
	be := binary.BigEndian
	if len(head) < 512 || string(head[:4]) != "XFSB" {
		return 0, false
	}
	return times(be.Uint64(head[8:]), uint64(be.Uint32(head[4:]))), true
}

// times is a*b, at most math.MaxInt64.
func times(a, b uint64) int64 {
	high, low := bits.Mul64(a, b)
	if high != 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(low)
}
