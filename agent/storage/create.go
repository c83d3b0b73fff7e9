package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

// Temporary files are named so, with something random in between. They are made and
// removed by the holder of the directory's lock only: what is there when somebody gets
// the lock was left by the dead.
const (
	tempPrefix = ".arcbox-image-"
	tempSuffix = ".tmp"
)

// create makes the image of a Spec, open and locked. Errors: fs.ErrExist.
func create(s Spec, holes func(dir string) (bool, error)) (*Image, error) {
	if s.Size == 0 {
		s.Size = DefaultSize
	}
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a directory for images: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeLeftovers(dir); err != nil {
		return nil, err
	}
	if _, err := os.Lstat(s.Path); err == nil { // else naming it would fail, later
		return nil, fmt.Errorf("cannot make image %s: %w", s.Path, fs.ErrExist)
	}
	if err := s.mayBeSparse(holes); err != nil {
		return nil, err
	}
	return s.build(dir)
}

// build makes the file and then its name. The caller holds the directory's lock.
func (s Spec) build(dir string) (_ *Image, err error) {
	f, err := os.CreateTemp(dir, tempPrefix+"*"+tempSuffix) // mode 0600
	if err != nil {
		return nil, fmt.Errorf("cannot make image %s: %w", s.Path, err)
	}
	img := &Image{Path: s.Path}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot make image %s: %w", s.Path, err), f.Close(), os.Remove(f.Name()))
		}
	}()
	if img.File, err = file.New(f); err != nil {
		return nil, err
	}
	if err := img.Lock(true); err != nil { // before anybody can see it
		return nil, err
	}
	img.reserve(img.File, s, s.Size)
	err = img.Grow(s.Size)
	if errors.Is(err, unix.EFBIG) {
		return nil, fmt.Errorf("%w; the file system has no files of that size: say a smaller one", err)
	}
	if err := errors.Join(err, img.SyncAs(file.Full)); err != nil {
		return nil, err
	}
	if err := name(f.Name(), s.Path); err != nil {
		return nil, err
	}
	return img, syncDir(dir)
}

// name gives the file at temp the name path, unless there is something of that name.
func name(temp, path string) error {
	err := renameExclusive(temp, path)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// The file system cannot do it in one step, as NFS cannot.
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return os.Remove(temp)
}

// lockDir waits until nobody else makes images in dir. The lock is on the open directory
// and ends with this process at the latest.
func lockDir(dir string) (unlock func(), err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot lock directory: %w", err)
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot lock directory %s: %w", dir, err), d.Close())
	}
	return func() { _ = d.Close() }, nil
}

// leftovers are the temporary files in dir.
func leftovers(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look for leftovers of images: %w", err)
	}
	for _, e := range entries {
		if n := e.Name(); e.Type().IsRegular() && strings.HasPrefix(n, tempPrefix) && strings.HasSuffix(n, tempSuffix) {
			paths = append(paths, filepath.Join(dir, n))
		}
	}
	return paths, nil
}

// removeLeftovers removes what a dead maker left. The caller holds the directory's lock.
func removeLeftovers(dir string) error {
	paths, err := leftovers(dir)
	for _, path := range paths {
		if e := os.Remove(path); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("cannot flush directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
