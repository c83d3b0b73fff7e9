//go:build linux

// Package agent answers what ipc/guestapi asks of a guest. It runs in a process of its own,
// which PID 1 starts and watches; on a developer's machine the same code answers over any
// connection, which is how it is tested.
package agent

import (
	"context"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/clock"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// Options are what an agent is told at its start.
type Options struct {
	Log      *Log
	Init     time.Duration // when PID 1 began, since the kernel's start
	Problems []string      // what went wrong on the way up
	Data     string        // where the data disk is mounted
	Services []string      // directories of definitions
	Run      string        // a directory for what must outlive the agent
	Docker   string        // the socket of dockerd
	// DockerReady is called whenever dockerd has become ready. It may be nil.
	DockerReady func(context.Context)
	// Admit lets an address into networks of containers, and nobody else. It may be nil.
	Admit func(ctx context.Context, host netip.Addr, subnets []netip.Prefix) error
	// End has the guest shut down, and returns when that has begun.
	End func(context.Context, *guestapi.ShutdownReq) error
	// Step sets the system's clock to what it is off by less; nil is clock.Step.
	Step func(off time.Duration) error
}

// An Agent serves any number of connections. It ends with Close.
type Agent struct {
	Options
	ctx      context.Context // ends with the agent
	cancel   context.CancelFunc
	ready    time.Duration // when it was made, since the kernel's start
	execs    execs
	watchers watchers
	services services
	contains containers
	starter  *starter
	busy     sync.WaitGroup
	ending   atomic.Bool // a shutdown was asked for
}

// New makes an agent.
func New(o Options) *Agent {
	if o.Step == nil {
		o.Step = clock.Step
	}
	a := &Agent{Options: o, ready: clock.Uptime(), starter: newStarter()}
	a.execs.changed = a.watchers.wake
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.contains = containers{socket: o.Docker, log: o.Log, ready: o.DockerReady, changed: a.watchers.wake}
	a.services = services{
		dirs: o.Services, run: o.Run, starter: a.starter, ctx: a.ctx, meanwhile: map[string]func(context.Context){dockerd: a.contains.follow},
	}
	a.services.begin(&a.busy, o.Log)
	return a
}

// Leave ends calls that would go on for ever, and starts nothing any more.
func (a *Agent) Leave() { a.cancel() }

// Close ends what does not belong to a call; calls must have ended before. Services go on.
func (a *Agent) Close() {
	a.cancel()
	a.busy.Wait()
	a.services.close()
	a.starter.close()
}

// Routes are the methods that the host may call.
func (a *Agent) Routes() *ipc.Mux {
	mux := ipc.NewMux()
	ipc.Handle(mux, guestapi.Hello, a.hello)
	ipc.Handle(mux, guestapi.Ping, a.Ping)
	ipc.Handle(mux, guestapi.Info, a.info)
	ipc.Handle(mux, guestapi.Watch, a.watch)
	ipc.Handle(mux, guestapi.Exec, a.exec)
	ipc.Handle(mux, guestapi.Resize, a.resize)
	ipc.Handle(mux, guestapi.Signal, a.signal)
	ipc.Handle(mux, guestapi.CopyIn, a.copyIn)
	ipc.Handle(mux, guestapi.CopyOut, a.copyOut)
	ipc.Handle(mux, guestapi.Admit, a.admit)
	ipc.Handle(mux, guestapi.Shutdown, a.shutdown)
	ipc.Handle(mux, guestapi.Trim, a.trim)
	ipc.Handle(mux, guestapi.Services, a.listServices)
	ipc.Handle(mux, guestapi.StartService, a.startService)
	ipc.Handle(mux, guestapi.StopService, a.stopService)
	ipc.Handle(mux, guestapi.Logs, a.logs)
	return mux
}

// hello serves guestapi.Hello.
func (a *Agent) hello(_ context.Context, req *guestapi.HelloReq) (*guestapi.HelloResp, error) {
	if req.Version != guestapi.Version {
		a.Log.Printf("a host of version %d (%.64q) is here; this is version %d", req.Version, req.Build, guestapi.Version)
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	return &guestapi.HelloResp{
		Version: guestapi.Version, Build: ipc.Here().Build, BootID: strings.TrimSpace(string(id)), PID: os.Getpid(),
		ReadyMS: a.ready.Milliseconds(), InitMS: a.Init.Milliseconds(),
	}, nil
}

// Ping serves guestapi.Ping. PID 1 calls it too.
func (a *Agent) Ping(_ context.Context, req *guestapi.PingReq) (*guestapi.PingResp, error) {
	resp := &guestapi.PingResp{Uptime: clock.Uptime().Milliseconds()}
	if req.Time != 0 {
		off := time.Since(time.Unix(0, req.Time))
		resp.Offset = int64(off)
		if off.Abs() >= guestapi.ClockStep {
			if err := a.Step(off); err != nil {
				return nil, err
			}
			resp.Stepped = true
			a.Log.Printf("the clock was %v off and was set", off.Round(time.Millisecond))
		}
	}
	resp.Time = time.Now().UnixNano()
	return resp, nil
}

// defaultGrace is what programs have to end when the host does not say.
const defaultGrace = 3 * time.Second

// shutdown serves guestapi.Shutdown. Services end first, in order, for half of the time at most; the answer does not wait for
// that. Whoever asks again does not want to wait.
func (a *Agent) shutdown(ctx context.Context, req *guestapi.ShutdownReq) (*guestapi.ShutdownResp, error) {
	if req.GraceMS < 0 {
		return nil, ipc.Errorf(ipc.BadRequest, "cannot shut down with a grace of %d ms", req.GraceMS)
	}
	a.Log.Printf("the host asks for the end (restart: %v)", req.Restart)
	if a.ending.Swap(true) || !a.services.running() {
		return &guestapi.ShutdownResp{}, a.End(ctx, req)
	}
	grace := time.Duration(req.GraceMS) * time.Millisecond
	if grace == 0 {
		grace = defaultGrace
	}
	a.busy.Go(func() {
		begun := time.Now()
		inOrder, cancel := context.WithTimeout(a.ctx, grace/2)
		a.services.end(inOrder, a.Log)
		cancel()
		left := guestapi.ShutdownReq{Restart: req.Restart, GraceMS: max(1, (grace - time.Since(begun)).Milliseconds())}
		if err := a.End(context.WithoutCancel(a.ctx), &left); err != nil {
			a.Log.Printf("PID 1 does not end the guest: %v", err)
		}
	})
	return &guestapi.ShutdownResp{}, nil
}
