package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// A vm is the one machine of this process and its handlers.
type vm struct {
	ctx    context.Context // ends when the process should
	cancel context.CancelFunc

	mu      sync.Mutex
	machine *machine // nil until Configure has succeeded
	started bool     // Start was called
}

func newVM() *vm {
	v := new(vm)
	v.ctx, v.cancel = context.WithCancel(context.Background())
	return v
}

// configure serves vmapi.Configure.
func (v *vm) configure(_ context.Context, req *vmapi.ConfigureReq) (*vmapi.ConfigureResp, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.machine != nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot configure: this process holds a VM already")
	}
	m, err := newMachine(req)
	if err != nil {
		return nil, err
	}
	v.machine = m
	return &vmapi.ConfigureResp{DTB: m.board.FDT()}, nil
}

// start serves vmapi.Start.
func (v *vm) start(context.Context, *vmapi.StartReq) (*vmapi.StartResp, error) {
	m, err := v.booted()
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.started {
		return nil, ipc.Errorf(ipc.WrongState, "cannot start: the guest has been started already")
	}
	v.started = true
	go m.run(v.ctx)
	return &vmapi.StartResp{}, nil
}

// booted is the machine, or an error before Boot.
func (v *vm) booted() (*machine, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.machine == nil {
		return nil, ipc.Errorf(ipc.WrongState, "cannot do this before the machine has booted")
	}
	return v.machine, nil
}

// wait serves vmapi.Wait.
func (v *vm) wait(ctx context.Context, _ *vmapi.WaitReq) (*vmapi.WaitResp, error) {
	m, err := v.booted()
	if err != nil {
		return nil, err
	}
	select {
	case <-m.done:
		return m.end, m.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// forceStop serves vmapi.ForceStop.
func (v *vm) forceStop(context.Context, *vmapi.ForceStopReq) (*vmapi.ForceStopResp, error) {
	m, err := v.booted()
	if err != nil {
		return nil, err
	}
	m.board.Stop("asked to")
	return &vmapi.ForceStopResp{}, nil
}

// resize serves vmapi.Resize.
func (v *vm) resize(_ context.Context, req *vmapi.ResizeReq) (*vmapi.ResizeResp, error) {
	m, err := v.booted()
	if err != nil {
		return nil, err
	}
	m.hvc0.Port(0).Resize(req.Cols, req.Rows)
	return &vmapi.ResizeResp{}, nil
}

// stats serves vmapi.Stats.
func (v *vm) stats(context.Context, *vmapi.StatsReq) (*vmapi.StatsResp, error) {
	m, err := v.booted()
	if err != nil {
		return nil, err
	}
	return &vmapi.StatsResp{Stats: m.counters(m.board.Stats())}, nil
}

// close stops the machine and waits for it.
func (v *vm) close() {
	v.cancel()
	m, err := v.booted()
	if err != nil {
		return
	}
	v.mu.Lock()
	if !v.started { // one way to end for all
		v.started = true
		go m.run(v.ctx)
	}
	v.mu.Unlock()
	<-m.done
}

var outcomes = map[board.Kind]vmapi.Outcome{
	board.PowerOff: vmapi.PowerOff, board.Reset: vmapi.Reset, board.Panic: vmapi.Panic,
	board.Fault: vmapi.Fault, board.Stopped: vmapi.Stopped,
}

// ending is an outcome as it crosses the wire.
func (m *machine) ending(o *board.Outcome) *vmapi.WaitResp {
	end := &vmapi.WaitResp{
		Outcome: outcomes[o.Kind], Message: o.Message, MemorySHA256: o.MemorySHA256,
		LastLines: strings.Join(o.Console, "\n"), Stats: m.counters(o.Stats),
	}
	if o.Kind == board.Panic || o.Kind == board.Fault {
		for _, cpu := range o.CPUs {
			end.Registers += cpu.String()
		}
	}
	return end
}

// counters are the board's statistics as they cross the wire.
func (m *machine) counters(s board.Stats) vmapi.Counters {
	c := vmapi.Counters{
		Instructions: s.Instructions, Exits: s.Exits, Devices: map[string]uint64{},
		GuestSeconds: s.Guest.Seconds(), HostSeconds: time.Since(m.started).Seconds(), CPUSeconds: cpuTime().Seconds(),
	}
	for _, d := range s.Devices {
		c.Devices[fmt.Sprintf("%s@%x", d.Name, d.Base)] = d.Reads + d.Writes
	}
	return c
}

// cpuTime is what all threads of this process have used.
func cpuTime() time.Duration {
	var ru syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
