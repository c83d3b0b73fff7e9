package boot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Errors that callers branch on. They come wrapped.
var (
	// ErrDamaged: a file is not what its manifest says.
	ErrDamaged = errors.New("damaged")
	// ErrNotFound: no store has such an asset.
	ErrNotFound = errors.New("no such asset")
	// ErrInUse: a machine runs from the asset, or a rollback selected it.
	ErrInUse = errors.New("in use")
)

// An Asset is one set of files in a store. It is a snapshot: an asset that
// somebody removes meanwhile stays usable only to who holds it with Use.
type Asset struct {
	ID  string
	Dir string // absolute
	// Manifest is nil when it cannot be read; Damage then says why.
	Manifest *Manifest
	// Damage is what is wrong at first sight: files that are missing or of the
	// wrong size. Nil says nothing about their contents; Verify does.
	Damage    error
	Installed time.Time
}

// Path is where the asset has the file called name, or "" if it has none.
func (a *Asset) Path(name string) string {
	if a.Manifest == nil {
		return ""
	}
	if _, ok := a.Manifest.File(name); !ok {
		return ""
	}
	return filepath.Join(a.Dir, name)
}

// readAsset looks at one directory of a store.
func readAsset(dir string) Asset {
	a := Asset{ID: filepath.Base(dir), Dir: dir}
	path := filepath.Join(dir, ManifestName)
	raw, err := readSmall(path, MaxManifest)
	if err != nil {
		a.Damage = fmt.Errorf("%w: its manifest cannot be read: %w", ErrDamaged, err)
		return a
	}
	if st, err := os.Stat(path); err == nil {
		a.Installed = st.ModTime()
	}
	m, err := ParseManifest(raw)
	if err != nil {
		a.Damage = fmt.Errorf("%w: %w", ErrDamaged, err)
		return a
	}
	if want := assetID(m, raw); want != a.ID {
		a.Damage = fmt.Errorf("%w: its manifest is that of %s", ErrDamaged, want)
		return a
	}
	a.Manifest = m
	a.Damage = a.glance()
	return a
}

// glance compares the sizes of all files.
func (a *Asset) glance() error {
	var bad []error
	for _, f := range a.Manifest.Files {
		if err := a.glanceFile(f); err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	return errors.Join(bad...)
}

func (a *Asset) glanceFile(f File) error {
	st, err := os.Lstat(filepath.Join(a.Dir, f.Name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: it is missing", ErrDamaged)
	case err != nil:
		return err
	case !st.Mode().IsRegular():
		return fmt.Errorf("%w: it is no regular file", ErrDamaged)
	case st.Size() != f.Size:
		return fmt.Errorf("%w: it has %d bytes, not %d", ErrDamaged, st.Size(), f.Size)
	}
	return nil
}

// Verify reads the files called names, all if there are none, and compares them
// to the manifest. The error is all that is wrong; progress is told the bytes
// done, and may be nil.
func (a *Asset) Verify(ctx context.Context, progress Progress, names ...string) error {
	if a.Manifest == nil {
		return a.Damage
	}
	var bad []error
	for _, f := range a.Manifest.Files {
		if len(names) > 0 && !slices.Contains(names, f.Name) {
			continue
		}
		err := checkFile(ctx, filepath.Join(a.Dir, f.Name), f, progress.bytes(PhaseVerify, f))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: it is missing", ErrDamaged)
		}
		if err != nil {
			bad = append(bad, fmt.Errorf("%s: %w", f.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(bad...)
}

// Use holds the asset for a machine that runs from it: until the file is
// closed by everyone who has it, Remove refuses with ErrInUse. A process that
// gets the descriptor holds the asset too, so it may outlive the caller.
func (a *Asset) Use() (*os.File, error) {
	f, err := os.Open(filepath.Join(a.Dir, ManifestName))
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", a.ID, err)
	}
	if err := tryLock(f, unix.LOCK_SH); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot use %s: it is being removed: %w", a.ID, err), f.Close())
	}
	if !exists(f.Name()) { // removed between the open and the lock
		return nil, errors.Join(fmt.Errorf("cannot use %s: %w", a.ID, ErrNotFound), f.Close())
	}
	return f, nil
}
