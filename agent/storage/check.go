package storage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/storage/file"
)

// A Report is what a Check found.
type Report struct {
	// Problems mean that data is lost or will be.
	Problems []string `json:"problems"`
	// Notes are what somebody should know of an image that is good.
	Notes []string `json:"notes"`
	// FileSystem is what the image holds: "ext4", "btrfs", "xfs", or "" for nothing that we
	// know. FileSystemSize is how many bytes it believes to have.
	FileSystem     string `json:"file_system"`
	FileSystemSize int64  `json:"file_system_size"`
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Check looks at an image from outside, and changes nothing: what only a guest can see, such as
// the consistency of its file system, is for the guest's own tools. deep also
// reads all data, to find what the host's medium has lost. An error means that the image
// could not be looked at.
func Check(ctx context.Context, path string, deep bool) (*Report, error) {
	f, err := file.Open(path, true)
	if err != nil {
		return nil, err
	}
	r := new(Report)
	r.checkUse(f)
	for _, part := range []func(*file.File, string) error{r.checkFile, r.checkContent, r.checkVolume} {
		if err := part(f, path); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if deep {
		err = r.readAll(ctx, f)
	}
	return r, errors.Join(err, f.Close())
}

// checkUse notes a holder. Otherwise the shared lock keeps writers away until the
// check is done.
func (r *Report) checkUse(f *file.File) {
	if err := f.Lock(false); errors.Is(err, file.ErrLocked) {
		r.note("a machine is using the image: what was found may have changed")
	}
}

func (r *Report) checkFile(f *file.File, path string) error {
	info, err := f.Descriptor().Stat()
	if err != nil {
		return fmt.Errorf("cannot look at image: %w", err)
	}
	if info.Size()%Sector != 0 {
		r.problem("the image has %d bytes, which is no whole number of sectors: something cut it off; restore it from a copy", info.Size())
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		r.note("other users may open the image (mode %04o); run chmod 600 %s", mode, path)
	}
	return nil
}

// checkContent compares the image with the file system in it.
func (r *Report) checkContent(f *file.File, _ string) error {
	var head [superblocks]byte
	n, err := f.ReadAt(head[:], 0)
	if n < len(head) && int64(n) < f.Size() {
		r.problem("the beginning of the image cannot be read: %v", err)
		return nil
	}
	r.FileSystem, r.FileSystemSize = fileSystem(head[:n])
	switch {
	case r.FileSystem == "":
		r.note("the image holds no file system that is known here")
	case r.FileSystemSize > f.Size():
		r.problem("the %s in the image has %d bytes and the image only %d: its end is missing; restore it from a copy",
			r.FileSystem, r.FileSystemSize, f.Size())
	}
	return nil
}

// checkVolume looks at where the image is.
func (r *Report) checkVolume(f *file.File, path string) error {
	free, err := f.Free()
	if err != nil {
		return err
	}
	if free < file.DefaultGuard {
		r.note("the host has %d MiB free: writes that need space will wait; make space", free>>20)
	}
	dir := filepath.Dir(path)
	switch sparse, err := holes(dir); {
	case errors.Is(err, os.ErrPermission): // we may read here and not write
	case err != nil:
		return err
	case !sparse:
		r.note("%v: %s", ErrDense, dir)
	}
	left, err := leftovers(dir)
	if len(left) > 0 {
		r.note("%d unfinished images are left in %s; they go with the next one that is made", len(left), dir)
	}
	return err
}

// readAll reads all data. A place that cannot be read is a problem and not the end.
func (r *Report) readAll(ctx context.Context, f *file.File) error {
	buf := make([]byte, scanSize)
	return eachData(f, func(from, end int64) error {
		for ; from < end; from += scanSize {
			if ctx.Err() != nil {
				return fmt.Errorf("cannot go on checking: %w", context.Cause(ctx))
			}
			if n := min(scanSize, end-from); len(r.Problems) < maxProblems {
				if _, err := f.ReadAt(buf[:n], from); err != nil {
					r.problem("%d bytes at %d cannot be read: %v", n, from, err)
				}
			}
		}
		return nil
	})
}

// maxProblems bounds a Report of a medium that is broken all over.
const maxProblems = 64
