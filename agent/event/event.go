// Package event is the agent's one place for what happens: events get their numbers here, the
// last ones are kept, and any number of readers follow at their own speed.
package event

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Kept is how many events a reader may be behind before it is told to ask for the state anew.
const Kept = 1024

// ErrClosed: there will be no more events.
var ErrClosed = errors.New("the agent is ending")

// A Bus numbers, keeps and hands out events. Its zero value is ready. Any goroutine may use it.
type Bus struct {
	mu     sync.Mutex // guards what follows
	ring   [Kept]agentapi.Event
	count  uint64        // of all events; the newest has the number agentapi.BeforeEvents+count
	more   chan struct{} // closed at the next event; nil when nobody waits
	closed bool
}

// Publish gives e its number and time, and wakes whoever waits. It never blocks on a reader.
func (b *Bus) Publish(e agentapi.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.count++
	e.Seq, e.Time = agentapi.BeforeEvents+b.count, time.Now()
	b.ring[e.Seq%Kept] = e
	b.wake()
}

// Last is the number of the newest event, agentapi.BeforeEvents before the first.
func (b *Bus) Last() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return agentapi.BeforeEvents + b.count
}

// Close ends all readers once they have read what there is.
func (b *Bus) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.wake()
}

// wake ends the waits. The caller holds mu.
func (b *Bus) wake() {
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
}

// Next waits for events after number after and returns up to 64 of them, in order. When some are no
// longer kept, or after is of another agent's numbers, the first is a Resync that says how many are
// missing. Errors: ErrClosed, ctx's.
func (b *Bus) Next(ctx context.Context, after uint64) ([]agentapi.Event, error) {
	for {
		events, more := b.since(after)
		if len(events) > 0 {
			return events, nil
		}
		if more == nil {
			return nil, ErrClosed
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// since has what comes after number after, or a channel that is closed when there is something; a nil
// channel when there will be nothing.
func (b *Bus) since(after uint64) ([]agentapi.Event, <-chan struct{}) {
	const batch = 64
	b.mu.Lock()
	defer b.mu.Unlock()
	var events []agentapi.Event
	after = max(after, agentapi.BeforeEvents)
	last := agentapi.BeforeEvents + b.count
	oldest := last - min(b.count, Kept) + 1
	if after > last || after+1 < oldest {
		missed := uint64(0)
		if after < oldest {
			missed = oldest - 1 - after
		}
		after = oldest - 1
		events = append(events, agentapi.Event{Seq: after, Time: time.Now(), Kind: agentapi.Resync, Missed: missed,
			Message: "events were dropped; ask for the state anew"})
	}
	for seq := after + 1; seq <= last && len(events) < batch; seq++ {
		events = append(events, b.ring[seq%Kept])
	}
	if len(events) > 0 || b.closed {
		return events, nil
	}
	if b.more == nil {
		b.more = make(chan struct{})
	}
	return nil, b.more
}
