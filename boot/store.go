package boot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// A Store is a directory of assets. It has no state of its own in memory: any
// number of processes may use the same directory at once.
type Store struct{ dir string }

// NewStore gives the store at dir, which is made when something is first put
// there.
func NewStore(dir string) *Store { return &Store{dir: dir} }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// Names below a store's directory, see the package's text.
const (
	assetsDir  = "assets"
	tmpDir     = "tmp"
	partialDir = "partial"
	stateName  = "state.json"
	lockName   = "lock"
	fetchLock  = "fetch.lock"
)

// List gives the assets in the order in which they were installed, the latest
// last, the damaged included. A store that does not exist has none.
func (s *Store) List() ([]Asset, error) {
	entries, err := os.ReadDir(s.path(assetsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the boot assets: %w", err)
	}
	var all []Asset
	for _, e := range entries {
		if e.IsDir() {
			all = append(all, readAsset(s.path(assetsDir, e.Name())))
		}
	}
	slices.SortStableFunc(all, func(a, b Asset) int { return a.Installed.Compare(b.Installed) })
	return all, nil
}

// Writable tells whether this user can put assets into the store.
func (s *Store) Writable() bool {
	dir := s.dir
	for !exists(dir) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return unix.Access(dir, unix.W_OK|unix.X_OK) == nil
}

// lock makes the store if need be and takes one of its locks.
func (s *Store) lock(ctx context.Context, name string, waiting func()) (*os.File, error) {
	for _, d := range []string{assetsDir, tmpDir, partialDir} {
		if err := os.MkdirAll(s.path(d), 0o755); err != nil {
			return nil, fmt.Errorf("cannot make the asset store: %w", err)
		}
	}
	return lockFile(ctx, s.path(name), waiting)
}

// Remove deletes an asset. ErrInUse: a machine runs from it. It vanishes at
// once; what a kill leaves of its files goes with the next fetch.
func (s *Store) Remove(ctx context.Context, id string) error {
	lock, err := s.lock(ctx, lockName, func() {})
	if err != nil {
		return err
	}
	defer lock.Close()
	dir := s.path(assetsDir, id)
	if filepath.Dir(dir) != s.path(assetsDir) || !exists(dir) {
		return fmt.Errorf("cannot remove %s: %w", id, ErrNotFound)
	}
	if f, err := os.Open(filepath.Join(dir, ManifestName)); err == nil {
		defer f.Close()
		if err := tryLock(f, unix.LOCK_EX); err != nil {
			return fmt.Errorf("cannot remove %s: %w: a machine runs from it; stop that first", id, ErrInUse)
		}
	}
	grave, err := os.MkdirTemp(s.path(tmpDir), "removed-")
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", id, err)
	}
	if err := os.Rename(dir, filepath.Join(grave, id)); err != nil {
		return fmt.Errorf("cannot remove %s: %w", id, err)
	}
	if err := syncDir(s.path(assetsDir)); err != nil {
		return fmt.Errorf("cannot remove %s: %w", id, err)
	}
	return os.RemoveAll(grave)
}

// state is what a store remembers besides its assets.
type state struct {
	Schema int `json:"schema"`
	// Selected is the asset that a rollback chose; "" lets the best one win.
	Selected string `json:"selected,omitempty"`
	// Booted are the assets that booted, the latest last, each once.
	Booted []string `json:"booted,omitempty"`
}

const (
	stateSchema = 1
	maxState    = 64 << 10 // bytes
	maxBooted   = 32       // entries, oldest dropped
)

// state reads the store's state. One that does not exist is empty.
func (s *Store) state() (state, error) {
	b, err := readSmall(s.path(stateName), maxState)
	if errors.Is(err, fs.ErrNotExist) {
		return state{Schema: stateSchema}, nil
	}
	var st state
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err == nil && st.Schema != stateSchema {
		err = fmt.Errorf("its schema is %d, this program knows %d", st.Schema, stateSchema)
	}
	if err != nil {
		return state{}, fmt.Errorf("cannot read %s: %w; remove it to forget which assets booted", s.path(stateName), err)
	}
	return st, nil
}

// update changes the state under the lock. A change that changes nothing
// writes nothing.
func (s *Store) update(ctx context.Context, change func(*state)) error {
	lock, err := s.lock(ctx, lockName, func() {})
	if err != nil {
		return err
	}
	defer lock.Close()
	st, err := s.state()
	if err != nil {
		return err
	}
	before, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	change(&st)
	after, err := json.MarshalIndent(st, "", "  ")
	if err != nil || string(after) == string(before) {
		return err
	}
	if err := replaceDurable(s.path(stateName), append(after, '\n')); err != nil {
		return fmt.Errorf("cannot write the state of the asset store: %w", err)
	}
	return nil
}

// booted puts id at the end of the list of those that booted.
func (st *state) booted(id string) {
	st.Booted = append(slices.DeleteFunc(st.Booted, func(b string) bool { return b == id }), id)
	st.Booted = st.Booted[max(0, len(st.Booted)-maxBooted):]
}

// partialAge is how long a download that was cut off is kept to be resumed.
const partialAge = 7 * 24 * time.Hour

// sweep deletes what earlier fetches and removals left in tmp, and downloads
// that nobody resumed. Only the holder of fetch.lock may call it.
func (s *Store) sweep() error {
	left, err := os.ReadDir(s.path(tmpDir))
	if err != nil {
		return fmt.Errorf("cannot sweep the asset store: %w", err)
	}
	var bad []error
	for _, e := range left {
		bad = append(bad, os.RemoveAll(s.path(tmpDir, e.Name())))
	}
	partials, err := os.ReadDir(s.path(partialDir))
	bad = append(bad, err)
	for _, e := range partials {
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > partialAge {
			bad = append(bad, os.Remove(s.path(partialDir, e.Name())))
		}
	}
	return errors.Join(bad...)
}

// commit makes a staged directory an asset. Every file in it must be what the
// manifest says. If the asset is there already, its files are replaced one by
// one, each by a rename: a machine that runs from it keeps the bytes it has.
func (s *Store) commit(ctx context.Context, stage, id string) error {
	entries, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := syncFile(filepath.Join(stage, e.Name())); err != nil {
			return fmt.Errorf("cannot write %s to the disk: %w", e.Name(), err)
		}
	}
	if err := syncDir(stage); err != nil {
		return fmt.Errorf("cannot write the asset to the disk: %w", err)
	}
	lock, err := s.lock(ctx, lockName, func() {})
	if err != nil {
		return err
	}
	defer lock.Close()
	dir := s.path(assetsDir, id)
	if exists(dir) {
		return replaceFiles(stage, dir, entries)
	}
	if err := os.Chmod(stage, 0o755); err != nil {
		return fmt.Errorf("cannot install %s: %w", id, err)
	}
	if err := os.Rename(stage, dir); err != nil {
		return fmt.Errorf("cannot install %s: %w", id, err)
	}
	return syncDir(s.path(assetsDir))
}

// replaceFiles moves the files of stage over those of dir.
func replaceFiles(stage, dir string, entries []os.DirEntry) error {
	for _, e := range entries {
		target := filepath.Join(dir, e.Name())
		if st, err := os.Lstat(target); err == nil && st.IsDir() {
			if err := os.RemoveAll(target); err != nil {
				return fmt.Errorf("cannot repair %s: %w", target, err)
			}
		}
		if err := os.Rename(filepath.Join(stage, e.Name()), target); err != nil {
			return fmt.Errorf("cannot repair %s: %w", target, err)
		}
	}
	return syncDir(dir)
}
