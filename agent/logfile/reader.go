package logfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// ReadOptions say what of a log is read.
type ReadOptions struct {
	Lines  int  // the last so many; negative for all that is kept
	Follow bool // wait for more at the end, also for a log that is not there yet
}

// A Reader reads a log across its files. One goroutine may use it; the context that it
// was made with ends a Read that waits.
type Reader struct {
	path   string
	ctx    context.Context
	notify *fsnotify.Watcher // nil when it does not follow

	f      *os.File // what is read now; nil before the first
	number int      // the one it has, or will have when it is rotated
	live   bool     // it was at path when it was opened
	before *os.File // the one before, to which another process may add a last line
	missed int
}

// NewReader begins to read the log at path. Errors: the log or, with Follow, its
// directory cannot be read. ctx ends Reads that wait.
func NewReader(ctx context.Context, path string, opt ReadOptions) (*Reader, error) {
	r := &Reader{path: filepath.Clean(path), ctx: ctx}
	if err := r.begin(opt); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Reader) begin(opt ReadOptions) error {
	if opt.Follow {
		var err error
		if r.notify, err = fsnotify.NewWatcher(); err != nil {
			return fmt.Errorf("cannot follow a log: %w", err)
		}
		if err := r.watch(); err != nil {
			return err
		}
	}
	if opt.Lines < 0 {
		all := numbers(r.path)
		if len(all) > 0 {
			r.number = all[0] - 1
		}
		return r.first(opt)
	}
	return r.tail(opt)
}

// first opens the file after r.number.
func (r *Reader) first(opt ReadOptions) error {
	_, err := r.advance()
	if errors.Is(err, fs.ErrNotExist) && opt.Follow {
		return nil
	}
	return err
}

// tail goes to where the last lines begin, from the newest file back.
func (r *Reader) tail(opt ReadOptions) error {
	all := numbers(r.path)
	r.number = last(all)
	if err := r.first(opt); err != nil || r.f == nil {
		return err
	}
	for want := opt.Lines; ; {
		off, found, err := lastLines(r.f, want)
		if err != nil {
			return fmt.Errorf("cannot read the log %s: %w", r.path, err)
		}
		if _, err := r.f.Seek(off, io.SeekStart); err != nil {
			return fmt.Errorf("cannot read the log %s: %w", r.path, err)
		}
		if want -= found; want <= 0 {
			return nil
		}
		// An older file has the rest. Newer ones are read after it as always.
		i := slices.Index(all, r.number-1)
		if i < 0 {
			return nil
		}
		older, err := os.Open(numbered(r.path, all[i]))
		if err != nil {
			return nil // removed meanwhile
		}
		r.f.Close()
		r.f, r.number, r.live = older, all[i], false
	}
}

// lastLines finds where the last want lines of f begin, and how many there are. A last
// line without an end is one.
func lastLines(f *os.File, want int) (off int64, found int, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	const chunk = 64 << 10
	size := info.Size()
	if want == 0 || size == 0 {
		return size, 0, nil
	}
	buf := make([]byte, chunk)
	end := size - 1 // the end of the last line begins none
	for end > 0 {
		begin := max(end-chunk, 0)
		part := buf[:end-begin]
		if _, err := f.ReadAt(part, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		for i := bytes.LastIndexByte(part, '\n'); i >= 0; i = bytes.LastIndexByte(part[:i], '\n') {
			if found++; found == want {
				return begin + int64(i) + 1, found, nil
			}
		}
		end = begin
	}
	return 0, found + 1, nil
}

// Read reads what there is; at the end it waits for more, or says io.EOF when it does
// not follow. After the end of its context it says so.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		if err := context.Cause(r.ctx); err != nil {
			return 0, fmt.Errorf("cannot read the log %s: %w", r.path, err)
		}
		n, err := r.some(p)
		if n > 0 || err != nil {
			return n, err
		}
		moved, err := r.advance()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		if moved {
			continue
		}
		if r.notify == nil {
			return 0, io.EOF
		}
		if err := r.wait(); err != nil {
			return 0, err
		}
	}
}

// some reads from the files that are open, the older one first.
func (r *Reader) some(p []byte) (int, error) {
	for _, f := range []*os.File{r.before, r.f} {
		if f == nil {
			continue
		}
		n, err := f.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("cannot read a log: %w", err)
		}
	}
	return 0, nil
}

// advance opens the file that comes after the one that was read to its end, if there is
// one.
func (r *Reader) advance() (bool, error) {
	if r.live && isAt(r.f, r.path) {
		return false, nil
	}
	for {
		next, number, err := r.next()
		if errors.Is(err, errAgain) {
			continue
		}
		if err != nil {
			return false, err
		}
		// What the file before got between its end and its rotation comes first.
		if r.before != nil {
			r.before.Close()
		}
		if r.f != nil && number > r.number+1 {
			r.missed += number - r.number - 1
		}
		r.before, r.f, r.number = r.f, next, number
		return true, nil
	}
}

// errAgain: the log was rotated while we looked.
var errAgain = errors.New("look again")

// next opens the file after number r.number: a numbered one, or the one at path, of
// which it makes sure that its number will be the next one.
func (r *Reader) next() (*os.File, int, error) {
	all := numbers(r.path)
	for _, n := range all {
		if n <= r.number {
			continue
		}
		f, err := os.Open(numbered(r.path, n))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, 0, errAgain // removed meanwhile
		}
		r.live = false
		return f, n, err
	}
	f, err := os.Open(r.path)
	if err != nil {
		return nil, 0, fmt.Errorf("cannot read the log: %w", err)
	}
	if last(numbers(r.path)) != last(all) || !isAt(f, r.path) {
		f.Close()
		return nil, 0, errAgain
	}
	r.live = true
	return f, max(r.number, last(all)) + 1, nil
}

// wait returns when something may have happened to the log.
func (r *Reader) wait() error {
	dir := filepath.Dir(r.path)
	for {
		select {
		case <-r.ctx.Done():
			return fmt.Errorf("cannot read the log %s: %w", r.path, context.Cause(r.ctx))
		case <-r.notify.Errors: // events were lost: look
			return nil
		case e := <-r.notify.Events:
			if strings.HasPrefix(e.Name, r.path) {
				return nil
			}
			if e.Name == dir { // it is gone, and with it what watched it
				return r.watch()
			}
		}
	}
}

// watch makes changes in the log's directory known.
func (r *Reader) watch() error {
	dir := filepath.Dir(r.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot follow a log: %w", err)
	}
	if err := r.notify.Add(dir); err != nil {
		return fmt.Errorf("cannot follow the log %s: %w", r.path, err)
	}
	return nil
}

// Missed is how many whole files were removed before they were read.
func (r *Reader) Missed() int { return r.missed }

// Close frees what the Reader has.
func (r *Reader) Close() error {
	var errs []error
	for _, f := range []*os.File{r.before, r.f} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if r.notify != nil {
		errs = append(errs, r.notify.Close())
	}
	return errors.Join(errs...)
}
