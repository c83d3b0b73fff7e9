package lifecycle

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// A world is a driver that keeps track of what a real one would: whether a VM
// process exists, of which epoch, and that the owner keeps its promises.
type world struct {
	pending sync.WaitGroup

	mu      sync.Mutex
	machine *Machine
	draw    func() (fail bool, delay time.Duration)
	over    uint64          // boots up to this epoch are not to be finished
	answers map[uint64]bool // epochs whose guest agent answers
	alive   map[uint64]bool // epochs whose process exists
	broken  []string
}

func (w *world) Begin(e Effect, epoch uint64) {
	fail, delay := w.draw()
	w.mu.Lock()
	switch e {
	case Boot:
		w.over = max(w.over, epoch-1)
	case Destroy:
		w.over = max(w.over, epoch)
	}
	w.mu.Unlock()
	w.pending.Go(func() {
		time.Sleep(delay)
		w.finish(e, epoch, fail)
	})
}

// finish does the effect and reports. A destroy cannot fail; a boot ends what
// earlier epochs left.
func (w *world) finish(e Effect, epoch uint64, fail bool) {
	w.mu.Lock()
	report := Event("")
	switch e {
	case Make:
		report = pick(fail, MakeFailed, Made)
	case Boot:
		if epoch <= w.over {
			break
		}
		clear(w.alive)
		clear(w.answers)
		w.alive[epoch], w.answers[epoch] = !fail, !fail
		if report = pick(fail, BootFailed, Ready); fail && epoch%2 == 0 { // it hangs
			w.alive[epoch], report = true, ""
		}
	case Wake:
		report = pick(fail || !w.answers[epoch], Lost, Ready)
	case Shutdown:
		if !fail { // otherwise the guest does not listen
			delete(w.alive, epoch)
			report = Down
		}
	case Destroy:
		delete(w.alive, epoch)
		report = Down
	}
	w.mu.Unlock()
	if report != "" {
		w.machine.Report(report, epoch, errBoom)
	}
}

func pick(first bool, a, b Event) Event {
	if first {
		return a
	}
	return b
}

// Random requests, reports, failures and delays: whatever the order, every
// caller is answered, nobody is told "ready" before a guest answered, and after
// a stop and some peace nothing runs.
func TestWhateverHappensThePromisesHold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		seed := rapid.SliceOfN(rapid.IntRange(0, 999), 40, 40).Draw(rt, "chances")
		steps := rapid.SliceOfN(rapid.IntRange(0, 8), 1, 40).Draw(rt, "steps")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 3000), len(steps), len(steps)).Draw(rt, "pauses")
		var broken []string
		synctest.Test(t, func(*testing.T) { broken = live(seed, steps, pauses) })
		if len(broken) > 0 {
			rt.Fatalf("%v", broken)
		}
	})
}

// live runs one history and says what broke.
func live(chances, steps, pauses []int) []string {
	w := &world{answers: map[uint64]bool{}, alive: map[uint64]bool{}}
	n := 0
	w.draw = func() (bool, time.Duration) { // called by the owner only
		c := chances[n%len(chances)]
		n++
		return c%4 == 0, time.Duration(c) * 7 * time.Millisecond
	}
	m := New(NotExist, w, func() Limits { return Limits{} }, func(Change) {})
	w.machine = m
	var callers sync.WaitGroup
	for i, step := range steps {
		w.step(&callers, step)
		time.Sleep(time.Duration(pauses[i]) * time.Millisecond)
	}
	callers.Wait() // all are answered, or the bubble deadlocks and the test fails
	time.Sleep(10 * time.Minute)
	if s := m.Status().State; slices.Contains([]State{Creating, Starting, Stopping}, s) {
		w.broke("left alone for long the machine is " + string(s))
	}
	if err := m.ForceStop(context.Background()); err != nil {
		w.broke("the last stop: " + err.Error())
	}
	time.Sleep(10 * time.Minute)
	w.pending.Wait()
	if s := m.Status().State; !slices.Contains([]State{NotExist, Created, Stopped}, s) {
		w.broke("after the last stop the machine is " + string(s))
	}
	if len(w.alive) > 0 {
		w.broke("a process is left")
	}
	m.Close()
	return w.broken
}

func (w *world) broke(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken = append(w.broken, what)
}

// step does one thing that users and guests do.
func (w *world) step(callers *sync.WaitGroup, step int) {
	m, ctx := w.machine, context.Background()
	epoch := m.Status().Epoch
	switch step {
	case 0, 1:
		callers.Go(func() { w.checkReady(m.EnsureReady(ctx)) })
	case 2:
		callers.Go(func() { m.Stop(ctx) })
	case 3:
		callers.Go(func() { m.ForceStop(ctx) })
	case 4:
		m.Report(Quiet, epoch, nil)
	case 5:
		m.Report(Busy, epoch, nil)
	case 6:
		m.Report(Expired, epoch, nil)
	case 8:
		callers.Go(func() {
			if err := m.Create(ctx); err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, errBoom) {
				w.broke("Create: " + err.Error())
			}
		})
	case 7:
		w.mu.Lock()
		lost := w.alive[epoch]
		delete(w.alive, epoch)
		delete(w.answers, epoch)
		w.mu.Unlock()
		if lost {
			m.Report(Lost, epoch, errBoom)
		}
	}
}

// checkReady holds EnsureReady to its word: success means that some guest has
// answered; anything else is one of the errors that it names.
func (w *world) checkReady(err error) {
	if err == nil {
		if w.machine.Status().Epoch == 0 {
			w.broke("ready before anything was started")
		}
		return
	}
	for _, known := range []error{ErrStopped, ErrGaveUp, ErrTooLate, ErrClosed, errBoom} {
		if errors.Is(err, known) {
			return
		}
	}
	w.broke("EnsureReady: " + err.Error())
}
