package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/arcboxlabs/arcbox-go/agent/docker"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Docker gives a stream to the guest's dockerd, and brings up the machine and dockerd for that. With quiet a machine that is up already
// is not woken and not used. Errors: those of EnsureReady; what dockerd said in vain.
func (m *Machine) Docker(ctx context.Context, quiet bool) (*net.UnixConn, error) {
	s := m.current()
	if !quiet || s == nil || !s.hasDocker() {
		if err := m.EnsureReady(ctx); err != nil {
			return nil, err
		}
		if s = m.current(); s == nil {
			return nil, fmt.Errorf("cannot reach dockerd in %s: %w", m.name, errNoGuest)
		}
	}
	if err := m.waiting(); err != nil {
		return nil, err
	}
	c, err := s.docker(ctx)
	var refusal *ipc.Error
	if errors.As(err, &refusal) && refusal.Code == vmapi.Refused { // it has ended since, and is being started again
		s.setDocker(nil)
		c, err = s.docker(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot reach dockerd in %s: %w", m.name, err)
	}
	return c, nil
}

// A remembered is what the dockerd of a boot asset has said of itself, as it is kept beside the machine's sockets.
type remembered struct {
	Asset string       `json:"asset"`
	Said  *docker.Said `json:"said"`
}

// saidPath is where it is kept.
func (m *Machine) saidPath() string {
	return filepath.Join(m.mgr.opts.Home.Run(), "docker-"+m.name+".json")
}

// Said implements docker.Machine. What was said by the dockerd of another boot asset than the next start's is not told.
func (m *Machine) Said() (said *docker.Said, stopped bool) {
	if s := m.current(); s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.said, false
	}
	if state := m.life.Status().State; state != lifecycle.Stopped && state != lifecycle.Created {
		return nil, false
	}
	data, err := os.ReadFile(m.saidPath())
	var r remembered
	if err != nil || json.Unmarshal(data, &r) != nil {
		return nil, true
	}
	if next, err := m.mgr.asset(m.settings()); err != nil || next.ID != r.Asset {
		return nil, true
	}
	return r.Said, true
}

// Remember implements docker.Machine.
func (m *Machine) Remember(said *docker.Said) {
	s := m.current()
	if s == nil {
		return
	}
	s.mu.Lock()
	s.said = said
	s.mu.Unlock()
	data, err := json.Marshal(remembered{s.made.Asset, said})
	if err == nil {
		err = home.Replace(m.saidPath(), data, 0o600)
	}
	if err != nil {
		m.log.Warn().Err(err).Msg("cannot remember what dockerd says of itself")
	}
}

// hasDocker says whether dockerd was ready when somebody last looked.
func (s *session) hasDocker() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link != nil && s.dockerOf == s.link
}

// setDocker notes that dockerd is ready, as the guest's agent behind l has said.
func (s *session) setDocker(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dockerOf = l
}

// docker gives a stream to dockerd, which is started if it is not known to be ready.
func (s *session) docker(ctx context.Context) (*net.UnixConn, error) {
	l, err := s.linked(ctx)
	if err != nil {
		return nil, err
	}
	if !s.hasDocker() {
		_, err := ipc.Call(ctx, l.conn, guestapi.StartService, &guestapi.StartServiceReq{Name: guestapi.DockerService})
		var refusal *ipc.Error
		if errors.As(err, &refusal) && refusal.Code == guestapi.NotFound {
			return nil, errors.New("its boot asset has no Docker; run arcbox assets fetch, and restart the machine")
		}
		if err != nil {
			return nil, err
		}
		s.setDocker(l)
	}
	f, err := s.connect(ctx, guestapi.DockerPort)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn has a copy of its own
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
