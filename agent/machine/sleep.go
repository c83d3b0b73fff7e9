package machine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Sleep is called before the host sleeps. When it returns no vCPU runs and what guests have written is on the
// medium; a guest that ran on would find devices and clocks that stood still for hours. Until Wake no VM is started
// or brought back from rest: who asks for that waits. Errors: which machines are not frozen, and why.
func (g *Manager) Sleep(ctx context.Context) error {
	g.mu.Lock()
	if g.asleep == nil {
		g.asleep = make(chan struct{})
	}
	g.mu.Unlock()
	return g.forSessions(func(s *session) error {
		if err := s.freeze(ctx); err != nil {
			return fmt.Errorf("cannot freeze %s: %w", s.m.name, err)
		}
		return nil
	})
}

// Wake is called when the host has slept, or will not after all: guests go on, and their clocks are set.
func (g *Manager) Wake(ctx context.Context) error {
	g.mu.Lock()
	if g.asleep != nil {
		close(g.asleep)
		g.asleep = nil
	}
	g.mu.Unlock()
	return g.forSessions(func(s *session) error {
		s.pulse.wantClock() // the host may have slept unasked
		if err := s.thaw(ctx); err != nil {
			return fmt.Errorf("cannot let %s go on: %w", s.m.name, err)
		}
		return nil
	})
}

// forSessions does f for each machine that has a VM, all at once.
func (g *Manager) forSessions(f func(*session) error) error {
	all := g.all()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, m := range all {
		if s := m.current(); s != nil {
			wg.Go(func() { errs[i] = f(s) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sleeping is closed when the host wakes; nil while it is awake.
func (g *Manager) sleeping() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.asleep
}

// awake returns when the host does not sleep. Errors: ctx's.
func (g *Manager) awake(ctx context.Context) error {
	for woken := g.sleeping(); woken != nil; woken = g.sleeping() {
		select {
		case <-woken:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// takePower waits until nobody else starts, freezes or thaws the guest; put it back.
func (s *session) takePower(ctx context.Context) error {
	select {
	case <-s.power:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *session) putPower() { s.power <- struct{}{} }

// start lets the guest begin, once the host is awake.
func (s *session) start(ctx context.Context) error {
	for {
		if err := s.m.mgr.awake(ctx); err != nil {
			return err
		}
		if err := s.takePower(ctx); err != nil {
			return err
		}
		if s.m.mgr.sleeping() == nil { // Sleep comes to this session after us
			break
		}
		s.putPower()
	}
	defer s.putPower()
	_, err := ipc.Call(ctx, s.proc.Conn, vmapi.Start, &vmapi.StartReq{})
	return err
}

// freeze stops the guest's vCPUs and flushes its disks. It counts as frozen even if the VM does not say so in time.
func (s *session) freeze(ctx context.Context) error {
	if err := s.takePower(ctx); err != nil {
		return err
	}
	defer s.putPower()
	s.setFrozen(true)
	_, err := ipc.Call(ctx, s.proc.Conn, vmapi.Pause, &vmapi.PauseReq{Flush: true})
	return unlessOver(err)
}

// thaw undoes freeze.
func (s *session) thaw(ctx context.Context) error {
	if err := s.takePower(ctx); err != nil {
		return err
	}
	defer s.putPower()
	s.mu.Lock()
	frozen := s.frozen
	s.mu.Unlock()
	if !frozen {
		return nil
	}
	_, err := ipc.Call(ctx, s.proc.Conn, vmapi.Resume, &vmapi.ResumeReq{})
	if err = unlessOver(err); err == nil {
		s.setFrozen(false)
	}
	return err
}

func (s *session) setFrozen(on bool) {
	s.mu.Lock()
	s.frozen = on
	s.mu.Unlock()
}

// unlessOver is err, but that a guest which does not run yet, or no more, is as good as frozen.
func unlessOver(err error) error {
	var refused *ipc.Error
	if errors.As(err, &refused) && refused.Code == ipc.WrongState {
		return nil
	}
	return err
}
