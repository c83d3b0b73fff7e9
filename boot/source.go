package boot

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A Source is where one published asset can be had.
type Source interface {
	// Manifest gives the contents of ManifestName and of SignatureName, the
	// latter nil if there is none. They are at most MaxManifest bytes each.
	Manifest(ctx context.Context) (raw, sig []byte, err error)
	// Open gives the bytes of a file from offset on. A source that cannot begin
	// there begins at 0; at says where it does.
	Open(ctx context.Context, f File, offset int64) (r io.ReadCloser, at int64, err error)
	// Remote sources are believed only with a signature.
	Remote() bool
}

// A temporaryError may not happen again if the same is tried later.
type temporaryError struct{ err error }

func (e *temporaryError) Error() string { return e.err.Error() }
func (e *temporaryError) Unwrap() error { return e.err }

// bundleDir is where an application bundle keeps its assets.
const bundleDir = "Contents/Resources/boot"

// A Directory is a source on this machine: a directory with a manifest, or an
// application bundle that has one in Contents/Resources/boot.
type Directory struct{ dir string }

// NewDirectory finds the manifest below path. Errors: fs.ErrNotExist if there
// is none.
func NewDirectory(path string) (*Directory, error) {
	for _, dir := range []string{path, filepath.Join(path, bundleDir)} {
		_, err := os.Stat(filepath.Join(dir, ManifestName))
		if err == nil {
			return &Directory{dir}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot take assets from %s: %w", path, err)
		}
	}
	return nil, fmt.Errorf("cannot take assets from %s: it has no %s: %w", path, ManifestName, fs.ErrNotExist)
}

// Manifest reads the manifest and the signature, if any.
func (d *Directory) Manifest(context.Context) (raw, sig []byte, err error) {
	raw, err = readSmall(filepath.Join(d.dir, ManifestName), MaxManifest)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the manifest: %w", err)
	}
	sig, err = readSmall(filepath.Join(d.dir, SignatureName), MaxManifest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("cannot read the signature: %w", err)
	}
	return raw, sig, nil
}

// Open opens a regular file of the size that the manifest says.
func (d *Directory) Open(_ context.Context, f File, offset int64) (io.ReadCloser, int64, error) {
	path := filepath.Join(d.dir, f.Name)
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("cannot read %s: it is no regular file", path) // opening a FIFO would block
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	if err := checkSize(r, f); err != nil {
		return nil, 0, errors.Join(fmt.Errorf("cannot take %s: %w", path, err), r.Close())
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		return nil, 0, errors.Join(err, r.Close())
	}
	return r, offset, nil
}

// Remote says that a directory is believed as it is.
func (d *Directory) Remote() bool { return false }
