package agent

import (
	"context"
	"errors"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/power"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// wakeTime is how long a VM process may take to let its guest go on.
const wakeTime = 10 * time.Second

// watchPower heeds what becomes of the host until the function that it gives is called, or ctx ends.
func (a *agent) watchPower(ctx context.Context) (end func()) {
	if a.options.Power == nil {
		return func() {}
	}
	stop, err := a.options.Power.Watch(func(sleep context.Context, e power.Event) {
		sleep, cancel := context.WithCancel(sleep)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		a.heedPower(sleep, e)
	})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		a.log.Debug().Err(err).Msg("the host's sleep is not heeded")
	case err != nil:
		a.log.Warn().Err(err).Msg("the host's sleep is not heeded: a guest may not survive it")
	default:
		return stop
	}
	return func() {}
}

// heedPower does what an event asks for. The host's sleep waits for it.
func (a *agent) heedPower(ctx context.Context, e power.Event) {
	select {
	case <-a.opened: // the machines that run are known
	case <-ctx.Done():
		return
	}
	if a.manager == nil {
		return
	}
	begun := time.Now()
	var text string
	var err error
	switch e {
	case power.WillSleep:
		text = "the host goes to sleep: guests are frozen and their disks flushed"
		err = a.manager.Sleep(ctx)
	case power.DidWake:
		text = "the host is awake: guests go on"
		ctx, cancel := context.WithTimeout(ctx, wakeTime)
		err = a.manager.Wake(ctx)
		cancel()
	case power.MemoryTight, power.MemoryCritical, power.Hot, power.LowPower:
		text = "the host needs what it has (" + e.String() + "): machines that nobody uses rest"
		a.manager.Rest()
	default:
		a.log.Info().Stringer("event", e).Msg("the host is well again")
		return
	}
	a.log.Info().Stringer("event", e).Dur("took", time.Since(begun)).Err(err).Msg(text)
	published := agentapi.Event{Kind: agentapi.HostEvent, Message: text}
	if err != nil {
		published.Cause = err.Error()
	}
	a.bus.Publish(published)
}
