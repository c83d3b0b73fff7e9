package file

import (
	"os"

	"golang.org/x/sys/unix"
)

const (
	seekData = unix.SEEK_DATA
	seekHole = unix.SEEK_HOLE
)

var native means = linux{}

// linux has fallocate and FICLONE.
type linux struct{}

// flush reaches the medium under every policy: fdatasync writes the data, what is needed
// to find it, and the drive's cache.
func (linux) flush(fd int, _ Policy) error { return unix.Fdatasync(fd) }

func (linux) punch(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (linux) zero(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (linux) preallocate(fd int, off, n int64) error {
	return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (linux) clone(fd int, path string) error {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = unix.IoctlFileClone(int(to.Fd()), fd)
	if err != nil {
		_ = os.Remove(path)
	}
	if e := to.Close(); err == nil {
		err = e
	}
	return err
}
