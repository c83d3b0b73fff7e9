package ipc

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A pending call waits for its reply.
type pending struct {
	resp any           // where the reader puts the reply's body
	bad  error         // why it could not
	done chan *message // has room for one; closed when the connection ends first
}

// settle gives a reply to the call that waits for it. The body is read here, where
// it is; until then nobody else looks at the call's resp.
func (c *Conn) settle(m *message) {
	c.mu.Lock()
	p := c.waiting[m.ID]
	delete(c.waiting, m.ID)
	c.mu.Unlock()
	if p == nil {
		closeAll(m.files)
		return
	}
	if m.Type == typeReply {
		if p.bad = decode(m, p.resp); p.bad != nil {
			closeAll(m.files)
		}
	} else {
		closeAll(m.files)
	}
	p.done <- m
}

// roundTrip sends a call and waits for its answer, whose body goes to resp.
func (c *Conn) roundTrip(ctx context.Context, call *message, resp any) error {
	if at, ok := ctx.Deadline(); ok {
		call.TimeoutMS = max(1, time.Until(at).Milliseconds())
	}
	p := &pending{resp: resp, done: make(chan *message, 1)}
	if err := c.launch(ctx, call, p); err != nil {
		return fmt.Errorf("cannot call %s: %w", call.Method, err)
	}
	return c.await(ctx, call, p)
}

// launch sends a call with the streams that it opens.
func (c *Conn) launch(ctx context.Context, call *message, p *pending) error {
	if len(call.streams) > 0 {
		select {
		case c.opening <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-c.opening }()
	}
	if err := c.register(call, p); err != nil {
		return err
	}
	if err := c.send(ctx, call); err != nil {
		c.forget(call.ID)
		return err
	}
	for _, s := range call.streams {
		if !s.open() { // closed already
			s.Reset(Errorf(Cancelled, "the other end closed the stream"))
		}
	}
	return nil
}

// register numbers a call and its streams, which the peer may answer from now
// on.
func (c *Conn) register(call *message, p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if int(c.opened)+len(call.streams) > math.MaxInt32 {
		return Errorf(Busy, "the connection has no numbers left for streams; make a new one")
	}
	c.calls++
	call.Type, call.ID = typeCall, c.calls
	c.waiting[call.ID] = p
	for _, s := range call.streams {
		c.opened++
		call.Streams = append(call.Streams, c.opened)
		c.streams[c.opened] = s
		s.prepare(c, c.opened)
	}
	return nil
}

func (c *Conn) await(ctx context.Context, call *message, p *pending) error {
	select {
	case m, ok := <-p.done:
		return c.finish(call, p, m, ok)
	case <-ctx.Done():
	}
	if !c.forget(call.ID) { // the reply came in between
		if m, ok := <-p.done; ok && m.Type == typeReply && p.bad == nil {
			closeAll(m.files)
		}
	} else if err := c.tell(&message{Type: typeCancel, ID: call.ID}); err != nil {
		c.fail(readError(err))
	}
	return fmt.Errorf("cannot finish %s: %w", call.Method, context.Cause(ctx))
}

// finish says how a call has ended; ok is false when the connection did first.
func (c *Conn) finish(call *message, p *pending, m *message, ok bool) error {
	switch {
	case !ok:
		return fmt.Errorf("cannot finish %s: %w", call.Method, c.Err())
	case m.Type == typeError:
		return m.Error
	case p.bad != nil:
		return fmt.Errorf("cannot read the reply of %s: %w", call.Method, p.bad)
	}
	return nil
}

// forget stops waiting for a reply. It is false when the reply or the end of
// the connection came first.
func (c *Conn) forget(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.waiting[id]
	delete(c.waiting, id)
	return ok
}
