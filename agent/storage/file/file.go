// Package file is one open disk image: reading, writing, making durable, giving
// space back and taking it ahead, cloning and locking, by the means of each operating
// system. It is the one seam to the file system that the agent, which opens images, and
// arcbox-vm, which is handed them, share.
//
// A File is a blk.Disk without either package knowing of the other.
//
// # Durability
//
// A Policy says what Sync does. Whatever a Sync has failed to write may be lost, and
// the system does not say so twice; so after one failure every later Sync of that
// File fails as well, until the image is opened again.
//
// # Space
//
// A sparse image promises more than the host may have. SetGuard keeps some of the host's
// space out of reach: writes that would take it fail with ErrGuard, which is also
// syscall.ENOSPC, while the host still works and nothing written before is at risk.
package file

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Block is the unit in which file systems give space back, in bytes: 4 KiB on APFS,
// ext4 and Btrfs.
const Block = 4096

// Errors that callers branch on. They come wrapped.
var (
	// ErrLocked: another open file holds the image's lock.
	ErrLocked = errors.New("the image is in use by another VM")
	// ErrSyncLost: an earlier Sync failed.
	ErrSyncLost = errors.New("an earlier flush of the image failed, so what was written before it may be lost")
)

// Policy is how far Sync goes.
type Policy uint32

// The policies. On Linux all are the same: fdatasync reaches the medium.
const (
	// Host hands everything to the operating system and the drive: fsync. What it
	// covers survives any crash of ours and of the system, and on macOS may be
	// lost when the power fails.
	Host Policy = 1
	// Barrier also keeps the order on the medium: F_BARRIERFSYNC, or Full where the
	// file system does not have it.
	Barrier Policy = 2
	// Full waits until it is on the medium: F_FULLFSYNC.
	Full Policy = 3
)

// ParsePolicy reads "host", "barrier" or "full".
func ParsePolicy(s string) (Policy, error) {
	for _, p := range []Policy{Host, Barrier, Full} {
		if p.String() == s {
			return p, nil
		}
	}
	return 0, fmt.Errorf("cannot use flush policy %q: say host, barrier or full", s)
}

func (p Policy) String() string {
	switch p {
	case Host:
		return "host"
	case Barrier:
		return "barrier"
	case Full:
		return "full"
	}
	return fmt.Sprintf("policy(%d)", uint32(p))
}

// A File is an open image. Any goroutine may use it; Close comes last.
type File struct {
	f      *os.File
	fd     int
	means  means
	size   atomic.Int64
	policy atomic.Uint32
	lost   atomic.Bool // a Sync failed
	coarse atomic.Bool // the file system has no holes: Punch does nothing
	guard  guard
}

// Open opens the image at path, which must be a regular file.
func Open(path string, readOnly bool) (*File, error) {
	flags := os.O_RDWR
	if readOnly {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open image: %w", err)
	}
	img, err := New(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return img, nil
}

// New makes a File of f, which belongs to the File from then on if there is no
// error. The policy is Host.
func New(f *os.File) (*File, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot look at image: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot use %s as an image: it is not a regular file", f.Name())
	}
	img := &File{f: f, fd: int(f.Fd()), means: native}
	img.size.Store(st.Size())
	img.SetPolicy(Host)
	return img, nil
}

// Close closes the file and so gives up its lock. It does not Sync.
func (f *File) Close() error { return f.f.Close() }

// Descriptor is the open file, to be handed to another process together with the
// lock. It stays the File's to close.
func (f *File) Descriptor() *os.File { return f.f }

// Size is in bytes, holes included.
func (f *File) Size() int64 { return f.size.Load() }

// SetPolicy changes what later Syncs do.
func (f *File) SetPolicy(p Policy) { f.policy.Store(uint32(p)) }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		k, err := retry(func() (int, error) { return unix.Pread(f.fd, p[n:], off+int64(n)) })
		if err != nil {
			return n, fmt.Errorf("cannot read image: %w", err)
		}
		if k == 0 {
			return n, io.EOF
		}
		n += k
	}
	return n, nil
}

// WriteAt implements io.WriterAt. It does not extend the image: see Grow.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	if off < 0 || int64(len(p)) > f.Size()-off {
		return 0, fmt.Errorf("cannot write %d bytes at %d: the image ends at %d", len(p), off, f.Size())
	}
	if err := f.mayTake(off, int64(len(p))); err != nil {
		return 0, err
	}
	for n < len(p) {
		k, err := retry(func() (int, error) { return unix.Pwrite(f.fd, p[n:], off+int64(n)) })
		if err != nil {
			return n, fmt.Errorf("cannot write image: %w", err)
		}
		n += k
	}
	return n, nil
}

// ReadvAt fills bufs from off on, in as few calls of the system as it takes. At the
// end of the image it answers io.EOF.
func (f *File) ReadvAt(bufs [][]byte, off int64) (int, error) {
	return vector(bufs, off, func(part [][]byte, off int64) (int, error) { return preadv(f.fd, part, off) }, f.ReadAt)
}

// WritevAt writes bufs from off on, and does not extend the image either.
func (f *File) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	if off < 0 || total > f.Size()-off {
		return 0, fmt.Errorf("cannot write %d bytes at %d: the image ends at %d", total, off, f.Size())
	}
	if err := f.mayTake(off, total); err != nil {
		return 0, err
	}
	return vector(bufs, off, func(part [][]byte, off int64) (int, error) { return pwritev(f.fd, part, off) }, f.WriteAt)
}

// maxVector is how many buffers one call takes: IOV_MAX of both systems.
const maxVector = 1024

// vector moves bufs with many, and what a short call leaves over with one.
func vector(bufs [][]byte, off int64, many func([][]byte, int64) (int, error), one func([]byte, int64) (int, error)) (n int, err error) {
	for len(bufs) > 0 {
		part := bufs[:min(len(bufs), maxVector)]
		k, err := retry(func() (int, error) { return many(part, off) })
		if err != nil {
			return n, fmt.Errorf("cannot move image data: %w", err)
		}
		n += k
		off += int64(k)
		for len(part) > 0 && k >= len(part[0]) {
			k -= len(part[0])
			part, bufs = part[1:], bufs[1:]
		}
		if len(part) == 0 {
			continue
		}
		k, err = one(part[0][k:], off) // ends in an error if the medium has no more
		n += k
		off += int64(k)
		if err != nil {
			return n, err
		}
		bufs = bufs[1:]
	}
	return n, nil
}

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// Sync makes durable what was written before, as far as the policy says.
func (f *File) Sync() error { return f.SyncAs(Policy(f.policy.Load())) }

// SyncAs is Sync with another policy, this once: Full at stop, suspend and host sleep.
func (f *File) SyncAs(p Policy) error {
	if f.lost.Load() {
		return ErrSyncLost
	}
	if _, err := retry(func() (int, error) { return 0, f.means.flush(f.fd, p) }); err != nil {
		f.lost.Store(true)
		return fmt.Errorf("cannot flush image: %w", err)
	}
	return nil
}

// Punch gives the whole blocks within the range back to the host, where the file
// system can; they read as zeroes then. It is a hint: what cannot be given back stays.
func (f *File) Punch(off, n int64) error {
	off, n, err := f.inward(off, n)
	if err != nil || n == 0 || f.coarse.Load() {
		return err
	}
	_, err = retry(func() (int, error) { return 0, f.means.punch(f.fd, off, n) })
	if unsupported(err) {
		f.coarse.Store(true)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot punch %d bytes at %d of image: %w", n, off, err)
	}
	return nil
}

// HasHoles is false once a Punch has found that the file system has none.
func (f *File) HasHoles() bool { return !f.coarse.Load() }

// inward is the whole blocks within a range of the image.
func (f *File) inward(off, n int64) (int64, int64, error) {
	if off < 0 || n < 0 || n > f.Size()-off {
		return 0, 0, fmt.Errorf("cannot use %d bytes at %d: the image ends at %d", n, off, f.Size())
	}
	from := (off + Block - 1) &^ (Block - 1)
	to := (off + n) &^ (Block - 1)
	return from, max(0, to-from), nil
}

// Zero makes the range read as zeroes. With hole its blocks go back to the host where the
// file system can do that; otherwise they stay allocated.
func (f *File) Zero(off, n int64, hole bool) error {
	from, inner, err := f.inward(off, n)
	if err != nil {
		return err
	}
	if inner == 0 {
		return f.fill(off, n)
	}
	if err := f.zeroBlocks(from, inner, hole); err != nil {
		return err
	}
	if err := f.fill(off, from-off); err != nil {
		return err
	}
	return f.fill(from+inner, off+n-from-inner)
}

func (f *File) zeroBlocks(off, n int64, hole bool) error {
	call := f.means.zero
	if hole {
		call = f.means.punch
	} else if err := f.mayTake(off, n); err != nil {
		return err
	}
	_, err := retry(func() (int, error) { return 0, call(f.fd, off, n) })
	if unsupported(err) {
		return f.fill(off, n)
	}
	if err != nil {
		return fmt.Errorf("cannot zero %d bytes at %d of image: %w", n, off, err)
	}
	return nil
}

var zeroes [256 << 10]byte

// fill writes zeroes.
func (f *File) fill(off, n int64) error {
	for n > 0 {
		k, err := f.WriteAt(zeroes[:min(n, int64(len(zeroes)))], off)
		if err != nil {
			return err
		}
		off += int64(k)
		n -= int64(k)
	}
	return nil
}

// unsupported says that a file system does not have an operation.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.ENOSYS)
}

// Grow makes the image size bytes long; the new part is a hole. An image never shrinks.
func (f *File) Grow(size int64) error {
	if size < f.Size() {
		return fmt.Errorf("cannot shrink image from %d to %d bytes: data would be cut off; make a smaller image and copy", f.Size(), size)
	}
	if err := f.f.Truncate(size); err != nil {
		return fmt.Errorf("cannot grow image: %w", err)
	}
	f.size.Store(size)
	return nil
}

// Preallocate takes space for n more bytes ahead of use. On Linux they are the n bytes
// from off on. On macOS they are at the physical end of the file, wherever off is: the
// system cannot fill holes. It changes neither Size nor what is read. Errors: ENOSPC, and
// errors.ErrUnsupported where the file system has no such thing.
func (f *File) Preallocate(off, n int64) error {
	if n <= 0 || off < 0 {
		return nil
	}
	_, err := retry(func() (int, error) { return 0, f.means.preallocate(f.fd, off, n) })
	if unsupported(err) {
		return fmt.Errorf("cannot preallocate: %w", errors.ErrUnsupported)
	}
	if err != nil {
		return fmt.Errorf("cannot preallocate %d bytes for image: %w", n, err)
	}
	return nil
}

// Allocated is how many bytes of the host's disk the image takes.
func (f *File) Allocated() (int64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		return 0, fmt.Errorf("cannot look at image: %w", err)
	}
	return st.Blocks * 512, nil // POSIX leaves the unit open; both systems count 512 bytes
}

// Free is how many bytes the host's file system has left for us.
func (f *File) Free() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(f.fd, &st); err != nil {
		return 0, fmt.Errorf("cannot look at the file system of image: %w", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// Lock keeps other VMs from the image, as long as this open file lives, in whichever
// process its descriptor is: exclusively to write it, else shared with readers.
// Errors: ErrLocked.
func (f *File) Lock(exclusive bool) error {
	how := unix.LOCK_SH
	if exclusive {
		how = unix.LOCK_EX
	}
	_, err := retry(func() (int, error) { return 0, unix.Flock(f.fd, how|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("cannot lock image: %w", ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("cannot lock image: %w", err)
	}
	return nil
}

// Clone makes a new image at path, which must not exist, with the same content. File
// systems that share blocks take no space for it; on others the data is copied and
// holes stay holes. The image must not be written meanwhile.
func (f *File) Clone(path string) error {
	err := f.means.clone(f.fd, path)
	if unsupported(err) || errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) {
		err = f.copyTo(path)
	}
	if err != nil {
		return fmt.Errorf("cannot clone image to %s: %w", path, err)
	}
	return nil
}

// copyTo copies what is data.
func (f *File) copyTo(path string) (err error) {
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, to.Close())
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	if err := to.Truncate(f.Size()); err != nil {
		return err
	}
	for off := int64(0); off < f.Size(); {
		from, end, err := f.Data(off)
		if err != nil || from == end {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(to, from), io.NewSectionReader(f, from, end-from)); err != nil {
			return err
		}
		off = end
	}
	return nil
}

// Data is the next stretch at or behind off that may hold something else than zeroes;
// from == end when there is none. Space that was taken ahead of use does not count.
// Only lseek knows, which moves the file's offset, that nothing else here uses.
func (f *File) Data(off int64) (from, end int64, err error) {
	from, err = unix.Seek(f.fd, off, seekData)
	if errors.Is(err, unix.ENXIO) {
		return off, off, nil
	}
	if err != nil {
		return off, f.Size(), nil // no such thing: all of it is data
	}
	if end, err = unix.Seek(f.fd, from, seekHole); err != nil {
		return 0, 0, fmt.Errorf("cannot look for holes in image: %w", err)
	}
	return from, end, nil
}
