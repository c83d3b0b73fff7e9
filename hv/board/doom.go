package board

import (
	"sync"
	"time"
)

// How long a guest whose kernel has panicked may go on: it prints, dumps, and
// waits for its own panic timeout to reset.
const (
	doomQuiet = 2 * time.Second  // without any sign of life
	doomMost  = 30 * time.Second // after pvpanic, whatever it does
)

// doom watches a guest that says it has panicked.
//
// A panic is an outcome in three ways. The guest powers off, resets or switches
// every vCPU off after pvpanic or a panic line on a console. Or pvpanic has told, and
// the guest then shows no sign of life for doomQuiet or has had doomMost. Or the
// line that ends a kernel's panic, when it will only spin, was the last on every
// console, and no sign of life followed for doomQuiet. A sign of life is a
// console byte or a notification to a virtio device.
type doom struct {
	mu     sync.Mutex // guards what follows
	told   time.Time  // when pvpanic told; zero if it has not
	loaded bool       // a crash kernel was to take over
	stop   func()     // ends the wait; nil when there is none
	life   uint64     // signs of life when it began
	closed bool
}

// pvpanic is the guest's word. A crash kernel that takes over makes its own end.
func (b *Board) pvpanic(bits uint64) {
	d := &b.doom
	d.mu.Lock()
	defer d.mu.Unlock()
	if bits&pvpanicLoaded != 0 {
		d.loaded = true
	}
	if bits&pvpanicPanicked != 0 && !d.loaded && d.told.IsZero() {
		d.told = b.clock.now()
		d.arm(b)
	}
}

// panicHint is called when a console has shown something that matters.
func (b *Board) panicHint() {
	if _, dead := b.cfg.Watch.panicked(); !dead {
		return
	}
	b.doom.mu.Lock()
	defer b.doom.mu.Unlock()
	b.doom.arm(b)
}

// arm looks at the guest in doomQuiet; the caller holds mu.
func (d *doom) arm(b *Board) {
	if d.stop != nil || d.closed {
		return
	}
	d.life = b.signsOfLife()
	d.stop = b.clock.after(doomQuiet, b.judge)
}

// judge ends a guest that has panicked and been quiet since.
func (b *Board) judge() {
	line, dead := b.cfg.Watch.panicked()
	d := &b.doom
	d.mu.Lock()
	d.stop = nil
	told := !d.told.IsZero() && !d.loaded
	quiet := d.life == b.signsOfLife()
	over := told && b.clock.now().Sub(d.told) >= doomMost
	if (told || dead) && !quiet && !over {
		d.arm(b)
	}
	d.mu.Unlock()
	if over || quiet && (told || dead) {
		b.finish(Panic, "%s", panicMessage(line))
	}
}

func (d *doom) disarm() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.stop != nil {
		d.stop()
	}
}

// signsOfLife counts what a dead guest does no more.
func (b *Board) signsOfLife() uint64 {
	n := b.cfg.Watch.bytes()
	for _, t := range b.virtio {
		n += t.Notifications()
	}
	return n
}

func panicMessage(line string) string {
	if line == "" {
		return "the guest's kernel told pvpanic that it panicked"
	}
	return line
}

// guestEnds is an end that the guest asked for: a panic if it has told of one.
func (b *Board) guestEnds(k Kind, message string) {
	line, _ := b.cfg.Watch.panicked()
	b.doom.mu.Lock()
	told := !b.doom.told.IsZero()
	b.doom.mu.Unlock()
	if told || line != "" {
		k, message = Panic, panicMessage(line)
	}
	b.finish(k, "%s", message)
}
