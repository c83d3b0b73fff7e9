package file

// means are what a system has for what POSIX has no call for. Each call may be interrupted (EINTR), and whatever a
// file system does not have is ENOTSUP, or one of the others that unsupported knows. native is the running system's;
// tests put another in its place.
type means interface {
	// flush makes durable what was written, as far as the policy says, or further.
	flush(fd int, p Policy) error
	// punch gives whole blocks back.
	punch(fd int, off, n int64) error
	// zero makes whole blocks read as zeroes and keeps them allocated.
	zero(fd int, off, n int64) error
	// preallocate takes space for n bytes: those from off on, or as many behind the file's physical end.
	preallocate(fd int, off, n int64) error
	// clone makes the file at path, which must not exist, of the same blocks.
	clone(fd int, path string) error
}
