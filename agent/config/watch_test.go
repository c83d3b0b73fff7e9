package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
)

// A told is one call of a Watcher's function.
type told struct {
	config *Config
	err    error
}

func watch(t *testing.T, s Sources) (*Watcher, chan told) {
	t.Helper()
	ch := make(chan told, 16)
	w, err := Watch(s, func(c *Config, err error) { ch <- told{c, err} })
	if w == nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w, ch
}

// next waits for the next thing that is told; the tests' own deadline ends it.
func next(t *testing.T, ch chan told) told {
	t.Helper()
	select {
	case x := <-ch:
		return x
	case <-t.Context().Done():
		t.Fatal("nothing was told")
		return told{}
	}
}

// Editors replace files in many ways. Each is a change, and the next one is seen too.
func TestEveryWayToChangeAFileIsSeen(t *testing.T) {
	s := from(t, "", "[machine]\ncpus = 1\n")
	w, ch := watch(t, s)
	dir := filepath.Dir(s.User)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	text := func(n string) []byte { return []byte("[machine]\ncpus = " + n + "\n") }
	for _, step := range []struct {
		name, cpus string
		do         func(n string)
	}{
		{"written in place", "2", func(n string) { must(os.WriteFile(s.User, text(n), 0o600)) }},
		{"renamed over, as vim does", "3", func(n string) {
			must(os.Rename(s.User, s.User+"~"))
			must(os.WriteFile(s.User, text(n), 0o600))
			must(os.Remove(s.User + "~"))
		}},
		{"a temporary file renamed over it", "4", func(n string) {
			must(os.WriteFile(filepath.Join(dir, ".tmp"), text(n), 0o600))
			must(os.Rename(filepath.Join(dir, ".tmp"), s.User))
		}},
		{"by us", "5", func(n string) { _, err := s.Set("machine.cpus", n); must(err) }},
		{"removed", "10", func(string) { must(os.Remove(s.User)) }},
		{"there again", "6", func(n string) { must(os.WriteFile(s.User, text(n), 0o600)) }},
		{"a link now", "7", func(n string) {
			must(os.Mkdir(filepath.Join(dir, "dotfiles"), 0o700))
			must(os.WriteFile(filepath.Join(dir, "dotfiles", "a.toml"), text(n), 0o600))
			must(os.Remove(s.User))
			must(os.Symlink("dotfiles/a.toml", s.User))
		}},
		{"where the link points", "8", func(n string) { must(os.WriteFile(filepath.Join(dir, "dotfiles", "a.toml"), text(n), 0o600)) }},
		{"its directory moved away", "10", func(string) { must(os.Rename(filepath.Join(dir, "dotfiles"), filepath.Join(dir, "away"))) }},
		{"and back", "8", func(string) { must(os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "dotfiles"))) }},
		{"the system's file", "8", func(n string) { must(os.WriteFile(s.System, []byte("[log]\nlevel = \"warn\"\n"), 0o600)) }},
	} {
		step.do(step.cpus)
		for { // a step of several steps may be told of in several
			got := next(t, ch)
			v, err := got.config.Get("machine.cpus")
			if err != nil || got.err != nil {
				t.Fatalf("%s: %v, %v", step.name, err, got.err)
			}
			if v.Text == step.cpus {
				break
			}
			t.Logf("%s: %s meanwhile", step.name, v.Text)
		}
	}
	if w.Current().Log.Level != "warn" {
		t.Errorf("%+v", w.Current().Log)
	}
}

// Who has changed a file need not wait until it is noticed.
func TestLookIsAtOnce(t *testing.T) {
	s := from(t, "", "[machine]\ncpus = 2\n")
	w, err := Watch(s, func(*Config, error) {})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		write(t, s.User, fmt.Sprintf("[machine]\ncpus = %d\n", 1+n%3))
		if w.Look(); w.Current().Machine.CPUs != 1+n%3 {
			t.Fatalf("after a look there are %d CPUs, not %d", w.Current().Machine.CPUs, 1+n%3)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w.Look()
}

func TestABrokenFileKeepsTheLastGoodOne(t *testing.T) {
	s := from(t, "", "[machine]\ncpus = 2\n")
	w, ch := watch(t, s)
	write(t, s.User, "[machine]\ncpus = 3\nmemory = \"lots\"\n")
	got := next(t, ch)
	if got.err == nil || !strings.Contains(got.err.Error(), "config.toml:3: ") || got.config.Machine.CPUs != 2 || w.Current() != got.config {
		t.Errorf("%+v, %v", got.config.Machine, got.err)
	}
	write(t, s.User, "[machine]\ncpus = 3\n")
	if got := next(t, ch); got.err != nil || got.config.Machine.CPUs != 3 {
		t.Errorf("mended: %+v, %v", got.config.Machine, got.err)
	}
	// The same mistake and its end are told, though no setting changes.
	write(t, s.User, "[machine\ncpus = 3\n")
	if got := next(t, ch); got.err == nil {
		t.Error("a broken file is not told")
	}
	write(t, s.User, "[machine]\ncpus = 3\n# mended\n")
	if got := next(t, ch); got.err != nil || got.config.Machine.CPUs != 3 {
		t.Errorf("mended again: %+v, %v", got.config.Machine, got.err)
	}
}

func TestWatchBeginsWithABrokenFile(t *testing.T) {
	s := from(t, "", "[machine]\ncpus = 200\n")
	w, err := Watch(s, func(*Config, error) {})
	if err == nil || w == nil || w.Current().Machine.CPUs != 10 {
		t.Fatalf("%v, %v", w, err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestADirectoryThatIsMadeLaterIsWatched(t *testing.T) {
	dir := t.TempDir()
	s := Sources{User: filepath.Join(dir, "a", "b", "config.toml"), Host: host}
	_, ch := watch(t, s)
	if err := os.MkdirAll(filepath.Dir(s.User), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, s.User, "[machine]\ncpus = 7\n")
	if got := next(t, ch); got.config.Machine.CPUs != 7 {
		t.Errorf("%+v", got.config.Machine)
	}
}

func TestOnlyWhatConcernsUsIsLookedAt(t *testing.T) {
	w := &Watcher{paths: []string{"/h/.arcbox/config.toml", "/h/dotfiles/a.toml"}}
	for name, want := range map[string]bool{
		"/h/.arcbox/config.toml": true, "/h/.arcbox": true, "/h": true, "/h/dotfiles/a.toml": true,
		"/h/.arcbox/config.toml~": false, "/h/.arc": false, "/h/.arcbox/run": false,
	} {
		if got := w.concerns(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Many events are one look, when they have stopped; but events without end are
// looked at all the same.
func TestEventsSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		events, errs, looks := make(chan fsnotify.Event), make(chan error), make(chan time.Time, 100)
		var loop = make(chan struct{})
		go func() {
			defer close(loop)
			settled(ctx, events, errs, nil, func(name string) bool { return name != "other" }, func() { looks <- time.Now() })
		}()
		begin := time.Now()
		after := func(want ...time.Duration) {
			t.Helper()
			synctest.Wait()
			for _, d := range want {
				select {
				case at := <-looks:
					if at.Sub(begin) != d {
						t.Errorf("looked after %s, want %s", at.Sub(begin), d)
					}
				default:
					t.Errorf("did not look after %s", d)
				}
			}
			if len(looks) > 0 {
				t.Errorf("looked %d times more", len(looks))
			}
		}
		for range 3 {
			events <- fsnotify.Event{}
			time.Sleep(settleTime / 2)
		}
		time.Sleep(settleTime)
		after(2 * settleTime)

		begin = time.Now()
		for range 30 {
			events <- fsnotify.Event{}
			time.Sleep(settleTime / 2)
		}
		time.Sleep(settleTime)
		after(settleMost, settleMost+550*time.Millisecond)

		begin = time.Now()
		events <- fsnotify.Event{Name: "other"}
		time.Sleep(time.Hour)
		after()
		begin = time.Now()
		errs <- fsnotify.ErrEventOverflow
		time.Sleep(time.Hour)
		after(settleTime)
		cancel()
		<-loop
	})
}
