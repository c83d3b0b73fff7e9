package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A nap is what was seen of one sleep of the host.
type nap struct {
	begun, ended time.Time // by our own clocks, both of them
	told, woken  []hostEvent
	ticks        []tick
	slept, woke  time.Time // as the kernel says, zero if it does not
}

// sleep puts the host to sleep while a guest tells the time.
func sleep(ctx context.Context, s *session) error {
	b, err := s.running()
	if err != nil {
		return err
	}
	if !s.ask(ctx, "Next this Mac is put to sleep. Save your work; leave it asleep for a minute, then wake it and come back here.") {
		return notRunError("nobody was there to wake the Mac")
	}
	before, err := b.inspect(ctx)
	if err != nil {
		return err
	}
	stop, err := b.ticking(ctx)
	if err != nil {
		return err
	}
	n := nap{begun: time.Now()}
	err = s.does(ctx, "pmset", "sleepnow")
	if err == nil && !s.ask(ctx, "The Mac goes to sleep. Once you have woken it:") {
		err = notRunError("it was left out")
	}
	if err == nil {
		err = b.awaitHost(ctx, n.begun, time.Minute, "did-wake")
	}
	pause(ctx, 3*time.Second) // in which the guest goes on
	n.ticks, n.ended = stop(), time.Now()
	if err != nil {
		return err
	}
	told, err1 := b.hostEvents(n.begun, "will-sleep")
	woken, err2 := b.hostEvents(n.begun, "did-wake")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	n.told, n.woken = told, woken
	n.slept, n.woke = s.kernelTime(ctx, "kern.sleeptime"), s.kernelTime(ctx, "kern.waketime")
	for part, f := range n.judge() {
		s.tell(part, f.verdict, "%s", f.note)
	}
	after, err := b.inspect(ctx)
	if err == nil && after != before {
		err = fmt.Errorf("the machine is another one: %+v, was %+v", after, before)
	}
	s.must("machine", err)
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// inFlight is how old a line of the guest may be when it is heard.
const inFlight = 2 * time.Second

// judge says what the nap shows.
func (n *nap) judge() map[string]finding {
	found := map[string]finding{}
	fails := func(part, format string, args ...any) { found[part] = finding{failed, fmt.Sprintf(format, args...)} }
	if len(n.told) == 0 || len(n.woken) == 0 {
		fails("told", "the agent's log has %d words of sleep and %d of waking", len(n.told), len(n.woken))
		return found
	}
	frozen, woken := n.told[0].Time, n.woken[len(n.woken)-1]
	thawed := woken.Time.Add(-time.Duration(woken.Took * float64(time.Millisecond)))
	found["told"], found["waits"], found["woken"], found["guest"] = finding{held, ""}, finding{held, ""}, finding{held, ""}, finding{held, ""}
	known := n.slept.After(n.begun.Truncate(time.Second)) && n.woke.After(n.slept)
	if n.told[0].Error != "" {
		fails("waits", "the guest was not frozen: %s", n.told[0].Error)
	} else if known && frozen.After(n.slept.Add(time.Second)) {
		fails("waits", "the system slept at %v, and the guest was frozen at %v", n.slept, frozen)
	}
	if thawed.Before(frozen) || known && thawed.Before(n.woke.Add(-time.Second)) {
		fails("woken", "guests went on at %v; frozen at %v; the system woke at %v", thawed, frozen, n.woke)
	} else if len(n.woken) > 1 {
		found["woken"] = finding{held, fmt.Sprintf("it was told %d times", len(n.woken))}
	}
	for _, t := range n.ticks {
		if t.heard.Round(0).After(frozen.Add(inFlight)) && t.heard.Round(0).Before(thawed) {
			fails("waits", "the guest told the time at %v, in its sleep", t.heard)
		}
	}
	if last := n.ticks[max(0, len(n.ticks)-1):]; len(last) == 0 || last[0].heard.Round(0).Before(thawed) {
		fails("guest", "it said nothing after the host woke")
	} else if off := last[0].heard.Sub(last[0].guest); off < -time.Second || off > 2*time.Second {
		fails("guest", "its clock is %v off", off)
	}
	found["clock"] = n.judgeClock(known)
	return found
}

// judgeClock holds the monotonic clock, which must have stood still, against the wall's.
func (n *nap) judgeClock(known bool) finding {
	if !known {
		return finding{notRun, "the kernel does not say that the system has slept"}
	}
	stood := n.ended.Round(0).Sub(n.begun.Round(0)) - n.ended.Sub(n.begun)
	asleep := n.woke.Sub(n.slept)
	note := fmt.Sprintf("the system slept for %v, and the clock stood still for %v", asleep.Round(time.Second), stood.Round(time.Second))
	if stood < asleep-5*time.Second || stood > asleep+5*time.Second {
		return finding{failed, note}
	}
	return finding{held, note}
}

var kernelSeconds = regexp.MustCompile(`sec = (\d+), usec = (\d+)`)

// kernelTime is a moment that the kernel keeps, zero if it does not.
func (s *session) kernelTime(ctx context.Context, name string) time.Time {
	out, err := s.says(ctx, nil, "sysctl", "-n", name)
	m := kernelSeconds.FindStringSubmatch(out)
	if err != nil || m == nil {
		return time.Time{}
	}
	sec, err1 := strconv.ParseInt(m[1], 10, 64)
	usec, err2 := strconv.ParseInt(m[2], 10, 64)
	if errors.Join(err1, err2) != nil || sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, usec*1000)
}

// sudo runs a command as root, for which somebody is asked.
func (s *session) sudo(ctx context.Context, why string, args ...string) error {
	if !s.ask(ctx, why+" For that, sudo may ask for your password.") {
		return notRunError("nobody has allowed it")
	}
	return s.does(ctx, "sudo", args...)
}

// pressure has the system say that memory is short, for some seconds.
func pressure(ctx context.Context, s *session) error {
	b, err := s.running()
	if err != nil {
		return err
	}
	for _, level := range []struct{ name, event string }{{"warn", "memory-tight"}, {"critical", "memory-critical"}} {
		begun := time.Now()
		if err := s.sudo(ctx, "Next the system plays short of memory ("+level.name+").", "memory_pressure", "-S", "-l", level.name, "-s", "5"); err != nil {
			return err
		}
		s.must(level.name, b.awaitHost(ctx, begun, 30*time.Second, level.event))
	}
	return nil
}

// Names of notifications.
const (
	noteHeat     = "com.apple.system.thermalpressurelevel"
	noteLowPower = "com.apple.system.lowpowermode"
)

// heat looks whether the agent knows of a hot system. Nobody is asked to heat one.
func heat(ctx context.Context, s *session) error {
	b, err := s.running()
	if err != nil {
		return err
	}
	level, err := s.noteState(ctx, noteHeat)
	switch {
	case err != nil:
		return err
	case level > 4:
		return fmt.Errorf("the level %d is none that we know", level)
	case level < 2:
		return notRunError(fmt.Sprintf("the level is %d; run this step under load: scripts/mac-check --only machine,heat,end", level))
	}
	return b.awaitHost(ctx, time.Time{}, 5*time.Second, "hot")
}

// noteState is the state of a notification.
func (s *session) noteState(ctx context.Context, name string) (int, error) {
	out, err := s.says(ctx, nil, "notifyutil", "-g", name)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(out)
	if len(fields) != 2 || fields[0] != name {
		return 0, fmt.Errorf("notifyutil says %q", out)
	}
	return strconv.Atoi(fields[1])
}

var pmsetLowPower = regexp.MustCompile(`(?m)^\s*lowpowermode\s+([01])\b`)

// lowPower holds the notification's state against the setting, in both modes where somebody lets us.
func lowPower(ctx context.Context, s *session) error {
	mode := func() (string, error) {
		out, err := s.says(ctx, nil, "pmset", "-g")
		if err != nil {
			return "", err
		}
		m := pmsetLowPower.FindStringSubmatch(out)
		if m == nil {
			return "", notRunError("pmset knows no low-power mode here")
		}
		return m[1], nil
	}
	same := func() (string, error) {
		m, err := mode()
		if err != nil {
			return "", err
		}
		state, err := s.noteState(ctx, noteLowPower)
		if err == nil && strconv.Itoa(state) != m {
			err = fmt.Errorf("the setting is %s, and the state %d", m, state)
		}
		return m, err
	}
	first, err := same()
	if err != nil {
		return err
	}
	other := map[string]string{"0": "1", "1": "0"}[first]
	if err := s.sudo(ctx, "Next low-power mode is switched, and back.", "pmset", "-a", "lowpowermode", other); err != nil {
		var none notRunError
		if errors.As(err, &none) {
			s.tell("state", held, "looked at in the mode %s only", first)
			return nil
		}
		return err
	}
	pause(ctx, 2*time.Second)
	_, err = same()
	err = errors.Join(err, s.does(context.WithoutCancel(ctx), "sudo", "pmset", "-a", "lowpowermode", first))
	s.must("state", err)
	return nil
}
