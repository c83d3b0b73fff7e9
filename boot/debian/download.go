package debian

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// How a download is tried again: this often, after a pause that doubles.
const (
	maxTries   = 5
	firstPause = time.Second
)

// stall is how long a server may send nothing.
const stall = 30 * time.Second

// A downloader fetches files over http with what is there of them kept. The
// bytes are believed by nobody: who asked for them checks their digest.
type downloader struct {
	client *http.Client
	pause  time.Duration // before the second try
}

// newDownloader makes a downloader that uses the proxy of the environment, or
// else the one in apt's configuration.
func newDownloader(aptConf string) *downloader {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = proxyFunc(aptConf)
	t.ResponseHeaderTimeout = stall
	return &downloader{&http.Client{Transport: t}, firstPause}
}

var aptProxy = regexp.MustCompile(`(?m)^Acquire::http::[Pp]roxy "([^"]+)";`)

func proxyFunc(aptConf string) func(*http.Request) (*url.URL, error) {
	m := aptProxy.FindStringSubmatch(aptConf)
	if m == nil || strings.EqualFold(m[1], "DIRECT") {
		return http.ProxyFromEnvironment
	}
	return func(r *http.Request) (*url.URL, error) {
		if u, err := http.ProxyFromEnvironment(r); u != nil || err != nil {
			return u, err
		}
		return url.Parse(m[1])
	}
}

// permanent is an error that another try does not mend.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// fetch appends to the file at path what it lacks of size bytes at address.
func (g *downloader) fetch(ctx context.Context, address, path string, size int64, say progress) error {
	pause := g.pause
	for tries := 1; ; tries++ {
		err := g.try(ctx, address, path, size, say)
		if err == nil || ctx.Err() != nil || tries == maxTries || errors.As(err, new(permanent)) {
			return err
		}
		say("%v; trying again in %v", err, pause)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// try is one request, for the rest of the file.
func (g *downloader) try(ctx context.Context, address, path string, size int64, say progress) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return permanent{fmt.Errorf("cannot download: %w", err)}
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return permanent{fmt.Errorf("cannot download: %w", err)}
	}
	if have >= size {
		return nil // whether these are the right bytes, its digest says
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := g.get(ctx, address, have)
	if err != nil {
		return fmt.Errorf("cannot download: %w", err)
	}
	defer resp.Body.Close()
	if err := g.place(f, resp, &have); err != nil {
		return err
	}
	watch := time.AfterFunc(stall, func() { cancel(errors.New("the server sends nothing")) })
	defer watch.Stop()
	m := &meter{f: f, done: have, size: size, name: address[strings.LastIndex(address, "/")+1:], say: say, watch: watch}
	if _, err := io.Copy(m, io.LimitReader(resp.Body, size-have+1)); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("cannot download %s: %w", address, err)
	}
	if m.done != size {
		return fmt.Errorf("cannot download %s: it ended at byte %d of %d", address, m.done, size)
	}
	return nil
}

func (g *downloader) get(ctx context.Context, address string, from int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, permanent{err}
	}
	if from > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	}
	return g.client.Do(req)
}

// place puts f where the response begins: behind what is there, or at the start
// when the server does not do ranges.
func (g *downloader) place(f *os.File, resp *http.Response, have *int64) error {
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", *have)) {
			return nil
		}
		return permanent{fmt.Errorf("cannot download: the server answers with bytes that were not asked for")}
	case http.StatusOK:
		*have = 0
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return permanent{err}
		}
		return f.Truncate(0)
	case http.StatusNotFound, http.StatusGone, http.StatusForbidden, http.StatusRequestedRangeNotSatisfiable:
		return permanent{fmt.Errorf("cannot download %s: %s", resp.Request.URL, resp.Status)}
	}
	return fmt.Errorf("cannot download %s: %s", resp.Request.URL, resp.Status)
}

// A meter writes to a file, says how far it is, and winds the watch on.
type meter struct {
	f          io.Writer
	done, size int64
	said       int64
	name       string
	say        progress
	watch      *time.Timer
}

// sayEvery is how many bytes pass between two words on a download.
const sayEvery = 16 << 20

func (m *meter) Write(b []byte) (int, error) {
	m.watch.Reset(stall)
	n, err := m.f.Write(b)
	m.done += int64(n)
	if m.done-m.said >= sayEvery && m.done < m.size {
		m.said = m.done
		m.say("%s: %.0f of %.0f MB", m.name, float64(m.done)/1e6, float64(m.size)/1e6)
	}
	return n, err
}
