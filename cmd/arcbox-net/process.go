package main

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/ipc/owned"
)

// defaultOrphan is how long an orphan waits when nobody said.
const defaultOrphan = 10 * time.Minute

// A process is the one network of this process, and the handlers.
type process struct {
	confine func() string
	keeper  *owned.Keeper

	mu      sync.Mutex // guards what follows
	network *network   // nil until Configure has succeeded
	label   string
}

func newProcess(confine func() string) *process {
	p := &process{confine: confine}
	p.keeper = owned.New(p.routes, owned.Hooks{})
	return p
}

// routes are the methods of every connection.
func (p *process) routes() *ipc.Mux {
	mux := ipc.NewMux()
	ipc.Handle(mux, netapi.Adopt, p.adopt)
	owned.Serve(mux, p.keeper, netapi.Configure, p.configure)
	owned.Serve(mux, p.keeper, netapi.Quit, p.quit)
	owned.Serve(mux, p.keeper, netapi.Relink, onNetwork(p, (*network).relink))
	owned.Serve(mux, p.keeper, netapi.Publish, onNetwork(p, (*network).publish))
	owned.Serve(mux, p.keeper, netapi.Withdraw, onNetwork(p, (*network).withdraw))
	owned.Serve(mux, p.keeper, netapi.SetNames, onNetwork(p, (*network).setNames))
	owned.Serve(mux, p.keeper, netapi.SetWire, onNetwork(p, (*network).setWire))
	owned.Serve(mux, p.keeper, netapi.Unwire, onNetwork(p, (*network).unwire))
	owned.Serve(mux, p.keeper, netapi.Stats, onNetwork(p, (*network).stats))
	return mux
}

// onNetwork makes a handler of one that needs a network.
func onNetwork[Req, Resp any](p *process, h func(*network, context.Context, *Req) (*Resp, error)) func(context.Context, *Req) (*Resp, error) {
	return func(ctx context.Context, req *Req) (*Resp, error) {
		n := p.configured()
		if n == nil {
			return nil, ipc.Errorf(ipc.WrongState, "cannot do this before the network is configured")
		}
		return h(n, ctx, req)
	}
}

func (p *process) configured() *network {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.network
}

// configure serves netapi.Configure.
func (p *process) configure(_ context.Context, req *netapi.ConfigureReq) (*netapi.ConfigureResp, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.network != nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot configure: this process plays a network already")
	}
	if len(req.Label) > netapi.MaxLabel {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot keep a label of %d bytes: give at most %d", len(req.Label), netapi.MaxLabel)
	}
	n, err := newNetwork(req)
	if err != nil {
		return nil, err
	}
	link, err := takeLink(&req.Files, req.Link)
	if err == nil && req.Rendezvous != 0 {
		err = p.meet(req)
	}
	if err != nil {
		n.close()
		return nil, err
	}
	n.plug(link)
	p.network, p.label = n, req.Label
	return &netapi.ConfigureResp{Gateway: n.gateway.String(), Guest: n.guest.String(), Sandbox: p.confine()}, nil
}

// meet lets others adopt the process.
func (p *process) meet(req *netapi.ConfigureReq) error {
	f, err := req.Take(req.Rendezvous)
	if err != nil {
		return err
	}
	patience := defaultOrphan
	if req.OrphanMS > 0 {
		patience = time.Duration(min(req.OrphanMS, 30*24*time.Hour.Milliseconds())) * time.Millisecond
	}
	return p.keeper.Meet(f, patience)
}

// takeLink makes a connection of the descriptor that fd names.
func takeLink(files *ipc.Files, fd ipc.FD) (net.Conn, error) {
	f, err := files.Take(fd)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot use the link: %v; give a stream socket", err)
	}
	return conn, nil
}

// adopt serves netapi.Adopt.
func (p *process) adopt(ctx context.Context, _ *netapi.AdoptReq) (*netapi.AdoptResp, error) {
	if _, err := p.keeper.Adopt(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &netapi.AdoptResp{Label: p.label, PID: os.Getpid(), Ports: []netapi.Port{}}
	if n := p.network; n != nil {
		resp.Gateway, resp.Guest = n.gateway.String(), n.guest.String()
		resp.Ports, resp.Linked = n.published(), n.linked()
	}
	return resp, nil
}

// quit serves netapi.Quit.
func (p *process) quit(context.Context, *netapi.QuitReq) (*netapi.QuitResp, error) {
	p.keeper.Finish()
	return &netapi.QuitResp{}, nil
}

// close ends the network and every connection.
func (p *process) close() {
	p.keeper.Close(func() {
		if n := p.configured(); n != nil {
			n.close()
		}
	})
}
