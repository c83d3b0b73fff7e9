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

// A route is a method, without its types.
type route struct {
	need   Access
	handle handler
}

type noteRoute struct {
	need   Access
	handle func(context.Context, *message) error
}

// A handler turns a call's body and descriptors into those of its reply.
type handler func(ctx context.Context, call *message) (*message, error)

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
	mux.add(m.Name, m.Need, func(ctx context.Context, call *message) (*message, error) {
		req := new(Req)
		if err := decode(call, req); err != nil {
			return nil, Errorf(BadRequest, "cannot read the request of %s: %v", m.Name, err)
		}
		resp, err := h(ctx, req)
		if err != nil {
			return nil, err
		}
		return encode(resp)
	})
}

func (mux *Mux) add(name string, need Access, h handler) {
	if _, ok := mux.routes[name]; ok {
		panic("ipc: two handlers for " + name)
	}
	mux.routes[name] = route{need, h}
}

// Call asks the peer and waits for its reply or for ctx to end. Errors: *Error
// from the peer; ErrInterrupted and ErrInvalid (wrapped) when no reply can come;
// the context's error.
func Call[Req, Resp any](ctx context.Context, c *Conn, m Method[Req, Resp], req *Req) (*Resp, error) {
	call, err := encode(req)
	if err != nil {
		return nil, fmt.Errorf("cannot call %s: %w", m.Name, err)
	}
	call.Method = m.Name
	reply, err := c.roundTrip(ctx, call)
	if err != nil {
		for _, s := range call.streams {
			s.Reset(Errorf(Cancelled, "the call that opened the stream has failed"))
		}
		return nil, err
	}
	resp := new(Resp)
	if err := decode(reply, resp); err != nil {
		closeAll(reply.files)
		return nil, fmt.Errorf("cannot read the reply of %s: %w", m.Name, err)
	}
	return resp, nil
}

// encode makes a message of a body and its descriptors.
func encode(body any) (*message, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	m := &message{Body: text}
	if fs := filesOf(body); fs != nil {
		m.files = fs.list
	}
	if ss := streamsOf(body); ss != nil {
		m.streams = ss.list
	}
	return m, nil
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
