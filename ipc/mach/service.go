package mach

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// ErrNobody: no program that is registered offers the service. One may later, so it is an
// ipc.ErrInterrupted as well.
var ErrNobody error = nobody{}

type nobody struct{}

func (nobody) Error() string        { return "no registered program offers it" }
func (nobody) Is(target error) bool { return target == ipc.ErrInterrupted }

// version is that of the messages around frames. The frames have their own.
const version = 1

// Dial connects to the Mach service called name, which starts the program that offers it if need be, and serves
// mux there, which may be nil. Only this user and root are believed to be who was meant, and with a
// requirement, in the language of code signing, only a program that meets it. Errors: ErrNobody (wrapped) when no
// program offers the service; ipc.ErrInterrupted (wrapped) when it ended before it answered; ipc.ErrInvalid
// (wrapped) when it does not meet the requirement; errors.ErrUnsupported (wrapped); ctx's.
func Dial(ctx context.Context, name, requirement string, mux *ipc.Mux) (*ipc.Conn, error) {
	w, err := dial(ctx, name, requirement)
	if err != nil {
		return nil, fmt.Errorf("cannot connect to the service %s: %w", name, err)
	}
	peer, err := w.Peer()
	if err == nil {
		_, err = ipc.SameUser(peer)
	}
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("cannot trust whoever offers the service %s: %w", name, err)
	}
	return ipc.NewConnOver(w, mux), nil
}

// check refuses what would be another name in C.
func check(name, requirement string) error {
	if name == "" || strings.ContainsRune(name+requirement, 0) {
		return errors.New("a service's name is not empty and has no NUL, nor has a requirement")
	}
	return nil
}
