package lifecycle

import (
	"context"
	"errors"
	"flag"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var update = flag.Bool("update", false, "write STATES.md")

func TestStatesFileIsTheTable(t *testing.T) {
	if *update {
		if err := os.WriteFile("STATES.md", []byte(Diagram()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("STATES.md")
	if err != nil || string(text) != Diagram() {
		t.Errorf("STATES.md is not the table (%v); run go test ./agent/lifecycle -update", err)
	}
}

// A fake drives nothing: it notes what it is told, and answers after a while
// what the test says.
type fake struct {
	pending sync.WaitGroup
	mu      sync.Mutex
	machine *Machine
	begun   []Effect
	// answers are consumed in order for each effect; the last one stays.
	answers map[Effect][]answer
}

type answer struct {
	event Event // "" for none
	after time.Duration
	cause error
}

var errBoom = errors.New("boom")

// working answers everything well.
func working() map[Effect][]answer {
	return map[Effect][]answer{
		Make:     {{Made, 10 * time.Millisecond, nil}},
		Boot:     {{Ready, time.Second, nil}},
		Wake:     {{Ready, 20 * time.Millisecond, nil}},
		Shutdown: {{Down, 2 * time.Second, nil}},
		Destroy:  {{Down, 5 * time.Millisecond, nil}},
	}
}

func (f *fake) Begin(e Effect, epoch uint64) {
	f.mu.Lock()
	f.begun = append(f.begun, e)
	var a answer
	if list := f.answers[e]; len(list) > 0 {
		a = list[0]
		if len(list) > 1 {
			f.answers[e] = list[1:]
		}
	}
	m := f.machine
	f.mu.Unlock()
	if a.event != "" {
		f.pending.Go(func() {
			time.Sleep(a.after)
			m.Report(a.event, epoch, a.cause)
		})
	}
}

func (f *fake) did() []Effect {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.begun)
}

// inBubble runs f with a machine in fake time.
func inBubble(t *testing.T, initial State, answers map[Effect][]answer, f func(t *testing.T, m *Machine, d *fake)) {
	synctest.Test(t, func(t *testing.T) {
		d := &fake{answers: answers}
		d.mu.Lock()
		m := New(initial, d, func() Limits { return Limits{} }, func(Change) {})
		d.machine = m
		d.mu.Unlock()
		defer m.Close()
		defer d.pending.Wait()
		defer synctest.Wait() // for what is about to begin
		f(t, m, d)
	})
}

// later calls f in the background and gives its result and how long it took.
func later(f func(context.Context) error) <-chan result {
	ch := make(chan result, 1)
	start := time.Now()
	go func() {
		err := f(context.Background())
		ch <- result{err, time.Since(start)}
	}()
	return ch
}

type result struct {
	err  error
	took time.Duration
}

func TestEnsureReadyMakesAndStarts(t *testing.T) {
	inBubble(t, NotExist, working(), func(t *testing.T, m *Machine, d *fake) {
		var all []<-chan result
		for range 10 {
			all = append(all, later(m.EnsureReady))
		}
		for _, ch := range all {
			if r := <-ch; r.err != nil || r.took != 1010*time.Millisecond {
				t.Errorf("%v after %v, want success after 1.01s", r.err, r.took)
			}
		}
		if got := d.did(); !slices.Equal(got, []Effect{Make, Boot}) {
			t.Errorf("ten callers caused %v, want one make and one boot", got)
		}
	})
}

func TestCreateMakesAndLeavesItAtThat(t *testing.T) {
	answers := working()
	answers[Make] = []answer{{MakeFailed, time.Millisecond, errBoom}, {Made, 10 * time.Millisecond, nil}}
	inBubble(t, NotExist, answers, func(t *testing.T, m *Machine, d *fake) {
		if r := <-later(m.Create); !errors.Is(r.err, errBoom) {
			t.Errorf("%v, want why it could not be made", r.err)
		}
		made := later(m.Create)
		synctest.Wait()
		if r := <-later(m.Create); !errors.Is(r.err, ErrRefused) {
			t.Errorf("a second one: %v, want refused", r.err)
		}
		if r := <-made; r.err != nil || m.Status().State != Created {
			t.Errorf("%v, and the machine is %s", r.err, m.Status().State)
		}
		if got := d.did(); !slices.Equal(got, []Effect{Make, Make}) {
			t.Errorf("it caused %v", got)
		}
	})
}

func TestStopDuringStartWins(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		up := later(m.EnsureReady)
		time.Sleep(300 * time.Millisecond)
		if r := <-later(m.Stop); r.err != nil || r.took > 10*time.Millisecond {
			t.Errorf("stop: %v after %v", r.err, r.took)
		}
		if r := <-up; !errors.Is(r.err, ErrStopped) {
			t.Errorf("the start was told %v, want ErrStopped", r.err)
		}
		time.Sleep(time.Minute) // the abandoned boot's Ready comes and is dropped
		if s := m.Status().State; s != Stopped {
			t.Errorf("state %s, want stopped", s)
		}
	})
}

func TestStartDuringStopStartsAgain(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		down := later(m.Stop)
		time.Sleep(time.Second)
		up := later(m.EnsureReady)
		if r := <-down; r.err != nil || r.took != 2*time.Second {
			t.Errorf("stop: %v after %v", r.err, r.took)
		}
		if r := <-up; r.err != nil || r.took != 2*time.Second {
			t.Errorf("start: %v after %v, want one second of stop and one of boot", r.err, r.took)
		}
	})
}

func TestForceStopPreemptsAGracefulOne(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		gentle := later(m.Stop)
		time.Sleep(100 * time.Millisecond)
		if r := <-later(m.ForceStop); r.err != nil || r.took != 5*time.Millisecond {
			t.Errorf("force stop: %v after %v", r.err, r.took)
		}
		<-gentle
	})
}

func TestGraceEndsInForce(t *testing.T) {
	answers := working()
	answers[Shutdown] = nil // the guest does not listen
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		if r := <-later(m.Stop); r.err != nil || r.took != 30*time.Second+5*time.Millisecond {
			t.Errorf("stop: %v after %v, want 30.005s", r.err, r.took)
		}
	})
}

// Limits count as they are when something begins.
func TestLimitsMayChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var grace atomic.Int64
		d := &fake{}
		m := New(Running, d, func() Limits { return Limits{Grace: time.Duration(grace.Load())} }, func(Change) {})
		defer m.Close()
		grace.Store(int64(7 * time.Second))
		down := later(m.Stop)
		time.Sleep(7 * time.Second)
		synctest.Wait()
		if got := d.did(); !slices.Equal(got, []Effect{Shutdown, Destroy}) {
			t.Errorf("after 7 s it has done %v", got)
		}
		m.Report(Down, m.Status().Epoch, nil)
		<-down
	})
}

func TestOneDeadlineForTheWholeStart(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{BootFailed, 40 * time.Second, errBoom}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		r := <-later(m.EnsureReady)
		if !errors.Is(r.err, ErrTooLate) || r.took != 90*time.Second {
			t.Errorf("%v after %v, want too late after 90s", r.err, r.took)
		}
		time.Sleep(5 * time.Minute)
		if s := m.Status(); s.State != Failed || !s.GaveUp || s.Cause == nil {
			t.Errorf("status %+v, want failed for good with a cause", s)
		}
	})
}

// The deadline tells what went wrong before it passed.
func TestWhatCameTooLateSaysWhatFailed(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{BootFailed, time.Second, errBoom}, {"", 0, nil}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		if r := <-later(m.EnsureReady); !errors.Is(r.err, ErrTooLate) || !errors.Is(r.err, errBoom) {
			t.Errorf("%v, want too late, and what failed meanwhile", r.err)
		}
	})
}

// Nobody waits for a start after a failure, or everybody has left: it hangs for as long as any.
func TestAStartThatNobodyWaitsForHasADeadlineToo(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{Ready, time.Second, nil}, {"", 0, nil}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		m.Report(Lost, m.Status().Epoch, errBoom)
		time.Sleep(89 * time.Second)
		if s := m.Status(); s.State != Starting {
			t.Errorf("status %+v, want starting", s)
		}
		time.Sleep(2 * time.Second)
		if s := m.Status(); s.State != Failed || !s.GaveUp || !errors.Is(s.Cause, ErrTooLate) {
			t.Errorf("status %+v, want failed as it came too late", s)
		}
	})
	answers[Boot] = nil
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		up := later(func(context.Context) error { return m.EnsureReady(ctx) })
		synctest.Wait()
		m.Fetching(m.Status().Epoch, true)
		<-up
		time.Sleep(time.Hour)
		m.Fetching(m.Status().Epoch, false)
		time.Sleep(91 * time.Second)
		if s := m.Status(); s.State != Failed {
			t.Errorf("state %s: it hangs after the fetch", s.State)
		}
	})
}

func TestAMachineAtRestBecomesStable(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{BootFailed, 0, errBoom}, {Ready, time.Second, nil}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		for range 3 { // never up for a minute without a break
			time.Sleep(20 * time.Second)
			m.Report(Quiet, m.Status().Epoch, nil)
			time.Sleep(10 * time.Second)
			if s := m.Status(); s.State != Idle {
				t.Fatalf("status %+v, want idle", s)
			}
			<-later(m.EnsureReady)
		}
		if s := m.Status(); s.Failures != 0 {
			t.Errorf("after a stable minute %d failures are remembered", s.Failures)
		}
	})
}

func TestFetchingStopsTheClock(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{Ready, 5 * time.Minute, nil}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		up := later(m.EnsureReady)
		synctest.Wait()
		m.Fetching(m.Status().Epoch, true)
		time.Sleep(4*time.Minute + 30*time.Second)
		m.Fetching(m.Status().Epoch, false)
		if r := <-up; r.err != nil {
			t.Errorf("%v after %v", r.err, r.took)
		}
	})
}

func TestFailuresAreTriedAgainWithBackoff(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{BootFailed, 0, errBoom}, {Lost, 0, errBoom}, {BootFailed, 0, errBoom}, {Ready, time.Second, nil}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		// At once, after 0.5 s, after 1 s; the fourth boot takes 1 s.
		if r := <-later(m.EnsureReady); r.err != nil || r.took != 2500*time.Millisecond {
			t.Errorf("%v after %v, want success after 2.5s", r.err, r.took)
		}
		if s := m.Status(); s.Failures != 3 {
			t.Errorf("%d failures are remembered, want 3", s.Failures)
		}
		time.Sleep(61 * time.Second)
		if s := m.Status(); s.Failures != 0 {
			t.Errorf("after a stable minute %d failures are remembered", s.Failures)
		}
	})
}

func TestGivesUpWithTheCause(t *testing.T) {
	answers := working()
	answers[Boot] = []answer{{BootFailed, 0, errBoom}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		for range 2 { // a new request begins anew
			r := <-later(m.EnsureReady)
			if !errors.Is(r.err, ErrGaveUp) || !errors.Is(r.err, errBoom) || r.took != 1500*time.Millisecond {
				t.Errorf("%v after %v, want give-up with the cause after 1.5s", r.err, r.took)
			}
		}
		if n := len(d.did()); n != 2*4*2 {
			t.Errorf("%d effects, want four boots and four destroys, twice", n)
		}
	})
}

func TestALostMachineComesBackByItself(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		m.Report(Lost, m.Status().Epoch, errBoom)
		time.Sleep(2 * time.Second)
		if s := m.Status(); s.State != Running || s.Epoch != 2 {
			t.Errorf("status %+v, want running in epoch 2", s)
		}
	})
}

func TestIdleWakesBeforeItAnswers(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		m.Report(Quiet, m.Status().Epoch, nil)
		synctest.Wait()
		if s := m.Status().State; s != Idle {
			t.Fatalf("state %s, want idle", s)
		}
		if r := <-later(m.EnsureReady); r.err != nil || r.took != 20*time.Millisecond {
			t.Errorf("%v after %v, want success when the guest has answered the ping", r.err, r.took)
		}
		m.Report(Quiet, m.Status().Epoch, nil)
		m.Report(Expired, m.Status().Epoch, nil)
		time.Sleep(3 * time.Second)
		if s := m.Status().State; s != Stopped {
			t.Errorf("state %s, want stopped", s)
		}
	})
}

func TestAGuestThatDoesNotWakeIsRecovered(t *testing.T) {
	answers := working()
	answers[Wake] = []answer{{Lost, time.Second, errBoom}}
	inBubble(t, Stopped, answers, func(t *testing.T, m *Machine, d *fake) {
		<-later(m.EnsureReady)
		m.Report(Quiet, m.Status().Epoch, nil)
		if r := <-later(m.EnsureReady); r.err != nil || r.took != 2*time.Second {
			t.Errorf("%v after %v, want a fresh guest after 2s", r.err, r.took)
		}
	})
}

func TestACallerMayLeave(t *testing.T) {
	inBubble(t, Stopped, working(), func(t *testing.T, m *Machine, d *fake) {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := m.EnsureReady(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		time.Sleep(time.Second)
		if s := m.Status().State; s != Running {
			t.Errorf("state %s: the start should have gone on", s)
		}
	})
}

func TestRequestsThatAStateRefuses(t *testing.T) {
	for _, s := range []State{Creating, Starting, Running, Idle, Stopping, Failed} {
		inBubble(t, s, nil, func(t *testing.T, m *Machine, d *fake) {
			if err := m.Remove(context.Background()); !errors.Is(err, ErrRefused) {
				t.Errorf("remove while %s: %v, want refused", s, err)
			}
		})
	}
}

func TestCloseTellsWhoWaits(t *testing.T) {
	inBubble(t, Stopped, map[Effect][]answer{}, func(t *testing.T, m *Machine, d *fake) {
		up := later(m.EnsureReady)
		synctest.Wait()
		m.Close()
		if r := <-up; !errors.Is(r.err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", r.err)
		}
		if err := m.EnsureReady(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	})
}

// Every state answers every request or refuses it, and leads to a known state.
func TestTableIsWhole(t *testing.T) {
	known := append(append([]Event{}, requests...), reports...)
	for s, row := range table {
		for e, mv := range row {
			if !slices.Contains(known, e) || !slices.Contains(States, mv.To) {
				t.Errorf("%s, %s leads to %s: unknown", s, e, mv.To)
			}
		}
		for _, e := range []Event{Need, Halt, Kill} {
			if _, ok := row[e]; !ok {
				t.Errorf("%s refuses %s, which must always be possible", s, e)
			}
		}
	}
	for _, s := range States {
		if table[s] == nil {
			t.Errorf("%s has no row", s)
		}
	}
}
