package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Said is what a dockerd has said of itself. It stays true while the machine is stopped, as the same dockerd will be started: so
// clients that ask for nothing else need not wait for that, and the machine need not be started for it.
type Said struct {
	Headers map[string]string `json:"headers"` // of GET /_ping, those in saidHeaders
	Version json.RawMessage   `json:"version"` // the body of GET /version
}

// saidHeaders are what clients read of a ping: which API to speak, what to build with, what runs there.
var saidHeaders = []string{"Api-Version", "Builder-Version", "Docker-Experimental", "Ostype", "Server", "Swarm"}

const (
	maxSaidHeader  = 200      // bytes
	maxSaidVersion = 64 << 10 // bytes
	askTime        = 10 * time.Second
)

// plainValue is what a header may be that a guest has said.
var plainValue = regexp.MustCompile(`^[ -~]*$`)

// Ask asks the dockerd at the other end of c, and closes it. Errors: what is no answer of dockerd's.
func Ask(ctx context.Context, c net.Conn) (*Said, error) {
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	from := bufio.NewReader(c)
	ping, _, err := get(c, from, "/_ping")
	if err != nil {
		return nil, err
	}
	said := &Said{Headers: map[string]string{}}
	for _, name := range saidHeaders {
		if v := ping.Get(name); v != "" && len(v) <= maxSaidHeader && plainValue.MatchString(v) {
			said.Headers[name] = v
		}
	}
	if _, said.Version, err = get(c, from, "/version"); err != nil {
		return nil, err
	}
	if said.Headers["Api-Version"] == "" || !json.Valid(said.Version) {
		return nil, errors.New("cannot understand what dockerd says of itself")
	}
	return said, nil
}

func get(c net.Conn, from *bufio.Reader, path string) (http.Header, []byte, error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: docker\r\n\r\n", path); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSaidVersion+1))
	switch {
	case err != nil:
		return nil, nil, err
	case resp.StatusCode != http.StatusOK || len(body) > maxSaidVersion:
		return nil, nil, fmt.Errorf("dockerd answers GET %s with %d and %d bytes", path, resp.StatusCode, len(body))
	}
	return resp.Header, body, nil
}

// remembered are the requests that what dockerd has said answers.
var remembered = regexp.MustCompile(`^(?:/v[0-9.]{1,8})?/(_ping|version)$`)

// asksWhatItIs says whether what a client has sent begins with a request that could be answered so another time.
func asksWhatItIs(sent []byte) bool {
	m := requestLine.FindSubmatch(sent[:min(len(sent), 4096)])
	return m != nil && remembered.Match(m[2])
}

// running is the request for the containers that run; with more than it says of these the query is another question.
var running = regexp.MustCompile(`^(?:/v[0-9.]{1,8})?/containers/json$`)

// asksWhatRuns says whether a request is for nothing else than the containers that run. Of a stopped machine they are known: none do.
func asksWhatRuns(req *http.Request) bool {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil || req.Method != http.MethodGet || !running.MatchString(req.URL.Path) {
		return false
	}
	for name, values := range query {
		switch v := strings.Join(values, ","); name {
		case "size": // of each
		case "all":
			if v != "0" && v != "false" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// answer is the whole reply to what a client has sent, if that is one whole request that said answers; nil otherwise. That the
// machine is stopped stands in a header.
func (s *Said) answer(sent []byte) (reply []byte, last bool) {
	rest := bytes.NewReader(sent)
	from := bufio.NewReader(rest)
	req, err := http.ReadRequest(from)
	if err != nil || from.Buffered()+rest.Len() > 0 || req.ContentLength != 0 || req.Header.Get("Upgrade") != "" {
		return nil, false
	}
	body, kind := s.body(req)
	if body == nil {
		return nil, false
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nArcbox-Machine: stopped\r\nContent-Type: " + kind + "\r\n")
	for _, name := range saidHeaders {
		if v := s.Headers[name]; v != "" {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	if req.Close {
		b.WriteString("Connection: close\r\n")
	}
	if req.Method == http.MethodHead {
		b.WriteString("Content-Length: 0\r\n\r\n")
	} else {
		b.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
		b.Write(body)
	}
	return b.Bytes(), req.Close
}

// body answers a request that can be, with its media type; nil for another.
func (s *Said) body(req *http.Request) (body []byte, kind string) {
	const text, object = "text/plain; charset=utf-8", "application/json"
	m := append(remembered.FindStringSubmatch(req.URL.Path), "", "")
	switch {
	case m[1] == "_ping" && (req.Method == http.MethodGet || req.Method == http.MethodHead):
		return []byte("OK"), text
	case m[1] == "version" && req.Method == http.MethodGet:
		return s.Version, object
	case asksWhatRuns(req):
		return []byte("[]\n"), object
	}
	return nil, ""
}
