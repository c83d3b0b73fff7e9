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
)

// A lane is one queue and its workers.
type lane struct {
	*session
	q    *virtio.Queue
	slow atomic.Int32 // so many requests are still expected to be slow
	idle atomic.Int32 // workers that wait for a notification

	mu sync.Mutex // held by the worker that takes
}

// work takes and serves chains until ctx ends (nil) or the guest breaks the queue.
func (l *lane) work(ctx context.Context) error {
	for {
		c, err := l.take()
		if err != nil {
			return err
		}
		if c == nil {
			l.idle.Add(1)
			select {
			case <-l.q.Kicked():
				l.idle.Add(-1)
				continue
			case <-ctx.Done():
				return nil
			}
		}
		l.serve(ctx, c)
		if ctx.Err() != nil {
			return nil
		}
	}
}

func (l *lane) take() (*virtio.Chain, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.q.Take()
	if c != nil && l.slow.Load() > 0 && l.idle.Load() > 0 {
		l.q.Watch() // somebody else takes what comes while we are busy
	}
	return c, err
}

// serve does one chain and keeps count of how long chains take.
func (l *lane) serve(ctx context.Context, c *virtio.Chain) {
	start := time.Now()
	l.do(ctx, l.q, c)
	if time.Since(start) > slowRequest {
		l.slow.Store(slowFor)
	} else if n := l.slow.Load(); n > 0 {
		l.slow.CompareAndSwap(n, n-1)
	}
}

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
