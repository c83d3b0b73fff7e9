package board

import (
	"slices"
	"sync"
	"time"
)

// A clock is the time that devices go by: the host's, or in deterministic mode
// the guest's.
type clock interface {
	now() time.Time
	// after calls f once, when d has passed, unless stop is called before.
	after(d time.Duration, f func()) (stop func())
}

// hostClock is the host's time.
type hostClock struct{}

func (hostClock) now() time.Time { return time.Now() }

func (hostClock) after(d time.Duration, f func()) (stop func()) {
	t := time.AfterFunc(d, f)
	return func() { t.Stop() }
}

// epoch is when deterministic machines are switched on.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// A virtualClock moves when the machine's driver says so, which also calls
// what is due.
type virtualClock struct {
	mu     sync.Mutex // guards what follows
	ns     uint64     // since epoch
	events []*event   // by time, then by age
}

type event struct {
	at uint64 // ns since epoch
	f  func()
}

func (v *virtualClock) now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return epoch.Add(time.Duration(v.ns))
}

func (v *virtualClock) after(d time.Duration, f func()) (stop func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := &event{at: v.ns + uint64(max(d, 0)), f: f}
	i, _ := slices.BinarySearchFunc(v.events, e.at+1, func(x *event, at uint64) int { return compare(x.at, at) })
	v.events = slices.Insert(v.events, i, e)
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.events = slices.DeleteFunc(v.events, func(x *event) bool { return x == e })
	}
}

// move sets the time and calls what became due, oldest first.
func (v *virtualClock) move(ns uint64) {
	for {
		v.mu.Lock()
		v.ns = max(v.ns, ns)
		if len(v.events) == 0 || v.events[0].at > ns {
			v.mu.Unlock()
			return
		}
		f := v.events[0].f
		v.events = slices.Delete(v.events, 0, 1)
		v.mu.Unlock()
		f()
	}
}

// next is how long until something is due.
func (v *virtualClock) next() (ns uint64, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.events) == 0 {
		return 0, false
	}
	return v.events[0].at - min(v.events[0].at, v.ns), true
}
