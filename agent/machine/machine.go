package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A Machine is one machine, whether it runs or not. Any goroutine may use it.
type Machine struct {
	mgr      *Manager
	name     string
	log      zerolog.Logger
	life     *lifecycle.Machine
	driver   driver
	keepDisk atomic.Bool   // of the Remove that is under way
	changing sync.Mutex    // held by who replaces the record
	look     chan struct{} // has a word for watchIdle
	idleDone chan struct{} // closed when watchIdle has returned

	mu      sync.Mutex // guards what follows; life is never called with it
	rec     *Record    // never changed, only replaced
	session *session   // while there is a VM process
	waits   string     // what the guest of session, or of the last one, stands still for
	failed  bool       // and it is trying again by itself
	holds   map[string]*agentapi.Held
	uses    int       // that were not released
	used    time.Time // when something used it last
	busy    bool      // when watchIdle looked last
	// state, since and epoch are those of life, as changed was told.
	state lifecycle.State
	since time.Time
	epoch uint64
}

// newMachine makes the machine of a record; vm is its VM if one runs.
func (g *Manager) newMachine(r *Record, vm *foundVM) *Machine {
	m := &Machine{
		mgr: g, name: r.Name, rec: r, holds: map[string]*agentapi.Held{}, log: g.opts.Log.With().Str("machine", r.Name).Logger(),
		look: make(chan struct{}, 1), idleDone: make(chan struct{}), used: time.Now(), since: time.Now(),
	}
	m.driver.m = m
	initial := lifecycle.NotExist
	switch {
	case vm != nil:
		initial = lifecycle.Running
		m.session = newSession(m, 0, vm.made, vm.proc)
	case g.records.exists(r.Name):
		initial = lifecycle.Stopped
	}
	m.state = initial
	m.life = lifecycle.New(initial, &m.driver, func() lifecycle.Limits { return g.configured(r.Name).Limits }, m.changed)
	if vm != nil {
		m.session.resume(vm.resp)
	}
	go m.watchIdle()
	return m
}

// record is what is kept. It must not be changed.
func (m *Machine) record() *Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rec
}

// keep replaces the record, on the disk first.
func (m *Machine) keep(r *Record) error {
	if err := m.mgr.records.write(r); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rec = r
	return nil
}

// Name is the machine's name.
func (m *Machine) Name() string { return m.name }

// EnsureReady makes, starts or wakes the machine and returns when its guest agent has answered. It is use. Errors: those
// of lifecycle.Machine.
func (m *Machine) EnsureReady(ctx context.Context) error {
	m.mu.Lock()
	m.used = time.Now()
	m.mu.Unlock()
	err := m.life.EnsureReady(ctx)
	if errors.Is(err, lifecycle.ErrTooLate) {
		if why := m.waiting(); why != nil {
			return fmt.Errorf("%w: %w", err, why)
		}
	}
	return err
}

// Stop ends the machine gracefully, and by force when its grace is over.
func (m *Machine) Stop(ctx context.Context) error { return m.life.Stop(ctx) }

// ForceStop ends the machine now.
func (m *Machine) ForceStop(ctx context.Context) error { return m.life.ForceStop(ctx) }

// end stops the machine, by force when ctx ends.
func (m *Machine) end(ctx context.Context) error {
	if err := m.life.Stop(ctx); err == nil || ctx.Err() == nil {
		return err
	}
	short, cancel := context.WithTimeout(context.WithoutCancel(ctx), killTime)
	defer cancel()
	return m.life.ForceStop(short)
}

// killTime is how long a process may take to die of SIGKILL.
const killTime = 10 * time.Second

// close ends what manages the machine. Its VM, if there is one, goes on, unless it was to be stopped: then somebody has asked for it
// since.
func (m *Machine) close(stopped bool) {
	m.life.Close()
	<-m.idleDone
	m.driver.close()
	s := m.current()
	switch {
	case s == nil:
	case stopped:
		s.destroy()
	default:
		s.detach()
	}
}

// current is the session that there is, or nil.
func (m *Machine) current() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.session
}

// setSession makes s the session, or with nil forgets the one that was.
func (m *Machine) setSession(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.session = s; s != nil {
		m.waits = ""
	}
}

// setWaits notes what the guest waits for, "" for nothing.
func (m *Machine) setWaits(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = what
}

// waiting is an error for a guest that stands still, nil for one that does not.
func (m *Machine) waiting() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waits == "" {
		return nil
	}
	return fmt.Errorf("cannot reach the guest of %s: %s; make some", m.name, m.waits)
}

// Info is the machine at a glance. It never blocks.
func (m *Machine) Info() agentapi.Machine {
	st := m.life.Status()
	m.mu.Lock()
	r, s, waits := m.rec, m.session, m.waits
	m.mu.Unlock()
	info := agentapi.Machine{
		Holds: m.Holds(),
		Name:  m.name, State: string(st.State), Since: st.Since, CPUs: r.CPUs, Memory: r.Memory, Disk: r.Disk, Role: r.Role, CID: r.CID,
	}
	if st.Cause != nil {
		info.Cause = st.Cause.Error()
	}
	if s != nil {
		info.Waits = waits
		s.describe(&info)
	}
	return info
}

// Guest brings the machine up and gives a stream on which the guest's agent answers package guestapi.
func (m *Machine) Guest(ctx context.Context) (*os.File, error) { return m.Connect(ctx, guestapi.Port) }

// Connect brings the machine up and gives a stream to a vsock port of the guest. Errors: those of EnsureReady, vmapi.Refused, that
// the guest stands still.
func (m *Machine) Connect(ctx context.Context, port uint32) (*os.File, error) {
	if err := m.EnsureReady(ctx); err != nil {
		return nil, err
	}
	if err := m.waiting(); err != nil {
		return nil, err
	}
	s := m.current()
	if s == nil {
		return nil, fmt.Errorf("cannot connect to the guest of %s: %w", m.name, errNoGuest)
	}
	if port == guestapi.Port {
		return s.meet(ctx)
	}
	return s.connect(ctx, port)
}

var errNoGuest = errors.New("there is no guest now")

// Console gives a stream of a console of a VM that runs; it does not start one.
func (m *Machine) Console(ctx context.Context, name vmapi.Console, history bool) (*os.File, error) {
	s := m.current()
	if s == nil {
		return nil, fmt.Errorf("cannot attach to a console of %s: %w", m.name, errNoGuest)
	}
	resp, err := ipc.Call(ctx, s.proc.Conn, vmapi.Attach, &vmapi.AttachReq{Console: name, History: history})
	if err != nil {
		return nil, err
	}
	defer resp.Close()
	return resp.Take(resp.Stream)
}

// ResizeConsole tells the guest how large the terminal at hvc0 is.
func (m *Machine) ResizeConsole(ctx context.Context, cols, rows uint16) error {
	s := m.current()
	if s == nil {
		return fmt.Errorf("cannot resize the console of %s: %w", m.name, errNoGuest)
	}
	_, err := ipc.Call(ctx, s.proc.Conn, vmapi.Resize, &vmapi.ResizeReq{Cols: cols, Rows: rows})
	return err
}

// changed publishes a change of state. The owner of the state calls it: it neither blocks nor calls back.
func (m *Machine) changed(c lifecycle.Change) {
	e := agentapi.Event{Machine: m.name}
	if c.Cause != nil {
		e.Cause = c.Cause.Error()
	}
	recovered := false
	m.mu.Lock()
	m.state, m.since, m.epoch = c.To, time.Now(), c.Epoch
	if c.To == lifecycle.Running {
		m.used = m.since
	}
	m.consider()
	switch c.To {
	case lifecycle.Failed:
		m.failed = true
		if m.session != nil && c.Event != lifecycle.BootFailed {
			m.session.lost("%v", c.Cause) // it writes the crash report, if it is not what has told
		}
	case lifecycle.Starting:
		m.failed = c.Event == lifecycle.Retry
	case lifecycle.Running:
		recovered, m.failed = m.failed, false
	case lifecycle.Stopped, lifecycle.NotExist:
		m.failed = false
	}
	m.mu.Unlock()
	log := m.log.Info()
	if c.To == lifecycle.Failed {
		log = m.log.Warn()
	}
	log.Str("from", string(c.From)).Str("to", string(c.To)).Str("event", string(c.Event)).AnErr("cause", c.Cause).Msg("machine changed")
	if e.Kind = kindOf(c); e.Kind != "" {
		m.mgr.publish(e)
	}
	if recovered {
		m.mgr.publish(agentapi.Event{Kind: agentapi.MachineRecovered, Machine: m.name})
	}
}

// kindOf is the event that a change of state is, or "".
func kindOf(c lifecycle.Change) agentapi.EventKind {
	switch c.To {
	case lifecycle.Created:
		return agentapi.MachineCreated
	case lifecycle.Starting:
		return agentapi.MachineStarting
	case lifecycle.Running:
		if c.From == lifecycle.Idle {
			return agentapi.MachineActive
		}
		return agentapi.MachineReady
	case lifecycle.Idle:
		return agentapi.MachineIdle
	case lifecycle.Stopping:
		return agentapi.MachineStopping
	case lifecycle.Stopped:
		return agentapi.MachineStopped
	case lifecycle.Failed:
		return agentapi.MachineFailed
	case lifecycle.NotExist:
		if c.From == lifecycle.Creating {
			return agentapi.MachineFailed
		}
		return agentapi.MachineRemoved
	}
	return ""
}
