package machine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/docker"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A session is one VM process and everything that watches it. It exists only while the process does, and ends whole:
// supervise is the one that ends it, for the first reason that anybody gives.
type session struct {
	m     *Machine
	epoch uint64
	made  *Record // what the VM was made of
	proc  *Process

	ctx    context.Context // ends with the watchers
	cancel context.CancelFunc
	watch  sync.WaitGroup

	once    sync.Once
	over    chan struct{} // closed when verdict holds
	verdict verdict
	force   chan struct{} // closed when the process must die
	forced  sync.Once
	done    chan struct{} // closed when all has ended

	connecting chan struct{} // has a word for each stream that is being made
	portsDue   chan struct{} // has a word when keepPorts is to look
	routesDue  chan struct{} // has a word when keepRoutes is to look
	netTried   chan struct{} // closed when the network is there, or was tried in vain

	power chan struct{} // has a word while nobody starts, freezes or thaws the guest

	pulse *pulse
	tight chan struct{} // has a word when a guest at rest is short of memory

	mu       sync.Mutex          // guards what follows
	link     *link               // to the guest's agent; nil while there is none
	dockerOf *link               // whose guest has dockerd ready
	said     *docker.Said        // by its dockerd; nil before somebody has asked
	ports    *guestapi.PortsNote // what the guest publishes; nil before it has said so
	subnets  []netip.Prefix      // where its containers are
	unrouted string              // where else it says they are, and why that cannot be
	network  *Process            // that plays the network; nil while there is none
	relinked chan struct{}       // closed when there is another link
	report   *guestapi.ReportNote
	events   []string // the last of the VM, as text
	stopping bool     // the guest was asked to power off
	paused   bool
	frozen   bool // because the host sleeps
	idle     bool
	// unsqueeze ends what takes memory of a guest at rest; nil while nothing does.
	unsqueeze context.CancelFunc
	started   time.Time // of the guest's kernel
}

// A verdict is why a session ends: an event for the owner of the state, or with none what the driver wanted.
type verdict struct {
	event  lifecycle.Event
	cause  error
	detach bool // leave the VM to the next agent
}

func newSession(m *Machine, epoch uint64, made *Record, proc *Process) *session {
	s := &session{
		m: m, epoch: epoch, made: made, proc: proc, over: make(chan struct{}), force: make(chan struct{}), done: make(chan struct{}),
		power: make(chan struct{}, 1), relinked: make(chan struct{}), netTried: make(chan struct{}), portsDue: make(chan struct{}, 1), connecting: make(chan struct{}, maxConnecting), routesDue: make(chan struct{}, 1), started: time.Now(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pulse, s.tight = newPulse(), make(chan struct{}, 1)
	s.power <- struct{}{}
	return s
}

// begin starts the watchers, of events behind number after. A guest that was adopted may have announced itself already.
func (s *session) begin(after uint64, adopted bool) {
	s.watch.Go(s.watchProcess)
	s.watch.Go(func() { s.watchEvents(after) })
	s.watch.Go(func() { s.watchGuest(adopted) })
	s.watch.Go(s.watchPulse)
	s.watch.Go(func() { s.keepNetwork(adopted) })
	s.watch.Go(s.keepPorts)
	s.watch.Go(s.keepRoutes)
	s.logConsoles(adopted)
}

// resume takes over a VM that was found running.
func (s *session) resume(found *vmapi.AdoptResp) {
	go s.supervise()
	after := found.Event
	switch found.State {
	case vmapi.Ended:
		after = 0 // the journal says how
	case vmapi.Paused: // by an agent that is gone, or a full disk, which shows again
		ctx, cancel := context.WithTimeout(s.ctx, askTime)
		ipc.Call(ctx, s.proc.Conn, vmapi.Resume, &vmapi.ResumeReq{}) // one that does not answer is seen by the watchers
		cancel()
	}
	if found.Started != 0 {
		s.started = time.UnixMilli(found.Started)
	}
	s.begin(after, true)
	s.watch.Go(func() { // the one before may have left the guest at rest, which it is not now
		if _, err := s.balloon(s.ctx, 0); err != nil && s.ctx.Err() == nil {
			s.m.log.Warn().Err(err).Msg("cannot give the guest its memory back")
		}
	})
}

// end gives the reason to end. The first one counts.
func (s *session) end(v verdict) {
	s.once.Do(func() {
		s.verdict = v
		close(s.over)
	})
}

// lost says that the VM is of no use any more. The cause is a text: the code of what a VM or a guest answered is not for
// whoever asks us.
func (s *session) lost(format string, args ...any) {
	s.end(verdict{event: lifecycle.Lost, cause: fmt.Errorf(format, args...)})
}

// supervise waits for a reason to end, and ends.
func (s *session) supervise() {
	defer close(s.done)
	<-s.over
	v := s.verdict
	switch {
	case v.detach:
		s.proc.Detach()
	case v.event == lifecycle.Down: // the disks are flushed before the process ends
		s.quit()
	case v.event == lifecycle.Lost:
		s.m.writeCrashReport(s.crashReport(v.cause))
		s.m.life.Report(v.event, s.epoch, v.cause)
		<-s.force
		s.kill()
	default:
		s.kill()
	}
	s.cancel()
	s.proc.Conn.Close()
	s.watch.Wait()
	s.setLink(nil)
	if v.detach {
		return
	}
	s.m.clearRun()
	s.m.setSession(nil)
	if v.event == lifecycle.Down {
		s.m.life.Report(v.event, s.epoch, v.cause)
	}
}

// quit has the process end in order, or by force if somebody wants that.
func (s *session) quit() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.proc.Close(); err != nil {
			s.m.log.Warn().Err(err).Msg("the VM process ended badly")
		}
	}()
	select {
	case <-ended:
	case <-s.force:
		s.kill()
		<-ended
	}
}

func (s *session) kill() {
	if err := s.proc.Kill(); err != nil {
		s.m.log.Error().Err(err).Msg("cannot end the VM process")
	}
}

// destroy ends the VM now and returns when the process is gone.
func (s *session) destroy() {
	s.forced.Do(func() { close(s.force) })
	s.end(verdict{})
	<-s.done
}

// detach ends the session and leaves the VM to the next agent.
func (s *session) detach() {
	s.end(verdict{detach: true})
	s.forced.Do(func() { close(s.force) }) // what is over already must not wait for the driver
	<-s.done
}

// watchProcess sees the process go.
func (s *session) watchProcess() {
	select {
	case <-s.ctx.Done():
		return
	case <-s.proc.Exited():
	case <-s.proc.Done():
		select { // which of both is seen first means nothing
		case <-s.proc.Exited():
		case <-s.ctx.Done():
			return
		case <-time.After(time.Second):
			s.lost("the connection to arcbox-vm (pid %d) is lost: %v", s.proc.Pid(), s.proc.Err())
			return
		}
	}
	if err := s.proc.ExitError(); err != nil {
		s.lost("%v", err)
		return
	}
	s.lost("arcbox-vm (pid %d) has ended", s.proc.Pid())
}

// watchEvents follows what the VM has to say.
func (s *session) watchEvents(after uint64) {
	for {
		resp, err := ipc.Call(s.ctx, s.proc.Conn, vmapi.Events, &vmapi.EventsReq{After: after})
		if err != nil {
			return // watchProcess knows why
		}
		for _, e := range resp.Events {
			after = e.Seq
			s.happened(e)
		}
	}
}

// happened deals with one event of the VM.
func (s *session) happened(e vmapi.Event) {
	log := s.m.log.With().Str("vm_event", string(e.Kind)).Str("device", e.Device).Logger()
	log.Debug().Msg(e.Message)
	s.remember(e)
	tell := func(text string) {
		log.Warn().Msg(text)
		s.m.mgr.publish(agentapi.Event{Kind: agentapi.DiskEvent, Machine: s.m.name, Message: text})
	}
	switch e.Kind {
	case vmapi.GuestEnded:
		s.guestEnded(e.Outcome)
	case vmapi.GuestPaused, vmapi.GuestResumed:
		s.mu.Lock()
		s.paused = e.Kind == vmapi.GuestPaused
		s.mu.Unlock()
		s.pulse.beat(s.beatTime())
		s.reconsider()
		if e.Kind == vmapi.GuestResumed { // its clock stood still
			s.m.setWaits("")
			s.pulse.wantClock()
		}
	case vmapi.DiskFull:
		s.m.setWaits("the host's disk is full, and it waits until there is space")
		tell(e.Device + ": the host has no space left; the guest waits until there is some: " + e.Message)
	case vmapi.DiskSpace:
		s.m.setWaits("")
		tell(e.Device + ": the host has space again and the guest goes on")
	case vmapi.DiskError, vmapi.DeviceBroken:
		tell(e.Device + ": " + e.Message)
	}
}

// remember keeps an event for a crash report.
func (s *session) remember(e vmapi.Event) {
	const kept = 50
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.events) == kept {
		s.events = s.events[1:]
	}
	s.events = append(s.events, fmt.Sprintf("%s %s %s %s", e.Time.UTC().Format(time.RFC3339Nano), e.Kind, e.Device, e.Message))
}

// guestEnded says what the end of the guest means.
func (s *session) guestEnded(outcome vmapi.Outcome) {
	s.mu.Lock()
	stopping := s.stopping
	s.mu.Unlock()
	if stopping || outcome == vmapi.PowerOff || outcome == vmapi.Stopped {
		s.end(verdict{event: lifecycle.Down, cause: fmt.Errorf("the guest ended (%s)", outcome)})
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, askTime)
	defer cancel()
	end, err := ipc.Call(ctx, s.proc.Conn, vmapi.Wait, &vmapi.WaitReq{})
	if err != nil {
		s.lost("the guest ended (%s)", outcome)
		return
	}
	s.lost("the guest ended (%s): %s", outcome, end.Message)
}

// askTime is how long a VM process may take to answer what it answers at once.
const askTime = 5 * time.Second

// shutdown asks the guest to power off. An error means that it cannot be asked.
func (s *session) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	if err := s.thaw(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.stopping = true
	l := s.link
	s.mu.Unlock()
	var err error
	if l != nil {
		_, err = ipc.Call(ctx, l.conn, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: s.m.settings().guestGrace().Milliseconds()})
	} else { // it may be there for another connection
		_, err = ipc.Call(ctx, s.proc.Conn, vmapi.Stop, &vmapi.StopReq{})
	}
	if err == nil || errors.Is(err, ipc.ErrInterrupted) {
		return nil
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // a forced stop has come
	}
	return fmt.Errorf("cannot ask the guest to shut down: %w", err)
}

// maxConnecting is how many streams to the guest are being made at once. Whoever comes then waits: a VM's process refuses what is far
// too much at once, and has other things to answer.
const maxConnecting = 32

// connect gives a stream to a port of the guest.
func (s *session) connect(ctx context.Context, port uint32) (*os.File, error) {
	select {
	case s.connecting <- struct{}{}:
		defer func() { <-s.connecting }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	resp, err := ipc.Call(ctx, s.proc.Conn, vmapi.Connect, &vmapi.ConnectReq{Port: port})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	return resp.Take(resp.Stream)
}

// describe fills in what is known of the VM.
func (s *session) describe(info *agentapi.Machine) {
	info.VMPID = s.proc.Pid()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.network != nil {
		info.NetPID = s.network.Pid()
	}
	if s.link != nil {
		info.BootID = s.link.hello.BootID
		info.Uptime = time.Since(s.link.booted).Milliseconds()
	}
}
