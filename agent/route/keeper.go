package route

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// A Network plays a machine's network, and has the other end of the wire.
type Network interface {
	// Wire is the wire that is plugged in, and the networks that it lets through; "" for none.
	Wire(ctx context.Context) (name string, address netip.Addr, subnets []netip.Prefix, err error)
	// Plug plugs a wire in, in place of the one before.
	Plug(ctx context.Context, w *Wire, subnets []netip.Prefix) error
	// Pass has the wire let other networks through.
	Pass(ctx context.Context, subnets []netip.Prefix) error
	// Unplug ends the wire.
	Unplug(ctx context.Context) error
}

// A Guest is the machine, which lets the host through to its containers or does not.
type Guest interface {
	// Admit lets host reach those networks, and nobody any others; with none it is closed.
	Admit(ctx context.Context, host netip.Addr, subnets []netip.Prefix) error
}

// Wanted is how it should be at one moment.
type Wanted struct {
	On      bool           // routes are wanted at all
	Network Network        // nil while nobody plays it
	Guest   Guest          // nil while it cannot be asked; another one when it may have forgotten
	Subnets []netip.Prefix // that are to be routed, as Parse gives them; known while there is a Guest
}

// What a keeper tells.
type (
	// A Kind says what has happened.
	Kind int
	// An Event is something that has happened to a network, or to the wire if Subnet is zero.
	Event struct {
		Kind   Kind
		Subnet netip.Prefix
		Wire   string
		Cause  error
	}
)

// The kinds.
const (
	Installed Kind = iota
	Removed
	Failed // is told once for each cause
)

// Pauses before what has failed is tried again; each is twice the one before.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// A Keeper keeps one machine's routes. Fill it in, and Run it once.
type Keeper struct {
	Host   Host
	Wanted func() Wanted // is asked before each look
	Tell   func(Event)
	Due    <-chan struct{} // has a word when Wanted may say something else

	look     chan struct{} // has a word when the host's table may be another
	wire     string        // as it was last seen
	has      map[netip.Prefix]bool
	admitted Guest // who lets through what is in let
	let      []netip.Prefix
	failed   map[netip.Prefix]string // what was told, by network
	watching context.CancelFunc      // ends following the table; nil while nobody does
	watchers sync.WaitGroup
}

// Run makes the routes what they should be until ctx ends; leave says whether they stay then, for the next agent. Nobody looks
// at anything while nothing changes and no try has failed.
func (k *Keeper) Run(ctx context.Context, leave func() bool) {
	k.look, k.has, k.failed = make(chan struct{}, 1), map[netip.Prefix]bool{}, map[netip.Prefix]string{}
	defer k.watchers.Wait()
	defer k.unwatch()
	var again <-chan time.Time
	pause := firstPause
	for {
		select {
		case <-ctx.Done():
			if !leave() {
				k.end()
			}
			return
		case <-k.Due:
		case <-k.look:
		case <-again:
		}
		again = nil
		err := k.reconcile(ctx)
		switch {
		case err == nil:
			pause = firstPause
		case ctx.Err() == nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrTaken):
			again = time.After(pause)
			pause = min(2*pause, lastPause)
		}
	}
}

// endTime is how long the last look may take.
const endTime = 5 * time.Second

// end takes all routes back. The wire is the network's, which is ending too.
func (k *Keeper) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	k.withdraw(ctx, k.wire, nil)
}

// reconcile looks once. An error means that it is to be tried again.
func (k *Keeper) reconcile(ctx context.Context) error {
	want := k.Wanted()
	if want.Network == nil { // and with it the wire and its routes
		k.lost(ErrGone)
		return nil
	}
	name, address, passed, err := want.Network.Wire(ctx)
	if err != nil {
		return err
	}
	if name != k.wire && k.wire != "" {
		k.lost(ErrGone)
	}
	k.wire = name
	switch {
	case !want.On || want.Guest != nil && len(want.Subnets) == 0:
		return k.off(ctx, want, address)
	case want.Guest == nil:
		return nil
	}
	k.watch(ctx)
	if name == "" {
		address, err = k.attach(ctx, want)
	} else if !slices.Equal(passed, want.Subnets) {
		err = want.Network.Pass(ctx, want.Subnets)
	}
	if err == nil {
		err = k.admit(ctx, want.Guest, address, want.Subnets)
	}
	if err == nil {
		err = k.table(ctx, want)
	}
	return k.outcome(netip.Prefix{}, err)
}

// errTold is beside what a network's own event has told.
var errTold = errors.New("told")

// outcome tells of a failure that was not told, and remembers what was. It gives err back. That a wire is gone was told of its
// routes.
func (k *Keeper) outcome(subnet netip.Prefix, err error) error {
	if err == nil {
		delete(k.failed, subnet)
		return nil
	}
	if text := err.Error(); k.failed[subnet] != text && !errors.Is(err, context.Canceled) && !errors.Is(err, ErrGone) && !errors.Is(err, errTold) {
		k.failed[subnet] = text
		k.Tell(Event{Failed, subnet, k.wire, err})
	}
	return err
}

// lost forgets a wire that is gone.
func (k *Keeper) lost(why error) {
	for p := range k.has {
		k.Tell(Event{Removed, p, k.wire, why})
	}
	k.wire, k.admitted, k.let = "", nil, nil
	clear(k.has)
}

// off takes everything back.
func (k *Keeper) off(ctx context.Context, want Wanted, address netip.Addr) error {
	k.unwatch()
	clear(k.failed)
	if k.wire == "" {
		return nil
	}
	if have, err := k.Host.Installed(ctx, k.wire); err == nil { // which an earlier agent may have installed
		k.found(have)
	}
	err := k.withdraw(ctx, k.wire, nil)
	if want.Guest != nil {
		err = errors.Join(err, k.admit(ctx, want.Guest, address, nil))
	}
	if err := errors.Join(err, want.Network.Unplug(ctx)); err != nil {
		return err
	}
	k.lost(nil)
	return nil
}

// attach makes a wire and plugs it in.
func (k *Keeper) attach(ctx context.Context, want Wanted) (netip.Addr, error) {
	w, err := k.Host.Attach(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	defer w.File.Close() // the network has a copy
	if err := want.Network.Plug(ctx, w, want.Subnets); err != nil {
		return netip.Addr{}, err
	}
	k.wire = w.Name
	return w.Address, nil
}

// admit has the guest let the host through.
func (k *Keeper) admit(ctx context.Context, g Guest, address netip.Addr, subnets []netip.Prefix) error {
	if g == k.admitted && slices.Equal(subnets, k.let) {
		return nil
	}
	if err := g.Admit(ctx, address, subnets); err != nil {
		return fmt.Errorf("the machine does not let the host through: %w", err)
	}
	k.admitted, k.let = g, subnets
	return nil
}

// table makes the host's table what it should be. Networks that are another's are told, and no reason to try again: the table
// is followed.
func (k *Keeper) table(ctx context.Context, want Wanted) error {
	have, err := k.Host.Installed(ctx, k.wire)
	if errors.Is(err, ErrGone) { // somebody has removed the interface
		err = errors.Join(err, want.Network.Unplug(ctx))
		k.lost(ErrGone)
		return err
	}
	if err != nil {
		return err
	}
	k.found(have)
	maps.DeleteFunc(k.failed, func(p netip.Prefix, _ string) bool { return p.IsValid() && !slices.Contains(want.Subnets, p) })
	if err := k.withdraw(ctx, k.wire, want.Subnets); err != nil {
		return err
	}
	var errs error
	for _, p := range want.Subnets {
		if k.has[p] {
			k.outcome(p, nil)
			continue
		}
		err := k.outcome(p, k.Host.Install(ctx, k.wire, p))
		if err == nil {
			k.has[p] = true
			k.Tell(Event{Installed, p, k.wire, nil})
		} else if !errors.Is(err, ErrTaken) {
			errs = errors.Join(errs, errTold, err)
		}
	}
	return errs
}

// found notes what is in the table: routes of an earlier agent are ours, and somebody may have removed others.
func (k *Keeper) found(have []netip.Prefix) {
	for p := range k.has {
		if !slices.Contains(have, p) {
			delete(k.has, p)
			k.Tell(Event{Removed, p, k.wire, errors.New("somebody else removed it")})
		}
	}
	for _, p := range have {
		k.has[p] = true
	}
}

// withdraw removes what is in the table and not wanted.
func (k *Keeper) withdraw(ctx context.Context, wire string, want []netip.Prefix) error {
	var errs error
	for p := range k.has {
		if slices.Contains(want, p) {
			continue
		}
		if err := k.Host.Remove(ctx, wire, p); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		delete(k.has, p)
		k.Tell(Event{Removed, p, wire, nil})
	}
	return errs
}

// watch follows the host's table from now on.
func (k *Keeper) watch(ctx context.Context) {
	if k.watching != nil {
		return
	}
	ctx, k.watching = context.WithCancel(ctx)
	k.watchers.Go(func() {
		for pause := firstPause; ctx.Err() == nil; pause = min(2*pause, lastPause) {
			k.Host.Changes(ctx, k.changed) // what is wrong shows where it is used
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	})
}

func (k *Keeper) unwatch() {
	if k.watching != nil {
		k.watching()
		k.watching = nil
	}
}

func (k *Keeper) changed() {
	select {
	case k.look <- struct{}{}:
	default:
	}
}
