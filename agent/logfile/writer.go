package logfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// Options bound a log.
type Options struct {
	MaxSize int64 // bytes of one file; 0 means 10 MiB
	Files   int   // full files that are kept; 0 means 5
}

func (o *Options) fill() {
	if o.MaxSize <= 0 {
		o.MaxSize = 10 << 20
	}
	if o.Files <= 0 {
		o.Files = 5
	}
}

// A Writer appends to a log. Any goroutine may use it.
type Writer struct {
	path string
	opt  Options

	mu     sync.Mutex // guards what follows, and the order of writes
	f      *os.File   // nil after Close, or when it could not be opened again
	closed bool
	number int // the highest that this Writer has given or seen
}

// Open opens or makes the log at path, and its directory, for this user alone.
func Open(path string, opt Options) (*Writer, error) {
	opt.fill()
	w := &Writer{path: path, opt: opt}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.open(); err != nil {
		return nil, err
	}
	if err := w.endLine(); err != nil {
		w.f.Close()
		return nil, err
	}
	w.prune()
	return w, nil
}

// open opens the file that is at path now.
func (w *Writer) open() error {
	if w.f != nil {
		w.f.Close()
		w.f = nil
	}
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return fmt.Errorf("cannot make the directory of a log: %w", err)
	}
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open a log: %w", err)
	}
	w.f = f
	return nil
}

// endLine ends a line that a killed process has left torn.
func (w *Writer) endLine() error {
	size, err := w.size()
	if err != nil || size == 0 {
		return err
	}
	var end [1]byte
	if _, err := w.f.ReadAt(end[:], size-1); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read the log %s: %w", w.path, err)
	}
	if end[0] != '\n' {
		if _, err := w.f.Write([]byte("\n")); err != nil {
			return fmt.Errorf("cannot write the log: %w", err)
		}
	}
	return nil
}

func (w *Writer) size() (int64, error) {
	info, err := w.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("cannot use the log %s: %w", w.path, err)
	}
	return info.Size(), nil
}

// Write appends p, to another file if this one is full. Errors: the host's, such as no
// space; ErrClosed.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, fmt.Errorf("cannot write the log %s: %w", w.path, os.ErrClosed)
	}
	// Another process may have rotated it, or a person removed it.
	if w.f == nil || !isAt(w.f, w.path) {
		if err := w.open(); err != nil {
			return 0, err
		}
	}
	size, err := w.size()
	if err != nil {
		return 0, err
	}
	if size > 0 && size+int64(len(p)) > w.opt.MaxSize {
		if err := w.rotate(); err != nil && (w.f == nil || size+int64(len(p)) > 2*w.opt.MaxSize) {
			return 0, err
		}
	}
	return w.f.Write(p)
}

// rotate gives the full file its number and begins another. Whoever rotates holds the
// lock of the file that is at path, so two processes never do it at once.
func (w *Writer) rotate() error {
	if err := syscall.Flock(int(w.f.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("cannot lock the log %s: %w", w.path, err)
	}
	if isAt(w.f, w.path) { // else another process was first
		w.number = max(w.number, last(numbers(w.path))) + 1
		if err := os.Rename(w.path, numbered(w.path, w.number)); err != nil {
			err = fmt.Errorf("cannot begin another log: %w", err)
			return errors.Join(err, syscall.Flock(int(w.f.Fd()), syscall.LOCK_UN))
		}
	}
	if err := w.open(); err != nil { // closing the former one releases its lock
		return err
	}
	w.prune()
	return nil
}

// prune removes what is more than is to be kept. What cannot be removed is tried again
// at the next rotation.
func (w *Writer) prune() {
	all := numbers(w.path)
	for _, n := range all[:max(len(all)-w.opt.Files, 0)] {
		_ = os.Remove(numbered(w.path, n))
	}
	w.number = max(w.number, last(all))
}

// Close ends writing; a second one is refused.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("cannot close the log %s: %w", w.path, os.ErrClosed)
	}
	w.closed = true
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}
