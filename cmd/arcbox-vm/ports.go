package main

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"syscall"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// ports are the guest's vsock and the host's ports that are open to it. A nil one is a
// machine without.
type ports struct {
	dev  *vsock.Device
	over chan struct{} // closed by close
	busy sync.WaitGroup

	mu   sync.Mutex // guards what follows
	open map[uint32]*port
	shut bool
}

// A port is listened on. Connections wait in the device's backlog, and one in the hand of
// the goroutine that gives it away.
type port struct {
	l       *vsock.Listener
	arrived chan *vsock.Conn
}

// addVsock makes the guest's vsock if it is to have one.
func (m *machine) addVsock(cfg *board.Config, req *vmapi.ConfigureReq) error {
	if req.CID == 0 {
		if len(req.Listen) > 0 {
			return ipc.Errorf(ipc.BadRequest, "cannot listen on vsock port %d: the machine has no vsock; give it a cid", req.Listen[0])
		}
		return nil
	}
	if cfg.Deterministic != nil {
		return ipc.Errorf(ipc.BadRequest, "cannot give a deterministic machine vsock: what comes through it is not logged; leave the cid out")
	}
	dev, err := vsock.New(req.CID)
	if err != nil {
		return refused(err)
	}
	m.ports = &ports{dev: dev, over: make(chan struct{}), open: map[uint32]*port{}}
	for _, n := range req.Listen {
		if err := m.ports.listen(n); err != nil {
			return err
		}
	}
	m.add(cfg, "vsock", dev)
	return nil
}

var errNoVsock = ipc.Errorf(ipc.WrongState, "cannot use vsock: the machine has none, or has ended")

// listen opens a port, if it is not open.
func (p *ports) listen(n uint32) error {
	if p == nil {
		return errNoVsock
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.shut:
		return errNoVsock
	case p.open[n] != nil:
		return nil
	case len(p.open) >= vmapi.MaxPorts:
		return ipc.Errorf(ipc.BadRequest, "cannot listen on vsock port %d: %d are open, and no more may be", n, len(p.open))
	}
	l, err := p.dev.Listen(n)
	if err != nil {
		return err
	}
	at := &port{l: l, arrived: make(chan *vsock.Conn)}
	p.open[n] = at
	p.busy.Go(func() { p.serve(at) })
	return nil
}

// serve gives connections of a port away, one after another.
func (p *ports) serve(at *port) {
	for {
		c, err := at.l.Accept()
		if err != nil {
			return
		}
		select {
		case at.arrived <- c.(*vsock.Conn):
		case <-p.over:
			c.Close()
			return
		}
	}
}

// list are the open ports, sorted.
func (p *ports) list() []uint32 {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.open))
}

// close resets all connections and waits for what moves their bytes.
func (p *ports) close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	if !p.shut {
		p.shut = true
		close(p.over)
	}
	p.mu.Unlock()
	p.dev.Close()
	p.busy.Wait()
}

// take waits for a connection to a port.
func (p *ports) take(ctx context.Context, n uint32) (*vsock.Conn, error) {
	if p == nil {
		return nil, errNoVsock
	}
	p.mu.Lock()
	at := p.open[n]
	p.mu.Unlock()
	if at == nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot accept on vsock port %d: nobody listens there; call vm.listen first", n)
	}
	select {
	case c := <-at.arrived:
		return c, nil
	case <-p.over:
		return nil, errNoVsock
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// listen serves vmapi.Listen.
func (m *machine) listen(_ context.Context, req *vmapi.ListenReq) (*vmapi.ListenResp, error) {
	if err := m.ports.listen(req.Port); err != nil {
		return nil, err
	}
	return &vmapi.ListenResp{}, nil
}

// accept serves vmapi.Accept.
func (m *machine) accept(ctx context.Context, req *vmapi.AcceptReq) (*vmapi.AcceptResp, error) {
	c, err := m.ports.take(ctx, req.Port)
	if err != nil {
		return nil, err
	}
	f, err := c.File()
	if err != nil {
		c.Close()
		return nil, err
	}
	resp := &vmapi.AcceptResp{GuestPort: c.RemoteAddr().(vsock.Addr).Port}
	resp.Stream = resp.Attach(f)
	return resp, nil
}

// dial connects to a port of the guest.
func (p *ports) dial(ctx context.Context, n uint32) (*vsock.Conn, error) {
	if p == nil {
		return nil, errNoVsock
	}
	c, err := p.dev.Connect(ctx, n)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return nil, ipc.Errorf(vmapi.Refused, "cannot connect to vsock port %d of the guest: nobody listens there", n)
	case errors.Is(err, vsock.ErrNoDriver):
		return nil, ipc.Errorf(vmapi.NotReady, "cannot connect to vsock port %d of the guest: its driver is not at work", n)
	case errors.Is(err, net.ErrClosed):
		return nil, errNoVsock
	}
	return c, err
}

// connect serves vmapi.Connect.
func (m *machine) connect(ctx context.Context, req *vmapi.ConnectReq) (*vmapi.ConnectResp, error) {
	c, err := m.ports.dial(ctx, req.Port)
	if err != nil {
		return nil, err
	}
	f, err := c.File()
	if err != nil {
		c.Close()
		return nil, err
	}
	resp := &vmapi.ConnectResp{}
	resp.Stream = resp.Attach(f)
	return resp, nil
}
