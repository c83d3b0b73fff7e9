package machine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// wedged is for how many times of a beat an agent that is stuck, in a guest whose kernel answers, is left to PID 1: it
	// looks every 20 s and takes up to 10.
	wedged = 7
	// missed is how many beats may be missing before the guest is asked.
	missed = 3
	// clockEvery is how often the guest's clock is set while it runs.
	clockEvery = time.Minute
	// slept is how much more time may have passed by the wall clock than by the monotonic one, which stands still while
	// the host sleeps, before the guest's clock is set.
	slept = time.Second
)

// A pulse is what is known of a guest's life: when its last beat came, and when its clock was set.
type pulse struct {
	late *time.Timer   // runs out when beats are missing
	due  chan struct{} // has a word when the clock is to be set

	mu    sync.Mutex // guards what follows
	clock time.Time  // when it was set
	last  time.Time  // of the last beat
	// suspect is since when the guest's kernel answers and its agent does not, which PID 1 in it may heal.
	suspect time.Time
}

func newPulse() *pulse {
	p := &pulse{late: time.NewTimer(time.Hour), due: make(chan struct{}, 1)}
	p.late.Stop()
	return p
}

// beat notes that the guest lives; after the time wait without another the watcher is told. 0 means never.
func (p *pulse) beat(wait time.Duration) {
	if wait == 0 {
		p.late.Stop()
		return
	}
	p.late.Reset(wait)
	now := time.Now()
	p.mu.Lock()
	asleep := now.Round(0).Sub(p.last.Round(0)) - now.Sub(p.last)
	overdue := now.Sub(p.clock) >= clockEvery || asleep > slept && !p.last.IsZero()
	p.last, p.suspect = now, time.Time{}
	p.mu.Unlock()
	if overdue {
		p.wantClock()
	}
}

// suspected notes that the guest's agent does not answer, and says how much is left of its patience: whoever asks meanwhile,
// for the sake of the clock, does not shorten it.
func (p *pulse) suspected(patience time.Duration) (left time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.suspect.IsZero() {
		p.suspect = time.Now()
	}
	return patience - time.Since(p.suspect)
}

// wantClock has the guest's clock set soon.
func (p *pulse) wantClock() {
	select {
	case p.due <- struct{}{}:
	default:
	}
}

// synced notes that the guest's clock was set.
func (p *pulse) synced() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = time.Now()
}

// beatTime is how long there may be no beat, 0 for ever: an idle guest sends none, and one that is held cannot.
func (s *session) beatTime() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle || s.paused || s.stopping {
		return 0
	}
	return missed*s.every() + time.Second
}

// every is the time between the guest's beats.
func (s *session) every() time.Duration { return s.m.settings().HealthEvery }

// beat is the guest's note. The connection waits for it: it only sets a timer.
func (s *session) beat() { s.pulse.beat(s.beatTime()) }

// watchPulse sees a VM that no longer answers: until the guest's agent has come by asking the process, then by
// missing beats. An idle VM costs nothing here.
func (s *session) watchPulse() {
	defer s.pulse.late.Stop()
	if !s.watchStart() {
		return
	}
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.pulse.due:
			s.probe()
		case <-s.pulse.late.C:
			s.probe()
		}
	}
}

// watchStart asks the process for a sign of life until the guest's agent has come, and says whether it has.
func (s *session) watchStart() bool {
	every := time.NewTicker(s.every())
	defer every.Stop()
	for {
		s.mu.Lock()
		up, more := s.link != nil, s.relinked
		s.mu.Unlock()
		if up {
			return true
		}
		select {
		case <-s.ctx.Done():
			return false
		case <-more:
		case <-every.C:
			if err := s.processAnswers(missed * s.every()); err != nil {
				s.lost("arcbox-vm (pid %d) does not answer: %v", s.proc.Pid(), err)
				return false
			}
		}
	}
}

// processAnswers asks the VM process what it answers without waiting for the guest.
func (s *session) processAnswers(within time.Duration) error {
	ctx, cancel := context.WithTimeout(s.ctx, within)
	defer cancel()
	_, err := ipc.Call(ctx, s.proc.Conn, vmapi.Stats, &vmapi.StatsReq{})
	if s.ctx.Err() != nil {
		return nil
	}
	return err
}

// probe asks a guest whether it lives, and gives it up if it does not answer.
func (s *session) probe() {
	s.mu.Lock()
	l, quiet := s.link, s.paused || s.stopping
	s.mu.Unlock()
	if l == nil || quiet { // watchGuest sees to the first
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.every())
	defer cancel()
	err := s.ping(ctx, l)
	switch {
	case err == nil:
		s.beat()
		return
	case s.ctx.Err() != nil || l.gone(): // likewise
		return
	}
	s.suspect(err)
}

// suspect finds out who it is that does not answer: the VM process and the guest's kernel are given up, an agent has a while.
func (s *session) suspect(why error) {
	if err := s.processAnswers(s.every()); err != nil {
		s.lost("arcbox-vm (pid %d) does not answer: %v", s.proc.Pid(), err)
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.every())
	defer cancel()
	f, err := s.connect(ctx, guestapi.Port)
	if err == nil {
		f.Close()
	}
	var refused *ipc.Error
	alive := err == nil || errors.As(err, &refused) && refused.Code == vmapi.Refused
	left := s.pulse.suspected(wedged * s.every())
	switch {
	case s.ctx.Err() != nil:
	case !alive:
		s.lost("the guest does not answer: %v", why)
	case left <= 0:
		s.lost("%v", why)
	default:
		s.m.log.Warn().Err(why).Msg("the guest's kernel answers and its agent does not")
		s.pulse.late.Reset(left)
	}
}

// gone says that the link has ended.
func (l *link) gone() bool {
	select {
	case <-l.conn.Done():
		return true
	default:
		return false
	}
}
