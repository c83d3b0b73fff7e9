package blk

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

const (
	// slowRequest is from when on a request is worth waking a second worker for: some
	// ten times what waking costs.
	slowRequest = 100 * time.Microsecond
	// slowFor is how many requests after a slow one are taken to be slow as well.
	slowFor = 64
	// copyRate is how many bytes a nanosecond a write to the host's page cache moves at
	// least. Writes of one file lock each other out, so that help does not help.
	copyRate = 4
)

// A lane is one queue and its workers.
type lane struct {
	*session
	q    *virtio.Queue
	slow atomic.Int32 // so many requests are still expected to be slow
	idle atomic.Int32 // workers that wait for a notification

	mu    sync.Mutex // held by the worker that takes
	ahead request    // taken, and no part of the batch before it; its chain is nil for none
}

// work takes and serves requests until ctx ends (nil) or the guest breaks the queue.
func (l *lane) work(ctx context.Context) error {
	b := new(batch)
	for {
		if err := l.take(b); err != nil {
			return err
		}
		if len(b.reqs) == 0 {
			l.idle.Add(1)
			select {
			case <-l.q.Kicked():
				l.idle.Add(-1)
				continue
			case <-ctx.Done():
				return nil
			}
		}
		l.serve(b)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// take fills b with what is next: a request, or several that are one transfer.
func (l *lane) take(b *batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	b.reset()
	r, err := l.next()
	for err == nil && r.c != nil {
		if !b.add(r) {
			l.ahead = r
			break
		}
		if l.vec == nil || !b.open() || !l.q.More() {
			break
		}
		r, err = l.next()
	}
	if len(b.reqs) > 0 && l.slow.Load() > 0 && l.idle.Load() > 0 {
		l.share()
	}
	return err
}

// next is the next request, whose chain is nil when there is none. The caller holds mu.
func (l *lane) next() (request, error) {
	if r := l.ahead; r.c != nil {
		l.ahead = request{}
		return r, nil
	}
	c, err := l.q.Take()
	if c == nil || err != nil {
		return request{}, err
	}
	return parse(c, l.q), nil
}

// share has somebody else take what is there or comes while we are busy. The caller holds mu.
func (l *lane) share() {
	if l.ahead.c != nil {
		l.q.Wake()
	} else {
		l.q.Watch()
	}
}

// serve does a batch and keeps count of how long that takes.
func (l *lane) serve(b *batch) {
	start := time.Since(epoch)
	l.do(b)
	if time.Since(epoch)-start > slowRequest+time.Duration(b.written())/copyRate {
		l.slow.Store(slowFor)
	} else if n := l.slow.Load(); n > 0 {
		l.slow.CompareAndSwap(n, n-1)
	}
}

// epoch is any moment: times since then cost half of what time.Now does.
var epoch = time.Now()

// A commit answers flushes, as many as are waiting with one Sync.
type commit struct {
	*Device
	wake chan struct{} // has a token when waiting may not be empty

	mu      sync.Mutex
	waiting []request
	spare   []request // the other slice: what the last take gave
}

func newCommit(d *Device) *commit {
	return &commit{Device: d, wake: make(chan struct{}, 1)}
}

// add has r answered after a Sync that begins from now on.
func (c *commit) add(r request) {
	c.mu.Lock()
	c.waiting = append(c.waiting, r)
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *commit) run(ctx context.Context) error {
	for {
		select {
		case <-c.wake:
		case <-ctx.Done():
			return nil
		}
		if batch := c.take(); len(batch) > 0 {
			status := c.sync(len(batch))
			for _, r := range batch {
				c.answer(r, status)
			}
		}
	}
}

// take is all that is waiting. It is good until the next take.
func (c *commit) take() []request {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch := c.waiting
	c.waiting, c.spare = c.spare[:0], batch
	return batch
}

// sync is one Sync on behalf of n requests.
func (c *commit) sync(n int) byte {
	c.stats.Syncs.Add(1)
	if err := c.disk.Sync(); err != nil {
		c.failed("flush", err)
		return statusIOErr
	}
	c.stats.Flushes.Add(uint64(n))
	return statusOK
}
