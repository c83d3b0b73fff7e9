package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/netapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// macOf is the address of a machine's network card: local, and of its CID.
func macOf(r *Record) string {
	return net.HardwareAddr{0x02, 0xab, byte(r.CID >> 24), byte(r.CID >> 16), byte(r.CID >> 8), byte(r.CID)}.String()
}

// A network that ends by itself is started again at once, and one that does so again and again after a pause that grows.
const (
	firstNetPause = 100 * time.Millisecond
	lastNetPause  = 10 * time.Second
	steadyNet     = 30 * time.Second
)

// keepNetwork plays the machine's network for as long as the VM runs. It begins with the process that plays it already, if
// there is one. The guest notices the loss of such a process as a cable that is pulled and plugged in again.
func (s *session) keepNetwork(adopted bool) {
	tried := sync.OnceFunc(func() { close(s.netTried) })
	defer tried()
	if s.m.mgr.opts.NetProgram == "" {
		return
	}
	for pause := firstNetPause; ; pause = min(2*pause, lastNetPause) {
		began := time.Now()
		p, err := s.bringNetwork(adopted)
		if err == nil {
			s.setNetwork(p)
			tried()
			err = s.awaitNetwork(p)
			s.setNetwork(nil)
		}
		if s.ctx.Err() != nil {
			return
		}
		tried()
		adopted = false
		s.m.log.Warn().Err(err).Msg("the machine has no network")
		s.m.mgr.publish(agentapi.Event{Kind: agentapi.NetworkLost, Machine: s.m.name, Cause: err.Error()})
		if time.Since(began) > steadyNet {
			pause = firstNetPause
		}
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return
		}
	}
}

// awaitNetwork returns when the process is lost, with the reason, or is not wanted any more. It lives on for an agent to come,
// if the VM does.
func (s *session) awaitNetwork(p *Process) error {
	select {
	case <-s.ctx.Done():
	case <-p.Exited():
	case <-p.Done():
	}
	if s.ctx.Err() != nil && s.verdict.detach { // which holds since over was closed, before ctx ended
		p.Detach()
		return nil
	}
	if s.ctx.Err() != nil {
		if err := p.Close(); err != nil {
			s.m.log.Warn().Err(err).Msg("the network ended badly")
		}
		s.clearNetwork()
		return nil
	}
	why := p.Err()
	if err := p.Kill(); err != nil {
		return err
	}
	p.Conn.Close()
	if err := errors.Join(p.ExitError(), why); err != nil {
		return fmt.Errorf("arcbox-net (pid %d) is lost: %w", p.Pid(), err)
	}
	return fmt.Errorf("arcbox-net (pid %d) has ended", p.Pid())
}

func (s *session) clearNetwork() {
	if path, err := s.m.mgr.netSocket(s.m.name); err == nil {
		clearSocket(path)
	}
}

// bringNetwork adopts the process that plays the network, or starts one, and sees that it is linked to the VM.
func (s *session) bringNetwork(adopted bool) (*Process, error) {
	path, err := s.m.mgr.netSocket(s.m.name)
	if err != nil {
		return nil, err
	}
	p, linked, err := s.adoptNetwork(path)
	switch {
	case err == nil && adopted && linked:
		s.m.log.Info().Int("pid", p.Pid()).Msg("found the machine's network")
		return p, nil
	case err == nil:
		err = s.plug(func(link *os.File) error {
			req := &netapi.RelinkReq{}
			req.Link = req.Attach(link)
			_, err := ipc.Call(s.ctx, p.Conn, netapi.Relink, req)
			return err
		})
	case errors.Is(err, ErrNoProcess):
		p, err = s.startNetwork(path)
	}
	if err != nil && p != nil {
		err = errors.Join(err, p.Kill())
	}
	return p, err
}

// adoptNetwork becomes the owner of the process that plays the machine's network, and says whether that is linked to a VM.
func (s *session) adoptNetwork(path string) (p *Process, linked bool, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, adoptTime)
	defer cancel()
	p, err = netProgram.adopt(ctx, path, func(conn *ipc.Conn) (int, error) {
		resp, err := ipc.Call(ctx, conn, netapi.Adopt, &netapi.AdoptReq{})
		if err != nil {
			return 0, err
		}
		linked = resp.Linked
		if resp.Gateway == "" {
			err = errors.New("it was never configured")
		}
		return resp.PID, err
	})
	switch {
	case errors.Is(err, ErrNoProcess):
		clearSocket(path)
	case err != nil && s.ctx.Err() == nil:
		killStuck(s.m.log, netProgram, path)
	}
	return p, linked, err
}

// startNetwork starts a process that plays the machine's network.
func (s *session) startNetwork(path string) (*Process, error) {
	log, err := s.m.openProcessLog(logNet)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	meet, err := Rendezvous(path)
	if err != nil {
		return nil, err
	}
	defer meet.Close()
	p, err := StartNetwork(s.m.mgr.opts.NetProgram, log)
	if err != nil {
		return nil, err
	}
	if err := notePID(path, p.Pid()); err != nil {
		return p, err
	}
	return p, s.plug(func(link *os.File) error {
		req := &netapi.ConfigureReq{Label: s.m.name, MAC: macOf(s.made), OrphanMS: s.m.settings().Orphan.Milliseconds()}
		req.Link, req.Rendezvous = req.Attach(link), req.Attach(meet)
		_, err := ipc.Call(s.ctx, p.Conn, netapi.Configure, req)
		return err
	})
}

// plug lays a cable: network gets one end of it, the VM the other.
func (s *session) plug(network func(link *os.File) error) error {
	conn, theirs, err := ipc.Pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	ours, err := conn.File()
	conn.Close()
	if err != nil {
		return err
	}
	defer ours.Close()
	if err := network(theirs); err != nil {
		return fmt.Errorf("cannot make the network: %w", err)
	}
	req := &vmapi.SetLinkReq{}
	req.Link = req.Attach(ours)
	if _, err := ipc.Call(s.ctx, s.proc.Conn, vmapi.SetLink, req); err != nil {
		return fmt.Errorf("cannot plug the network in: %w", err)
	}
	return nil
}

// setNetwork tells what plays the network now.
func (s *session) setNetwork(p *Process) {
	s.mu.Lock()
	s.network = p
	s.mu.Unlock()
	s.lookAtPorts()
	s.lookAtRoutes()
	if p != nil {
		s.m.log.Info().Int("pid", p.Pid()).Msg("the machine has a network")
		s.m.mgr.publish(agentapi.Event{Kind: agentapi.NetworkUp, Machine: s.m.name})
	}
}

// AwaitGuests returns when the guests of the VMs that were found running have answered, or had the time for it.
func (g *Manager) AwaitGuests(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, linkTime)
	defer cancel()
	for _, m := range g.all() {
		if s := m.current(); s != nil {
			s.linked(ctx) // what comes of it is for the session to see
		}
	}
}

// AwaitNetworks returns when the networks of the VMs that were found running have been taken over, or that was tried.
func (g *Manager) AwaitNetworks(ctx context.Context) {
	for _, m := range g.all() {
		s := m.current()
		if s == nil {
			continue
		}
		select {
		case <-s.netTried:
		case <-s.over:
		case <-ctx.Done():
		}
	}
}
