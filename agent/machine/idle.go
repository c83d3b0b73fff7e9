package machine

import (
	"context"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// reported keeps what the guest says of itself.
func (s *session) reported(n *guestapi.ReportNote) {
	s.mu.Lock()
	s.report = n
	s.mu.Unlock()
}

// rest lets the guest be: no more beats.
func (s *session) rest(ctx context.Context) {
	s.setIdle(true)
	s.rewatch(ctx)
}

// wake undoes rest, and returns when the guest has answered.
func (s *session) wake(ctx context.Context) error {
	s.setIdle(false)
	ctx, cancel := context.WithTimeout(ctx, linkGrace)
	defer cancel()
	l, err := s.linked(ctx)
	if err != nil {
		return err
	}
	if err := s.ping(ctx, l); err != nil {
		return err
	}
	s.rewatch(ctx)
	return nil
}

func (s *session) setIdle(on bool) {
	s.mu.Lock()
	s.idle = on
	s.mu.Unlock()
	s.pulse.beat(s.beatTime())
}

// rewatch tells the guest what to tell.
func (s *session) rewatch(ctx context.Context) {
	s.mu.Lock()
	l := s.link
	s.mu.Unlock()
	if l == nil {
		return // the next one asks by itself
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if _, err := ipc.Call(ctx, l.conn, guestapi.Watch, s.watchReq()); err != nil && ctx.Err() == nil {
		s.m.log.Warn().Err(err).Msg("cannot tell the guest what to report")
	}
}

// touch notes use. The caller holds m.mu.
func (m *Machine) touch() {
	m.used = time.Now()
	m.consider()
}

// consider looks whether the machine is at rest. The caller holds m.mu.
func (m *Machine) consider() {}
