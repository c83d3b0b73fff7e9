package board

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// pause is what Pause, Resume and the vCPUs agree by. The guest's counter
// stands still in between.
type pause struct {
	want   atomic.Bool   // written with mu held
	offset atomic.Uint64 // of the guest's counter from the VM's, in ticks; likewise

	mu     sync.Mutex    // guards what follows
	held   int           // vCPUs that wait for the end of the pause
	all    chan struct{} // closed when held reaches all of them; nil without a pause
	clock  func() uint64 // the VM's counter; nil when there is no VM
	since  uint64        // clock when the pause began
	began  time.Time
	lasted time.Duration // of the pauses that are over
}

// Pause returns when no vCPU runs guest code; the guest's counter stands still
// until Resume. Pausing a paused machine is fine, and so is one that has ended.
// Errors: ctx's, and the machine then runs on.
func (b *Board) Pause(ctx context.Context) error {
	p := &b.pause
	p.mu.Lock()
	if !p.want.Load() {
		p.want.Store(true)
		p.all, p.began, p.since = make(chan struct{}), time.Now(), p.now()
		p.settle(len(b.cpus))
	}
	all := p.all
	p.mu.Unlock()
	for _, c := range b.cpus {
		c.wake()
	}
	select {
	case <-all:
	case <-b.stopped:
	case <-ctx.Done():
		b.Resume()
		return ctx.Err()
	}
	return nil
}

// Resume ends a pause. Without one it does nothing.
func (b *Board) Resume() {
	p := &b.pause
	p.mu.Lock()
	if p.want.Load() {
		p.want.Store(false)
		p.all = nil
		p.lasted += time.Since(p.began)
		p.offset.Add(p.now() - p.since)
	}
	p.mu.Unlock()
	for _, c := range b.cpus {
		c.wake()
	}
}

// begin sets the guest's counter to 0 and the clock that it follows.
func (p *pause) begin(clock func() uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = clock
	p.since = p.now()
	p.offset.Store(p.since)
}

// finish forgets the clock, whose VM is about to close.
func (p *pause) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock = nil
}

// now reads the clock; the caller holds mu.
func (p *pause) now() uint64 {
	if p.clock == nil {
		return p.since
	}
	return p.clock()
}

// settle tells the one who pauses when all are held; the caller holds mu. A
// vCPU that never left the pause before counts.
func (p *pause) settle(cpus int) {
	if p.held < cpus || p.all == nil {
		return
	}
	select {
	case <-p.all:
	default:
		close(p.all)
	}
}

// hold counts a vCPU in, release out.
func (p *pause) hold(cpus int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held++
	p.settle(cpus)
}

func (p *pause) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held--
}

// total is how long the pauses within the first d of the run have lasted.
func (p *pause) total(d time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.lasted
	if p.want.Load() {
		t += time.Since(p.began)
	}
	return min(t, d)
}
