package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quick is a downloader that does not wait between tries.
func quick() *downloader { return &downloader{&http.Client{}, 0} }

var payload = bytes.Repeat([]byte("0123456789"), 1000)

func TestDownload(t *testing.T) {
	whole := func(w http.ResponseWriter, r *http.Request, _ int) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(payload))
	}
	noRanges := func(w http.ResponseWriter, r *http.Request, _ int) { w.Write(payload) }
	// cut sends 100 bytes fewer than it promises, as long as it can.
	cut := func(w http.ResponseWriter, r *http.Request, _ int) {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-9999/10000", from))
		w.Header().Set("Content-Length", fmt.Sprint(len(payload)-from))
		if from > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		w.Write(payload[from:min(len(payload), from+4000)])
	}
	busyTwice := func(w http.ResponseWriter, r *http.Request, n int) {
		if n <= 2 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		whole(w, r, n)
	}
	status := func(code int) func(http.ResponseWriter, *http.Request, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ int) { http.Error(w, "no", code) }
	}
	otherRange := func(w http.ResponseWriter, r *http.Request, _ int) {
		w.Header().Set("Content-Range", "bytes 0-9999/10000")
		w.WriteHeader(http.StatusPartialContent)
	}
	endless := func(w http.ResponseWriter, r *http.Request, _ int) {
		for range 3 {
			w.Write(payload)
		}
	}
	tests := []struct {
		name     string
		there    int // bytes that an earlier try left
		serve    func(http.ResponseWriter, *http.Request, int)
		requests int
		want     string // in the error
	}{
		{"from nothing", 0, whole, 1, ""},
		{"the rest", 5000, whole, 1, ""},
		{"all there", len(payload), whole, 0, ""},
		{"a server without ranges", 5000, noRanges, 1, ""},
		{"cut off twice", 0, cut, 3, ""},
		{"busy at first", 0, busyTwice, 3, ""},
		{"always busy", 0, status(http.StatusServiceUnavailable), maxTries, "503"},
		{"gone", 0, status(http.StatusNotFound), 1, "404"},
		{"other bytes than asked for", 5000, otherRange, 1, "not asked for"},
		{"more bytes than there should be", 0, endless, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests++
				tt.serve(w, r, requests)
			}))
			defer server.Close()
			file := filepath.Join(t.TempDir(), "x.deb")
			if err := os.WriteFile(file, payload[:tt.there], 0o644); err != nil {
				t.Fatal(err)
			}
			err := quick().fetch(t.Context(), server.URL+"/x.deb", file, int64(len(payload)), t.Logf)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error is %v, want %q", err, tt.want)
			}
			if requests != tt.requests {
				t.Errorf("%d requests, want %d", requests, tt.requests)
			}
			if got, _ := os.ReadFile(file); err == nil && !bytes.Equal(got[:len(payload)], payload) {
				t.Errorf("%d bytes arrived that are not those sent", len(got))
			}
		})
	}
}

func TestDownloadStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10000")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	}))
	defer server.Close()
	err := quick().fetch(ctx, server.URL, filepath.Join(t.TempDir(), "x"), 10000, t.Logf)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled download gives %v", err)
	}
}

func TestDownloadedLiesAreNotKept(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("abd")) }))
	defer server.Close()
	a := &apt{dir: t.TempDir(), web: quick()}
	if err := os.MkdirAll(filepath.Join(a.dir, "debs/partial"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := deb{Name: "x", URL: server.URL, File: "x.deb", Size: 3, SHA256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
	if err := a.fetch(t.Context(), []deb{d}, t.Logf); err == nil || !strings.Contains(err.Error(), "are not those") {
		t.Errorf("other bytes than Debian's are taken: %v", err)
	}
	for _, file := range []string{a.path(d), filepath.Join(a.dir, "debs/partial/x.deb")} {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is kept (%v)", file, err)
		}
	}
}

func TestProxy(t *testing.T) {
	req := httptest.NewRequest(http.MethodGet, "http://archive.example/x", nil)
	for conf, want := range map[string]string{
		"": "<nil>", "Acquire::http::Proxy \"DIRECT\";\n": "<nil>",
		"Acquire::Retries \"3\";\nAcquire::http::Proxy \"http://proxy:3128\";\n": "http://proxy:3128",
	} {
		if u, err := proxyFunc(conf)(req); err != nil || fmt.Sprint(u) != want {
			t.Errorf("with %q the proxy is %v, %v; want %s", conf, u, err, want)
		}
	}
}
