package boot

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
)

// A Fetch says how assets are brought into a library.
type Fetch struct {
	// Keys are those whose signature makes a manifest believable. With none, a
	// remote source is refused and a directory is taken as it is; with any, a
	// directory needs a signature as well.
	Keys     []ed25519.PublicKey
	Progress Progress
	// Rebuild builds even if the library has an intact asset of the same inputs:
	// the distribution's packages may be newer.
	Rebuild bool

	pause time.Duration // before the second try of a transfer; 0 for the default
}

// A Builder makes an asset on this machine.
type Builder interface {
	// Flavour is FlavourDebian or FlavourArcBox.
	Flavour() string
	// Key names the inputs, as far as they are known without the network.
	Key() (string, error)
	// Build makes the files in dst, an empty directory, and says what it is at.
	Build(ctx context.Context, dst string, say func(line string)) (Built, error)
}

// Built is what a Builder left in its directory.
type Built struct {
	KernelVersion string
	Cmdline       string
	Files         []string          // names in the directory
	Packages      map[string]string // see Manifest
}

// From brings the asset of a source into the Home store, unless the library has
// it; files of it that are damaged are replaced. fresh tells whether anything
// was brought.
//
// A transfer that a kill cut off goes on where it was. Errors: ErrSignature,
// ErrDamaged when the source has other bytes than its manifest says.
func (f *Fetch) From(ctx context.Context, l *Library, src Source) (a *Asset, fresh bool, err error) {
	raw, sig, err := f.manifest(ctx, src)
	if err != nil {
		return nil, false, err
	}
	m, err := ParseManifest(raw)
	if err != nil {
		return nil, false, err
	}
	id := assetID(m, raw)
	return f.install(ctx, l, l.Home, func() (*Asset, bool, error) {
		if a, err := f.intact(ctx, l, func(a *Asset) bool { return a.ID == id }); a != nil || err != nil {
			return a, false, err
		}
		stage, err := os.MkdirTemp(l.Home.path(tmpDir), "fetch-")
		if err != nil {
			return nil, false, fmt.Errorf("cannot fetch %s: %w", id, err)
		}
		if err := f.stageFiles(ctx, l.Home, src, m, stage, id); err != nil {
			return nil, false, err
		}
		return f.finish(ctx, l.Home, stage, m, raw, sig)
	})
}

// Build makes an asset with a builder, unless the library has one of the same
// inputs that is intact. It goes into the Shared store if that can be written,
// so that every home on the machine has it, else into the Home store.
func (f *Fetch) Build(ctx context.Context, l *Library, b Builder) (a *Asset, fresh bool, err error) {
	key, err := b.Key()
	if err != nil {
		return nil, false, err
	}
	store := l.Home
	if l.Shared.Writable() {
		store = l.Shared
	}
	return f.install(ctx, l, store, func() (*Asset, bool, error) {
		same := func(a *Asset) bool { return a.Manifest.Key == key && a.Manifest.Flavour == b.Flavour() }
		if !f.Rebuild {
			if a, err := f.intact(ctx, l, same); a != nil || err != nil {
				return a, false, err
			}
		}
		stage, err := os.MkdirTemp(store.path(tmpDir), "build-")
		if err != nil {
			return nil, false, fmt.Errorf("cannot build assets: %w", err)
		}
		built, err := b.Build(ctx, stage, func(line string) { f.Progress.say(PhaseBuild, line) })
		if err != nil {
			return nil, false, err
		}
		m, err := describe(ctx, stage, built, b.Flavour(), key)
		if err != nil {
			return nil, false, err
		}
		raw, err := m.Encode()
		if err != nil {
			return nil, false, err
		}
		return f.finish(ctx, store, stage, m, raw, nil)
	})
}

// install runs bring as the only fetch into a store, and afterwards lets what
// is new win over what a rollback selected.
func (f *Fetch) install(ctx context.Context, l *Library, s *Store, bring func() (*Asset, bool, error)) (*Asset, bool, error) {
	lock, err := s.lock(ctx, fetchLock, func() {
		f.Progress.say(PhaseNote, "waiting for another fetch into "+s.dir)
	})
	if err != nil {
		return nil, false, err
	}
	defer lock.Close()
	if err := s.sweep(); err != nil {
		return nil, false, err
	}
	a, fresh, err := bring()
	if err != nil {
		return nil, false, errors.Join(err, s.sweep())
	}
	if !fresh {
		return a, false, nil
	}
	f.bury(ctx, s, a)
	if err := l.Home.update(ctx, func(st *state) { st.Selected = "" }); err != nil {
		return nil, false, err
	}
	return a, true, s.sweep()
}

// manifest gets and checks a source's manifest, as often as it takes.
func (f *Fetch) manifest(ctx context.Context, src Source) (raw, sig []byte, err error) {
	pause := f.firstPause()
	for tries := 1; ; tries++ {
		raw, sig, err = src.Manifest(ctx)
		var temporary *temporaryError
		if err == nil || tries == maxTries || !errors.As(err, &temporary) {
			break
		}
		f.Progress.say(PhaseNote, fmt.Sprintf("%v; trying again in %v", err, pause))
		select {
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		case <-time.After(pause):
		}
		pause *= 2
	}
	if err == nil && (src.Remote() || len(f.Keys) > 0) {
		err = checkSignature(f.Keys, raw, sig)
	}
	return raw, sig, err
}

func (f *Fetch) firstPause() time.Duration {
	if f.pause > 0 {
		return f.pause
	}
	return firstPause
}

// intact gives an asset that is as wanted and whose files are all right, or nil.
func (f *Fetch) intact(ctx context.Context, l *Library, wanted func(*Asset) bool) (*Asset, error) {
	all, err := l.List()
	if err != nil {
		return nil, err
	}
	for _, a := range slices.Backward(all) {
		if a.Manifest == nil || !wanted(&a) {
			continue
		}
		err := a.Verify(ctx, f.Progress)
		if err == nil {
			return &a, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		f.Progress.say(PhaseNote, fmt.Sprintf("%s is damaged and will be repaired: %v", a.ID, err))
	}
	return nil, nil
}

// stageFiles puts every file of m into stage: from the damaged asset in the
// store as far as it is right, else from the source.
func (f *Fetch) stageFiles(ctx context.Context, s *Store, src Source, m *Manifest, stage, id string) error {
	for _, file := range m.Files {
		staged := filepath.Join(stage, file.Name)
		old := s.path(assetsDir, id, file.Name)
		if checkFile(ctx, old, file, func(int64) {}) == nil && os.Link(old, staged) == nil {
			continue
		}
		partial := s.path(partialDir, file.SHA256)
		d := download{src: src, file: file, partial: partial, progress: f.Progress, pause: f.firstPause()}
		if err := d.run(ctx); err != nil {
			return err
		}
		if err := os.Rename(partial, staged); err != nil {
			return fmt.Errorf("cannot fetch %s: %w", file.Name, err)
		}
	}
	return nil
}

// describe writes the manifest of what a builder made.
func describe(ctx context.Context, dir string, b Built, flavour, key string) (*Manifest, error) {
	m := &Manifest{
		Schema: Schema, Flavour: flavour, KernelVersion: b.KernelVersion, Cmdline: b.Cmdline,
		Key: key, Packages: b.Packages,
	}
	for _, name := range slices.Sorted(slices.Values(b.Files)) {
		r, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("cannot use what was built: %w", err)
		}
		sum, size, err := digest(ctx, r, func(int64) {})
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("cannot use what was built: %w", err)
		}
		m.Files = append(m.Files, File{Name: name, Size: size, SHA256: sum})
	}
	return m, nil
}

// finish looks into the staged kernel, adds the manifest and makes stage an
// asset of the store.
func (f *Fetch) finish(ctx context.Context, s *Store, stage string, m *Manifest, raw, sig []byte) (*Asset, bool, error) {
	if err := checkKernel(filepath.Join(stage, KernelName)); err != nil {
		return nil, false, err
	}
	if err := prune(stage, m); err != nil {
		return nil, false, err
	}
	id := assetID(m, raw)
	if err := stageManifest(stage, s.path(assetsDir, id), raw, sig); err != nil {
		return nil, false, fmt.Errorf("cannot install %s: %w", id, err)
	}
	if err := s.commit(ctx, stage, id); err != nil {
		return nil, false, err
	}
	a := readAsset(s.path(assetsDir, id))
	return &a, true, a.Damage
}

// prune removes what a manifest does not name: a builder's leavings.
func prune(stage string, m *Manifest) error {
	entries, err := os.ReadDir(stage)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := m.File(e.Name()); ok {
			continue
		}
		if err := os.RemoveAll(filepath.Join(stage, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// stageManifest writes the manifest last, and the signature if there is one. A
// manifest that is already installed stays the same file, because machines hold
// their locks on it.
func stageManifest(stage, installed string, raw, sig []byte) error {
	if sig != nil {
		if err := writeDurable(filepath.Join(stage, SignatureName), sig); err != nil {
			return err
		}
	}
	staged, old := filepath.Join(stage, ManifestName), filepath.Join(installed, ManifestName)
	if b, err := readSmall(old, MaxManifest); err == nil && string(b) == string(raw) && os.Link(old, staged) == nil {
		return nil
	}
	return writeDurable(staged, raw)
}

// checkKernel refuses a kernel that no machine of ours could start.
func checkKernel(path string) error {
	r, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot use the kernel: %w", err)
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return fmt.Errorf("cannot use the kernel: %w", err)
	}
	if _, err := image.Open(r, st.Size()); err != nil {
		return fmt.Errorf("cannot use the kernel: %w", err)
	}
	return nil
}

// bury removes the damaged assets that a new one stands for: those whose
// manifest is lost and those of the same inputs. What is in use stays.
func (f *Fetch) bury(ctx context.Context, s *Store, fresh *Asset) {
	all, err := s.List()
	if err != nil {
		return
	}
	for _, a := range all {
		same := a.Manifest == nil || fresh.Manifest.Key != "" && a.Manifest.Key == fresh.Manifest.Key
		if a.ID == fresh.ID || !same || a.Verify(ctx, nil) == nil {
			continue
		}
		err := s.Remove(ctx, a.ID)
		if err == nil {
			f.Progress.say(PhaseNote, a.ID+" was damaged and is removed")
		} else if !errors.Is(err, fs.ErrNotExist) {
			f.Progress.say(PhaseNote, err.Error())
		}
	}
}
