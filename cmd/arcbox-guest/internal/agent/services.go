//go:build linux

package agent

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// services are what the guest can run by name.
type services struct {
	dirs    []string // of definitions, the first before the others
	run     string   // for what must outlive the agent
	starter *starter
	ctx     context.Context
	// meanwhile is what goes on while a service is ready, by its name.
	meanwhile map[string]func(context.Context)

	mu  sync.Mutex // guards what follows
	all map[string]*service
}

// find is a service that is defined or runs.
func (ss *services) find(name string) (*service, error) {
	if !isServiceName(name) {
		return nil, ipc.Errorf(guestapi.NotFound, "cannot find a service %.64q", name)
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s := ss.all[name]; s != nil {
		return s, nil
	}
	if _, err := define(ss.dirs, name); err != nil {
		return nil, err
	}
	s := &service{
		name: name, dir: filepath.Join(ss.run, name), dirs: ss.dirs, starter: ss.starter, out: openLog(filepath.Join(ss.run, name, "log")), ctx: ss.ctx,
		meanwhile: ss.meanwhile[name],
		changed:   make(chan struct{}), status: guestapi.Service{Name: name, State: stopped, Since: clock.Uptime().Milliseconds()},
	}
	if ss.all == nil {
		ss.all = map[string]*service{}
	}
	ss.all[name] = s
	return s, nil
}

// begin finds what already runs, and starts what runs with the guest. It does not wait for that.
func (ss *services) begin(busy *sync.WaitGroup, log *Log) {
	for _, name := range defined(ss.dirs) {
		s, err := ss.find(name)
		if err != nil {
			log.Printf("%v", err)
			continue
		}
		if p := s.find(); p != nil {
			if err := s.openPipe(); err != nil {
				log.Printf("%v", err)
			}
			s.mu.Lock()
			s.wanted = true
			s.activate(p)
			s.mu.Unlock()
			log.Printf("%s runs, process %d", name, p.pid)
		} else if d, err := define(ss.dirs, name); err == nil && d.Start {
			busy.Go(func() {
				if _, err := ss.start(ss.ctx, name, nil); err != nil && ss.ctx.Err() == nil {
					log.Printf("%v", err)
				}
			})
		}
	}
}

// start starts a service and before it those that it needs. above are those that need it.
func (ss *services) start(ctx context.Context, name string, above []string) (guestapi.Service, error) {
	s, err := ss.find(name)
	if err != nil {
		return guestapi.Service{}, err
	}
	d, err := define(ss.dirs, name)
	if err != nil {
		return guestapi.Service{}, err
	}
	if above = append(above, name); slices.Contains(above[:len(above)-1], name) {
		return guestapi.Service{}, ipc.Errorf(guestapi.Failed, "cannot start %s: it needs itself (%v)", name, above)
	}
	for _, need := range d.Needs {
		if _, err := ss.start(ctx, need, above); err != nil {
			return guestapi.Service{}, fmt.Errorf("cannot start %s: %w", name, err)
		}
	}
	return s.start(ctx)
}

// running says whether any is.
func (ss *services) running() bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for _, s := range ss.all {
		if s.now().State != stopped {
			return true
		}
	}
	return false
}

// end stops them all, each when those that need it have stopped: dockerd stops its containers only while it has containerd.
func (ss *services) end(ctx context.Context, log *Log) {
	ss.mu.Lock()
	all := maps.Clone(ss.all)
	ss.mu.Unlock()
	over, above := map[string]chan struct{}{}, map[string][]string{} // closed when one has stopped; who needs it
	for name := range all {
		over[name] = make(chan struct{})
		if d, err := define(ss.dirs, name); err == nil {
			for _, need := range d.Needs {
				above[need] = append(above[need], name)
			}
		}
	}
	var wait sync.WaitGroup
	for name, s := range all {
		wait.Go(func() {
			defer close(over[name])
			for _, first := range above[name] {
				select {
				case <-over[first]:
				case <-ctx.Done(): // a ring, or one that takes too long
				}
			}
			if _, err := s.stop(ctx); err != nil {
				log.Printf("%s has not ended in time", name)
			}
		})
	}
	wait.Wait()
}

// close leaves them all as they are.
func (ss *services) close() {
	ss.mu.Lock()
	all := slices.Collect(maps.Values(ss.all))
	ss.mu.Unlock()
	for _, s := range all {
		s.close()
	}
}

// listServices serves guestapi.Services.
func (a *Agent) listServices(context.Context, *guestapi.ServicesReq) (*guestapi.ServicesResp, error) {
	resp := &guestapi.ServicesResp{Services: []guestapi.Service{}}
	names := defined(a.services.dirs)
	a.services.mu.Lock()
	for name := range a.services.all {
		names = append(names, name)
	}
	a.services.mu.Unlock()
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		s, err := a.services.find(name)
		if err != nil {
			resp.Services = append(resp.Services, guestapi.Service{Name: name, State: failed, Message: err.Error()})
			continue
		}
		resp.Services = append(resp.Services, s.now())
	}
	return resp, nil
}

// startService serves guestapi.StartService.
func (a *Agent) startService(ctx context.Context, req *guestapi.StartServiceReq) (*guestapi.StartServiceResp, error) {
	s, err := a.services.start(ctx, req.Name, nil)
	return &guestapi.StartServiceResp{Service: s}, err
}

// stopService serves guestapi.StopService.
func (a *Agent) stopService(ctx context.Context, req *guestapi.StopServiceReq) (*guestapi.StopServiceResp, error) {
	s, err := a.services.find(req.Name)
	if err != nil {
		return nil, err
	}
	status, err := s.stop(ctx)
	return &guestapi.StopServiceResp{Service: status}, err
}
