//go:build linux

package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// logSize is how much of an output is kept, in bytes.
const logSize = 256 << 10

// A Log is text of which the end is kept. Any goroutine may use it; writing never waits.
type Log struct {
	out io.Writer // gets it too; nil for nobody

	mu      sync.Mutex // guards what follows
	kept    []byte     // the last bytes
	total   uint64     // all that were ever written
	changed chan struct{}
}

// NewLog makes a Log that is copied to out, whose writes must not wait and may fail.
func NewLog(out io.Writer) *Log { return &Log{out: out, changed: make(chan struct{})} }

// A logFile is the end of an output where the next agent finds it: path, and path.old with what came before, of about logSize each.
// The guest's memory is where both are, as /run is.
type logFile struct {
	path string
	f    *os.File // nil before the first write, and after one that failed
	size int
}

// openLog is a Log that begins with what was written to the one before it at that path.
func openLog(path string) *Log {
	l := NewLog(&logFile{path: path})
	for _, p := range []string{path + ".old", path} {
		text, _ := os.ReadFile(p) // which is not there, for most
		l.kept = append(l.kept, text...)
	}
	l.total = uint64(len(l.kept))
	return l
}

// Write is called with the Log's mu held. A file that cannot be written costs the next agent its past and nobody else anything.
func (f *logFile) Write(p []byte) (n int, err error) {
	if f.size > logSize {
		f.close()
		if err := os.Rename(f.path, f.path+".old"); err != nil {
			return 0, err
		}
	}
	if f.f == nil {
		if f.f, err = os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o600); err != nil {
			return 0, err
		}
		if info, err := f.f.Stat(); err == nil {
			f.size = int(info.Size())
		}
	}
	if n, err = f.f.Write(p); err != nil {
		f.close()
	}
	f.size += n
	return n, err
}

func (f *logFile) close() {
	if f.f != nil {
		f.f.Close()
		f.f, f.size = nil, 0
	}
}

// Close ends what the Log is copied to.
func (l *Log) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f, ok := l.out.(*logFile); ok {
		f.close()
	}
}

// Printf writes a line with the time since the kernel's start.
func (l *Log) Printf(format string, args ...any) {
	fmt.Fprintf(l, "[%11.6f] %s\n", clock.Uptime().Seconds(), fmt.Sprintf(format, args...))
}

// Write is the io.Writer's.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out != nil {
		l.out.Write(p)
	}
	l.total += uint64(len(p))
	if l.kept = append(l.kept, p...); len(l.kept) > 2*logSize {
		l.kept = append([]byte(nil), l.kept[len(l.kept)-logSize:]...)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return len(p), nil
}

// from is what is kept from a position on, where that ends, and what closes when there is more.
func (l *Log) from(at uint64) ([]byte, uint64, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept[max(0, len(l.kept)-logSize):]
	n := min(l.total-min(at, l.total), uint64(len(kept)))
	return append([]byte(nil), kept[len(kept)-int(n):]...), l.total, l.changed
}

// tail is the last lines, for an error's reader.
func (l *Log) tail() string {
	text, _, _ := l.from(0)
	const most = 2 << 10
	return string(text[max(0, len(text)-most):])
}

// copyTo writes what is kept to w, and with follow what comes until ctx ends. A reader that is too slow
// misses what is no longer kept.
func (l *Log) copyTo(ctx context.Context, w io.Writer, follow bool) {
	for at := uint64(0); ; {
		text, end, more := l.from(at)
		at = end
		if _, err := w.Write(text); err != nil || !follow {
			return // an error is the reader's leaving
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// logs serves guestapi.Logs.
func (a *Agent) logs(ctx context.Context, req *guestapi.LogsReq) (*guestapi.LogsResp, error) {
	log := a.Log
	if req.Name != "" {
		s, err := a.services.find(req.Name)
		if err != nil {
			return nil, err
		}
		log = s.out
	}
	data, err := req.Accept(req.Data)
	if err != nil {
		return nil, err
	}
	defer data.Close()
	ctx, stop := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer data.Close()
	defer stop()
	defer context.AfterFunc(a.ctx, stop)()
	defer context.AfterFunc(ctx, func() { data.Close() })() // a write must not wait for a reader then
	reading.Go(func() {
		if _, err := io.Copy(io.Discard, data); err != nil { // the caller has closed the stream, or we have
			stop()
		}
	})
	log.copyTo(ctx, data, req.Follow)
	data.CloseWrite()
	return &guestapi.LogsResp{}, nil
}
