package file

import (
	"golang.org/x/sys/unix"
)

const (
	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

// flush does what the policy says. File systems that lack a way fall back to the next
// stronger one, and from F_FULLFSYNC, which network file systems lack, to fsync.
func flush(fd int, p Policy) error {
	switch p {
	case Barrier:
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_BARRIERFSYNC, 0); !unsupported(err) {
			return err
		}
		fallthrough
	case Full:
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_FULLFSYNC, 0); !unsupported(err) {
			return err
		}
	}
	return unix.Fsync(fd)
}

// punch needs whole blocks. fpunchhole_t is flags, reserved, offset and length: the first
// 24 bytes of fstore_t.
func punch(fd int, off, n int64) error {
	return unix.FcntlFstore(uintptr(fd), unix.F_PUNCHHOLE, &unix.Fstore_t{Offset: off, Length: n})
}

// zero has no call that keeps the blocks.
func zero(int, int64, int64) error { return unix.ENOTSUP }

func preallocate(fd int, _, n int64) error {
	return unix.FcntlFstore(uintptr(fd), unix.F_PREALLOCATE, &unix.Fstore_t{
		Flags: unix.F_ALLOCATEALL, Posmode: unix.F_PEOFPOSMODE, Length: n,
	})
}

func clone(fd int, path string) error { return unix.Fclonefileat(fd, unix.AT_FDCWD, path, 0) }

func preadv(fd int, bufs [][]byte, off int64) (int, error)  { return unix.Preadv(fd, bufs, off) }
func pwritev(fd int, bufs [][]byte, off int64) (int, error) { return unix.Pwritev(fd, bufs, off) }
