package ipc

import (
	"context"
	"fmt"
)

// A Note is a message that is not answered: a route with the Go type of its
// body.
type Note[Body any] struct {
	Name string // "service.verb"
	Need Access // what a peer must be allowed to be heard; zero is Control
}

// Send tells the peer something. That it was sent does not mean that it came or
// that the peer knows such notes. Errors: those of Call.
func Send[Body any](c *Conn, n Note[Body], body *Body) error {
	m := encode(body)
	m.Type, m.Method = typeNote, n.Name
	if err := c.Err(); err != nil {
		return fmt.Errorf("cannot send %s: %w", n.Name, err)
	}
	if err := c.send(context.Background(), m); err != nil {
		return fmt.Errorf("cannot send %s: %w", n.Name, err)
	}
	return nil
}

// OnNote lets h handle note n. The notes of a connection are handled one after
// another in the order in which they came, and while maxNotes wait nothing is
// read from the peer: h must be quick, and must not Call on the same
// connection. Notes that nobody handles, or that the peer may not send, are dropped. A second handler for a name
// is a bug in the program and panics.
func OnNote[Body any](mux *Mux, n Note[Body], h func(context.Context, *Body)) {
	if _, ok := mux.notes[n.Name]; ok {
		panic("ipc: two handlers for " + n.Name)
	}
	mux.notes[n.Name] = noteRoute{n.Need, func(m *message) (func(context.Context), error) {
		body := new(Body)
		if err := decode(m, body); err != nil {
			return nil, violation("cannot read %s: %w", n.Name, err)
		}
		return func(ctx context.Context) { h(ctx, body) }, nil
	}}
}
