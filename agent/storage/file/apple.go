package file

import "golang.org/x/sys/unix"

// Commands and flags of Apple's <sys/fcntl.h>.
const (
	fPreallocate  = 42
	fFullFsync    = 51
	fBarrierFsync = 85
	fPunchHole    = 99
	fAllocateAll  = 4 // of fstore_t's flags: all or nothing
	fPhysicalEnd  = 3 // F_PEOFPOSMODE of fstore_t's posmode: behind the last block that the file has
)

// store is Apple's fstore_t, of which fpunchhole_t (flags, reserved, offset, length) is the first 24 bytes.
type store struct {
	flags      uint32
	posmode    int32
	offset     int64
	length     int64
	bytesalloc int64
}

// appleCalls are the calls of macOS that apple makes.
type appleCalls interface {
	fcntl(fd, cmd int) error
	fcntlStore(fd, cmd int, s *store) error
	fsync(fd int) error
	fclonefileat(fd int, path string) error
}

// apple has what macOS has, on APFS and on whatever else is mounted. It is compiled and executed on every system; the calls
// are macOS's only there.
type apple struct{ calls appleCalls }

// flush does what the policy says. File systems that lack a way fall back to the next
// stronger one, and from F_FULLFSYNC, which network file systems lack, to fsync.
func (a apple) flush(fd int, p Policy) error {
	switch p {
	case Barrier:
		if err := a.calls.fcntl(fd, fBarrierFsync); !unsupported(err) {
			return err
		}
		fallthrough
	case Full:
		if err := a.calls.fcntl(fd, fFullFsync); !unsupported(err) {
			return err
		}
	}
	return a.calls.fsync(fd)
}

func (a apple) punch(fd int, off, n int64) error {
	return a.calls.fcntlStore(fd, fPunchHole, &store{offset: off, length: n})
}

// zero has no call that keeps the blocks.
func (apple) zero(int, int64, int64) error { return unix.ENOTSUP }

// preallocate cannot say where: macOS takes space behind the file's physical end only, and fills no holes.
func (a apple) preallocate(fd int, _, n int64) error {
	return a.calls.fcntlStore(fd, fPreallocate, &store{flags: fAllocateAll, posmode: fPhysicalEnd, length: n})
}

func (a apple) clone(fd int, path string) error { return a.calls.fclonefileat(fd, path) }
