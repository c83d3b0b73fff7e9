package lifecycle

import (
	"fmt"
	"slices"
	"time"
)

// An owner is the goroutine that holds the state: nothing here is shared.
type owner struct {
	machine *Machine
	driver  Driver
	limits  func() Limits
	publish func(Change)

	status  Status
	wanted  bool  // the last request was Need: come up, and again after a failure
	answers bool  // the guest agent has answered since Boot or Wake
	failure error // the last of those that Status.Failures counts

	makers   []chan error // callers of Create
	starters []chan error // callers of EnsureReady
	stoppers []chan error // callers of Stop and ForceStop

	deadline timer // of the whole start
	grace    timer
	retry    timer
	stable   timer
}

// limit are the limits now.
func (o *owner) limit() Limits { return o.limits().withDefaults() }

// A timer is one that may not be running. Its zero value is stopped.
type timer struct{ t *time.Timer }

func (t *timer) start(d time.Duration) {
	t.stop()
	t.t = time.NewTimer(d)
}

func (t *timer) stop() {
	if t.t != nil {
		t.t.Stop()
		t.t = nil
	}
}

// c never delivers while the timer is stopped.
func (t *timer) c() <-chan time.Time {
	if t.t == nil {
		return nil
	}
	return t.t.C
}

func (o *owner) run() {
	defer close(o.machine.done)
	defer o.end()
	for {
		select {
		case <-o.machine.quit:
			return
		case msg := <-o.machine.inbox:
			o.receive(msg)
		case <-o.deadline.c():
			o.late()
		case <-o.grace.c():
			o.grace.stop()
			o.happen(GraceOver, nil)
		case <-o.retry.c():
			o.retry.stop()
			o.happen(Retry, nil)
		case <-o.stable.c():
			o.stable.stop()
			o.status.Failures = 0
			o.show()
		}
	}
}

// late ends a start that took all of its time, wherever it has got to: a machine
// that is about to be tried again is not, and one that still stops stays down.
func (o *owner) late() {
	o.deadline.stop()
	o.wanted = false
	cause := fmt.Errorf("%w: %v have passed", ErrTooLate, o.limit().Start)
	if o.status.Failures > 0 {
		cause = fmt.Errorf("%w; it failed %d times meanwhile, lastly: %w", cause, o.status.Failures, o.failure)
	}
	o.answer(&o.starters, cause)
	o.happen(Late, cause)
	if o.status.State == Failed && o.retry.t != nil {
		o.retry.stop()
		o.status.GaveUp = true
		o.show()
	}
}

// end stops the timers and answers whoever waits.
func (o *owner) end() {
	for _, t := range []*timer{&o.deadline, &o.grace, &o.retry, &o.stable} {
		t.stop()
	}
	o.answer(&o.makers, ErrClosed)
	o.answer(&o.starters, ErrClosed)
	o.answer(&o.stoppers, ErrClosed)
}

func (o *owner) receive(msg any) {
	switch m := msg.(type) {
	case request:
		o.request(m)
	case report:
		if m.epoch == o.status.Epoch {
			o.happen(m.event, m.cause)
		}
	case fetching:
		o.fetch(m)
	case withdrawal:
		drop := func(c chan error) bool { return c == m.reply }
		o.makers = slices.DeleteFunc(o.makers, drop)
		o.starters = slices.DeleteFunc(o.starters, drop)
		o.stoppers = slices.DeleteFunc(o.stoppers, drop)
	}
}

// request lets a caller wait for what it asked, and makes it happen.
func (o *owner) request(r request) {
	if _, ok := table[o.status.State][r.event]; !ok {
		r.reply <- fmt.Errorf("cannot %s the machine while it is %s: %w", r.event, o.status.State, ErrRefused)
		return
	}
	switch r.event {
	case Create:
		o.makers = append(o.makers, r.reply)
	case Need:
		o.want()
		o.starters = append(o.starters, r.reply)
		if o.status.State == Failed && o.retry.t != nil {
			return // the retry that is due serves this caller too
		}
	case Halt, Kill:
		o.wanted = false
		o.answer(&o.starters, ErrStopped)
		o.stoppers = append(o.stoppers, r.reply)
	case Remove:
		defer func() { r.reply <- nil }()
	}
	o.happen(r.event, nil)
}

// want begins to want the machine up; the deadline covers all that this takes.
func (o *owner) want() {
	if o.wanted && len(o.starters) > 0 {
		return
	}
	o.wanted = true
	if o.status.GaveUp {
		o.status.GaveUp, o.status.Failures = false, 0
	}
	if !o.ready() {
		o.deadline.start(o.limit().Start)
	}
}

func (o *owner) fetch(f fetching) {
	if f.epoch != o.status.Epoch || o.status.State != Starting {
		return
	}
	if f.on {
		o.deadline.stop()
	} else {
		o.deadline.start(o.limit().Start)
	}
}

// ready says whether EnsureReady may return.
func (o *owner) ready() bool { return o.status.State == Running && o.answers }

// happen looks an event up and does what the table says.
func (o *owner) happen(e Event, cause error) {
	from := o.status.State
	mv, ok := table[from][e]
	if !ok {
		return
	}
	if e == Ready {
		o.answers = true
	}
	if mv.To == Creating && from != Creating || mv.To == Starting && from != Starting {
		o.status.Epoch++
	}
	if mv.To != from {
		o.enter(from, mv.To, e, cause)
	}
	for _, effect := range mv.Do {
		o.begin(effect)
	}
	o.settle()
}

// begin has the driver do an effect, with the timer that it needs.
func (o *owner) begin(e Effect) {
	switch e {
	case Shutdown:
		o.grace.start(o.limit().Grace)
	case Boot, Wake:
		o.answers = false
		if o.deadline.t == nil { // nobody waits for it; it must not hang for ever nevertheless
			o.deadline.start(o.limit().Start)
		}
	}
	o.driver.Begin(e, o.status.Epoch)
}

// enter changes the state and tells.
func (o *owner) enter(from, to State, e Event, cause error) {
	o.status.State, o.status.Since, o.status.Cause = to, time.Now(), nil
	if to != Running && to != Idle {
		o.stable.stop()
	}
	switch to {
	case Running:
		if from != Idle { // a guest at rest is as stable as any
			o.stable.start(o.limit().Stable)
		}
	case Failed:
		o.fail(e, cause)
	case Stopped, NotExist, Created:
		o.grace.stop()
		o.retry.stop()
		o.status.Failures, o.status.GaveUp = 0, false
		if e == MakeFailed {
			o.status.Cause = orNoReason(cause)
		}
	case Starting, Stopping:
		o.retry.stop()
	}
	if from == Stopping {
		o.grace.stop()
	}
	o.show()
	o.publish(Change{From: from, To: to, Event: e, Epoch: o.status.Epoch, Cause: o.status.Cause})
}

// fail decides whether to try again. A start that took all of its time is not tried again.
func (o *owner) fail(e Event, cause error) {
	o.status.Cause = orNoReason(cause)
	o.failure = o.status.Cause
	o.status.Failures++
	o.status.GaveUp = e == Late || o.status.Failures > o.limit().Tries
	if !o.status.GaveUp {
		o.retry.start(o.backoff())
	}
}

// backoff is the wait before the next try: none, then doubling.
func (o *owner) backoff() time.Duration {
	n := o.status.Failures - 2
	if n < 0 {
		return 0
	}
	l := o.limit()
	return min(l.FirstTry<<min(n, 20), l.LastTry)
}

func orNoReason(cause error) error {
	if cause == nil {
		return errNoReason
	}
	return cause
}

// settle answers whom the state answers, and goes on to what is wanted.
func (o *owner) settle() {
	switch o.status.State {
	case Running:
		if o.answers {
			o.deadline.stop()
			o.answer(&o.starters, nil)
		}
	case Created, Stopped, NotExist:
		o.answer(&o.makers, o.status.Cause)
		o.answer(&o.stoppers, nil)
		o.rest()
	case Failed:
		o.answer(&o.stoppers, nil)
		if o.status.GaveUp {
			o.giveUp()
		}
	}
}

// rest is what a machine that is down does next: come up if callers wait for it.
func (o *owner) rest() {
	switch {
	case o.status.Cause != nil: // it could not be made
		o.wanted = false
		o.deadline.stop()
		o.answer(&o.starters, o.status.Cause)
	case o.wanted && len(o.starters) > 0:
		o.happen(Need, nil)
	default:
		o.wanted = false
		o.deadline.stop()
	}
}

// giveUp tells callers why.
func (o *owner) giveUp() {
	o.wanted = false
	o.deadline.stop()
	o.answer(&o.starters, fmt.Errorf("%w (%d times): %w", ErrGaveUp, o.status.Failures, o.status.Cause))
}

// answer ends the wait of callers.
func (o *owner) answer(who *[]chan error, err error) {
	for _, c := range *who {
		c <- err
	}
	*who = nil
}

// show lets others read the status.
func (o *owner) show() {
	s := o.status
	o.machine.status.Store(&s)
}
