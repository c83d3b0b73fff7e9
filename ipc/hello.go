package ipc

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"sync"
	"time"
)

// Protocol is the version of the wire. Another one is refused: what can be added
// without breaking a peer (fields, methods) needs no new version.
const Protocol = 1

// maxBuild is the longest name of a build that is taken over from a peer.
const maxBuild = 200

// A Hello is what each end says first.
type Hello struct {
	Protocol int    `json:"protocol"`
	Build    string `json:"build"` // program, version and commit, for people
}

// Ping is answered by every peer, without its program's doing.
var Ping = Method[struct{}, Hello]{Name: "ipc.ping", Need: Observe}

// Here is the Hello of this program.
var Here = sync.OnceValue(func() Hello {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return Hello{Protocol, "unknown"}
	}
	build := path.Base(info.Path) + " " + info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			build += " " + s.Value[:min(len(s.Value), 12)]
		}
	}
	return Hello{Protocol, build}
})

// pong answers Ping.
func pong(context.Context, *struct{}) (*Hello, error) {
	h := Here()
	return &h, nil
}

// greet sends our Hello, before anything else.
func (c *Conn) greet() error {
	c.greeting.Do(func() {
		h := Here()
		c.greeted = sendPlain(c.wire, &message{Type: typeHello, Protocol: h.Protocol, Build: h.Build})
	})
	return c.greeted
}

func sendPlain(w Wire, m *message) error {
	f, err := pack(m)
	if err != nil {
		return err
	}
	defer f.free()
	return w.Send(context.Background(), f.b, nil)
}

// meet takes the peer's first message, which must be a Hello of our version. A peer of
// another one is told in the words that every version knows.
func (c *Conn) meet(m *message) error {
	if m.Type == typeRefused {
		return refusal(m.Error)
	}
	if m.Type != typeHello {
		return violation("the first message is a %s, not a hello", m.Type)
	}
	h := Hello{m.Protocol, m.Build[:min(len(m.Build), maxBuild)]}
	if h.Protocol != Protocol {
		e := otherVersion(h)
		c.dismiss(e)
		return fmt.Errorf("%w: %w", ErrInvalid, e)
	}
	c.mu.Lock()
	c.remote = h
	c.mu.Unlock()
	return nil
}

func otherVersion(h Hello) *Error {
	return &Error{
		Code:    OtherVersion,
		Message: fmt.Sprintf("cannot talk to %q: it speaks protocol %d, and %q speaks %d", h.Build, h.Protocol, Here().Build, Protocol),
		Hint:    "use programs of one release: restart the older one, or update it",
	}
}

// refusal is what a peer that turned us away means: that it has too much to do passes,
// anything else stays as it is.
func refusal(e *Error) error {
	if e.Code == Busy {
		return fmt.Errorf("%w: %w", ErrInterrupted, e)
	}
	return fmt.Errorf("%w: %w", ErrInvalid, e)
}

// lastWord is how long a peer is given to take what is said to it last.
const lastWord = 5 * time.Second

// dismiss tells the peer why there is nothing more to say.
func (c *Conn) dismiss(e *Error) {
	defer time.AfterFunc(lastWord, func() { c.wire.Close() }).Stop()
	if c.greet() == nil {
		_ = sendPlain(c.wire, &message{Type: typeRefused, Error: e})
	}
}

// turnAway is dismiss for a peer that has no connection yet, and has the Wire closed.
func turnAway(w Wire, e *Error) {
	h := Here()
	stop := time.AfterFunc(lastWord, func() { w.Close() })
	if sendPlain(w, &message{Type: typeHello, Protocol: h.Protocol, Build: h.Build}) == nil {
		_ = sendPlain(w, &message{Type: typeRefused, Error: e})
	}
	stop.Stop()
	w.Close()
}
