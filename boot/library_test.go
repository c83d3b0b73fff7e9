package boot

import (
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFetchFromDirectory(t *testing.T) {
	l := newLibrary(t)
	src := publish(t, FlavourDebian, "6.1.0", 'a').source(t)
	a, fresh := fetch(t, l, src)
	if !fresh || a.Dir != l.Home.path(assetsDir, a.ID) {
		t.Errorf("fresh %t, in %s", fresh, a.Dir)
	}
	again, fresh := fetch(t, l, src)
	if fresh || again.ID != a.ID {
		t.Errorf("the second fetch brought %s anew (%t)", again.ID, fresh)
	}
	if names := leftovers(t, l.Home); names != nil {
		t.Errorf("left behind: %v", names)
	}
	if want := filepath.Join(a.Dir, "Image"); a.Path(KernelName) != want || a.Path("root.erofs") != "" || a.Path(ManifestName) != "" {
		t.Errorf("paths %q, %q, %q", a.Path(KernelName), a.Path("root.erofs"), a.Path(ManifestName))
	}
}

func TestFetchFromApplicationBundle(t *testing.T) {
	p := publish(t, FlavourArcBox, "6.12.8", 'a')
	app := filepath.Join(t.TempDir(), "ArcBox.app")
	inside := filepath.Join(app, "Contents", "Resources", "boot")
	if err := os.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(p.directory(t), inside); err != nil {
		t.Fatal(err)
	}
	src, err := NewDirectory(app)
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, newLibrary(t), src)
}

func TestFetchRefusesWhatADirectoryShouldNotHold(t *testing.T) {
	trusted, other := testKeys()
	tests := []struct {
		name string
		edit func(t *testing.T, p published)
		f    Fetch
		want string
	}{
		{"a kernel that is none", func(t *testing.T, p published) {
			p[KernelName] = []byte(strings.Repeat("#!/bin/sh\n", 100))
			p.describe(t, FlavourDebian, "6.1.0")
		}, Fetch{}, "cannot use the kernel"},
		{"other bytes", func(t *testing.T, p published) { p[KernelName][500] ^= 1 }, Fetch{}, "not what its manifest says"},
		{"fewer bytes", func(t *testing.T, p published) { p[KernelName] = p[KernelName][:500] }, Fetch{}, "500 bytes"},
		{"a missing file", func(t *testing.T, p published) { delete(p, InitrdName) }, Fetch{}, "no such file"},
		{"no signature where keys are given", func(t *testing.T, p published) { delete(p, SignatureName) },
			Fetch{Keys: []ed25519.PublicKey{public(trusted)}}, ErrSignature.Error()},
		{"the wrong signature where keys are given", func(t *testing.T, p published) {},
			Fetch{Keys: []ed25519.PublicKey{public(other)}}, ErrSignature.Error()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, l := publish(t, FlavourDebian, "6.1.0", 'a'), newLibrary(t)
			tt.edit(t, p)
			_, _, err := tt.f.From(t.Context(), l, p.source(t))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if ids := list(t, l); ids != nil {
				t.Errorf("installed all the same: %v", ids)
			}
		})
	}
}

func TestNoManifestIsNoSource(t *testing.T) {
	if _, err := NewDirectory(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// TestDamageIsFoundAndRepaired damages each file of an installed asset in each
// way, and expects verify to say so and the next fetch to put it right.
func TestDamageIsFoundAndRepaired(t *testing.T) {
	damages := map[string]func(path string) error{
		"missing":     os.Remove,
		"cut":         func(path string) error { return os.Truncate(path, 10) },
		"longer":      func(path string) error { return os.Truncate(path, 1<<20) },
		"a directory": func(path string) error { return errors.Join(os.Remove(path), os.MkdirAll(path, 0o755)) },
		"one bit": func(path string) error {
			b, err := os.ReadFile(path)
			b[len(b)/2] ^= 4
			return errors.Join(err, os.WriteFile(path, b, 0o644))
		},
	}
	for _, file := range []string{KernelName, InitrdName, ManifestName} {
		for name, damage := range damages {
			t.Run(file+" "+name, func(t *testing.T) {
				l, src := newLibrary(t), publish(t, FlavourDebian, "6.1.0", 'a').source(t)
				a, _ := fetch(t, l, src)
				if err := damage(filepath.Join(a.Dir, file)); err != nil {
					t.Fatal(err)
				}
				all, err := l.List()
				if err != nil || len(all) != 1 {
					t.Fatalf("%d assets, %v", len(all), err)
				}
				if err := all[0].Verify(t.Context(), nil); !errors.Is(err, ErrDamaged) {
					t.Errorf("verify says %v", err)
				}
				if _, fresh := fetch(t, l, src); !fresh {
					t.Error("nothing was repaired")
				}
				if ids := list(t, l); !slices.Equal(ids, []string{a.ID}) {
					t.Errorf("assets %v, want %s alone", ids, a.ID)
				}
			})
		}
	}
}

func TestGlanceSeesSizesOnly(t *testing.T) {
	l := newLibrary(t)
	a, _ := fetch(t, l, publish(t, FlavourDebian, "6.1.0", 'a').source(t))
	if err := os.Truncate(a.Path(InitrdName), 3); err != nil {
		t.Fatal(err)
	}
	all, err := l.List()
	if err != nil || !errors.Is(all[0].Damage, ErrDamaged) {
		t.Errorf("damage %v, %v", all[0].Damage, err)
	}
	if a, err := l.Default(); !errors.Is(err, ErrNotFound) {
		t.Errorf("the damaged asset is the default: %v, %v", a, err)
	}
}

// install fetches an asset into a store as if it were some minutes old.
func install(t *testing.T, l *Library, flavour, version string, mark byte, age time.Duration) string {
	t.Helper()
	a, _ := fetch(t, l, publish(t, flavour, version, mark).source(t))
	at := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(a.Dir, ManifestName), at, at); err != nil {
		t.Fatal(err)
	}
	return a.ID
}

func TestFindAndDefault(t *testing.T) {
	l := newLibrary(t)
	oldDebian := install(t, l, FlavourDebian, "6.1.1", 'a', 3*time.Minute)
	newDebian := install(t, l, FlavourDebian, "6.1.0", 'b', 2*time.Minute)
	if a, err := l.Default(); err != nil || a.ID != newDebian {
		t.Errorf("default %v, %v; want the one installed last, %s", a, err, newDebian)
	}
	own := install(t, l, FlavourArcBox, "6.12.8", 'c', 5*time.Minute)
	tests := []struct{ name, ref, want string }{
		{"the default is our own flavour", "", own},
		{"a flavour is its newest", "debian", newDebian},
		{"an ID", oldDebian, oldDebian},
		{"the beginning of an ID", "6.12", own},
		{"an ambiguous beginning", "6.1.", ""},
		{"what is not there", "7", ""},
		{"a path", "../" + oldDebian, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := l.Find(tt.ref)
			if tt.want == "" && err == nil || tt.want != "" && (err != nil || a.ID != tt.want) {
				t.Errorf("Find(%q) = %v, %v; want %q", tt.ref, a, err, tt.want)
			}
		})
	}
}

func TestEmptyHomeFindsWhatTheMachineHas(t *testing.T) {
	l := newLibrary(t)
	machine := &Library{Home: l.Shared, Shared: NewStore(t.TempDir())}
	shared, _ := fetch(t, machine, publish(t, FlavourDebian, "6.1.0", 'a').source(t))
	a, err := l.Default()
	if err != nil || a.Dir != shared.Dir {
		t.Fatalf("default %v, %v; want %s", a, err, shared.Dir)
	}
	if _, fresh := fetch(t, l, publish(t, FlavourDebian, "6.1.0", 'a').source(t)); fresh {
		t.Error("what the machine has was fetched again")
	}
	if exists(l.Home.path(assetsDir, a.ID)) {
		t.Error("the home has a copy")
	}
}

func TestHomeStandsInForADamagedSharedAsset(t *testing.T) {
	l := newLibrary(t)
	src := publish(t, FlavourDebian, "6.1.0", 'a').source(t)
	machine := &Library{Home: l.Shared, Shared: NewStore(t.TempDir())}
	shared, _ := fetch(t, machine, src)
	if err := os.WriteFile(shared.Path(InitrdName), make([]byte, 20000), 0o644); err != nil { // same size
		t.Fatal(err)
	}
	if a, fresh := fetch(t, l, src); !fresh || a.Dir != l.Home.path(assetsDir, a.ID) {
		t.Errorf("fetched into %s (%t)", a.Dir, fresh)
	}
	list(t, l)
}

func TestRollback(t *testing.T) {
	l := newLibrary(t)
	first := install(t, l, FlavourArcBox, "6.12.1", 'a', 4*time.Minute)
	second := install(t, l, FlavourArcBox, "6.12.2", 'b', 3*time.Minute)
	if _, _, err := l.Rollback(t.Context()); !errors.Is(err, ErrNotFound) {
		t.Errorf("rolled back to what never booted: %v", err)
	}
	for _, id := range []string{first, second} {
		if err := l.MarkBooted(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	bad := install(t, l, FlavourArcBox, "6.12.3", 'c', 2*time.Minute)
	from, to, err := l.Rollback(t.Context())
	if err != nil || from.ID != bad || to.ID != second {
		t.Fatalf("from %v to %v, %v; want from %s to %s", from, to, err, bad, second)
	}
	if a, err := l.Default(); err != nil || a.ID != second {
		t.Errorf("default %v, %v; want %s", a, err, second)
	}
	if err := l.Remove(t.Context(), second); !errors.Is(err, ErrInUse) {
		t.Errorf("removing what was selected: %v", err)
	}
	if _, to, err := l.Rollback(t.Context()); err != nil || to.ID != first {
		t.Errorf("the second rollback went to %v, %v; want %s", to, err, first)
	}
	newest := install(t, l, FlavourArcBox, "6.12.4", 'd', time.Minute)
	if a, err := l.Default(); err != nil || a.ID != newest {
		t.Errorf("default after a fetch is %v, %v; want %s", a, err, newest)
	}
}

func TestRollbackPassesOverWhatIsGoneOrDamaged(t *testing.T) {
	l := newLibrary(t)
	var ids []string
	for i, age := range []time.Duration{4, 3, 2, 1} {
		id := install(t, l, FlavourDebian, "6.1."+string(rune('0'+i)), byte('a'+i), age*time.Minute)
		if err := l.MarkBooted(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if err := os.WriteFile(l.Home.path(assetsDir, ids[2], InitrdName), make([]byte, 20000), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), ids[1]); err != nil {
		t.Fatal(err)
	}
	if _, to, err := l.Rollback(t.Context()); err != nil || to.ID != ids[0] {
		t.Errorf("rolled back to %v, %v; want %s", to, err, ids[0])
	}
}

func TestBootedListIsBounded(t *testing.T) {
	var st state
	for i := range 100 {
		st.booted(string(rune('a' + i)))
	}
	st.booted(st.Booted[0])
	if n := len(st.Booted); n != maxBooted {
		t.Errorf("%d entries, want %d", n, maxBooted)
	}
	if once := slices.Compact(slices.Sorted(slices.Values(st.Booted))); len(once) != maxBooted {
		t.Error("an entry is there twice")
	}
}

func TestRemoveRefusesWhatIsInUse(t *testing.T) {
	l := newLibrary(t)
	src := publish(t, FlavourDebian, "6.1.0", 'a').source(t)
	a, _ := fetch(t, l, src)
	held, err := a.Use()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := l.Remove(t.Context(), a.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("removed while in use: %v", err)
	}
	if err := os.Truncate(a.Path(InitrdName), 1); err != nil { // a repair must not lose the hold
		t.Fatal(err)
	}
	fetch(t, l, src)
	if err := l.Remove(t.Context(), a.ID); !errors.Is(err, ErrInUse) {
		t.Errorf("removed while in use after a repair: %v", err)
	}
	held.Close()
	if err := l.Remove(t.Context(), a.ID); err != nil {
		t.Errorf("cannot remove it when it is free: %v", err)
	}
	if _, err := a.Use(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("used after removal: %v", err)
	}
	if err := l.Remove(t.Context(), a.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestRemoveStaysInTheStore(t *testing.T) {
	l := newLibrary(t)
	fetch(t, l, publish(t, FlavourDebian, "6.1.0", 'a').source(t))
	for _, id := range []string{"", ".", "..", "../" + partialDir, "../../boot", "a/b"} {
		if err := l.Remove(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Remove(%q): %v", id, err)
		}
	}
	if ids := list(t, l); len(ids) != 1 || !exists(l.Home.path(partialDir)) {
		t.Errorf("left: %v", ids)
	}
}

func TestStateThatCannotBeReadIsReported(t *testing.T) {
	l := newLibrary(t)
	a, _ := fetch(t, l, publish(t, FlavourDebian, "6.1.0", 'a').source(t))
	for _, text := range []string{"{", `{"schema":2}`, strings.Repeat(" ", maxState+1)} {
		if err := os.WriteFile(l.Home.path(stateName), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := l.MarkBooted(t.Context(), a.ID); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("state %.20q: %v", text, err)
		}
	}
}

func TestCancelEndsTheWaitForAnotherFetch(t *testing.T) {
	l := newLibrary(t)
	lock, err := l.Home.lock(t.Context(), fetchLock, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	ctx, cancel := context.WithCancel(t.Context())
	f := Fetch{Progress: func(Event) { cancel() }} // the first thing it says is that it waits
	if _, _, err := f.From(ctx, l, publish(t, FlavourDebian, "6.1.0", 'a').source(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
