package machine

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A machine is idle when nothing uses it: nobody has a Use or a Hold of it, nobody has asked for it for a while, and the guest says
// that it runs no exec and no container and has little to do.

// Use notes that something uses the machine, until release is called.
func (m *Machine) Use() (release func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uses++
	m.consider()
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.uses--
		m.used = time.Now()
		m.consider()
	})
}

// consider has watchIdle look at the machine: something that keeps it from resting has begun or ended. The caller holds mu.
func (m *Machine) consider() {
	select {
	case m.look <- struct{}{}:
	default:
	}
}

// watchIdle reports when the machine comes to rest, is used again, or has rested for long. It sleeps until then.
func (m *Machine) watchIdle() {
	defer close(m.idleDone)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		event, epoch, wait := m.rests(m.settings())
		if event != "" {
			m.life.Report(event, epoch, nil)
		}
		if wait > 0 {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
		select {
		case <-m.life.Done():
			return
		case <-m.look:
		case <-timer.C:
		}
	}
}

// rests says what is to be reported about the machine's rest now, and else when to look again; 0 for when something happens.
func (m *Machine) rests(set Settings) (event lifecycle.Event, epoch uint64, wait time.Duration) {
	busy := m.current().busy(set)
	m.mu.Lock()
	defer m.mu.Unlock()
	busy = busy || m.uses > 0 || len(m.holds) > 0
	if m.busy && !busy {
		m.used = time.Now() // until now
	}
	m.busy = busy
	switch {
	case m.state == lifecycle.Running && !busy:
		if wait = set.IdleAfter - time.Since(m.used); wait <= 0 {
			return lifecycle.Quiet, m.epoch, 0
		}
	case m.state == lifecycle.Idle && busy:
		m.used = time.Now()
		return lifecycle.Busy, m.epoch, 0
	case m.state == lifecycle.Idle && !set.NoStop:
		if wait = set.StopAfter - time.Since(m.since); wait <= 0 {
			return lifecycle.Expired, m.epoch, 0
		}
	}
	return "", 0, wait
}

// reported keeps what the guest says of itself.
func (s *session) reported(n *guestapi.ReportNote) {
	set := s.m.settings()
	s.mu.Lock()
	s.report = n
	tight := s.idle && (n.Memory.Pressure >= maxPressure || n.Memory.Available < set.Reserve/2)
	s.mu.Unlock()
	if tight {
		select {
		case s.tight <- struct{}{}:
		default:
		}
	}
	s.reconsider()
}

// reconsider has watchIdle look at the machine.
func (s *session) reconsider() {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.consider()
}

// busy says whether the guest has something to do, by its own word or as it waits for space on the host. Without a session there
// is nothing to do.
func (s *session) busy(set Settings) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.report
	return s.paused && !s.frozen || n != nil && (n.Execs > 0 || n.Containers > 0 || n.Load > set.IdleLoad)
}

// maxPressure is the share of time, in percent, for which tasks of an idle guest wait for memory when it gets some back.
const maxPressure = 5

// watchReq is what the guest is to tell, now.
func (s *session) watchReq() *guestapi.WatchReq {
	set := s.m.settings()
	req := &guestapi.WatchReq{Load: set.IdleLoad, Pressure: maxPressure, Available: set.Reserve / 2}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.idle {
		req.BeatMS = set.HealthEvery.Milliseconds()
	}
	return req
}

// rest lets the guest be: it sends no more beats, and gives memory back. So does this process, which has
// garbage of what went on until now: it does not collect any by itself while nothing happens (package quiet).
func (s *session) rest(ctx context.Context) {
	s.setIdle(true)
	s.rewatch(ctx)
	debug.FreeOSMemory()
	if s.m.settings().NoBalloon {
		return
	}
	squeezed, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	s.unsqueeze = cancel
	s.mu.Unlock()
	s.watch.Go(func() { s.squeeze(squeezed) })
}

// wake undoes rest, and returns when the guest has answered.
func (s *session) wake(ctx context.Context) error {
	s.setIdle(false)
	s.mu.Lock()
	if s.unsqueeze != nil {
		s.unsqueeze()
		s.unsqueeze = nil
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, linkGrace)
	defer cancel()
	if _, err := s.balloon(ctx, 0); err != nil {
		return err
	}
	l, err := s.linked(ctx)
	if err != nil {
		return err
	}
	if err := s.ping(ctx, l); err != nil {
		if s.isPaused() { // for the host's disk: it goes on where it was
			return nil
		}
		return err
	}
	s.rewatch(ctx)
	return nil
}

// isPaused says whether the guest's vCPUs stand still.
func (s *session) isPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.paused
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

const (
	// squeezeStep is how much the balloon takes at once, and squeezePause how long the guest has to get used to it.
	squeezeStep  = 64 << 20
	squeezePause = 2 * time.Second
)

// squeeze takes memory of a guest at rest, step by step and never what it needs. What free page reporting brings back by itself
// needs none of that: this is for what caches hold. The first sign of pressure gives half back and ends it.
func (s *session) squeeze(ctx context.Context) {
	taken, got := uint64(0), uint64(0) // what the balloon is to hold, and what it held when we last looked
	pause := time.NewTimer(squeezePause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.tight:
			taken /= 2
			s.balloon(ctx, taken)
			s.tellMemory("the guest needs memory: it has got half of what the balloon held back")
			continue
		case <-pause.C:
		}
		next, holds, err := s.squeezable(ctx, taken)
		if err == nil && next > taken {
			_, err = s.balloon(ctx, next)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.m.log.Warn().Err(err).Msg("cannot take memory of the guest")
		case next > taken || holds > got && holds < taken: // one more step, or the guest is on the last one
			taken, got = next, holds
			pause.Reset(squeezePause)
		case taken > 0:
			s.tellMemory(fmt.Sprintf("the guest is at rest: the balloon holds %d MiB", holds>>20))
		}
	}
}

// squeezable is how much the balloon may hold after the next step: what leaves the guest what it needs, and a reserve. It is no more than
// taken while the balloon holds less.
func (s *session) squeezable(ctx context.Context, taken uint64) (next, holds uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	resp, err := ipc.Call(ctx, s.proc.Conn, vmapi.Balloon, &vmapi.BalloonReq{Ask: true})
	if err != nil {
		return taken, 0, err
	}
	s.mu.Lock()
	var needed uint64
	if s.report != nil {
		needed = s.report.Memory.Needed
	}
	s.mu.Unlock()
	holds = resp.Memory.Actual
	if resp.Guest == nil || holds < taken { // it has not got there
		return taken, holds, nil
	}
	return squeezed(taken, s.made.Memory, needed, resp.Guest.Available, s.m.settings().Reserve), holds, nil
}

// squeezed is taken and one more step, or less: the guest keeps what it says it needs, and of what it has available a reserve.
func squeezed(taken, size, needed, available, reserve uint64) uint64 {
	less := func(a, b uint64) uint64 { return a - min(a, b) }
	room := less(size, needed)
	room = less(room, reserve)
	return max(taken, min(room, taken+min(squeezeStep, less(available, reserve)))&^(1<<20-1))
}

// balloon sets how many bytes the balloon is to hold.
func (s *session) balloon(ctx context.Context, target uint64) (*vmapi.BalloonResp, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return ipc.Call(ctx, s.proc.Conn, vmapi.Balloon, &vmapi.BalloonReq{Target: &target})
}

func (s *session) tellMemory(text string) {
	s.m.log.Info().Msg(text)
	s.m.mgr.publish(agentapi.Event{Kind: agentapi.MemoryEvent, Machine: s.m.name, Message: text})
}

// Rest has machines that nobody uses rest at once, for a host that is short of memory or power.
func (g *Manager) Rest() {
	for _, m := range g.all() {
		m.mu.Lock()
		m.used, m.busy = time.Time{}, false
		m.consider()
		m.mu.Unlock()
	}
}
