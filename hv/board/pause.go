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
	free   atomic.Uint32 // vCPUs that run nevertheless, by bit; likewise
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
	all := b.pause.begins(len(b.cpus))
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
		p.thaw()
		p.want.Store(false)
		p.free.Store(0)
		p.all = nil
	}
	p.mu.Unlock()
	for _, c := range b.cpus {
		c.wake()
	}
}

// begins starts a pause, or holds those again who run in one, and gives what is
// closed when all are held.
func (p *pause) begins(cpus int) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.want.Load() || p.free.Load() != 0 {
		p.want.Store(true)
		p.free.Store(0)
		p.all, p.began, p.since = make(chan struct{}), time.Now(), p.now()
		p.settle(cpus)
	}
	return p.all
}

// liberate lets some vCPUs run, by bit, while the pause goes on for the others.
func (p *pause) liberate(cpus uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.want.Load() && cpus != 0 {
		p.thaw()
		p.free.Store(cpus)
	}
}

// thaw lets the clock go on from where it stood, unless it goes already; the
// caller holds mu.
func (p *pause) thaw() {
	if p.free.Load() == 0 {
		p.lasted += time.Since(p.began)
		p.offset.Add(p.now() - p.since)
	}
}

// holds says whether a vCPU may not run.
func (p *pause) holds(index int) bool {
	return p.want.Load() && p.free.Load()>>index&1 == 0
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
	if p.want.Load() && p.free.Load() == 0 {
		t += time.Since(p.began)
	}
	return min(t, d)
}
