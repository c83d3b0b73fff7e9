package main

import (
	"context"
	"io"
	"net"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/console"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// streams are the readers of the consoles.
type streams struct {
	busy sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open map[net.Conn]vmapi.Console
	shut bool
}

// add counts a stream in, unless its console has enough.
func (s *streams) add(c net.Conn, of vmapi.Console) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, other := range s.open {
		if other == of {
			n++
		}
	}
	if s.shut || n >= vmapi.MaxAttached {
		return ipc.Errorf(ipc.Busy, "cannot attach to %s: it has %d readers, or the process is ending", of, n)
	}
	if s.open == nil {
		s.open = map[net.Conn]vmapi.Console{}
	}
	s.open[c] = of
	return nil
}

// remove closes a stream.
func (s *streams) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// close ends all streams and waits for them.
func (s *streams) close() {
	s.mu.Lock()
	s.shut = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.busy.Wait()
}

// port is a virtio console by name.
func (m *machine) port(name vmapi.Console) (*console.Port, error) {
	switch name {
	case vmapi.HVC0, "":
		return m.consoles.Port(0), nil
	case vmapi.HVC1:
		return m.consoles.Port(1), nil
	}
	return nil, ipc.Errorf(ipc.BadRequest, "cannot use console %.16q: there are hvc0 and hvc1", name)
}

// attach serves vmapi.Attach.
func (m *machine) attach(_ context.Context, req *vmapi.AttachReq) (*vmapi.AttachResp, error) {
	port, err := m.port(req.Console)
	if err != nil {
		return nil, err
	}
	ours, theirs, err := ipc.Pair()
	if err != nil {
		return nil, err
	}
	if err := m.streams.add(ours, req.Console); err != nil {
		ours.Close()
		theirs.Close()
		return nil, err
	}
	r := port.Attach(console.AttachOptions{History: req.History, From: req.From, Wait: req.Wait})
	resp := &vmapi.AttachResp{Position: r.Position()}
	resp.Stream = resp.Attach(theirs)
	m.streams.busy.Go(func() { m.streams.show(ours, r) })
	m.streams.busy.Go(func() {
		defer r.Close() // whoever will not type any more has left
		typeIn(ours, m.typist(port))
	})
	return resp, nil
}

// show copies what the guest prints until the stream or the console ends.
func (s *streams) show(c *net.UnixConn, r *console.Reader) {
	defer s.remove(c)
	defer r.Close()
	io.Copy(c, r)
}

// typist gives keys to a console. What a deterministic machine's takes is not counted.
func (m *machine) typist(port *console.Port) func([]byte) error {
	return func(keys []byte) error {
		if m.repeats {
			return nil
		}
		_, err := port.Write(keys)
		return err
	}
}

// resize serves vmapi.Resize.
func (m *machine) resize(_ context.Context, req *vmapi.ResizeReq) (*vmapi.ResizeResp, error) {
	port, err := m.port(req.Console)
	if err != nil {
		return nil, err
	}
	port.Resize(req.Cols, req.Rows)
	return &vmapi.ResizeResp{}, nil
}
