package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/arcboxlabs/arcbox-go/hv/board"
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
		typeIn(ours, m.typist(req.Console, port))
	})
	return resp, nil
}

// show copies what the guest prints until the stream or the console ends.
func (s *streams) show(c *net.UnixConn, r *console.Reader) {
	defer s.remove(c)
	defer r.Close()
	io.Copy(c, r)
}

// typist gives keys to a console: at once, or when a deterministic machine counts them.
func (m *machine) typist(name vmapi.Console, port *console.Port) func([]byte) error {
	return func(keys []byte) error {
		if m.repeats {
			return m.board.Input(typedOn(name, port, 0).Name, keys)
		}
		_, err := port.Write(keys)
		return err
	}
}

// typedOn and sizeOf are what a deterministic machine takes from outside for a console,
// which is of device.
func typedOn(name vmapi.Console, port *console.Port, device int) board.Outside {
	return board.Outside{
		Name: string(cmp.Or(name, vmapi.HVC0)), Device: device, Room: port.Room,
		Give: func(b []byte) { port.Write(b) }, // no more than there is room for
	}
}

func sizeOf(name vmapi.Console, port *console.Port, device int) board.Outside {
	return board.Outside{
		Name: string(cmp.Or(name, vmapi.HVC0)) + "-size", Device: device,
		Give: func(b []byte) {
			if len(b) == 4 {
				port.Resize(binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]))
			}
		},
	}
}

// resize serves vmapi.Resize.
func (m *machine) resize(_ context.Context, req *vmapi.ResizeReq) (*vmapi.ResizeResp, error) {
	port, err := m.port(req.Console)
	if err != nil {
		return nil, err
	}
	if m.repeats {
		size := binary.LittleEndian.AppendUint16(nil, req.Cols)
		size = binary.LittleEndian.AppendUint16(size, req.Rows)
		return &vmapi.ResizeResp{}, m.board.Input(sizeOf(req.Console, port, 0).Name, size)
	}
	port.Resize(req.Cols, req.Rows)
	return &vmapi.ResizeResp{}, nil
}

// uncounted refuses what a deterministic machine could not repeat.
func (m *machine) uncounted(what string) error {
	if !m.repeats {
		return nil
	}
	return ipc.Errorf(ipc.WrongState, "cannot %s: the machine is deterministic, and its log does not have this", what)
}
