package ipc

import (
	"context"
	"fmt"
	"os"
)

// Access is what a peer must be allowed to call a method. Each includes those before
// it. The zero value is Control: a method that forgets to say what it needs is not open to
// those who may only look.
type Access int

// The accesses.
const (
	Observe Access = -1 // see how things are, and change nothing
	Control Access = 0  // use and change machines
	Admin   Access = 1  // change or end the agent itself, or whose it is
)

func (a Access) String() string {
	switch a {
	case Observe:
		return "observe"
	case Control:
		return "control"
	case Admin:
		return "admin"
	}
	return fmt.Sprintf("access %d", int(a))
}

// A Peer is who is at the other end of a connection.
type Peer struct {
	UID int // -1 when the kernel does not say
	PID int // of the process that connected; 0 when the kernel does not say
	// Source is who says so: "SO_PEERCRED", "LOCAL_PEERCRED", ..., or "owner" for a
	// connection that its owner made itself or inherited, and vouches for.
	Source string
	// Token is macOS's audit token of the peer, all zero elsewhere: it stays true of one
	// process when a pid is used again.
	Token [8]uint32
	// May is what it may ask for.
	May Access
}

func (p Peer) String() string {
	if p.Source == vouched {
		return "the process's own peer"
	}
	return fmt.Sprintf("process %d of user %d", p.PID, p.UID)
}

// vouched is the Source of a peer that the kernel was not asked about.
const vouched = "owner"

// SameUser is the usual answer to what a peer may do: all for the user of this process
// and for root, and nothing for others.
func SameUser(p Peer) (Access, error) {
	if p.UID != os.Getuid() && p.UID != 0 {
		return 0, &Error{
			Code: Denied, Message: fmt.Sprintf("cannot serve user %d: this is user %d's ArcBox", p.UID, os.Getuid()),
			Hint: "every user has an agent of their own; start yours",
		}
	}
	return Admin, nil
}

type connKey struct{}

// ConnOf is the connection that a handler's call or note came by.
func ConnOf(ctx context.Context) *Conn {
	c, _ := ctx.Value(connKey{}).(*Conn)
	return c
}

// PeerOf is who has sent a handler's call or note. In a context that is no handler's
// it is nobody, who may nothing.
func PeerOf(ctx context.Context) Peer {
	if c := ConnOf(ctx); c != nil {
		return c.peer
	}
	return Peer{UID: -1, May: Observe - 1}
}

// allowed is the one place where what a peer may meets what it asks for.
func allowed(p Peer, need Access, name string) *Error {
	if p.May >= need {
		return nil
	}
	return Errorf(Denied, "cannot call %s: it needs %s access, and %v has %s", name, need, p, p.May)
}
