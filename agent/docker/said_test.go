package docker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// dockerdSays answers pings and questions for the version, as dockerd does.
func dockerdSays(api, version string) func(*net.UnixConn) {
	return func(c *net.UnixConn) {
		for r := bufio.NewReader(c); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body := "OK"
			if strings.HasSuffix(req.URL.Path, "/version") {
				body = version
			}
			n := len(body)
			if req.Method == http.MethodHead {
				n, body = 0, ""
			}
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nApi-Version: %s\r\nOstype: linux\r\nSet-Cookie: no\r\nContent-Length: %d\r\n\r\n%s", api, n, body)
		}
	}
}

// ask sends a request and gives the reply, on a connection that stays open.
func ask(t *testing.T, c net.Conn, r *bufio.Reader, method, path string) (*http.Response, string) {
	t.Helper()
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: docker\r\nUser-Agent: test\r\n\r\n", method, path); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// What a dockerd has said is told of it while its machine is stopped; anything else brings the machine up, on the same connection.
func TestAStoppedMachineIsNotStartedForAPing(t *testing.T) {
	h := &host{}
	path := relay(t, h, dockerdSays("1.41", `{"Version":"20.10"}`))
	dial := func() (net.Conn, *bufio.Reader) {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c, bufio.NewReader(c)
	}
	c, r := dial()
	if resp, _ := ask(t, c, r, "GET", "/_ping"); resp.Header.Get("Api-Version") != "1.41" || resp.Header.Get("Arcbox-Machine") != "" {
		t.Errorf("dockerd itself says %v", resp.Header)
	}
	for deadline := time.Now().Add(patience); h.said.Load() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody has asked dockerd what it is")
		}
	}
	h.stopped.Store(true)
	asked := h.quiet.Load()
	c, r = dial()
	for range 2 {
		resp, _ := ask(t, c, r, "HEAD", "/_ping")
		if resp.StatusCode != 200 || resp.Header.Get("Api-Version") != "1.41" || resp.Header.Get("Ostype") != "linux" || resp.Header.Get("Arcbox-Machine") != "stopped" || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("a ping is answered with %d, %v", resp.StatusCode, resp.Header)
		}
	}
	if resp, body := ask(t, c, r, "GET", "/v1.41/version"); resp.Header.Get("Arcbox-Machine") != "stopped" || body != `{"Version":"20.10"}` {
		t.Errorf("the version is %q, %v", body, resp.Header)
	}
	if n := h.quiet.Load(); n != asked {
		t.Errorf("dockerd was reached for %d times", n-asked)
	}
	if resp, body := ask(t, c, r, "GET", "/v1.41/containers/json"); resp.Header.Get("Arcbox-Machine") != "stopped" || body != "[]\n" {
		t.Errorf("of a stopped machine there run %q, %v", body, resp.Header)
	}
	if n := h.quiet.Load(); n != asked {
		t.Errorf("to know that none runs dockerd was reached for %d times", n-asked)
	}
	if resp, _ := ask(t, c, r, "GET", "/v1.41/containers/json?all=1"); resp.Header.Get("Arcbox-Machine") != "" {
		t.Error("a list is answered by who cannot know it")
	}
	if n := h.quiet.Load(); n == asked {
		t.Error("a list does not reach dockerd")
	}
}

func TestWhatIsAnsweredWithoutDockerd(t *testing.T) {
	s := &Said{Headers: map[string]string{"Api-Version": "1.41"}, Version: []byte("{}")}
	tests := []struct {
		name, sent string
		want       bool
	}{
		{"a ping", "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n", true},
		{"a ping's head", "HEAD /_ping HTTP/1.1\r\nHost: docker\r\n\r\n", true},
		{"the version", "GET /v1.24/version HTTP/1.1\r\nHost: docker\r\n\r\n", true},
		{"the version's head, which says nothing", "HEAD /version HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"information, which changes", "GET /info HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"what runs", "GET /v1.24/containers/json HTTP/1.1\r\nHost: docker\r\n\r\n", true},
		{"what runs, and how large it is", "GET /containers/json?all=0&size=1 HTTP/1.1\r\nHost: docker\r\n\r\n", true},
		{"what has run", "GET /containers/json?all=true HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"what ran last", "GET /containers/json?limit=1 HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"what runs or not", "GET /containers/json?filters=%7B%7D HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"the images", "GET /images/json HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"a ping that is more", "GET /_ping/x HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"half a request", "GET /_ping HTTP/1.1\r\nHost:", false},
		{"two at once", "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\nGET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n", false},
		{"one with a body", "GET /_ping HTTP/1.1\r\nHost: docker\r\nContent-Length: 1\r\n\r\nx", false},
		{"one that wants something else", "GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", false},
		{"a post", "POST /_ping HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n", false},
		{"no request", "\x16\x03\x01", false},
	}
	for _, tt := range tests {
		if reply, _ := s.answer([]byte(tt.sent)); (reply != nil) != tt.want {
			t.Errorf("%s: %q", tt.name, reply)
		}
	}
	if _, last := s.answer([]byte("GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")); !last {
		t.Error("a client that wants to leave is kept")
	}
}

// A guest cannot have us say what it likes.
func TestWhatAGuestSaysIsChecked(t *testing.T) {
	tests := map[string]func(*net.UnixConn){
		"no version":         dockerdSays("", "{}"),
		"a version too long": dockerdSays(strings.Repeat("1", maxSaidHeader+1), "{}"),
		"no JSON":            dockerdSays("1.41", "{"),
		"too much":           dockerdSays("1.41", `"`+strings.Repeat("x", maxSaidVersion)+`"`),
		"nothing":            func(c *net.UnixConn) { c.Close() },
	}
	for name, serve := range tests {
		t.Run(name, func(t *testing.T) {
			h := &host{}
			relay(t, h, serve)
			c, err := net.Dial("unix", h.dockerd)
			if err != nil {
				t.Fatal(err)
			}
			if said, err := Ask(t.Context(), c); err == nil {
				t.Errorf("it takes %+v", said)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"))
	f.Add([]byte("HEAD /v1.2/_ping HTTP/1.0\r\n\r\n"))
	s := &Said{Headers: map[string]string{"Api-Version": "1.41"}, Version: []byte("{}")}
	f.Fuzz(func(t *testing.T, sent []byte) {
		if reply, _ := s.answer(sent); reply != nil && (!strings.HasPrefix(string(sent), "GET ") && !strings.HasPrefix(string(sent), "HEAD ")) {
			t.Errorf("%q is answered", sent)
		}
	})
}
