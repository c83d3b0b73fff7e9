package agent

import (
	"context"
	"errors"
	"time"

	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

func (a *agent) machineRoutes(mux *ipc.Mux) {
	handle(mux, agentapi.Create, a.create)
	handle(mux, agentapi.List, a.list)
	handle(mux, agentapi.Inspect, a.inspect)
	handle(mux, agentapi.EnsureReady, a.ensureReady)
	handle(mux, agentapi.Stop, a.stopMachine)
	handle(mux, agentapi.Restart, a.restart)
	handle(mux, agentapi.Remove, a.remove)
	handle(mux, agentapi.Guest, a.guest)
	handle(mux, agentapi.Connect, a.connect)
	handle(mux, agentapi.Console, a.console)
	handle(mux, agentapi.ResizeConsole, a.resizeConsole)
	ipc.HandleFeed(mux, agentapi.Stats, func(ctx context.Context, req *agentapi.StatsReq, to *ipc.Sink[agentapi.MachineStats]) error {
		return coded(a.stats(ctx, req, to))
	})
	handle(mux, agentapi.Resources, a.resources)
	handle(mux, agentapi.SetResources, a.setResources)
	handle(mux, agentapi.Hold, a.hold)
	handle(mux, agentapi.Release, a.unhold)
	handle(mux, agentapi.DiskUsage, a.diskUsage)
	handle(mux, agentapi.CompactDisk, a.compactDisk)
	handle(mux, agentapi.CheckDisk, a.checkDisk)
	handle(mux, agentapi.Logs, a.logs)
}

// machine is the one that a request names.
func (a *agent) machine(ctx context.Context, name string) (*machine.Machine, error) {
	all, err := a.machines(ctx)
	if err != nil {
		return nil, err
	}
	return all.Get(name)
}

// handle is ipc.Handle for methods about machines, whose errors get the code that callers branch on.
func handle[Req, Resp any](mux *ipc.Mux, m ipc.Method[Req, Resp], h func(context.Context, *Req) (*Resp, error)) {
	ipc.Handle(mux, m, func(ctx context.Context, req *Req) (*Resp, error) {
		resp, err := h(ctx, req)
		return resp, coded(err)
	})
}

var codes = []struct {
	err  error
	code ipc.Code
	hint string
}{
	{machine.ErrNotFound, agentapi.NotFound, "see arcbox list"},
	{machine.ErrExists, agentapi.Exists, "choose another name"},
	{machine.ErrClosed, agentapi.Ending, ""},
	{lifecycle.ErrClosed, agentapi.Ending, ""},
	{lifecycle.ErrTooLate, ipc.Timeout, "arcbox logs shows its console"},
	{lifecycle.ErrRefused, ipc.WrongState, ""},
	{lifecycle.ErrStopped, ipc.WrongState, ""},
	{lifecycle.ErrGaveUp, agentapi.Failed, "arcbox logs shows its console"},
}

// coded is err with its code.
func coded(err error) error {
	var e *ipc.Error
	if err == nil || errors.As(err, &e) {
		return err
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return &ipc.Error{Code: c.code, Message: err.Error(), Hint: c.hint}
		}
	}
	return err
}

func (a *agent) create(ctx context.Context, req *agentapi.CreateReq) (*agentapi.CreateResp, error) {
	all, err := a.machines(ctx)
	if err != nil {
		return nil, err
	}
	m, err := all.Create(ctx, req.Spec)
	if err != nil {
		return nil, err
	}
	return &agentapi.CreateResp{Machine: m}, nil
}

func (a *agent) list(ctx context.Context, _ *agentapi.ListReq) (*agentapi.ListResp, error) {
	all, err := a.known(ctx)
	if err != nil {
		return nil, err
	}
	resp := &agentapi.ListResp{}
	resp.Machines, resp.Problems = all.List()
	return resp, nil
}

func (a *agent) inspect(ctx context.Context, req *agentapi.InspectReq) (*agentapi.InspectResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	resp, err := m.Inspect(ctx)
	return &resp, err
}

func (a *agent) ensureReady(ctx context.Context, req *agentapi.EnsureReadyReq) (*agentapi.EnsureReadyResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	began, ran := time.Now(), up(m.Info())
	if err := m.EnsureReady(ctx); err != nil {
		return nil, err
	}
	return &agentapi.EnsureReadyResp{Machine: m.Info(), Started: !ran, TookMS: time.Since(began).Milliseconds()}, nil
}

// up says whether a machine's guest runs.
func up(m agentapi.Machine) bool {
	return m.State == string(lifecycle.Running) || m.State == string(lifecycle.Idle)
}

func (a *agent) stopMachine(ctx context.Context, req *agentapi.StopReq) (*agentapi.StopResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if err := halt(ctx, m, req.Force); err != nil {
		return nil, err
	}
	return &agentapi.StopResp{Machine: m.Info()}, nil
}

func halt(ctx context.Context, m *machine.Machine, force bool) error {
	if force {
		return m.ForceStop(ctx)
	}
	return m.Stop(ctx)
}

func (a *agent) restart(ctx context.Context, req *agentapi.RestartReq) (*agentapi.RestartResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if err := halt(ctx, m, req.Force); err != nil {
		return nil, err
	}
	if err := m.EnsureReady(ctx); err != nil {
		return nil, err
	}
	return &agentapi.RestartResp{Machine: m.Info()}, nil
}

func (a *agent) remove(ctx context.Context, req *agentapi.RemoveReq) (*agentapi.RemoveResp, error) {
	all, err := a.machines(ctx)
	if err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot remove a machine without its name")
	}
	return &agentapi.RemoveResp{}, all.Remove(ctx, req.Name, req.Force, req.KeepDisk)
}

func (a *agent) guest(ctx context.Context, req *agentapi.GuestReq) (*agentapi.GuestResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	f, err := m.Guest(ctx)
	if err != nil {
		return nil, err
	}
	resp := &agentapi.GuestResp{Machine: m.Info()}
	resp.Stream = resp.Attach(f)
	return resp, nil
}

func (a *agent) connect(ctx context.Context, req *agentapi.ConnectReq) (*agentapi.ConnectResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	f, err := m.Connect(ctx, req.Port)
	if err != nil {
		return nil, err
	}
	resp := &agentapi.ConnectResp{}
	resp.Stream = resp.Attach(f)
	return resp, nil
}

func (a *agent) console(ctx context.Context, req *agentapi.ConsoleReq) (*agentapi.ConsoleResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	f, err := m.Console(ctx, vmapi.Console(req.Console), req.History)
	if err != nil {
		return nil, err
	}
	resp := &agentapi.ConsoleResp{}
	resp.Stream = resp.Attach(f)
	return resp, nil
}

func (a *agent) resizeConsole(ctx context.Context, req *agentapi.ResizeConsoleReq) (*agentapi.ResizeConsoleResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return &agentapi.ResizeConsoleResp{}, m.ResizeConsole(ctx, req.Cols, req.Rows)
}

// fastest is how often a caller may ask for figures.
const fastest = 100 * time.Millisecond

func (a *agent) stats(ctx context.Context, req *agentapi.StatsReq, to *ipc.Sink[agentapi.MachineStats]) error {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return err
	}
	tick := time.NewTicker(max(time.Duration(req.EveryMS)*time.Millisecond, fastest))
	defer tick.Stop()
	for {
		figures, err := m.Stats(ctx)
		if err != nil {
			return err
		}
		if err := to.Send(&figures); err != nil || req.EveryMS == 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-a.silent:
			return errEnding
		}
	}
}

func (a *agent) resources(ctx context.Context, req *agentapi.ResourcesReq) (*agentapi.ResourcesResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	resp := m.Resources()
	return &resp, nil
}

func (a *agent) setResources(ctx context.Context, req *agentapi.SetResourcesReq) (*agentapi.ResourcesResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	resp, err := m.SetResources(ctx, req)
	return &resp, err
}

func (a *agent) hold(ctx context.Context, req *agentapi.HoldReq) (*agentapi.HoldResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	held, err := m.Hold(req.Hold, req.Reason)
	if err != nil {
		return nil, err
	}
	return &agentapi.HoldResp{Holds: held}, nil
}

func (a *agent) unhold(ctx context.Context, req *agentapi.ReleaseReq) (*agentapi.HoldResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	return &agentapi.HoldResp{Holds: m.Release(req.Hold, req.All)}, nil
}

func (a *agent) diskUsage(ctx context.Context, req *agentapi.DiskUsageReq) (*agentapi.DiskUsageResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	resp, err := m.DiskUsage(ctx)
	return &resp, err
}

func (a *agent) compactDisk(ctx context.Context, req *agentapi.CompactDiskReq) (*agentapi.CompactDiskResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	freed, err := m.CompactDisk(ctx)
	return &agentapi.CompactDiskResp{Freed: freed}, err
}

func (a *agent) checkDisk(ctx context.Context, req *agentapi.CheckDiskReq) (*agentapi.CheckDiskResp, error) {
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	report, err := m.CheckDisk(ctx, req.Deep)
	if err != nil {
		return nil, err
	}
	return &agentapi.CheckDiskResp{Problems: report.Problems, Notes: report.Notes}, nil
}
