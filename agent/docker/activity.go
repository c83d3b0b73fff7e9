package docker

import (
	"bytes"
	"regexp"
	"sync"
)

// An activity is what one connection does to its machine's rest. A connection whose last request merely looks does not keep the
// machine awake, whatever else waits on it: a client that follows events would do so for ever. What containers do keeps it awake by itself.
type activity struct {
	use func() (release func())

	mu      sync.Mutex // guards what follows
	release func()     // nil while the machine is not in use for this connection
	ended   bool
}

// requestLine is the beginning of an HTTP request.
var requestLine = regexp.MustCompile(`^(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) (/[^ ?]*)[? ]`)

// heavy are the paths of a GET that moves as much as an upload does.
var heavy = regexp.MustCompile(`/(get|export|archive|logs|stats)$`)

// saw is told of each piece that a client has sent. A piece that begins a request says what follows it; bytes that only look like one
// are part of a stream that keeps containers busy.
func (a *activity) saw(piece []byte) {
	if len(piece) == 0 {
		return
	}
	m := requestLine.FindSubmatch(piece[:min(len(piece), 4096)])
	if m == nil {
		return
	}
	looks := (bytes.Equal(m[1], []byte("GET")) || bytes.Equal(m[1], []byte("HEAD"))) && !heavy.Match(m[2])
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended:
	case looks && a.release != nil:
		a.release()
		a.release = nil
	case !looks && a.release == nil:
		a.release = a.use()
	}
}

// quiet says that the connection does not keep the machine awake now.
func (a *activity) quiet() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.release == nil
}

// end is told when the connection has ended.
func (a *activity) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	if a.release != nil {
		a.release()
		a.release = nil
	}
}
