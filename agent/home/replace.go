package home

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// TempPrefix marks files that Replace is writing. One that is still there when nobody does is half of a file, of a process that died.
const TempPrefix = ".tmp-"

// Replace makes data the content of a file, and mode its mode, at once and for good: whoever looks, and whenever the power fails, there is
// the old file or the new one. Its directory is made if it is not there.
func Replace(path string, data []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, TempPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes renames and removals in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
