package main

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/owned"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A vm is the one machine of this process, and the handlers.
type vm struct {
	ctx     context.Context // ends when the guest must
	cancel  context.CancelFunc
	confine func() string // takes the process's rights to the file system, says how
	keeper  *owned.Keeper // who owns the process
	events  journal

	mu      sync.Mutex    // guards what follows
	machine *machine      // nil until Configure has succeeded
	started time.Time     // when Start was called
	grace   time.Duration // what the guest of an orphan has to end
	closing bool
	hold    *os.File // is open as long as the process lives
}

func newVM(confine func() string) *vm {
	v := &vm{confine: confine}
	v.ctx, v.cancel = context.WithCancel(context.Background())
	v.keeper = owned.New(v.routes, v.hooks())
	return v
}

// onMachine makes a handler of one that needs a configured machine.
func onMachine[Req, Resp any](v *vm, h func(*machine, context.Context, *Req) (*Resp, error)) func(context.Context, *Req) (*Resp, error) {
	return func(ctx context.Context, req *Req) (*Resp, error) {
		m, err := v.configured()
		if err != nil {
			return nil, err
		}
		return h(m, ctx, req)
	}
}

// onGuest makes a handler of one that needs a guest which was started and has not ended.
func onGuest[Req, Resp any](v *vm, h func(*machine, context.Context, *Req) (*Resp, error)) func(context.Context, *Req) (*Resp, error) {
	return func(ctx context.Context, req *Req) (*Resp, error) {
		m, err := v.running()
		if err != nil {
			return nil, err
		}
		return h(m, ctx, req)
	}
}

// routes are the methods of every connection.
func (v *vm) routes() *ipc.Mux {
	mux := ipc.NewMux()
	ipc.Handle(mux, vmapi.Adopt, v.adopt)
	owned.Serve(mux, v.keeper, vmapi.Configure, v.configure)
	owned.Serve(mux, v.keeper, vmapi.Start, v.start)
	owned.Serve(mux, v.keeper, vmapi.Quit, v.quit)
	owned.Serve(mux, v.keeper, vmapi.Events, v.wait)
	owned.Serve(mux, v.keeper, vmapi.Stats, onMachine(v, v.stats))
	owned.Serve(mux, v.keeper, vmapi.Wait, onMachine(v, (*machine).wait))
	owned.Serve(mux, v.keeper, vmapi.ForceStop, onMachine(v, v.forceStop))
	owned.Serve(mux, v.keeper, vmapi.Pause, onGuest(v, (*machine).pause))
	owned.Serve(mux, v.keeper, vmapi.Resume, onGuest(v, (*machine).resume))
	owned.Serve(mux, v.keeper, vmapi.Stop, onGuest(v, (*machine).stop))
	owned.Serve(mux, v.keeper, vmapi.Connect, onGuest(v, (*machine).connect))
	owned.Serve(mux, v.keeper, vmapi.Listen, onMachine(v, (*machine).listen))
	owned.Serve(mux, v.keeper, vmapi.Accept, onMachine(v, (*machine).accept))
	owned.Serve(mux, v.keeper, vmapi.Attach, onMachine(v, (*machine).attach))
	owned.Serve(mux, v.keeper, vmapi.Resize, onMachine(v, (*machine).resize))
	owned.Serve(mux, v.keeper, vmapi.Balloon, onMachine(v, (*machine).askBalloon))
	owned.Serve(mux, v.keeper, vmapi.SetFlush, onMachine(v, (*machine).setFlush))
	owned.Serve(mux, v.keeper, vmapi.SetLink, onMachine(v, (*machine).setLink))
	owned.Serve(mux, v.keeper, vmapi.ResizeDisk, onMachine(v, (*machine).resizeDisk))
	return mux
}

// configure serves vmapi.Configure.
func (v *vm) configure(_ context.Context, req *vmapi.ConfigureReq) (*vmapi.ConfigureResp, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.machine != nil || v.closing {
		return nil, ipc.Errorf(ipc.WrongState, "cannot configure: this process holds a VM already")
	}
	v.grace = milliseconds(req.GraceMS, vmapi.DefaultGrace)
	m, err := newMachine(&v.events, req)
	if err != nil {
		return nil, err
	}
	if req.Hold != 0 {
		if v.hold, err = req.Take(req.Hold); err != nil {
			m.discard()
			return nil, err
		}
	}
	if req.Rendezvous != 0 {
		f, err := req.Take(req.Rendezvous)
		if err == nil {
			err = v.keeper.Meet(f, milliseconds(req.OrphanMS, vmapi.DefaultOrphan))
		}
		if err != nil {
			m.discard()
			return nil, err
		}
	}
	v.machine = m
	return &vmapi.ConfigureResp{DTB: m.board.FDT(), Sandbox: v.confine()}, nil
}

// maxPatience bounds what a request may ask us to wait.
const maxPatience = 30 * 24 * time.Hour

func milliseconds(n int64, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return min(time.Duration(min(n, maxPatience.Milliseconds()))*time.Millisecond, maxPatience)
}

// start serves vmapi.Start.
func (v *vm) start(context.Context, *vmapi.StartReq) (*vmapi.StartResp, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.machine == nil:
		return nil, errUnconfigured
	case !v.started.IsZero():
		return nil, ipc.Errorf(ipc.WrongState, "cannot start: the guest has been started already")
	}
	v.started = time.Now()
	v.events.add(vmapi.Event{Kind: vmapi.GuestStarted})
	go v.machine.run(v.ctx)
	return &vmapi.StartResp{}, nil
}

var errUnconfigured = ipc.Errorf(ipc.WrongState, "cannot do this before the machine is configured")

// configured is the machine, or an error before Configure.
func (v *vm) configured() (*machine, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.machine == nil {
		return nil, errUnconfigured
	}
	return v.machine, nil
}

// running is the machine, or an error before Start and after the guest's end.
func (v *vm) running() (*machine, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch s := v.state(); s {
	case vmapi.Running, vmapi.Paused:
		return v.machine, nil
	default:
		return nil, ipc.Errorf(ipc.WrongState, "cannot do this with a guest that is not running: the machine is %s", s)
	}
}

// state is where the machine is. The caller holds mu.
func (v *vm) state() vmapi.State {
	switch {
	case v.machine == nil:
		return vmapi.Empty
	case v.machine.ended():
		return vmapi.Ended
	case v.started.IsZero():
		return vmapi.Configured
	case v.machine.holds.held():
		return vmapi.Paused
	}
	return vmapi.Running
}

// wait serves vmapi.Events.
func (v *vm) wait(ctx context.Context, req *vmapi.EventsReq) (*vmapi.EventsResp, error) {
	return v.events.after(ctx, req.After)
}

// forceStop serves vmapi.ForceStop.
func (v *vm) forceStop(m *machine, _ context.Context, _ *vmapi.ForceStopReq) (*vmapi.ForceStopResp, error) {
	v.mu.Lock()
	started := !v.started.IsZero()
	v.mu.Unlock()
	if !started {
		return nil, ipc.Errorf(ipc.WrongState, "cannot stop a guest that was not started")
	}
	m.board.Stop("asked to")
	return &vmapi.ForceStopResp{}, nil
}

// quit serves vmapi.Quit.
func (v *vm) quit(ctx context.Context, _ *vmapi.QuitReq) (*vmapi.QuitResp, error) {
	v.mu.Lock()
	m := v.machine
	begun := !v.started.IsZero()
	v.mu.Unlock()
	if m != nil && begun {
		m.board.Stop("asked to")
		select {
		case <-m.done:
		case <-ctx.Done(): // the process ends nevertheless
		}
	}
	v.keeper.Finish()
	return &vmapi.QuitResp{}, nil
}

// stats serves vmapi.Stats.
func (v *vm) stats(m *machine, _ context.Context, _ *vmapi.StatsReq) (*vmapi.StatsResp, error) {
	resp := m.stats()
	v.mu.Lock()
	defer v.mu.Unlock()
	resp.State = v.state()
	return resp, nil
}
