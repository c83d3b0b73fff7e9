package agent

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// openSettings reads the settings and follows them. What is wrong with them is told, and keeps nothing from working.
func (a *agent) openSettings() {
	w, err := config.Watch(a.options.Config, a.reconfigured)
	a.mu.Lock()
	a.config, a.configErr = w, err
	a.mu.Unlock()
	if w != nil {
		a.heedSettings(w.Current())
	}
}

// reconfigured is told of new settings, or that they are broken: then what was good last counts.
func (a *agent) reconfigured(c *config.Config, err error) {
	a.mu.Lock()
	a.configErr = err
	a.mu.Unlock()
	a.heedSettings(c)
	a.log.Info().Err(err).Msg("settings were changed")
	select {
	case <-a.opened: // before, the start says how it is
		a.settle()
		if a.manager != nil {
			a.manager.Reconfigured()
		}
	default:
	}
}

// heedSettings does what counts at once and is no machine's.
func (a *agent) heedSettings(c *config.Config) {
	if level, err := zerolog.ParseLevel(c.Log.Level); err == nil {
		zerolog.SetGlobalLevel(level)
	}
	for _, m := range c.Warnings {
		a.log.Warn().Msg(m.Error())
	}
}

// settle enters the phase that the agent rests in: READY, or DEGRADED where something is wrong that it can work with.
func (a *agent) settle() {
	a.mu.Lock()
	err := a.configErr
	a.mu.Unlock()
	if err != nil {
		a.enter(agentapi.Degraded, "settings are broken, and what was good last counts; see arcbox config validate", err)
		return
	}
	if a.dockerErr != nil {
		a.enter(agentapi.Degraded, "Docker's clients cannot be served", a.dockerErr)
		return
	}
	a.enter(agentapi.Ready, "", nil)
}

// settings are what is configured now for the machine called name.
func (a *agent) settings(name string) machine.Settings {
	a.mu.Lock()
	w := a.config
	a.mu.Unlock()
	if w == nil {
		return machine.Settings{}
	}
	return settingsOf(w.Current().For(name))
}

// never is how long a machine waits for what shall not happen.
const never = 100 * 365 * 24 * time.Hour

func settingsOf(m config.Machine) machine.Settings {
	s := machine.Settings{
		CPUs: m.CPUs, Memory: uint64(m.Memory), Disk: m.DiskNominal, Kernel: m.Kernel, Cmdline: m.Cmdline,
		IdleAfter: m.IdleTimeout, NoStop: !m.AutoStop, StopAfter: m.AutoStopAfter, NoBalloon: !m.Balloon,
		HealthEvery: m.HealthInterval, Limits: lifecycle.Limits{Start: m.StartTimeout, Grace: m.StopGrace},
		Flush: vmapi.Flush(m.Flush), DiskReserve: m.Preallocate, PublishAll: m.Publish == config.PublishAll,
		Routes: m.Routes == config.RoutesOn, X8664: m.X8664,
	}
	if m.IdleTimeout == 0 {
		s.IdleAfter = never
	}
	if m.StopGrace == 0 {
		s.Limits.Grace = time.Nanosecond // of lifecycle.Limits: none
	}
	if m.Preallocate == 0 {
		s.DiskReserve = -1 // of storage.Spec: none
	}
	return s
}

// reload serves agentapi.Reload.
func (a *agent) reload(ctx context.Context, _ *agentapi.ReloadReq) (*agentapi.ReloadResp, error) {
	select {
	case <-a.opened: // the settings are followed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	a.mu.Lock()
	w := a.config
	a.mu.Unlock()
	if w != nil {
		w.Look()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	resp := &agentapi.ReloadResp{}
	if a.configErr != nil {
		resp.Mistake = a.configErr.Error()
	}
	return resp, nil
}

// closeSettings stops following.
func (a *agent) closeSettings() error {
	a.mu.Lock()
	w := a.config
	a.mu.Unlock()
	if w == nil {
		return nil
	}
	return errors.Join(w.Close())
}
