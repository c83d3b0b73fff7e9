//go:build linux

package agent

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

const (
	// minBeat is the shortest time between two beats that may be asked for.
	minBeat = 100 * time.Millisecond
	// slowLook is how often load and memory are looked at when there are no beats to do it with.
	slowLook = 30 * time.Second
	// settle is how long after a sign of pressure it is looked at again.
	settle = 2 * time.Second
)

// watchers are the connections that watch, one watcher each.
type watchers struct {
	mu  sync.Mutex // guards what follows
	all map[*ipc.Conn]*watcher
}

// A watcher sends beats and reports on one connection, from one goroutine.
type watcher struct {
	conn  *ipc.Conn
	req   guestapi.WatchReq
	look  func() guestapi.ReportNote
	ports func() guestapi.PortsNote
	poke  chan struct{} // something else than a number on its way has changed
	stop  context.CancelFunc
	shown sides // of the last report
}

// sides are where a report is, seen from the thresholds.
type sides struct{ busy, contained, loaded, short, pressed bool }

// replace makes w the connection's, nil for none.
func (s *watchers) replace(conn *ipc.Conn, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.all[conn]; before != nil {
		before.stop()
	}
	if w == nil {
		delete(s.all, conn)
		return
	}
	if s.all == nil {
		s.all = map[*ipc.Conn]*watcher{}
	}
	s.all[conn] = w
}

// remove forgets a watcher that has ended.
func (s *watchers) remove(w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[w.conn] == w {
		delete(s.all, w.conn)
	}
}

// wake has all watchers look.
func (s *watchers) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.all {
		select {
		case w.poke <- struct{}{}:
		default:
		}
	}
}

// watch serves guestapi.Watch.
func (a *Agent) watch(ctx context.Context, req *guestapi.WatchReq) (*guestapi.WatchResp, error) {
	beat := time.Duration(min(req.BeatMS, time.Hour.Milliseconds())) * time.Millisecond
	if req.BeatMS != 0 && beat < minBeat || req.Load < 0 || req.Pressure < 0 || req.Pressure > 100 {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot watch: a beat every %d ms, load %g, pressure %g %%", req.BeatMS, req.Load, req.Pressure)
	}
	conn := ipc.ConnOf(ctx)
	if *req == (guestapi.WatchReq{}) {
		a.watchers.replace(conn, nil)
		return &guestapi.WatchResp{}, nil
	}
	w := &watcher{conn: conn, req: *req, look: a.look, ports: a.ports, poke: make(chan struct{}, 1)}
	ctx, w.stop = context.WithCancel(a.ctx)
	a.watchers.replace(conn, w)
	a.busy.Go(func() {
		defer a.watchers.remove(w)
		w.run(ctx, beat)
	})
	return &guestapi.WatchResp{}, nil
}

// ports are what containers show the host at this moment.
func (a *Agent) ports() guestapi.PortsNote {
	_, shown := a.contains.now()
	return shown
}

// look is the guest at this moment.
func (a *Agent) look() guestapi.ReportNote {
	running, _ := a.contains.now()
	return guestapi.ReportNote{
		Uptime: clock.Uptime().Milliseconds(), Execs: a.execs.count(), Containers: running, Load: load(), Memory: memory(),
	}
}

// run reports until the connection ends or ctx does.
func (w *watcher) run(ctx context.Context, beat time.Duration) {
	defer w.stop()
	pressure, unwatch := watchPressure(w.req.Pressure)
	defer unwatch()
	every := beat
	if beat == 0 && (w.req.Load > 0 || w.req.Available > 0) {
		every = slowLook
	}
	tick, stopTick := ticks(every)
	defer stopTick()
	var settled <-chan time.Time
	pressed := false
	var told guestapi.PortsNote
	for first := true; ; first = false {
		if now := w.ports(); first || !reflect.DeepEqual(now, told) {
			told = now
			if ipc.Send(w.conn, guestapi.Ports, &now) != nil {
				return
			}
		}
		now := w.look()
		if pressed {
			now.Memory.Pressure = max(now.Memory.Pressure, w.req.Pressure)
		}
		if at := w.sidesOf(now); first || at != w.shown {
			w.shown = at
			if ipc.Send(w.conn, guestapi.Report, &now) != nil {
				return
			}
		}
		if w.shown.pressed && settled == nil {
			settled = time.After(settle)
		}
		pressed = false
		select {
		case <-tick:
			if beat > 0 && ipc.Send(w.conn, guestapi.Beat, &guestapi.BeatNote{Uptime: clock.Uptime().Milliseconds()}) != nil {
				return
			}
		case <-w.poke:
		case <-pressure:
			pressed = true
		case <-settled:
			settled = nil
		case <-w.conn.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// sidesOf compares a report with what was asked for.
func (w *watcher) sidesOf(r guestapi.ReportNote) sides {
	return sides{
		busy: r.Execs > 0, contained: r.Containers > 0,
		loaded:  w.req.Load > 0 && r.Load >= w.req.Load,
		short:   r.Memory.Available < w.req.Available,
		pressed: w.req.Pressure > 0 && r.Memory.Pressure >= w.req.Pressure,
	}
}

// ticks is a ticker that may be none.
func ticks(every time.Duration) (<-chan time.Time, func()) {
	if every == 0 {
		return nil, func() {}
	}
	t := time.NewTicker(every)
	return t.C, t.Stop
}
