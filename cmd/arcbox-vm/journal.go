package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// keptEvents is how many events wait for an owner that is away.
	keptEvents = 256
	// maxEventText is how many bytes of a message are kept: some of it is the guest's.
	maxEventText = 512
	// quiet is how long an event of a kind that a guest can cause at will is not told
	// again of the same device.
	quiet = time.Second
)

// A journal is what has happened, for owners that come and go. Its zero value is empty.
type journal struct {
	mu   sync.Mutex // guards what follows
	kept []vmapi.Event
	last uint64
	more chan struct{} // closed at the next event; nil while nobody waits
	// told is when a rare event was last told, by kind and device.
	told map[[2]string]time.Time
}

// add numbers an event and wakes who waits.
func (j *journal) add(e vmapi.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	e.Seq, e.Time = j.last, time.Now()
	e.Message = e.Message[:min(len(e.Message), maxEventText)]
	if len(j.kept) == keptEvents {
		j.kept = j.kept[1:]
	}
	j.kept = append(j.kept, e)
	if j.more != nil {
		close(j.more)
		j.more = nil
	}
}

// addRarely is add for what a guest can cause at will: it must not push everything else
// out. Such an event also goes to the log.
func (j *journal) addRarely(e vmapi.Event) {
	key := [2]string{string(e.Kind), e.Device}
	now := time.Now()
	j.mu.Lock()
	if j.told == nil {
		j.told = map[[2]string]time.Time{}
	}
	again := now.Sub(j.told[key]) < quiet
	if !again {
		j.told[key] = now // a key for each device: bounded
	}
	j.mu.Unlock()
	if !again {
		log.Printf("%s: %s: %s", e.Device, e.Kind, e.Message)
		j.add(e)
	}
}

// number is that of the last event.
func (j *journal) number() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// after waits for events behind a number.
func (j *journal) after(ctx context.Context, seq uint64) (*vmapi.EventsResp, error) {
	for {
		resp, more, err := j.since(seq)
		if resp != nil || err != nil {
			return resp, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// since is what there is behind a number, or a channel that is closed when there is.
func (j *journal) since(seq uint64) (*vmapi.EventsResp, <-chan struct{}, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if seq > j.last {
		return nil, nil, ipc.Errorf(ipc.BadRequest, "cannot wait for what comes after event %d: the last is %d; begin at 0 with another process", seq, j.last)
	}
	if seq == j.last {
		if j.more == nil {
			j.more = make(chan struct{})
		}
		return nil, j.more, nil
	}
	first := j.last - uint64(len(j.kept)) + 1
	resp := &vmapi.EventsResp{}
	if seq+1 < first {
		resp.Missed = first - seq - 1
		seq = first - 1
	}
	resp.Events = append(resp.Events, j.kept[seq+1-first:]...)
	return resp, nil, nil
}

// sayf is an event with a sentence.
func sayf(kind vmapi.EventKind, device, format string, args ...any) vmapi.Event {
	return vmapi.Event{Kind: kind, Device: device, Message: fmt.Sprintf(format, args...)}
}
