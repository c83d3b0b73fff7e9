package ipc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"
)

// A Redialer keeps a connection to one place, and makes a new one when the last was
// interrupted and somebody wants it. Any goroutine may use it. It ends with Close.
type Redialer struct {
	dial func(context.Context) (*Conn, error)
	turn chan struct{} // holds one token; its holder owns conn
	conn *Conn         // nil before the first
	over bool
}

// How long a Redialer waits between two tries: nothing tells when a place can be reached.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// NewRedialer makes a Redialer that connects with dial, when first asked to. An error of
// dial that wraps ErrInterrupted says that it may work later, as unixsock.ErrNobody does.
func NewRedialer(dial func(context.Context) (*Conn, error)) *Redialer {
	r := &Redialer{dial: dial, turn: make(chan struct{}, 1)}
	r.turn <- struct{}{}
	return r
}

// Conn is the connection, which is the Redialer's to close. It tries to connect once. Errors:
// dial's; ErrInvalid after Close; ctx's.
func (r *Redialer) Conn(ctx context.Context) (*Conn, error) {
	select {
	case <-r.turn:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() { r.turn <- struct{}{} }()
	if r.over {
		return nil, ErrInvalid
	}
	if r.conn != nil {
		if r.conn.Err() == nil {
			return r.conn, nil
		}
		r.conn.Close()
		r.conn = nil
	}
	c, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	r.conn = c
	return c, nil
}

// Close ends the connection, and every call by it.
func (r *Redialer) Close() error {
	<-r.turn
	defer func() { r.turn <- struct{}{} }()
	r.over = true
	if r.conn != nil {
		r.conn.Close()
	}
	return nil
}

// passing tells whether it is worth trying again after err.
func passing(ctx context.Context, err error) bool {
	return ctx.Err() == nil && errors.Is(err, ErrInterrupted)
}

// CallAgain is Call that asks again on a new connection, until ctx ends, when the last was
// interrupted or could not be made. The peer may have done what was asked and then ask it
// twice: it is for methods where that does no harm. The request is sent as it is each
// time, and so cannot carry descriptors or streams.
func CallAgain[Req, Resp any](ctx context.Context, r *Redialer, m Method[Req, Resp], req *Req) (*Resp, error) {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		c, err := r.Conn(ctx)
		var resp *Resp
		if err == nil {
			resp, err = Call(ctx, c, m, req)
			if err == nil {
				return resp, nil
			}
		} else {
			err = fmt.Errorf("cannot call %s: %w", m.Name, err)
		}
		if !passing(ctx, err) {
			return nil, err
		}
		if !wait(ctx, pause) {
			return nil, fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Follow is Subscribe that goes on after an interruption on a new connection: ask makes each
// connection's request, from what came last, say. It yields each interruption once, as an error
// that wraps ErrInterrupted, and goes on trying if the range does. Any other error is the last.
func Follow[Req, Item any](ctx context.Context, r *Redialer, f Feed[Req, Item], ask func() *Req) iter.Seq2[*Item, error] {
	return func(yield func(*Item, error) bool) {
		told := false // of the interruption that there is
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			err := follow(ctx, r, f, ask(), func(item *Item) bool {
				told, pause = false, firstPause
				return yield(item, nil)
			})
			switch {
			case err == nil:
				return
			case !passing(ctx, err):
				yield(nil, err)
				return
			case !told && !yield(nil, err):
				return
			}
			told = true
			if !wait(ctx, pause) {
				yield(nil, fmt.Errorf("cannot follow %s: %w", f.Name, context.Cause(ctx)))
				return
			}
		}
	}
}

// follow is one connection of Follow. It is nil when the feed has ended or the range has.
func follow[Req, Item any](ctx context.Context, r *Redialer, f Feed[Req, Item], req *Req, take func(*Item) bool) error {
	c, err := r.Conn(ctx)
	if err != nil {
		return err
	}
	for item, err := range Subscribe(ctx, c, f, req) {
		if err != nil {
			return err
		}
		if !take(item) {
			return nil
		}
	}
	return nil
}
