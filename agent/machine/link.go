package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A link is a connection to the guest's agent that has said hello.
type link struct {
	conn   *ipc.Conn
	hello  *guestapi.HelloResp
	booted time.Time // when the guest's kernel started
}

const (
	// linkTime is how long a guest that has announced its agent may take to say hello.
	linkTime = 10 * time.Second
	// linkGrace is how long a guest may be without its agent before it is given up: PID 1 starts it again.
	linkGrace = 10 * time.Second
)

// A guestWatch keeps a link to the guest's agent. One goroutine has it.
type guestWatch struct {
	s         *session
	announced net.Conn        // kept open by the guest's agent for as long as it lives; nil while there is none
	gone      <-chan struct{} // closed when announced has ended
	lost      <-chan struct{} // closed when the link has ended
	grace     *time.Timer     // runs out when there is no agent for too long
}

// watchGuest keeps a link to the guest's agent, which announces itself when it is there. An adopted guest may have done
// that already, or may still be on its way.
func (s *session) watchGuest(adopted bool) {
	w := &guestWatch{s: s, grace: time.NewTimer(time.Hour)}
	w.grace.Stop()
	defer w.grace.Stop()
	defer func() { hangUp(w.announced) }()
	arrived := make(chan net.Conn)
	s.watch.Go(func() { s.acceptAnnouncements(arrived) })
	if adopted {
		w.up(max(linkGrace, s.m.settings().startTime()-time.Since(s.started)))
	}
	for {
		select {
		case <-s.ctx.Done():
			return
		case c := <-arrived: // a new agent, or the old one anew
			hangUp(w.announced)
			w.announced, w.gone = c, s.ended(c)
			w.down()
			w.up(linkGrace)
		case <-w.gone:
			s.m.log.Info().Msg("the guest's agent has ended")
			hangUp(w.announced)
			w.announced, w.gone = nil, nil
			w.down()
			w.grace.Reset(linkGrace)
		case <-w.lost:
			s.m.log.Info().Msg("the connection to the guest's agent is lost")
			w.down()
			w.up(linkGrace)
		case <-w.grace.C:
			if !s.isStopping() {
				s.lost("the guest's agent is gone and has not come back within %v", linkGrace)
				return
			}
		}
	}
}

// up makes a link. When the agent cannot be reached it has a time to announce itself.
func (w *guestWatch) up(grace time.Duration) {
	l, err := w.s.dial()
	if err != nil {
		if w.s.ctx.Err() == nil && !w.s.isStopping() {
			w.s.m.log.Info().Err(err).Msg("cannot reach the guest's agent")
		}
		w.grace.Reset(grace)
		return
	}
	w.grace.Stop()
	w.lost = l.conn.Done()
	w.s.setLink(l)
}

// down ends the link.
func (w *guestWatch) down() {
	w.s.setLink(nil)
	w.lost = nil
}

func hangUp(c net.Conn) {
	if c != nil {
		c.Close()
	}
}

// acceptAnnouncements hands on the connections that the guest makes to say that its agent is there.
func (s *session) acceptAnnouncements(to chan<- net.Conn) {
	for {
		resp, err := ipc.Call(s.ctx, s.proc.Conn, vmapi.Accept, &vmapi.AcceptReq{Port: guestapi.AnnouncePort})
		if err != nil {
			return // watchProcess or watchEvents knows why
		}
		c, err := conn(&resp.Files, resp.Stream)
		if err != nil {
			s.m.log.Error().Err(err).Msg("cannot use a connection of the guest")
			return
		}
		select {
		case to <- c:
		case <-s.ctx.Done():
			c.Close()
			return
		}
	}
}

// conn makes a connection of the stream in an answer, whose other files are closed.
func conn(files *ipc.Files, stream ipc.FD) (net.Conn, error) {
	defer files.Close()
	f, err := files.Take(stream)
	if err != nil {
		return nil, err
	}
	defer f.Close() // FileConn has a copy of its own
	return net.FileConn(f)
}

// ended is closed when c is closed on either end: nothing is ever sent on it.
func (s *session) ended(c net.Conn) <-chan struct{} {
	ch := make(chan struct{})
	s.watch.Go(func() {
		defer close(ch)
		c.Read(make([]byte, 1))
	})
	return ch
}

// dial makes a link.
func (s *session) dial() (*link, error) {
	ctx, cancel := context.WithTimeout(s.ctx, linkTime)
	defer cancel()
	resp, err := ipc.Call(ctx, s.proc.Conn, vmapi.Connect, &vmapi.ConnectReq{Port: guestapi.Port})
	if err != nil {
		return nil, err
	}
	sock, err := conn(&resp.Files, resp.Stream)
	if err != nil {
		return nil, err
	}
	mux := ipc.NewMux()
	ipc.OnNote(mux, guestapi.Beat, func(context.Context, *guestapi.BeatNote) { s.beat() })
	ipc.OnNote(mux, guestapi.Report, func(_ context.Context, n *guestapi.ReportNote) { s.reported(n) })
	ipc.OnNote(mux, guestapi.Ports, func(_ context.Context, n *guestapi.PortsNote) { s.publishes(n) })
	l := &link{conn: ipc.NewConn(sock, mux)}
	if err := s.greet(ctx, l); err != nil {
		l.conn.Close()
		return nil, err
	}
	return l, nil
}

// greet says hello, sets the guest's clock and asks for beats and reports.
func (s *session) greet(ctx context.Context, l *link) (err error) {
	l.hello, err = ipc.Call(ctx, l.conn, guestapi.Hello, &guestapi.HelloReq{Version: guestapi.Version})
	if err != nil {
		return fmt.Errorf("the guest's agent does not say hello: %w", err)
	}
	if l.hello.Version < 1 {
		return fmt.Errorf("the guest's agent speaks version %d, and this program %d", l.hello.Version, guestapi.Version)
	}
	l.hello.BootID = printable(l.hello.BootID)
	if err := s.ping(ctx, l); err != nil {
		return err
	}
	_, err = ipc.Call(ctx, l.conn, guestapi.Watch, s.watchReq())
	var refused *ipc.Error
	if errors.As(err, &refused) && refused.Code == ipc.NoMethod { // an older guest, which is asked instead
		return nil
	}
	return err
}

// printable is what a guest says of itself, short and without what a terminal would act on.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text[:min(len(text), 64)])
}

// ping sets the guest's clock and sees whether its agent lives.
func (s *session) ping(ctx context.Context, l *link) error {
	resp, err := ipc.Call(ctx, l.conn, guestapi.Ping, &guestapi.PingReq{Time: time.Now().UnixNano()})
	if err != nil {
		return fmt.Errorf("the guest's agent does not answer: %w", err)
	}
	s.pulse.synced()
	if resp.Stepped {
		s.m.log.Info().Dur("offset", time.Duration(resp.Offset)).Msg("the guest's clock was set")
	}
	up := min(max(resp.Uptime, 0), int64(100*365*24*time.Hour/time.Millisecond))
	s.mu.Lock()
	defer s.mu.Unlock()
	l.booted = time.Now().Add(-time.Duration(up) * time.Millisecond)
	return nil
}

// setLink replaces the link, and ends the one before.
func (s *session) setLink(l *link) {
	s.mu.Lock()
	before := s.link
	s.link = l
	if l != nil {
		close(s.relinked)
		s.relinked = make(chan struct{})
	}
	s.mu.Unlock()
	if before != nil {
		before.conn.Close()
	}
	if l != nil {
		s.pulse.beat(s.beatTime())
		s.m.life.Report(lifecycle.Ready, s.epoch, nil)
		s.lookAtRoutes()
	}
}

// linked waits for a link.
func (s *session) linked(ctx context.Context) (*link, error) {
	for {
		s.mu.Lock()
		l, more := s.link, s.relinked
		s.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-more:
		case <-s.over:
			return nil, errors.New("the VM is ending")
		case <-ctx.Done():
			return nil, fmt.Errorf("the guest's agent is not there: %w", context.Cause(ctx))
		}
	}
}

// meet gives a stream to the guest's agent, which may be starting again.
func (s *session) meet(ctx context.Context) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, linkGrace)
	defer cancel()
	for {
		if _, err := s.linked(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		more := s.relinked
		s.mu.Unlock()
		f, err := s.connect(ctx, guestapi.Port)
		var refused *ipc.Error
		if !errors.As(err, &refused) || refused.Code != vmapi.Refused {
			return f, err
		}
		select { // it has just ended, which the link does not know yet
		case <-more:
		case <-s.over:
			return nil, err
		case <-ctx.Done():
			return nil, err
		}
	}
}

func (s *session) isStopping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopping
}
