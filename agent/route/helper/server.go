package helper

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/routeapi"
)

// A Server answers routeapi. It touches nothing but wires that it has made.
type Server struct {
	host route.Host

	mu    sync.Mutex // guards what follows, and is held for the whole of a change
	wires []string   // that it has made; some may be gone
}

// NewServer makes one in front of host.
func NewServer(host route.Host) *Server { return &Server{host: host} }

// Only lets one user in: not even root, who needs no help.
func Only(uid int) func(ipc.Peer) (ipc.Access, error) {
	return func(p ipc.Peer) (ipc.Access, error) {
		if p.UID != uid {
			return 0, ipc.Errorf(ipc.Denied, "cannot serve user %d: this was installed for user %d", p.UID, uid)
		}
		return ipc.Control, nil
	}
}

// Routes are the methods.
func (s *Server) Routes() *ipc.Mux {
	mux := ipc.NewMux()
	ipc.Handle(mux, routeapi.Attach, s.attach)
	ipc.Handle(mux, routeapi.Installed, s.installed)
	ipc.Handle(mux, routeapi.Install, s.install)
	ipc.Handle(mux, routeapi.Remove, s.remove)
	ipc.HandleFeed(mux, routeapi.Changes, s.changes)
	return mux
}

// told gives an error of the host the code that it has for a client.
func told(err error) error {
	var code ipc.Code
	switch {
	case err == nil:
		return nil
	case errors.Is(err, route.ErrTaken):
		code = routeapi.Taken
	case errors.Is(err, route.ErrRefused):
		code = routeapi.Refused
	case errors.Is(err, route.ErrGone):
		code = routeapi.Gone
	default:
		return err
	}
	return &ipc.Error{Code: code, Message: err.Error()}
}

// attach serves routeapi.Attach.
func (s *Server) attach(ctx context.Context, _ *routeapi.AttachReq) (*routeapi.AttachResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wires) >= routeapi.MaxWires {
		s.wires = slices.DeleteFunc(s.wires, func(name string) bool {
			_, err := s.host.Installed(ctx, name)
			return errors.Is(err, route.ErrGone)
		})
	}
	if len(s.wires) >= routeapi.MaxWires {
		return nil, ipc.Errorf(ipc.Busy, "cannot make a wire: there are %d", len(s.wires))
	}
	w, err := s.host.Attach(ctx)
	if err != nil {
		return nil, told(err)
	}
	s.wires = append(s.wires, w.Name)
	resp := &routeapi.AttachResp{Name: w.Name, Host: w.Address.String()}
	resp.File = resp.Attach(w.File) // and is closed here once it is sent
	return resp, nil
}

// own says whether a wire is one that this process has made. The caller holds mu.
func (s *Server) own(name string) error {
	if len(name) > routeapi.MaxName || !slices.Contains(s.wires, name) {
		return ipc.Errorf(routeapi.Gone, "cannot find a wire %.64q that was made here", name)
	}
	return nil
}

// installed serves routeapi.Installed.
func (s *Server) installed(ctx context.Context, req *routeapi.InstalledReq) (*routeapi.InstalledResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.own(req.Wire); err != nil {
		return nil, err
	}
	subnets, err := s.host.Installed(ctx, req.Wire)
	if err != nil {
		return nil, told(err)
	}
	resp := &routeapi.InstalledResp{Subnets: []string{}}
	for _, p := range subnets {
		resp.Subnets = append(resp.Subnets, p.String())
	}
	return resp, nil
}

// parse reads a request of whoever may have been broken into. The caller holds mu.
func (s *Server) parse(req *routeapi.RouteReq) (netip.Prefix, error) {
	if err := s.own(req.Wire); err != nil {
		return netip.Prefix{}, err
	}
	p, err := netip.ParsePrefix(req.Subnet)
	if err != nil {
		return p, ipc.Errorf(ipc.BadRequest, "cannot route %.64q: it is no network", req.Subnet)
	}
	if err := route.Check(p); err != nil {
		return p, ipc.Errorf(ipc.BadRequest, "%v", err)
	}
	return p, nil
}

// install serves routeapi.Install.
func (s *Server) install(ctx context.Context, req *routeapi.RouteReq) (*routeapi.RouteResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.parse(req)
	if err != nil {
		return nil, err
	}
	has, err := s.host.Installed(ctx, req.Wire)
	if err == nil && len(has) >= routeapi.MaxSubnets && !slices.Contains(has, p) {
		return nil, ipc.Errorf(ipc.Busy, "cannot route %v: %d networks lead through %s", p, len(has), req.Wire)
	}
	if err == nil {
		err = s.host.Install(ctx, req.Wire, p)
	}
	return &routeapi.RouteResp{}, told(err)
}

// remove serves routeapi.Remove.
func (s *Server) remove(ctx context.Context, req *routeapi.RouteReq) (*routeapi.RouteResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.parse(req)
	if err == nil {
		err = s.host.Remove(ctx, req.Wire, p)
	}
	return &routeapi.RouteResp{}, told(err)
}

// changes serves routeapi.Changes.
func (s *Server) changes(ctx context.Context, _ *routeapi.ChangesReq, to *ipc.Sink[routeapi.Change]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed, ended := make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- s.host.Changes(ctx, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	var err error
	for err == nil {
		select {
		case <-changed:
			err = to.Send(&routeapi.Change{})
		case err := <-ended:
			return fmt.Errorf("the host's routes cannot be followed: %w", err)
		}
	}
	cancel()
	<-ended
	return err
}
