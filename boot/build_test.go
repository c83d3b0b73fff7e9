package boot

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// A fakeBuilder makes a kernel and what else it is told.
type fakeBuilder struct {
	key    string
	mark   byte
	extra  string // a file that is left but not named
	err    error
	noFile bool // says that it made a file that is not there
	builds atomic.Int32
}

func (b *fakeBuilder) Flavour() string      { return FlavourDebian }
func (b *fakeBuilder) Key() (string, error) { return b.key, nil }

func (b *fakeBuilder) Build(_ context.Context, dst string, say func(string)) (Built, error) {
	b.builds.Add(1)
	say("building")
	built := Built{KernelVersion: "6.1.0", Cmdline: "console=hvc0", Files: []string{KernelName}, Packages: map[string]string{"x.deb": "00"}}
	if b.noFile {
		built.Files = append(built.Files, InitrdName)
	}
	if b.extra != "" {
		if err := os.MkdirAll(filepath.Join(dst, b.extra, "deep"), 0o755); err != nil {
			return Built{}, err
		}
	}
	if err := os.WriteFile(filepath.Join(dst, KernelName), kernel(b.mark), 0o644); err != nil {
		return Built{}, err
	}
	return built, b.err
}

func build(t *testing.T, l *Library, f Fetch, b *fakeBuilder) (*Asset, bool) {
	t.Helper()
	a, fresh, err := f.Build(t.Context(), l, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return a, fresh
}

func TestBuildOnlyWhatIsMissing(t *testing.T) {
	l := newLibrary(t)
	b := &fakeBuilder{key: "one", mark: 'a', extra: "work"}
	first, fresh := build(t, l, Fetch{}, b)
	if !fresh || first.Dir != l.Shared.path(assetsDir, first.ID) {
		t.Errorf("fresh %t, in %s; want it where the whole machine finds it", fresh, first.Dir)
	}
	if exists(filepath.Join(first.Dir, "work")) {
		t.Error("what the builder left is in the asset")
	}
	if first.Manifest.Key != "one" || first.Manifest.Packages["x.deb"] == "" {
		t.Errorf("manifest %+v does not say what it was made of", first.Manifest)
	}
	if _, fresh := build(t, l, Fetch{}, b); fresh || b.builds.Load() != 1 {
		t.Errorf("built %d times (%t)", b.builds.Load(), fresh)
	}
	if again, _ := build(t, l, Fetch{Rebuild: true}, b); again.ID != first.ID || b.builds.Load() != 2 {
		t.Errorf("rebuilt as %s in %d builds", again.ID, b.builds.Load())
	}
	other, fresh := build(t, l, Fetch{}, &fakeBuilder{key: "two", mark: 'a'})
	if !fresh || other.ID == first.ID {
		t.Errorf("other inputs gave %s (%t)", other.ID, fresh)
	}
	if ids := list(t, l); len(ids) != 2 {
		t.Errorf("assets %v, want two", ids)
	}
}

func TestDamagedBuildIsReplaced(t *testing.T) {
	l := newLibrary(t)
	old, _ := build(t, l, Fetch{}, &fakeBuilder{key: "one", mark: 'a'})
	if err := os.WriteFile(old.Path(KernelName), make([]byte, 96<<10), 0o644); err != nil { // same size
		t.Fatal(err)
	}
	lost, _ := build(t, l, Fetch{}, &fakeBuilder{key: "two", mark: 'a'})
	if err := os.Truncate(filepath.Join(lost.Dir, ManifestName), 0); err != nil {
		t.Fatal(err)
	}
	var notes []string
	f := Fetch{Progress: func(e Event) {
		if e.Phase == PhaseNote {
			notes = append(notes, e.Message)
		}
	}}
	a, fresh := build(t, l, f, &fakeBuilder{key: "one", mark: 'b'})
	if ids := list(t, l); !fresh || len(ids) != 1 || ids[0] != a.ID {
		t.Errorf("assets %v, want %s alone", ids, a.ID)
	}
	said := strings.Join(notes, "\n")
	for _, want := range []string{old.ID + " is damaged and will be repaired", old.ID + " was damaged and is removed", lost.ID + " was damaged"} {
		if !strings.Contains(said, want) {
			t.Errorf("it never said %q, only %q", want, said)
		}
	}
}

func TestBuildThatFailsLeavesNothing(t *testing.T) {
	broken := errors.New("the compiler is on fire")
	tests := []struct {
		name string
		b    *fakeBuilder
		want error
	}{
		{"the builder says so", &fakeBuilder{key: "one", err: broken}, broken},
		{"a file it names is not there", &fakeBuilder{key: "one", noFile: true}, os.ErrNotExist},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLibrary(t)
			var f Fetch
			if _, _, err := f.Build(t.Context(), l, tt.b); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if ids, left := list(t, l), leftovers(t, l.Shared); ids != nil || left != nil {
				t.Errorf("assets %v, left behind %v", ids, left)
			}
		})
	}
}

// TestBuildersAtOnceBuildOnce has several builders of the same inputs begin
// together: one builds, the others wait and find it.
func TestBuildersAtOnceBuildOnce(t *testing.T) {
	l, b := newLibrary(t), &fakeBuilder{key: "one", mark: 'a'}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			var f Fetch
			if _, _, err := f.Build(t.Context(), l, b); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.builds.Load(); n != 1 {
		t.Errorf("built %d times", n)
	}
	if ids := list(t, l); len(ids) != 1 {
		t.Errorf("assets %v", ids)
	}
}

func TestUnwritableSharedStoreIsLeftAlone(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may write everywhere")
	}
	l := newLibrary(t)
	if err := os.MkdirAll(l.Shared.dir, 0o555); err != nil {
		t.Fatal(err)
	}
	a, _ := build(t, l, Fetch{}, &fakeBuilder{key: "one", mark: 'a'})
	if a.Dir != l.Home.path(assetsDir, a.ID) {
		t.Errorf("built in %s", a.Dir)
	}
}
