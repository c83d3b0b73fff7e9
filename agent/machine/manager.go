package machine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/storage"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// Errors that callers branch on. They come wrapped.
var (
	ErrNotFound = errors.New("there is no such machine")
	ErrExists   = errors.New("there is such a machine already")
	ErrClosed   = errors.New("the machines are no longer managed")
)

// A Manager has all machines of one home. Any goroutine may use it. There is one for a home at a time, which is for the
// caller's lock to say.
type Manager struct {
	opts    Options
	records records

	mu       sync.Mutex // guards what follows
	machines map[string]*Machine
	problems []problem
	closed   bool
	asleep   chan struct{} // closed when the host wakes; nil while it is awake
}

// Open reads the records of opts.Home and becomes the owner of the VMs that run. Nothing is started. Records that
// cannot be read are set aside, and no error.
func Open(ctx context.Context, opts Options) (*Manager, error) {
	g := &Manager{opts: opts, records: records{filepath.Join(opts.Home.Root(), "machines")}, machines: map[string]*Machine{}}
	for _, dir := range []string{opts.Home.Root(), opts.Home.Data(), opts.Home.Log(), g.crashDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("cannot make %s: %w", dir, err)
		}
	}
	all, problems, err := g.records.load()
	if err != nil {
		return nil, err
	}
	g.problems = problems
	for _, p := range problems {
		opts.Log.Warn().Msg(p.text)
		g.publish(agentapi.Event{Kind: agentapi.RecordSetAside, Message: p.text})
	}
	found, err := g.findVMs(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		vm := found[r.Name]
		delete(found, r.Name)
		g.machines[r.Name] = g.newMachine(r, vm)
	}
	for _, vm := range found {
		g.recreate(vm)
	}
	return g, nil
}

// configured is what is configured now for the machine called name.
func (g *Manager) configured(name string) Settings {
	if g.opts.Settings == nil {
		return Settings{}
	}
	return g.opts.Settings(name)
}

// settings are what counts now for the machine called name.
func (g *Manager) settings(name string) Settings {
	s := g.configured(name)
	if s.Room == 0 {
		s.Room = storage.Capacity(g.opts.Home.Data())
	}
	return s.withDefaults()
}

// settings are what is configured now for the machine.
func (m *Machine) settings() Settings { return m.mgr.settings(m.name) }

// Reconfigured is called when settings have changed that count at once.
func (g *Manager) Reconfigured() {
	for _, m := range g.all() {
		m.mu.Lock()
		m.consider()
		s := m.session
		m.mu.Unlock()
		if s != nil {
			s.lookAtPorts()
			s.lookAtRoutes()
		}
	}
}

func (g *Manager) publish(e agentapi.Event) {
	if g.opts.Events != nil {
		g.opts.Events.Publish(e)
	}
}

// Create makes a machine's record and disk and does not start it. Errors: ErrExists, what the spec asks for that cannot be.
func (g *Manager) Create(ctx context.Context, spec agentapi.Spec) (agentapi.Machine, error) {
	m, err := g.add(spec)
	if err != nil {
		return agentapi.Machine{}, err
	}
	if err := m.life.Create(ctx); err != nil {
		g.forget(m)
		return agentapi.Machine{}, err
	}
	return m.Info(), nil
}

// add makes a machine that does not exist yet.
func (g *Manager) add(spec agentapi.Spec) (*Machine, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.closed:
		return nil, ErrClosed
	case g.machines[spec.Name] != nil:
		return nil, fmt.Errorf("cannot create the machine %s: %w", spec.Name, ErrExists)
	}
	r, err := newRecord(spec, g.freeCID(), g.opts.Home.Data())
	if err != nil {
		return nil, err
	}
	if _, err := g.socket(r.Name); err != nil {
		return nil, err
	}
	d, err := desire(r, g.settings(r.Name), nil)
	if err != nil {
		return nil, err
	}
	m := g.newMachine(d, nil)
	g.machines[r.Name] = m
	return m, nil
}

// freeCID is the lowest that no record has. The caller holds mu.
func (g *Manager) freeCID() uint32 {
	for cid := uint32(firstCID); ; cid++ {
		taken := false
		for _, m := range g.machines {
			taken = taken || m.record().CID == cid
		}
		if !taken {
			return cid
		}
	}
}

// Get is the machine called name; "" and DefaultMachine exist on demand. Errors: ErrNotFound.
func (g *Manager) Get(name string) (*Machine, error) {
	if name == "" {
		name = agentapi.DefaultMachine
	}
	g.mu.Lock()
	m := g.machines[name]
	g.mu.Unlock()
	if m != nil {
		return m, nil
	}
	if name != agentapi.DefaultMachine {
		if path := g.unreadable(name); path != "" {
			return nil, fmt.Errorf("cannot find the machine %q: %w, but a record of it that cannot be read, %s", name, ErrNotFound, path)
		}
		return nil, fmt.Errorf("cannot find the machine %q: %w", name, ErrNotFound)
	}
	m, err := g.add(agentapi.Spec{Name: name})
	if errors.Is(err, ErrExists) { // somebody else was quicker
		return g.Get(name)
	}
	return m, err
}

// List has all machines that exist, by name, and what is wrong with records that nobody has mended or removed.
func (g *Manager) List() (list []agentapi.Machine, problems []string) {
	for _, m := range g.all() {
		if info := m.Info(); info.State != string(lifecycle.NotExist) {
			list = append(list, info)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.problems {
		if p.stands() {
			problems = append(problems, p.text)
		}
	}
	return list, problems
}

// unreadable is where the record of the machine called name is that could not be read; "" for none.
func (g *Manager) unreadable(name string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.problems {
		if p.name == name && p.stands() {
			return p.path
		}
	}
	return ""
}

// all are the machines by name.
func (g *Manager) all() []*Machine {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []*Machine
	for _, m := range g.machines {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *Machine) int { return cmp.Compare(a.name, b.name) })
	return all
}

// Remove forgets a machine and deletes its disk, unless keepDisk. Errors: ErrNotFound; lifecycle.ErrRefused while it runs,
// unless force, which stops it.
func (g *Manager) Remove(ctx context.Context, name string, force, keepDisk bool) error {
	g.mu.Lock()
	m := g.machines[name]
	g.mu.Unlock()
	if m == nil || m.life.Status().State == lifecycle.NotExist {
		return fmt.Errorf("cannot remove the machine %q: %w", name, ErrNotFound)
	}
	if s := m.life.Status(); force || s.State == lifecycle.Failed && s.GaveUp { // nothing of it runs
		if err := m.life.ForceStop(ctx); err != nil {
			return err
		}
	}
	m.keepDisk.Store(keepDisk)
	if err := m.life.Remove(ctx); errors.Is(err, lifecycle.ErrRefused) {
		return fmt.Errorf("cannot remove %s, which is %s: %w; stop it before", name, m.life.Status().State, lifecycle.ErrRefused)
	} else if err != nil {
		return err
	}
	err := m.driver.wait(ctx)
	g.forget(m)
	return err
}

// forget ends a machine that does not exist any more, or never did.
func (g *Manager) forget(m *Machine) {
	if m.life.Status().State != lifecycle.NotExist {
		return // somebody made it again
	}
	g.mu.Lock()
	if g.machines[m.name] == m {
		delete(g.machines, m.name)
	}
	g.mu.Unlock()
	m.close(false)
}

// Close ends the management. With stop the machines are stopped first, all at once, gracefully and then by force; ctx
// bounds that. Without, VMs go on, to be found by the next Open. A second Close does nothing.
func (g *Manager) Close(ctx context.Context, stop bool) error {
	g.mu.Lock()
	again := g.closed
	g.closed = true
	g.mu.Unlock()
	if again {
		return nil
	}
	var wg sync.WaitGroup
	all := g.all()
	errs := make([]error, len(all))
	for i, m := range all {
		wg.Go(func() {
			if stop {
				errs[i] = m.end(ctx)
			}
			m.close(stop)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
