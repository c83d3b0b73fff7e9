package launchd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// replace makes data the file's content at once, with the mode that managers insist
// on: nobody else may write a definition.
func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// A definition is one file that a manager reads.
type definition struct {
	path string
	data []byte
}

// same says whether the file is already as wanted.
func (d definition) same() bool {
	old, err := os.ReadFile(d.path)
	return err == nil && bytes.Equal(old, d.data)
}

// write puts the definitions in place and returns what puts the former ones back.
func write(defs ...definition) (undo func() error, err error) {
	var back []func() error
	undo = func() error {
		var errs []error
		for _, b := range back {
			errs = append(errs, b())
		}
		return errors.Join(errs...)
	}
	for _, d := range defs {
		old, err := os.ReadFile(d.path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			back = append(back, func() error { return remove(d.path) })
		case err != nil:
			return undo, fmt.Errorf("cannot replace %s: %w", d.path, err)
		default:
			back = append(back, func() error { return replace(d.path, old) })
		}
		if err := replace(d.path, d.data); err != nil {
			return undo, errors.Join(err, undo())
		}
	}
	return undo, nil
}

// remove removes a file that may be gone already.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove %s: %w", path, err)
	}
	return nil
}

// removeMade removes what a manager has made for us at path, if it is of the type
// that it makes there: what somebody else has put there stays.
func removeMade(path string, typ fs.FileMode) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != typ {
		return nil
	}
	return remove(path)
}

// sameFile says whether two paths are one file: a home may be reached by several.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	ia, err := os.Stat(a)
	if err != nil {
		return false
	}
	ib, err := os.Stat(b)
	return err == nil && os.SameFile(ia, ib)
}
