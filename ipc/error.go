package ipc

import (
	"context"
	"errors"
	"fmt"
)

// How a connection can end. Errors of Call wrap one of them when no reply can
// come any more.
var (
	// ErrInterrupted: the peer closed the connection or died. A new connection
	// may work.
	ErrInterrupted = errors.New("the connection was interrupted")
	// ErrInvalid: this connection will never work again: it was closed here, or
	// the peer broke the protocol.
	ErrInvalid = errors.New("the connection is invalid")
)

// Code is the stable part of an Error, for programs.
type Code string

// The codes that the layer itself uses; an api package may add its own.
const (
	Internal   Code = "internal"    // the handler failed; the sentence says how
	BadRequest Code = "bad-request" // the body does not fit the method
	NoMethod   Code = "no-method"   // the peer does not know the method
	Busy       Code = "busy"        // too many calls at once
	Cancelled  Code = "cancelled"   // the caller gave up
	Timeout    Code = "timeout"     // the caller's deadline passed
	WrongState Code = "wrong-state" // not now
	Denied     Code = "denied"      // the peer may not; the kernel says who it is

	Ending       Code = "ending"        // the peer is about to end; a new connection reaches the next one
	OtherVersion Code = "other-version" // the peer speaks another version of the protocol
)

// An Error is a refusal that crosses the wire: a stable code, a sentence
// "cannot X: why", and what to do about it, which may be empty.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Is lets a caller ask for the context's errors whichever end noticed first, and counts a peer that is
// about to end as one that has interrupted the connection.
func (e *Error) Is(target error) bool {
	return e.Code == Cancelled && target == context.Canceled ||
		e.Code == Timeout && target == context.DeadlineExceeded ||
		e.Code == Ending && target == ErrInterrupted
}

// Errorf makes an Error without a hint.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// asError is err as it crosses the wire.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	code := Internal
	switch {
	case errors.Is(err, context.Canceled):
		code = Cancelled
	case errors.Is(err, context.DeadlineExceeded):
		code = Timeout
	}
	return &Error{Code: code, Message: err.Error()}
}
