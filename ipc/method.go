package ipc

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
)

// A Method is a route with the Go types of its two bodies. Bodies are JSON
// objects; a body that embeds Files can carry descriptors, a request that embeds
// Streams can open streams.
type Method[Req, Resp any] struct {
	Name string // "service.verb"
	Need Access // what a peer must be allowed to call it; zero is Control
}

// An FD names a descriptor that travels with a message: 1 is the first; 0
// is none.
type FD int

// Files are the descriptors that travel with a body. Embed it, and put
// FDs into the body's own fields.
type Files struct {
	list []*os.File
}

// Attach adds f to the message, which borrows it until Call or the reply has
// been sent.
func (fs *Files) Attach(f *os.File) FD {
	fs.list = append(fs.list, f)
	return FD(len(fs.list))
}

// Take gives the descriptor that h names to the caller, who must close it.
// What nobody takes is closed by the layer.
func (fs *Files) Take(h FD) (*os.File, error) {
	if h < 1 || int(h) > len(fs.list) || fs.list[h-1] == nil {
		return nil, Errorf(BadRequest, "cannot use descriptor %d: %d came along, and each can be used once", h, len(fs.list))
	}
	f := fs.list[h-1]
	fs.list[h-1] = nil
	return f, nil
}

// Close closes what was not taken. The layer does so for requests; whoever
// receives a reply with Files does it for that.
func (fs *Files) Close() {
	closeAll(fs.list)
	fs.list = nil
}

func (fs *Files) files() *Files { return fs }

// A carrier is a body that embeds Files.
type carrier interface{ files() *Files }

// filesOf is the Files that body (a pointer) embeds, or nil.
func filesOf(body any) *Files {
	if c, ok := body.(carrier); ok {
		return c.files()
	}
	return nil
}

// A Mux routes calls and notes to handlers. Fill it before it is given to
// NewConn.
type Mux struct {
	routes map[string]route
	notes  map[string]noteRoute
}

// A route is a method, without its types. prepare reads a call's body, which is gone when it
// returns, and is not given time to wait: the reader waits for it.
type route struct {
	need    Access
	prepare func(call *message) handler
}

// A noteRoute is a note, without its type. An error of prepare is a violation.
type noteRoute struct {
	need    Access
	prepare func(*message) (handle func(context.Context), err error)
}

// A handler makes the reply of one call.
type handler func(context.Context) (*message, error)

// NewMux makes a Mux that knows no method but Ping.
func NewMux() *Mux {
	mux := &Mux{routes: map[string]route{}, notes: map[string]noteRoute{}}
	Handle(mux, Ping, pong)
	return mux
}

// Handle lets h serve method m. Calls run at once, each on a goroutine of its
// own; ctx ends when the caller gives up or the connection ends. Descriptors in
// the reply are closed once it is sent. A second handler for a name is a bug in
// the program and panics.
func Handle[Req, Resp any](mux *Mux, m Method[Req, Resp], h func(context.Context, *Req) (*Resp, error)) {
	mux.add(m.Name, m.Need, func(call *message) handler {
		req := new(Req)
		if err := decode(call, req); err != nil {
			return failing(Errorf(BadRequest, "cannot read the request of %s: %v", m.Name, err))
		}
		return func(ctx context.Context) (*message, error) {
			resp, err := h(ctx, req)
			if err != nil {
				return nil, err
			}
			return encode(resp), nil
		}
	})
}

func (mux *Mux) add(name string, need Access, prepare func(*message) handler) {
	if _, ok := mux.routes[name]; ok {
		panic("ipc: two handlers for " + name)
	}
	mux.routes[name] = route{need, prepare}
}

// failing is the handler of a call whose request cannot be read.
func failing(e *Error) handler {
	return func(context.Context) (*message, error) { return nil, e }
}

// Call asks the peer and waits for its reply or for ctx to end. Errors: *Error
// from the peer; ErrInterrupted and ErrInvalid (wrapped) when no reply can come;
// the context's error.
func Call[Req, Resp any](ctx context.Context, c *Conn, m Method[Req, Resp], req *Req) (*Resp, error) {
	call := encode(req)
	call.Method = m.Name
	resp := new(Resp)
	if err := c.roundTrip(ctx, call, resp); err != nil {
		for _, s := range call.streams {
			s.Reset(Errorf(Cancelled, "the call that opened the stream has failed"))
		}
		return nil, err
	}
	return resp, nil
}

// encode makes a message of a body with its descriptors and streams.
func encode(body any) *message {
	m := &message{body: body}
	if fs := filesOf(body); fs != nil {
		m.files = fs.list
	}
	if ss := streamsOf(body); ss != nil {
		m.streams = ss.list
	}
	return m
}

// decode fills body from m and hands it the descriptors and streams. Fields that body does
// not know are ignored, so that a newer peer can say more.
func decode(m *message, body any) error {
	if len(m.Body) > 0 {
		if err := json.Unmarshal(m.Body, body); err != nil {
			return err
		}
	}
	if ss := streamsOf(body); ss != nil {
		ss.list = m.streams
	} else if len(m.streams) > 0 {
		return fmt.Errorf("%d streams were opened and none is wanted", len(m.streams))
	}
	fs := filesOf(body)
	if fs == nil {
		if len(m.files) > 0 {
			return fmt.Errorf("%d descriptors came along and none is wanted", len(m.files))
		}
		return nil
	}
	fs.list = m.files
	return nil
}
