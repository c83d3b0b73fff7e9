package board

import (
	"io"
	"regexp"
	"strings"
	"sync"
)

// Sizes of what a Watch keeps.
const (
	watchLines    = 64  // last lines, over all consoles
	watchLineSize = 512 // bytes of a line; the rest of a longer one is dropped
)

// A Watch sees what the guest writes to its consoles: it keeps the last lines
// and knows the words of a Linux kernel that gives up. Text is a hint and no
// proof, since any program in the guest can write it: the board believes it only
// together with what the guest does next.
type Watch struct {
	mu     sync.Mutex // guards what follows
	lines  []string   // ring of finished lines, names in front
	next   int        // where the next line goes once lines is full
	open   []*tap
	total  uint64 // bytes seen
	panicd string // first line that told of a panic, "" before
	ended  bool   // the line that ends a panic has been seen
	silent bool   // nothing but empty lines since then
	notify func() // called without mu when a panic line was seen, or text after it
}

// tell sets what is called when the board should look again.
func (w *Watch) tell(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify = f
}

// NewWatch makes one that has seen nothing.
func NewWatch() *Watch { return &Watch{} }

// Tap gives a writer that passes everything on to w, unchanged, and looks at
// it. name is the console's, as the guest calls it. w may be nil. The writer
// keeps the order of its calls and may be used by one goroutine at a time.
func (w *Watch) Tap(name string, to io.Writer) io.Writer {
	t := &tap{watch: w, name: name, to: to}
	w.mu.Lock()
	w.open = append(w.open, t)
	w.mu.Unlock()
	return t
}

// Lines are the last lines, oldest first, unfinished ones at the end.
func (w *Watch) Lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := append(append([]string{}, w.lines[w.next:]...), w.lines[:w.next]...)
	for _, t := range w.open {
		if len(t.line) > 0 {
			list = append(list, t.name+": "+string(t.line))
		}
	}
	return list
}

// A tap is one console's writer.
type tap struct {
	watch *Watch
	name  string
	to    io.Writer
	line  []byte // the unfinished line; guarded by watch.mu
}

func (t *tap) Write(p []byte) (int, error) {
	t.watch.see(t, p)
	if t.to == nil {
		return len(p), nil
	}
	return t.to.Write(p)
}

// see takes bytes of one console and tells the board when they matter.
func (w *Watch) see(t *tap, p []byte) {
	w.mu.Lock()
	w.total += uint64(len(p))
	tell := false
	for _, c := range p {
		switch {
		case c == '\n':
			tell = w.finish(t) || tell
		case c != '\r' && len(t.line) < watchLineSize:
			t.line = append(t.line, c)
		}
	}
	f := w.notify
	w.mu.Unlock()
	if tell && f != nil {
		f()
	}
}

// The kernel's words, after an optional time stamp: kernel/panic.c prints the
// first before it stops the other CPUs and the second when it will only spin.
const panicWords = "Kernel panic - not syncing"

var (
	panicLine = regexp.MustCompile(`^(?:<\d+>)?(?:\[[ \d.]+\](?:\[ *[TC]\d+\])? ?)?` + panicWords)
	panicEnd  = regexp.MustCompile(`^(?:<\d+>)?(?:\[[ \d.]+\](?:\[ *[TC]\d+\])? ?)?---\[ end ` + panicWords)
)

// finish ends the line of t and says whether the board wants to know.
func (w *Watch) finish(t *tap) (tell bool) {
	line := string(t.line)
	t.line = t.line[:0]
	w.keep(t.name + ": " + line)
	if w.panicd == "" && !strings.Contains(line, panicWords) { // as all lines but a few
		return false
	}
	switch {
	case panicEnd.MatchString(line):
		w.ended, w.silent = true, true
		tell = true
	case w.ended && line != "":
		w.silent = false
		tell = true
	}
	if w.panicd == "" && (panicLine.MatchString(line) || panicEnd.MatchString(line)) {
		w.panicd = line
		tell = true
	}
	return tell
}

func (w *Watch) keep(line string) {
	if len(w.lines) < watchLines {
		w.lines = append(w.lines, line)
		return
	}
	w.lines[w.next] = line
	w.next = (w.next + 1) % watchLines
}

// panicked is the line that told of a panic, and whether the kernel has had
// its last word since.
func (w *Watch) panicked() (line string, dead bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.panicd, w.ended && w.silent
}

// bytes is how many have been seen.
func (w *Watch) bytes() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}
