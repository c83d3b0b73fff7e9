package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// tailBlock is how much of a file is looked at at a time to find its last lines.
const tailBlock = 32 << 10

// tailStart is where the last n lines of a file of size bytes begin: n of 0 means at its start, -1 at its end.
func tailStart(f io.ReaderAt, size int64, n int) (int64, error) {
	switch {
	case n == 0:
		return 0, nil
	case n < 0:
		return size, nil
	}
	buf := make([]byte, tailBlock)
	for end := size; end > 0; {
		begin := max(0, end-tailBlock)
		part := buf[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		for i := len(part) - 1; i >= 0; i-- {
			if part[i] != '\n' || begin+int64(i) == size-1 {
				continue
			}
			if n--; n == 0 {
				return begin + int64(i) + 1, nil
			}
		}
		end = begin
	}
	return 0, nil
}

// copyLog writes the last lines of the log at path to w and, when it shall follow, what is added, also by a file that
// takes its place, until ctx ends or over is closed. A log that does not exist yet is empty.
func copyLog(ctx context.Context, w io.Writer, path string, tail int, follow bool, over <-chan struct{}) error {
	l := &logFile{path: path}
	defer l.close()
	if !follow {
		return l.begin(w, tail)
	}
	watch, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot follow %s: %w", path, err)
	}
	defer watch.Close()
	if err := watch.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot follow %s: %w", path, err)
	}
	if err := l.begin(w, tail); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-watch.Events:
			if !ok {
				return nil
			}
			if e.Name != path {
				continue
			}
			if err := l.more(w); err != nil {
				return err
			}
		case err := <-watch.Errors:
			if err != nil && !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("cannot follow %s: %w", path, err)
			}
			if err := l.more(w); err != nil {
				return err
			}
		case <-over:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// A logFile is the file at path that is being read, nil before there is one.
type logFile struct {
	path string
	f    *os.File
}

func (l *logFile) close() {
	if l.f != nil {
		l.f.Close()
		l.f = nil
	}
}

// open opens what is at path now, if anything is.
func (l *logFile) open() error {
	f, err := os.Open(l.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the log: %w", err)
	}
	l.close()
	l.f = f
	return nil
}

// begin copies the last lines.
func (l *logFile) begin(w io.Writer, tail int) error {
	if err := l.open(); err != nil || l.f == nil {
		return err
	}
	info, err := l.f.Stat()
	if err != nil {
		return err
	}
	at, err := tailStart(l.f, info.Size(), tail)
	if err == nil {
		_, err = l.f.Seek(at, io.SeekStart)
	}
	if err != nil {
		return err
	}
	return l.drain(w)
}

func (l *logFile) drain(w io.Writer) error {
	if l.f == nil {
		return nil
	}
	_, err := io.Copy(w, l.f)
	return err
}

// more copies what was added, and goes on with the file that has taken this one's place.
func (l *logFile) more(w io.Writer) error {
	if err := l.drain(w); err != nil {
		return err
	}
	there, err := os.Stat(l.path)
	if err != nil { // between two files
		return nil
	}
	if l.f != nil {
		if have, err := l.f.Stat(); err == nil && os.SameFile(have, there) {
			return l.rewind(w, have.Size())
		}
		// What was written to the old one before it was renamed has been read above.
	}
	if err := l.open(); err != nil {
		return err
	}
	return l.drain(w)
}

// rewind begins anew with a file that was cut.
func (l *logFile) rewind(w io.Writer, size int64) error {
	at, err := l.f.Seek(0, io.SeekCurrent)
	if err != nil || at <= size {
		return err
	}
	if _, err := l.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return l.drain(w)
}
