package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/agent/machine"
	"github.com/arcboxlabs/arcbox-go/agent/power"
	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/mach"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/launchd"
)

// Options are what the agent is started with.
type Options struct {
	Home      home.Home
	Takeover  bool   // end the agent that there is, if there is one
	VMProgram string // path of arcbox-vm
	// NetProgram is the path of arcbox-net; "" for machines without a network.
	NetProgram string
	Routes     route.Host     // ways of the host to containers; nil where there can be none
	Library    *boot.Library  // the boot assets
	Config     config.Sources // the settings
	Mock       bool           // machines without VMs
	Power      power.Source   // news of the host; nil for none
	Log        zerolog.Logger // where it goes is the caller's
	// Listening is told once: nil when the control socket answers, else why there will be no agent. It may be nil.
	Listening func(error)
	// PeerRequirement is what the code signature of those must meet who come by the Mach service; "" is for all programs of
	// the user, who can use the control socket anyway.
	PeerRequirement string
	// Force, when it is closed, ends every wait of the shutdown. It may be nil.
	Force <-chan struct{}
}

// drainTime is how long calls under way may take at the end.
const drainTime = 5 * time.Second

// An agent is one run of it.
type agent struct {
	options Options
	log     zerolog.Logger
	self    program
	started time.Time
	bus     event.Bus
	setup   *setup
	lease   *lease.Lease
	server  *ipc.Server
	silent  chan struct{} // closed when feeds shall end
	managed bool          // launchd or systemd has started us

	docker    *front // nil when Docker's clients are not served
	dockerErr error  // why, when they should be

	opened  chan struct{} // closed when the next two are set
	manager *machine.Manager
	openErr error

	mu           sync.Mutex      // guards what follows
	stopMachines bool            // somebody asked for it
	config       *config.Watcher // nil before the settings are read, or when they cannot be followed
	configErr    error           // what is wrong with them
	ending       chan struct{}
	ended        bool // ending is closed
}

// Run is the agent, from the lock to the last of the sockets. It returns when ctx has ended or somebody asked for its
// end over the socket, and everything has been put away. Errors: *lease.HeldError; what kept it from beginning.
func Run(ctx context.Context, o Options) error {
	a := &agent{
		options: o, log: o.Log, self: thisProgram(), started: time.Now(),
		silent: make(chan struct{}), opened: make(chan struct{}), ending: make(chan struct{}),
	}
	a.setup = newSetup(a.bus.Publish)
	listener, err := a.claim(ctx)
	if o.Listening != nil {
		o.Listening(err)
	}
	if err != nil {
		return err
	}
	return a.run(ctx, listener)
}

// claim takes the lock and the control socket. Whoever finds the lock taken can connect when this returns.
func (a *agent) claim(ctx context.Context) (*unixsock.Listener, error) {
	path, err := a.options.Config.AgentSocket(a.options.Home)
	if err != nil {
		return nil, err
	}
	if err := home.Make(a.options.Home.Run()); err != nil {
		return nil, err
	}
	var listener *unixsock.Listener
	a.lease, err = lease.Acquire(ctx, a.options.Home.Run(), a.options.Takeover, func() error {
		listener, err = a.listen(path)
		return err
	})
	return listener, err
}

// listen makes the control socket, unless launchd or systemd has.
func (a *agent) listen(path string) (*unixsock.Listener, error) {
	l, err := a.inherited(agentapi.ServiceSocket)
	if l != nil || err != nil {
		return l, err
	}
	return unixsock.Listen(path)
}

// inherited takes the socket that launchd or systemd has opened under a name, which a connection may wait on already; nil when
// neither has started this process, or its definition is of an earlier release.
func (a *agent) inherited(name string) (*unixsock.Listener, error) {
	files, err := launchd.Files(name)
	a.managed = a.managed || !errors.Is(err, launchd.ErrNotManaged)
	if err != nil || len(files) == 0 {
		if a.managed {
			a.log.Warn().Err(err).Str("socket", name).Msg("the service manager gives no such socket: one is made")
		}
		return nil, nil
	}
	for _, f := range files[1:] {
		f.Close()
	}
	return unixsock.Inherited(files[0])
}

// run serves until the end, and puts away in the opposite order.
func (a *agent) run(ctx context.Context, listener ipc.Listener) error {
	a.log.Info().Str("home", a.options.Home.Root()).Str("version", a.self.version).Str("program", a.self.path).Msg("agent begins")
	a.server = &ipc.Server{Mux: a.routes(), TurnedAway: func(p ipc.Peer, err error) {
		a.log.Warn().Int("uid", p.UID).Int("pid", p.PID).Err(err).Msg("a peer was turned away")
	}}
	var wait sync.WaitGroup
	wait.Go(func() {
		if err := a.server.Serve(listener); err != nil {
			a.log.Error().Err(err).Msg("the control socket failed")
			a.stop(false)
		}
	})
	if a.managed {
		wait.Go(a.serveMach)
	}
	defer context.AfterFunc(ctx, func() { a.stop(false) })()
	if a.docker, a.dockerErr = a.openDocker(); a.dockerErr != nil {
		a.log.Error().Err(a.dockerErr).Msg("Docker's clients cannot be served")
	}
	endMetrics := a.openMetrics()
	work, cancel := context.WithCancel(ctx)
	wait.Go(func() { a.setUp(work) })
	endPower := a.watchPower(work)
	<-a.ending
	cancel()
	endPower()
	endMetrics()
	err := a.putAway()
	wait.Wait()
	a.log.Info().Msg("agent ends")
	return errors.Join(err, a.lease.Release())
}

// serveMach lets clients in by the Mach service as well, which is ours where launchd has started us; elsewhere there is none.
// Without it the control socket does.
func (a *agent) serveMach() {
	name := a.options.Home.Service()
	l, err := mach.Listen(name, a.options.PeerRequirement)
	if errors.Is(err, errors.ErrUnsupported) && a.options.PeerRequirement == "" {
		return
	}
	if err == nil {
		err = a.server.Serve(l)
	}
	if err != nil {
		a.log.Warn().Err(err).Str("service", name).Msg("the Mach service is not served")
	}
}

// setUp brings the agent from the socket to READY.
func (a *agent) setUp(ctx context.Context) {
	if !a.takeOver(ctx) {
		return
	}
	a.manager.AwaitGuests(ctx) // who asks for a machine need not wait for all of them
	if ctx.Err() != nil {
		return
	}
	a.enter(agentapi.VMReady, "the guests of machines that run have answered", nil)
	a.enter(agentapi.NetworkReady, "the networks of machines that run are at work", nil)
	a.settle()
}

// takeOver becomes the owner of the machines, and says whether it could. Then calls about them are answered.
func (a *agent) takeOver(ctx context.Context) bool {
	defer close(a.opened)
	a.enter(agentapi.CleaningUp, "looking after what the last agent left", nil)
	a.openSettings()
	a.manager, a.openErr = a.openMachines(ctx)
	switch {
	case ctx.Err() != nil:
		return false
	case a.openErr != nil:
		a.enter(agentapi.SetupFailed, "machines cannot be managed", a.openErr)
		return false
	}
	a.enter(agentapi.VMStarting, "taking over the machines that run", nil)
	a.manager.AwaitNetworks(ctx)
	return true
}

func (a *agent) enter(phase agentapi.Phase, message string, cause error) {
	level := zerolog.InfoLevel
	if cause != nil {
		level = zerolog.ErrorLevel
	}
	a.log.WithLevel(level).Str("phase", string(phase)).Err(cause).Msg(message)
	a.setup.enter(phase, message, cause)
}

// stop begins the agent's end; machines that are to be stopped stay so.
func (a *agent) stop(machines bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return
	}
	a.stopMachines = machines
	a.ended = true
	close(a.ending)
}

// putAway ends the machines or lets them go, then the feeds, then the connections.
func (a *agent) putAway() error {
	<-a.opened
	force, cancel := context.WithCancel(context.Background())
	defer cancel()
	if a.options.Force != nil {
		over := make(chan struct{})
		defer close(over)
		go func() {
			select {
			case <-a.options.Force:
				cancel()
			case <-over:
			}
		}()
	}
	a.docker.close()
	err := errors.Join(a.closeMachines(force), a.closeSettings())
	a.bus.Close()
	close(a.silent)
	drain, done := context.WithTimeout(force, drainTime)
	defer done()
	a.server.Shutdown(drain)
	return err
}

// closeMachines ends the machines or lets them go. Those that are to be stopped have their own grace, until force ends.
func (a *agent) closeMachines(force context.Context) error {
	if a.manager == nil {
		return nil
	}
	a.mu.Lock()
	stop := a.stopMachines
	a.mu.Unlock()
	a.log.Info().Bool("stop", stop).Msg("machines are put away")
	return a.manager.Close(force, stop)
}

// machines is the manager once it is there. Errors: why it will not be; ctx's.
func (a *agent) machines(ctx context.Context) (*machine.Manager, error) {
	select {
	case <-a.ending:
		return nil, ipc.Errorf(agentapi.Ending, "cannot begin anything: the agent is ending")
	default:
	}
	return a.known(ctx)
}

// known is machines for who only looks, which he may to the end.
func (a *agent) known(ctx context.Context) (*machine.Manager, error) {
	select {
	case <-a.opened:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if a.openErr != nil {
		return nil, &ipc.Error{Code: ipc.WrongState, Message: "cannot manage machines: " + a.openErr.Error(), Hint: "see arcbox doctor"}
	}
	return a.manager, nil
}

func (a *agent) routes() *ipc.Mux {
	mux := ipc.NewMux()
	ipc.Handle(mux, agentapi.Version, a.version)
	ipc.Handle(mux, agentapi.Setup, a.setupNow)
	ipc.HandleFeed(mux, agentapi.FollowSetup, a.followSetup)
	ipc.HandleFeed(mux, agentapi.Events, a.events)
	ipc.Handle(mux, agentapi.Diagnostics, a.diagnostics)
	ipc.Handle(mux, agentapi.Reload, a.reload)
	ipc.Handle(mux, agentapi.Shutdown, a.shutdown)
	a.machineRoutes(mux)
	a.assetRoutes(mux)
	return mux
}
