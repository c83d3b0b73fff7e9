package boot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Library is what one user can boot: the assets in the data directory and
// those that the machine shares.
type Library struct {
	Home   *Store // the user's own; also remembers what booted
	Shared *Store // often read-only
}

// OpenLibrary gives the library of a data directory's boot folder and of the
// machine's shared store. Neither needs to exist.
func OpenLibrary(home, shared string) *Library {
	return &Library{Home: NewStore(home), Shared: NewStore(shared)}
}

// List gives all assets, those of the Home store last and each store in order
// of installation. One that both have is listed once, from Home unless it is
// damaged there.
func (l *Library) List() ([]Asset, error) {
	home, err := l.Home.List()
	if err != nil {
		return nil, err
	}
	all, err := l.Shared.List()
	if err != nil {
		return nil, err
	}
	for _, a := range home {
		i := slices.IndexFunc(all, func(b Asset) bool { return b.ID == a.ID })
		if i >= 0 && a.Damage != nil && all[i].Damage == nil {
			continue
		}
		if i >= 0 {
			all = slices.Delete(all, i, i+1)
		}
		all = append(all, a)
	}
	return all, nil
}

// Find gives the asset that ref means: "" the default, a flavour its newest, or
// an ID or the unambiguous start of one. Without one, ErrNotFound. A damaged
// asset is found by its ID only.
func (l *Library) Find(ref string) (*Asset, error) {
	switch ref {
	case "":
		return l.Default()
	case FlavourDebian, FlavourArcBox:
		all, err := l.List()
		if err != nil {
			return nil, err
		}
		if a := newest(all, ref); a != nil {
			return a, nil
		}
		return nil, fmt.Errorf("cannot find an asset of flavour %s: %w; run arcbox assets fetch --flavour %s", ref, ErrNotFound, ref)
	}
	return l.byID(ref)
}

func (l *Library) byID(ref string) (*Asset, error) {
	all, err := l.List()
	if err != nil {
		return nil, err
	}
	var found *Asset
	for i, a := range all {
		if a.ID == ref {
			return &all[i], nil
		}
		if !strings.HasPrefix(a.ID, ref) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("cannot tell which asset %q is: %s and %s begin so; give more of it", ref, found.ID, a.ID)
		}
		found = &all[i]
	}
	if found == nil {
		return nil, fmt.Errorf("cannot find asset %q: %w; see arcbox assets list", ref, ErrNotFound)
	}
	return found, nil
}

// newest gives the last installed asset of a flavour that is not damaged, or nil.
func newest(all []Asset, flavour string) *Asset {
	var best *Asset
	for i, a := range all {
		if a.Damage == nil && a.Manifest.Flavour == flavour && (best == nil || !a.Installed.Before(best.Installed)) {
			best = &all[i]
		}
	}
	return best
}

// Default gives what a machine boots if nobody says otherwise: what a rollback
// selected; else the newest of our own flavour; else the newest of Debian's.
func (l *Library) Default() (*Asset, error) {
	all, err := l.List()
	if err != nil {
		return nil, err
	}
	st, err := l.Home.state()
	if err != nil {
		return nil, err
	}
	for i, a := range all {
		if a.ID == st.Selected && a.Damage == nil {
			return &all[i], nil
		}
	}
	for _, flavour := range []string{FlavourArcBox, FlavourDebian} {
		if a := newest(all, flavour); a != nil {
			return a, nil
		}
	}
	return nil, fmt.Errorf("cannot find anything to boot: %w; run arcbox assets fetch", ErrNotFound)
}

// MarkBooted remembers that an asset booted to its init.
func (l *Library) MarkBooted(ctx context.Context, id string) error {
	return l.Home.update(ctx, func(st *state) { st.booted(id) })
}

// Rollback makes the asset that booted last, other than the present default,
// the default until the next fetch of a new one. It gives both. ErrNotFound:
// no other that booted is left.
func (l *Library) Rollback(ctx context.Context) (from, to *Asset, err error) {
	from, err = l.Default()
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, nil, err
	}
	st, err := l.Home.state()
	if err != nil {
		return nil, nil, err
	}
	for _, id := range slices.Backward(st.Booted) {
		if from != nil && id == from.ID {
			continue
		}
		a, err := l.byID(id)
		if err != nil || a.ID != id || a.Verify(ctx, nil) != nil {
			continue // removed or damaged since
		}
		return from, a, l.Home.update(ctx, func(st *state) { st.Selected = id })
	}
	return nil, nil, fmt.Errorf("cannot roll back: %w has booted besides the present one", ErrNotFound)
}

// Select makes the asset that ref means the default until the next fetch of a new one, once every file of it has been
// read; "" lets the best one win again. It gives what is the default then.
func (l *Library) Select(ctx context.Context, ref string, progress Progress) (*Asset, error) {
	if ref == "" {
		if err := l.Home.update(ctx, func(st *state) { st.Selected = "" }); err != nil {
			return nil, err
		}
		return l.Default()
	}
	a, err := l.Find(ref)
	if err != nil {
		return nil, err
	}
	if err := a.Verify(ctx, progress); err != nil {
		return nil, fmt.Errorf("cannot use %s: %w; run arcbox assets fetch to repair it", a.ID, err)
	}
	return a, l.Home.update(ctx, func(st *state) { st.Selected = a.ID })
}

// Remove deletes an asset from every store that has it. ErrInUse: a machine
// runs from it, or a rollback selected it.
func (l *Library) Remove(ctx context.Context, id string) error {
	st, err := l.Home.state()
	if err != nil {
		return err
	}
	if id != "" && st.Selected == id {
		return fmt.Errorf("cannot remove %s: %w: a rollback selected it; fetch a newer one first", id, ErrInUse)
	}
	removed := false
	for _, s := range []*Store{l.Home, l.Shared} {
		if !exists(s.path(assetsDir, id)) {
			continue
		}
		if err := s.Remove(ctx, id); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return fmt.Errorf("cannot remove %s: %w", id, ErrNotFound)
	}
	return nil
}
