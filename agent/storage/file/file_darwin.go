package file

import "golang.org/x/sys/unix"

const (
	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

var native means = apple{darwin{}}

// What apple.go knows of the system's header, held at compile time: a difference is an index outside of the array.
var (
	_ = [1]struct{}{}[fPreallocate-unix.F_PREALLOCATE]
	_ = [1]struct{}{}[fFullFsync-unix.F_FULLFSYNC]
	_ = [1]struct{}{}[fBarrierFsync-unix.F_BARRIERFSYNC]
	_ = [1]struct{}{}[fPunchHole-unix.F_PUNCHHOLE]
	_ = [1]struct{}{}[fAllocateAll-unix.F_ALLOCATEALL]
	_ = [1]struct{}{}[fPhysicalEnd-unix.F_PEOFPOSMODE]
)

// darwin makes the calls.
type darwin struct{}

func (darwin) fcntl(fd, cmd int) error {
	_, err := unix.FcntlInt(uintptr(fd), cmd, 0)
	return err
}

func (darwin) fcntlStore(fd, cmd int, s *store) error {
	their := unix.Fstore_t{Flags: s.flags, Posmode: s.posmode, Offset: s.offset, Length: s.length, Bytesalloc: s.bytesalloc}
	err := unix.FcntlFstore(uintptr(fd), cmd, &their)
	s.bytesalloc = their.Bytesalloc
	return err
}

func (darwin) fsync(fd int) error { return unix.Fsync(fd) }

func (darwin) fclonefileat(fd int, path string) error {
	return unix.Fclonefileat(fd, unix.AT_FDCWD, path, 0)
}

func preadv(fd int, bufs [][]byte, off int64) (int, error)  { return unix.Preadv(fd, bufs, off) }
func pwritev(fd int, bufs [][]byte, off int64) (int, error) { return unix.Pwritev(fd, bufs, off) }
