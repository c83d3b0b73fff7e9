package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settleTime = 100 * time.Millisecond // an editor's rename, truncate and write are one change
	settleMost = time.Second            // but somebody who writes without end is heard
)

// A Watcher reads the sources again when their files change. Close must be called.
type Watcher struct {
	now     atomic.Pointer[Config]
	sources Sources
	tell    func(*Config, error)
	notify  *fsnotify.Watcher
	cancel  context.CancelFunc
	done    chan struct{}
	asked   chan chan struct{} // by Look; what is received is to be closed

	// The loop's:
	failed string   // what was told last
	paths  []string // of the files, and of what links to them lead to
}

// Watch loads the sources and watches their files until Close. tell is called from one
// goroutine when what they say has changed: with what counts from now on, and with the
// mistakes if there are any. With mistakes in a file, what counts is what was good last.
// The error is of the first Load, with which Current can be used all the same, unless
// there is no Watcher.
func Watch(s Sources, tell func(*Config, error)) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("cannot watch the settings: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{sources: s, tell: tell, notify: notify, cancel: cancel, done: make(chan struct{}), asked: make(chan chan struct{})}
	w.aim() // before the first look, so that nothing falls between
	c, err := s.Load()
	w.now.Store(c)
	if err != nil {
		w.failed = err.Error()
	}
	go func() {
		defer close(w.done)
		settled(ctx, notify.Events, notify.Errors, w.asked, w.concerns, w.reload)
	}()
	return w, err
}

// Current is what counts.
func (w *Watcher) Current() *Config { return w.now.Load() }

// Look reads the sources now, and returns when Current is what they say. It is for who has changed them as a whole: what is
// being written may be half there. After Close it does nothing. tell must not call it.
func (w *Watcher) Look() {
	looked := make(chan struct{})
	select {
	case w.asked <- looked:
		<-looked
	case <-w.done:
	}
}

// Close stops watching and waits until nothing is told any more. tell must not call it.
func (w *Watcher) Close() error {
	w.cancel()
	<-w.done
	return w.notify.Close()
}

// concerns says whether something happened to one of our files, or on the way to it.
func (w *Watcher) concerns(name string) bool {
	return slices.ContainsFunc(w.paths, func(path string) bool {
		return path == name || strings.HasPrefix(path, name+"/")
	})
}

// settled calls look when events that concern us have come and then stopped, and when it is asked to. Whatever the event is,
// looking tells what it meant; a lost one (an overflow is an error) too.
func settled(ctx context.Context, events <-chan fsnotify.Event, errs <-chan error, asked <-chan chan struct{}, concerns func(string) bool, look func()) {
	var quiet, latest <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if !concerns(e.Name) {
				continue
			}
		case <-errs:
		case looked := <-asked:
			look()
			close(looked)
			continue
		case <-quiet:
			quiet, latest = nil, nil
			look()
			continue
		case <-latest:
			quiet, latest = nil, nil
			look()
			continue
		}
		if latest == nil {
			latest = time.After(settleMost)
		}
		quiet = time.After(settleTime)
	}
}

func (w *Watcher) reload() {
	w.aim()
	c, err := w.sources.Load()
	failed := ""
	if err != nil {
		failed = err.Error()
		c = w.Current()
	}
	before := w.now.Swap(c)
	if failed == w.failed && len(Changes(before, c)) == 0 && slices.EqualFunc(before.Warnings, c.Warnings, sameMistake) {
		return
	}
	w.failed = failed
	w.tell(c, err)
}

func sameMistake(a, b *Mistake) bool { return *a == *b }

// aim watches the directories that the files are in: a file that an editor renames
// another over is not the file that was watched. Of a link both ends are watched; of
// what does not exist, the nearest directory that does.
func (w *Watcher) aim() {
	w.paths = nil
	for _, path := range []string{w.sources.System, w.sources.User} {
		if path == "" {
			continue
		}
		w.paths = append(w.paths, path)
		if end, err := target(path); err == nil && end != path {
			w.paths = append(w.paths, end)
		}
	}
	var dirs []string
	for _, path := range w.paths {
		dirs = append(dirs, nearestDir(filepath.Dir(path)))
	}
	// What cannot be watched is looked at with the next event; nothing else can be done.
	for _, d := range dirs {
		_ = w.notify.Add(d)
	}
	for _, d := range w.notify.WatchList() {
		if !slices.Contains(dirs, d) {
			_ = w.notify.Remove(d)
		}
	}
}

func nearestDir(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			return dir
		}
		dir = up
	}
}
