package agent

import (
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// progressEvery is how often progress inside one phase is told; its end always is.
const progressEvery = 100 * time.Millisecond

// A setup is how far the agent's start has got. Any goroutine may use it.
type setup struct {
	publish func(agentapi.Event) // told of each new phase

	mu      sync.Mutex // guards what follows
	now     agentapi.SetupStatus
	told    time.Time     // when changed was last closed
	changed chan struct{} // closed when now is another
}

func newSetup(publish func(agentapi.Event)) *setup {
	return &setup{publish: publish, changed: make(chan struct{}), now: agentapi.SetupStatus{Phase: agentapi.Initializing, Since: time.Now()}}
}

// enter begins a phase. What went wrong in it, if anything, stays until the next.
func (s *setup) enter(phase agentapi.Phase, message string, cause error) {
	st := agentapi.SetupStatus{Phase: phase, Since: time.Now(), Message: message}
	if cause != nil {
		st.Error = cause.Error()
	}
	s.mu.Lock()
	s.now = st
	s.tell()
	s.mu.Unlock()
	s.publish(agentapi.Event{Kind: agentapi.SetupChanged, Message: message, Cause: st.Error, Setup: &st})
}

// progress says how far the work of this phase has got.
func (s *setup) progress(p agentapi.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Progress = &p
	if time.Since(s.told) >= progressEvery || p.Done == p.Total {
		s.tell()
	}
}

// say says what is being done in this phase.
func (s *setup) say(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Message, s.now.Progress = message, nil
	s.tell()
}

// tell wakes who follows. The caller holds mu.
func (s *setup) tell() {
	s.told = time.Now()
	close(s.changed)
	s.changed = make(chan struct{})
}

// status is what is now, and a channel that is closed when that has changed.
func (s *setup) status() (agentapi.SetupStatus, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now, s.changed
}
