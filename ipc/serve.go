package ipc

import (
	"context"
	"time"
)

// hear leaves a note to the goroutine that handles them.
func (c *Conn) hear(m *message) error {
	n, ok := c.mux.notes[m.Method]
	if !ok || allowed(c.peer, n.need, m.Method) != nil {
		closeAll(m.files)
		return nil
	}
	handle, err := n.prepare(m)
	if err != nil {
		closeAll(m.files)
		return err
	}
	if !c.delivering {
		c.delivering = true
		c.handlers.Go(c.deliver)
	}
	files := m.files
	done := func() {
		if c.ctx.Err() == nil {
			handle(c.ctx)
		}
		closeAll(files) // what the handler took is nil by now
	}
	select {
	case c.notes <- done:
	case <-c.ctx.Done():
		done()
	}
	return nil
}

// deliver handles notes in the order in which they came.
func (c *Conn) deliver() {
	for handle := range c.notes {
		handle()
	}
}

// accept makes what serves a call, or refuses it. An error is a violation.
func (c *Conn) accept(m *message) (serve func(), err error) {
	r, ctx, refusal, err := c.admit(m)
	switch {
	case err != nil:
		closeAll(m.files)
		return nil, err
	case refusal != nil:
		closeAll(m.files)
		return nil, c.tell(&message{Type: typeError, ID: m.ID, Error: refusal})
	}
	handle, size := r.prepare(m), len(m.Body)
	m.Body = nil // it is the wire's
	return func() { c.serve(ctx, m, size, handle) }, nil
}

// admit looks at a call, and makes its context and its streams if it may come
// in. An error is a violation.
func (c *Conn) admit(m *message) (route, context.Context, *Error, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, refusal, err := c.examine(m)
	if refusal != nil || err != nil {
		return r, nil, refusal, err
	}
	for _, id := range m.Streams {
		s := newStream()
		s.prepare(c, -id)
		s.open()
		c.streams[-id] = s
		m.streams = append(m.streams, s)
	}
	ctx, stop := context.WithCancelCause(c.ctx)
	c.serving[m.ID] = stop
	c.busy++
	c.held += len(m.Body)
	return r, ctx, nil, nil
}

// examine says why a call may not come in, and counts its streams as opened.
// The caller holds mu.
func (c *Conn) examine(m *message) (route, *Error, error) {
	if c.err != nil {
		return route{}, nil, c.err
	}
	if c.serving[m.ID] != nil {
		return route{}, nil, violation("two calls under way have the number %d", m.ID)
	}
	for _, id := range m.Streams {
		if id <= c.theirs {
			return route{}, nil, violation("stream %d is opened after stream %d", id, c.theirs)
		}
		c.theirs = id
	}
	r, ok := c.mux.routes[m.Method]
	if !ok {
		return r, Errorf(NoMethod, "cannot call %.64q: the peer has no such method", m.Method), nil
	}
	if e := allowed(c.peer, r.need, m.Method); e != nil {
		return r, e, nil
	}
	switch {
	case c.draining != nil:
		return r, Errorf(Ending, "cannot call %s: the peer is ending", m.Method), nil
	case len(c.serving) >= maxCalls || c.busy >= 2*maxCalls:
		return r, Errorf(Busy, "cannot call %s: %d calls are under way", m.Method, maxCalls), nil
	case c.held+len(m.Body) > maxHeld:
		return r, Errorf(Busy, "cannot call %s: the calls under way have %d bytes", m.Method, c.held), nil
	case len(m.Streams) > 0 && c.openByPeer()+len(m.Streams) > MaxStreams:
		return r, Errorf(Busy, "cannot call %s: at most %d streams may be open", m.Method, MaxStreams), nil
	}
	return r, nil, nil
}

// openByPeer counts the peer's open streams. The caller holds mu.
func (c *Conn) openByPeer() int {
	n := 0
	for id := range c.streams {
		if id < 0 {
			n++
		}
	}
	return n
}

// serve runs one handler, of a body of so many bytes, and answers.
func (c *Conn) serve(ctx context.Context, m *message, size int, h handler) {
	if m.TimeoutMS > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, time.Duration(m.TimeoutMS)*time.Millisecond)
		defer done()
	}
	reply, err := h(ctx)
	closeAll(m.files) // what the handler took is nil by now
	for _, s := range m.streams {
		if s != nil {
			s.Reset(Errorf(Cancelled, "the call that opened the stream has ended"))
		}
	}
	c.mu.Lock()
	c.held -= size
	c.serving[m.ID](nil) // frees the context
	delete(c.serving, m.ID)
	c.mu.Unlock()
	if err != nil {
		reply = &message{Type: typeError, Error: asError(err)}
	} else {
		reply.Type = typeReply
	}
	reply.ID = m.ID
	c.answer(reply)
	closeAll(reply.files)
	c.mu.Lock()
	c.busy--
	c.rest()
	c.mu.Unlock()
}
