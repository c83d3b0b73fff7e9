package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// A watcher shows what becomes of a machine while another call waits for it: one line for each step, and bars for
// what is fetched on the way.
type watcher struct {
	name   string
	out    io.Writer
	began  time.Time
	bars   *mpb.Progress // nil where there is no terminal
	bar    *mpb.Bar      // of what is being fetched
	what   string        // name of it
	cancel context.CancelFunc
	done   chan struct{}
}

// watchMachine begins to show; close ends it. It follows from before whatever is called next.
func watchMachine(ctx context.Context, conn *ipc.Conn, name string, out io.Writer, quiet bool) *watcher {
	w := &watcher{name: displayName(name), out: out, began: time.Now(), done: make(chan struct{})}
	ctx, w.cancel = context.WithCancel(ctx)
	if quiet {
		close(w.done)
		return w
	}
	if isTerminal(out) {
		w.bars = mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	}
	events, setups := make(chan *agentapi.Event), make(chan *agentapi.SetupStatus)
	now, err := ipc.Call(ctx, conn, agentapi.Setup, &agentapi.SetupReq{})
	if err != nil { // what is watched will say so too
		close(w.done)
		return w
	}
	go pump(ctx, ipc.Subscribe(ctx, conn, agentapi.Events, &agentapi.EventsReq{After: now.LastEvent}), events)
	go pump(ctx, ipc.Subscribe(ctx, conn, agentapi.FollowSetup, &agentapi.SetupReq{}), setups)
	go w.run(ctx, events, setups)
	return w
}

// pump gives what a feed yields to a channel, which it closes at the end.
func pump[T any](ctx context.Context, items func(func(*T, error) bool), to chan<- *T) {
	defer close(to)
	for item, err := range items {
		if err != nil {
			return
		}
		select {
		case to <- item:
		case <-ctx.Done():
			return
		}
	}
}

func (w *watcher) run(ctx context.Context, events <-chan *agentapi.Event, setups <-chan *agentapi.SetupStatus) {
	defer close(w.done)
	defer w.finish()
	for events != nil || setups != nil {
		select {
		case e, ok := <-events:
			if !ok {
				events = nil
			} else if e.Machine == w.name {
				w.event(e)
			}
		case s, ok := <-setups:
			if !ok {
				setups = nil
			} else if s.Progress != nil {
				w.advance(s.Progress)
			}
		case <-ctx.Done():
			return
		}
	}
}

// event shows a step that a person wants to know of.
func (w *watcher) event(e *agentapi.Event) {
	text := string(e.Kind)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	p := paintFor(w.out)
	at := p.in(dim, fmt.Sprintf("%6.1f s", time.Since(w.began).Seconds()))
	line := fmt.Sprintf("%s  %s %s", at, w.name, text)
	if e.Kind == agentapi.MachineFailed {
		line = fmt.Sprintf("%s  %s %s", at, w.name, p.in(red, text))
	}
	w.finish()
	if w.bars != nil {
		fmt.Fprintln(w.bars, line)
		return
	}
	fmt.Fprintln(w.out, line)
}

// advance moves the bar of what is being fetched.
func (w *watcher) advance(p *agentapi.Progress) {
	if w.bars == nil {
		if p.Done == p.Total {
			fmt.Fprintf(w.out, "fetched %s, %d bytes\n", p.What, p.Total)
		}
		return
	}
	if w.bar == nil || w.what != p.What {
		w.finish()
		w.what = p.What
		w.bar = w.bars.AddBar(p.Total, mpb.PrependDecorators(decor.Name(p.What, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
	}
	w.bar.SetCurrent(p.Done)
}

// finish leaves the bar as it is.
func (w *watcher) finish() {
	if w.bar != nil {
		w.bar.Abort(false)
		w.bar = nil
	}
}

// close ends the show once everything is drawn.
func (w *watcher) close() {
	w.cancel()
	<-w.done
	if w.bars != nil {
		w.bars.Wait()
	}
}
