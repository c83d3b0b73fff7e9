package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

const (
	// DefaultName is the file name of the default machine's image.
	DefaultName = "docker.img"
	// DefaultSize is that of a new image, in bytes: 8 TiB, more than the host has, so
	// that the host is the only bound.
	DefaultSize = 8 << 40
	// MinSize is the smallest image that can be made, in bytes: the guest formats
	// nothing smaller.
	MinSize = 16 << 20
	// Sector is what sizes are a multiple of, in bytes.
	Sector = 512
)

// Errors that callers branch on. They come wrapped.
var (
	// ErrDense: the file system has no holes, and nobody agreed to write it all.
	ErrDense = errors.New("the file system has no holes, so every byte of an image takes space")
	// ErrShrink: the image is larger than what was asked for.
	ErrShrink = errors.New("data would be cut off")
)

// A Spec is the image that somebody wants.
type Spec struct {
	Path string
	// Size in bytes, a multiple of Sector. 0 means as it is, or DefaultSize for a new one.
	Size int64
	// Reserve is how many bytes of space to take ahead of use; reserveBound bounds it.
	// 0 means DefaultReserve, a negative one none at all.
	Reserve int64
	// Dense agrees that every byte of Size takes space, where the file system has no holes.
	Dense bool
}

// An Image is open and locked.
type Image struct {
	*file.File
	Path  string
	Notes []string // what somebody should know of an image that works nevertheless
}

func (i *Image) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

// Ensure opens the image for writing, made before if it is not there, grown before if
// it is smaller than the Spec says. A larger one stays as it is and says so in its Notes.
// Errors: file.ErrLocked, ErrDense, a Size out of range, what the system says.
func Ensure(s Spec) (*Image, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	img, err := Open(s.Path, false)
	if errors.Is(err, fs.ErrNotExist) {
		img, err = create(s, holes)
		if errors.Is(err, fs.ErrExist) { // somebody else was quicker
			img, err = Open(s.Path, false)
		}
	}
	if err != nil {
		return nil, err
	}
	switch {
	case s.Size > img.Size():
		err = img.Extend(s)
	case s.Size != 0 && s.Size < img.Size():
		img.note("the image has %d bytes and stays so; %d were asked for, and an image never shrinks", img.Size(), s.Size)
	}
	if err != nil {
		return nil, errors.Join(err, img.Close())
	}
	return img, nil
}

// Create is Ensure of an image that must not be there. Errors: fs.ErrExist.
func Create(s Spec) (*Image, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return create(s, holes)
}

// check says what no image can be.
func (s Spec) check() error {
	if s.Size != 0 && (s.Size < MinSize || s.Size%Sector != 0) {
		return fmt.Errorf("cannot make an image of %d bytes: use a multiple of %d from %d MiB on", s.Size, Sector, MinSize>>20)
	}
	return nil
}

// Open opens an image that is there and locks it: exclusively for writing, shared with other
// readers otherwise. Errors: fs.ErrNotExist, file.ErrLocked.
func Open(path string, readOnly bool) (*Image, error) {
	f, err := file.Open(path, readOnly)
	if err != nil {
		return nil, err
	}
	if err := f.Lock(!readOnly); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot use %s: %w", path, err), f.Close())
	}
	return &Image{File: f, Path: path}, nil
}

// Extend makes the image s.Size bytes long, durably. The image must be open for writing.
// Whoever serves it has to tell the guest. Errors: ErrShrink, ErrDense.
func (i *Image) Extend(s Spec) error {
	if err := s.check(); err != nil {
		return err
	}
	if s.Size < i.Size() {
		return fmt.Errorf("cannot make %s smaller, %d bytes instead of %d: %w; make a new image and copy", i.Path, s.Size, i.Size(), ErrShrink)
	}
	if err := s.mayBeSparse(holes); err != nil {
		return err
	}
	i.reserve(i.File, s, s.Size-i.Size())
	if err := i.Grow(s.Size); err != nil {
		return err
	}
	return i.SyncAs(file.Full)
}

// mayBeSparse refuses to promise what would all be written.
func (s Spec) mayBeSparse(holes func(dir string) (bool, error)) error {
	if s.Dense {
		return nil
	}
	sparse, err := holes(filepath.Dir(s.Path))
	if err == nil && !sparse {
		err = fmt.Errorf("cannot make an image of %d bytes at %s: %w; put it on another volume, or agree to that with a size that fits", s.Size, s.Path, ErrDense)
	}
	return err
}

// probeSize is long enough that no file system keeps it by accident: 16 MiB.
const probeSize = 16 << 20

// holes says whether files in dir can have holes, by making one.
func holes(dir string) (sparse bool, err error) {
	f, err := os.CreateTemp(dir, tempPrefix+"probe-*"+tempSuffix)
	if err != nil {
		return false, fmt.Errorf("cannot try whether %s can have sparse files: %w", dir, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil { // it needs no name to be tried
		return false, err
	}
	img, err := file.New(f)
	if err != nil {
		return false, err
	}
	if err := errors.Join(img.Grow(probeSize), img.Sync()); err != nil { // what is allocated is known after the Sync
		return false, err
	}
	n, err := img.Allocated()
	return n < probeSize/2, err
}
