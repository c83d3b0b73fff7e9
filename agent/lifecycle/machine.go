package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// A Driver performs effects.
type Driver interface {
	// Begin starts effect e for the attempt epoch and returns at once: it is
	// called by the owner. What becomes of it goes to Machine.Report with that
	// epoch, once for each effect that reports, from any goroutine.
	Begin(e Effect, epoch uint64)
}

// Limits are the times and counts of a machine. Zero means the default.
type Limits struct {
	Start    time.Duration // the whole way to ready, retries included; DefaultStart
	Grace    time.Duration // a graceful stop; DefaultGrace
	Tries    int           // starts again after a failure before giving up; 3
	FirstTry time.Duration // the wait before the second of them; the first is at once; 500 ms
	LastTry  time.Duration // what that wait doubles up to; 10 s
	Stable   time.Duration // how long it must run for its failures to be forgotten; 1 min
}

// What Limits are when nobody says.
const (
	DefaultStart = 90 * time.Second
	DefaultGrace = 30 * time.Second // of which the guest has 25
)

func (l Limits) withDefaults() Limits {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&l.Start, DefaultStart)
	def(&l.Grace, DefaultGrace)
	def(&l.FirstTry, 500*time.Millisecond)
	def(&l.LastTry, 10*time.Second)
	def(&l.Stable, time.Minute)
	if l.Tries == 0 {
		l.Tries = 3
	}
	return l
}

// Status is a machine at one moment.
type Status struct {
	State    State
	Epoch    uint64    // of the current or last attempt
	Since    time.Time // when the state was entered
	Failures int       // in a row, since it was last stable
	GaveUp   bool      // Failed, and not tried again by itself
	Cause    error     // why it failed or could not be made; nil otherwise
}

// A Change is one step, for events and logs.
type Change struct {
	From, To State
	Event    Event
	Epoch    uint64
	Cause    error
}

// Errors of requests. They come wrapped.
var (
	ErrRefused  = errors.New("the machine's state does not allow it")
	ErrStopped  = errors.New("the machine was stopped meanwhile")
	ErrGaveUp   = errors.New("the machine failed too often")
	ErrTooLate  = errors.New("the machine was not ready in time")
	ErrClosed   = errors.New("the machine is no longer managed")
	errNoReason = errors.New("no reason was given")
)

// A Machine is one machine's owner. Any goroutine may call its methods.
type Machine struct {
	status atomic.Pointer[Status]
	inbox  chan any // request, report, withdrawal
	quit   chan struct{}
	done   chan struct{}
}

type request struct {
	event Event
	reply chan error // has room for one
}

type report struct {
	event Event
	epoch uint64
	cause error
}

// A withdrawal is a caller who waits no longer.
type withdrawal struct{ reply chan error }

// A fetching report stops the clock of a start, and starts it anew.
type fetching struct {
	epoch uint64
	on    bool
}

// New makes a machine in state initial and starts its owner, who asks for the limits
// whenever one counts: they may change. publish is called by
// the owner for every change of state, in order; it must not block and not call
// back. Close must be called.
func New(initial State, d Driver, limits func() Limits, publish func(Change)) *Machine {
	m := &Machine{inbox: make(chan any), quit: make(chan struct{}), done: make(chan struct{})}
	o := &owner{machine: m, driver: d, limits: limits, publish: publish}
	o.status = Status{State: initial, Since: time.Now()}
	o.show()
	go o.run()
	return m
}

// Status is the machine now. It never blocks.
func (m *Machine) Status() Status { return *m.status.Load() }

// Create makes a machine that does not exist, and returns when it does. Errors: ErrRefused, why it could not be made.
func (m *Machine) Create(ctx context.Context) error { return m.ask(ctx, Create) }

// EnsureReady brings the machine up if it is not, and returns when its guest agent
// has answered. Errors: ErrStopped, ErrGaveUp, ErrTooLate and ErrClosed, wrapped
// with the cause; ctx's own, upon which the start goes on for whoever else wants it.
func (m *Machine) EnsureReady(ctx context.Context) error { return m.ask(ctx, Need) }

// Stop ends the machine gracefully, by force when its grace is over, and returns
// when it has ended. Stopping what does not run succeeds. When ctx ends the stop
// goes on.
func (m *Machine) Stop(ctx context.Context) error { return m.ask(ctx, Halt) }

// ForceStop ends the machine now and returns when its process is gone.
func (m *Machine) ForceStop(ctx context.Context) error { return m.ask(ctx, Kill) }

// Remove forgets a machine that does not run. Errors: ErrRefused.
func (m *Machine) Remove(ctx context.Context) error { return m.ask(ctx, Remove) }

// Report tells what became of an effect, or what the health and idle monitors
// saw. Reports of another epoch than the current one are dropped.
func (m *Machine) Report(e Event, epoch uint64, cause error) {
	m.post(report{e, epoch, cause})
}

// Fetching stops the deadline of a start while boot assets are fetched, which has
// a limit of its own (no byte for 60 s), and starts it anew afterwards.
func (m *Machine) Fetching(epoch uint64, on bool) { m.post(fetching{epoch, on}) }

// Done is closed when the owner has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Close ends the owner and waits for it. The VM, if any, is left as it is;
// whoever waits is told ErrClosed.
func (m *Machine) Close() {
	select {
	case m.quit <- struct{}{}:
	case <-m.done:
	}
	<-m.done
}

// post gives msg to the owner, unless it has ended.
func (m *Machine) post(msg any) bool {
	select {
	case m.inbox <- msg:
		return true
	case <-m.done:
		return false
	}
}

func (m *Machine) ask(ctx context.Context, e Event) error {
	r := request{e, make(chan error, 1)}
	if !m.post(r) {
		return fmt.Errorf("cannot %s the machine: %w", e, ErrClosed)
	}
	select {
	case err := <-r.reply:
		return err
	case <-ctx.Done():
		m.post(withdrawal{r.reply})
		return fmt.Errorf("cannot wait for the machine any longer: %w", context.Cause(ctx))
	}
}
