//go:build cgo && (darwin || macshim)

package mach

import "github.com/arcboxlabs/arcbox-go/ipc"

const (
	Backlog = backlog
	Linger  = linger
)

// Silent counts the clients that have not sent their first message.
func Silent(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.silent)
}

// Ended says whether nothing more comes.
func Ended(w ipc.Wire) bool {
	x := w.(*wire)
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended != nil
}
