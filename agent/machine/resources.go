package machine

import (
	"context"
	"fmt"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Resources are what the machine has and what it will have at its next start.
func (m *Machine) Resources() agentapi.ResourcesResp {
	m.mu.Lock()
	now, next := m.rec, m.rec
	if m.session != nil {
		now = m.session.made
	}
	m.mu.Unlock()
	set := m.settings()
	asset, err := m.mgr.asset(set)
	if err != nil {
		asset = nil
	}
	if shall, err := desire(next, set, asset); err == nil {
		next = shall
	}
	return agentapi.ResourcesResp{Now: values(now), Next: values(next), AtNextStart: valueChanges(values(now), values(next))}
}

func values(r *Record) agentapi.Values {
	return agentapi.Values{CPUs: r.CPUs, Memory: r.Memory, Disk: r.Disk, Cmdline: r.Cmdline, Kernel: r.Kernel}
}

func valueChanges(from, to agentapi.Values) []agentapi.Change {
	record := func(v agentapi.Values) *Record {
		return &Record{CPUs: v.CPUs, Memory: v.Memory, Disk: v.Disk, Cmdline: v.Cmdline, Kernel: v.Kernel}
	}
	return drift(record(from), record(to))
}

// SetResources changes what is not nil; it takes effect at the next start. A zero gives a value back to the configuration. What is
// asked for by name is no drift.
func (m *Machine) SetResources(_ context.Context, req *agentapi.SetResourcesReq) (agentapi.ResourcesResp, error) {
	if m.life.Status().State == lifecycle.NotExist {
		return agentapi.ResourcesResp{}, fmt.Errorf("cannot change the machine %s: %w", m.name, ErrNotFound)
	}
	m.changing.Lock()
	defer m.changing.Unlock()
	r := m.record().clone()
	set(&r.Asked.CPUs, req.CPUs)
	set(&r.Asked.Memory, req.Memory)
	set(&r.Asked.Disk, req.Disk)
	set(&r.Asked.Cmdline, req.Cmdline)
	set(&r.Asked.Kernel, req.Kernel)
	if err := r.Asked.check(); err != nil {
		return agentapi.ResourcesResp{}, err
	}
	conf := m.settings()
	asset, err := m.mgr.asset(conf)
	if err != nil || r.Kernel == "" { // the rest is resolved at the start
		asset = nil
	}
	d, err := desire(r, conf, asset)
	if err != nil {
		return agentapi.ResourcesResp{}, err
	}
	d.Generation++
	if err := m.keep(d); err != nil {
		return agentapi.ResourcesResp{}, err
	}
	return m.Resources(), nil
}

func set[T any](v *T, to *T) {
	if to != nil {
		*v = *to
	}
}
