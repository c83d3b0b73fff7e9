package boot

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A fakeServer serves a published asset over TLS and misbehaves as told.
type fakeServer struct {
	*httptest.Server
	files published

	mu       sync.Mutex
	requests map[string][]string // file → the Range header of each request
	// bad is asked first for every request, counted per file from 1. It answers
	// the request and returns true, or leaves it alone.
	bad func(w http.ResponseWriter, r *http.Request, name string, n int) bool
}

func serve(t *testing.T, p published) *fakeServer {
	s := &fakeServer{files: p, requests: map[string][]string{}}
	s.Server = httptest.NewTLSServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/assets/")
	s.mu.Lock()
	s.requests[name] = append(s.requests[name], r.Header.Get("Range"))
	n, bad := len(s.requests[name]), s.bad
	s.mu.Unlock()
	if bad != nil && bad(w, r, name, n) {
		return
	}
	body, ok := s.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(body))
}

// ranges are the Range headers of the requests for a file so far.
func (s *fakeServer) ranges(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[name]
}

// source is the server as a source that soon gives up on silence.
func (s *fakeServer) source(t *testing.T) *HTTPS {
	t.Helper()
	src, err := NewHTTPS(s.URL+"/assets", s.Client())
	if err != nil {
		t.Fatal(err)
	}
	src.stall = 300 * time.Millisecond
	t.Cleanup(s.Client().CloseIdleConnections)
	return src
}

// trusting is a fetch that believes the test key and does not pause for long.
func trusting() *Fetch {
	trusted, _ := testKeys()
	return &Fetch{Keys: []ed25519.PublicKey{public(trusted)}, pause: time.Millisecond}
}

// cutAfter sends only the first bytes of a file and drops the connection.
func cutAfter(w http.ResponseWriter, body []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Write(body[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func TestFetchOverHTTPS(t *testing.T) {
	p := publish(t, FlavourDebian, "6.1.0", 'a')
	const cut = 40000
	tests := []struct {
		name string
		bad  func(w http.ResponseWriter, r *http.Request, name string, n int) bool
		want []string // Range headers of the requests for the kernel
	}{
		{"a good server", nil, []string{""}},
		{"cut once", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				cutAfter(w, p[name], cut)
			}
			return false
		}, []string{"", "bytes=40000-"}},
		{"cut once and then without ranges", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				cutAfter(w, p[name], cut)
			}
			r.Header.Del("Range")
			return false
		}, []string{"", "bytes=40000-"}},
		{"silent after a while", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name != KernelName || n > 1 {
				return false
			}
			w.Write(p[name][:cut])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return true
		}, []string{"", "bytes=40000-"}},
		{"silent from the start", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				<-r.Context().Done()
				return true
			}
			return false
		}, []string{"", ""}},
		{"overloaded twice", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if n <= 2 {
				http.Error(w, "later", http.StatusServiceUnavailable)
			}
			return n <= 2
		}, []string{"", "", ""}},
		{"shorter than it says", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				w.Write(p[name][:cut])
				return true
			}
			return false
		}, []string{"", "bytes=40000-"}},
		{"longer than it should be", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName {
				w.Write(append(bytes.Clone(p[name]), "more"...))
				return true
			}
			return false
		}, []string{""}},
		{"wrong bytes once", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				w.Write(bytes.Repeat([]byte{7}, len(p[name])))
				return true
			}
			return false
		}, []string{"", ""}},
		{"wrong bytes before the cut", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				cutAfter(w, bytes.Repeat([]byte{7}, len(p[name])), cut)
			}
			return false
		}, []string{"", "bytes=40000-", ""}},
		{"a redirect", func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName && n == 1 {
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
				return true
			}
			return false
		}, []string{"", ""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, l := serve(t, p), newLibrary(t)
			s.bad = tt.bad
			a, fresh, err := trusting().From(t.Context(), l, s.source(t))
			if err != nil || !fresh {
				t.Fatalf("fresh %t, %v", fresh, err)
			}
			if err := a.Verify(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if got := s.ranges(KernelName); fmt.Sprintf("%q", got) != fmt.Sprintf("%q", tt.want) {
				t.Errorf("kernel asked for with ranges %q, want %q", got, tt.want)
			}
			if names := leftovers(t, l.Home); names != nil {
				t.Errorf("left behind: %v", names)
			}
		})
	}
}

func TestFetchOverHTTPSRefuses(t *testing.T) {
	_, other := testKeys()
	gone := func(name string) func(http.ResponseWriter, *http.Request, string, int) bool {
		return func(w http.ResponseWriter, r *http.Request, asked string, n int) bool {
			if asked == name {
				http.NotFound(w, r)
			}
			return asked == name
		}
	}
	tests := []struct {
		name  string
		edit  func(p published)
		bad   func(w http.ResponseWriter, r *http.Request, name string, n int) bool
		want  error  // or
		text  string // part of the error
		tries int    // requests for the kernel
	}{
		{"no manifest", nil, gone(ManifestName), nil, "404", 0},
		{"no signature", nil, gone(SignatureName), nil, "404", 0},
		{"no kernel", nil, gone(KernelName), nil, "404", 1},
		{"the signature of another key", func(p published) { p[SignatureName] = Sign(other, p[ManifestName]) }, nil, ErrSignature, "", 0},
		{"a manifest changed after it was signed", func(p published) {
			p[ManifestName] = bytes.Replace(p[ManifestName], []byte("hvc0"), []byte("hvc1"), 1)
		}, nil, ErrSignature, "", 0},
		{"an endless manifest", func(p published) { p[ManifestName] = make([]byte, 2*MaxManifest) }, nil, nil, "more than", 0},
		{"wrong bytes for ever", func(p published) { p[KernelName][500] ^= 1 }, nil, ErrDamaged, "", 2},
		{"overloaded for ever", nil, func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName {
				http.Error(w, "later", http.StatusServiceUnavailable)
			}
			return name == KernelName
		}, nil, "tried 5 times", maxTries},
		{"silent for ever", nil, func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName {
				<-r.Context().Done()
			}
			return name == KernelName
		}, errStalled, "", maxTries},
		{"a redirect to http", nil, func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == KernelName {
				http.Redirect(w, r, "http://"+r.Host+"/assets/Image", http.StatusFound)
			}
			return name == KernelName
		}, errInsecure, "", 1},
		{"redirects for ever", nil, func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
			if name == ManifestName {
				http.Redirect(w, r, r.URL.Path, http.StatusFound)
			}
			return name == ManifestName
		}, nil, "redirects more than", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, l := publish(t, FlavourDebian, "6.1.0", 'a'), newLibrary(t)
			if tt.edit != nil {
				tt.edit(p)
			}
			s := serve(t, p)
			s.bad = tt.bad
			src := s.source(t)
			silent := tt.want == errStalled
			src.stall = time.Minute
			if silent {
				src.stall = 500 * time.Millisecond
			}
			_, _, err := trusting().From(t.Context(), l, src)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error %v, want %v %q", err, tt.want, tt.text)
			}
			// On a busy machine a try may stall before its request has arrived.
			if n := len(s.ranges(KernelName)); n != tt.tries && !(silent && n < tt.tries) {
				t.Errorf("%d requests for the kernel, want %d", n, tt.tries)
			}
			if ids := list(t, l); ids != nil {
				t.Errorf("installed all the same: %v", ids)
			}
		})
	}
}

func TestServerThatCannotProveWhoItIs(t *testing.T) {
	s := serve(t, publish(t, FlavourDebian, "6.1.0", 'a'))
	s.Config.ErrorLog = nil
	src, err := NewHTTPS(s.URL+"/assets", nil) // does not know the test's authority
	if err != nil {
		t.Fatal(err)
	}
	defer src.client.CloseIdleConnections()
	_, _, err = trusting().From(t.Context(), newLibrary(t), src)
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

func TestUnsignedRemoteIsRefusedWithoutKeys(t *testing.T) {
	s := serve(t, publish(t, FlavourDebian, "6.1.0", 'a'))
	var f Fetch
	if _, _, err := f.From(t.Context(), newLibrary(t), s.source(t)); !errors.Is(err, ErrSignature) {
		t.Errorf("error %v", err)
	}
}

// TestKilledDownloadIsResumed cancels a fetch in the middle, as a kill would,
// and expects the next to ask only for the rest.
func TestKilledDownloadIsResumed(t *testing.T) {
	p, l := publish(t, FlavourDebian, "6.1.0", 'a'), newLibrary(t)
	s := serve(t, p)
	ctx, cancel := context.WithCancel(t.Context())
	s.bad = func(w http.ResponseWriter, r *http.Request, name string, n int) bool {
		if name != KernelName || n > 1 {
			return false
		}
		w.Write(p[name][:50000])
		w.(http.Flusher).Flush()
		time.Sleep(50 * time.Millisecond) // let it arrive
		cancel()
		<-r.Context().Done()
		return true
	}
	if _, _, err := trusting().From(ctx, l, s.source(t)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if _, fresh, err := trusting().From(t.Context(), l, s.source(t)); err != nil || !fresh {
		t.Fatalf("fresh %t, %v", fresh, err)
	}
	if got := s.ranges(KernelName); len(got) != 2 || got[1] != "bytes=50000-" {
		t.Errorf("kernel asked for with ranges %q", got)
	}
	list(t, l)
}

func TestOnlyTheDamagedFileIsFetchedAgain(t *testing.T) {
	l, s := newLibrary(t), serve(t, publish(t, FlavourDebian, "6.1.0", 'a'))
	a, _, err := trusting().From(t.Context(), l, s.source(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(a.Path(InitrdName), 5); err != nil {
		t.Fatal(err)
	}
	if _, fresh, err := trusting().From(t.Context(), l, s.source(t)); err != nil || !fresh {
		t.Fatalf("fresh %t, %v", fresh, err)
	}
	if k, i := len(s.ranges(KernelName)), len(s.ranges(InitrdName)); k != 1 || i != 2 {
		t.Errorf("%d requests for the kernel and %d for the initrd, want 1 and 2", k, i)
	}
	list(t, l)
}

func TestAddressesThatAreRefused(t *testing.T) {
	for _, address := range []string{
		"http://example.com/a", "ftp://example.com/", "https://", "https://user:secret@example.com/",
		"https://example.com/?x=1", "https://example.com/#x", "://", "/etc",
	} {
		if _, err := NewHTTPS(address, nil); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

// A silentTransport answers with a body that gives a byte now and then.
type silentTransport struct{ every time.Duration }

func (s silentTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: &drip{req.Context(), s.every}, Request: req}, nil
}

type drip struct {
	ctx   context.Context
	every time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(d.every):
		p[0] = 'x'
		return 1, nil
	}
}

func (d *drip) Close() error { return nil }

// TestStallLimit runs the real limit in virtual time: a slow server is borne
// with for as long as it takes, a silent one for 60 seconds.
func TestStallLimit(t *testing.T) {
	tests := []struct {
		name  string
		every time.Duration
		after time.Duration // 0: it never stalls
	}{
		{"a byte every 59 seconds", 59 * time.Second, 0},
		{"silence", time.Hour, StallLimit},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src, err := NewHTTPS("https://example.com/", &http.Client{Transport: silentTransport{tt.every}})
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				r, _, err := src.Open(t.Context(), File{Name: KernelName, Size: 100}, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				_, err = io.ReadFull(r, make([]byte, 100))
				if tt.after == 0 && err != nil {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
				if tt.after > 0 && (!errors.Is(err, errStalled) || time.Since(start) != tt.after) {
					t.Errorf("after %v: %v; want a stall after %v", time.Since(start), err, tt.after)
				}
			})
		})
	}
}

// TestPausesDouble measures in virtual time how a dead server is tried again.
func TestPausesDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src, err := NewHTTPS("https://example.com/", &http.Client{Transport: deadTransport{}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		d := download{src: src, file: File{Name: KernelName, Size: 1}, partial: t.TempDir() + "/p", pause: firstPause}
		if err := d.retry(t.Context()); !errors.Is(err, errDead) {
			t.Errorf("error %v", err)
		}
		if took, want := time.Since(start), (1+2+4+8)*time.Second; took != want {
			t.Errorf("gave up after %v, want %v", took, want)
		}
	})
}

var errDead = errors.New("connection refused")

type deadTransport struct{}

func (deadTransport) RoundTrip(*http.Request) (*http.Response, error) { return nil, errDead }
