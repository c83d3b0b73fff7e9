//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/agent"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/initapi"
	"github.com/arcboxlabs/arcbox-go/cmd/arcbox-guest/internal/slack"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// agentArg is the argument that makes this program the agent.
const agentArg = "agent"

// agentScore keeps the kernel from killing the agent when memory runs out. What it starts is not kept.
const agentScore = "-900"

// serviceDirs are where services are defined: in the root, by whoever wants one until the next boot, and on the disk with Docker.
var serviceDirs = []string{"/etc/arcbox/services", "/run/arcbox/services", "/usr/lib/arcbox/services"}

// dockerSocket is where dockerd listens.
const dockerSocket = "/run/docker.sock"

// serviceRun has what the agent leaves to the next one about services.
const serviceRun = "/run/arcbox/agent"

// runAgent is the agent's process: it serves the host from when PID 1 says that the guest is ready
// until SIGTERM.
func runAgent() error {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	slack.Watch(slack.Patient)
	os.WriteFile("/proc/self/oom_score_adj", []byte(agentScore), 0)
	// Where memory is short the agent has to say so: it may not wait for its own pages, which the kernel takes first.
	unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	p := &agentProcess{started: make(chan struct{}), log: agent.NewLog(console{})}
	mux := ipc.NewMux()
	ipc.Handle(mux, initapi.Begin, p.begin)
	ipc.Handle(mux, guestapi.Ping, p.ping)
	conn, err := ipc.FromFile(os.NewFile(initapi.ConnFD, "3"), mux)
	if err != nil {
		return fmt.Errorf("cannot find PID 1, which starts the agent: %w", err)
	}
	defer conn.Close()
	select {
	case <-ctx.Done():
	case <-conn.Done():
		return errors.New("PID 1 has gone")
	}
	p.close()
	return nil
}

// console is where the log goes. A write that would have to wait does not happen.
type console struct{}

func (console) Write(p []byte) (int, error) { return unix.Write(2, p) }

// An agentProcess is the agent with its connections.
type agentProcess struct {
	log       *agent.Log
	init      *ipc.Conn
	started   chan struct{} // closed once the rest holds
	agent     *agent.Agent
	server    *ipc.Server
	announced net.Conn // nil if nobody heard it
}

// begin serves initapi.Begin.
func (p *agentProcess) begin(ctx context.Context, req *initapi.BeginReq) (*initapi.BeginResp, error) {
	p.init = ipc.ConnOf(ctx)
	p.agent = agent.New(agent.Options{
		Log: p.log, Services: serviceDirs, Run: serviceRun, Docker: dockerSocket, DockerReady: p.dockerReady, Admit: admit, Init: time.Duration(req.InitMS) * time.Millisecond, Problems: req.Problems, Data: dataDir, End: p.end,
	})
	l, err := agent.Listen()
	if err != nil {
		return nil, err
	}
	p.server = &ipc.Server{
		Mux: p.agent.Routes(), Allow: func(ipc.Peer) (ipc.Access, error) { return ipc.Admin, nil },
		TurnedAway: func(_ ipc.Peer, err error) { p.log.Printf("%v", err) },
	}
	go func() {
		if err := p.server.Serve(l); err != nil {
			p.log.Printf("%v", err)
		}
	}()
	if p.announced, err = agent.Announce(); err != nil {
		p.log.Printf("%v", err)
	}
	slack.Watch(slack.Usual) // from now on it does many things at once
	p.log.Printf("listening, process %d", os.Getpid())
	close(p.started)
	return &initapi.BeginResp{}, nil
}

// dockerReady makes what containers publish reachable.
func (p *agentProcess) dockerReady(ctx context.Context) {
	if err := openLoopback(ctx); err != nil && ctx.Err() == nil {
		p.log.Printf("what containers publish on the guest's loopback cannot be reached: %v", err)
	}
}

// ping is PID 1's look whether the agent lives.
func (p *agentProcess) ping(ctx context.Context, req *guestapi.PingReq) (*guestapi.PingResp, error) {
	select {
	case <-p.started:
		return p.agent.Ping(ctx, req)
	default:
		return &guestapi.PingResp{}, nil
	}
}

// end has PID 1 end the guest.
func (p *agentProcess) end(ctx context.Context, req *guestapi.ShutdownReq) error {
	_, err := ipc.Call(ctx, p.init, initapi.End, &initapi.EndReq{GraceMS: req.GraceMS, Restart: req.Restart})
	return err
}

// close ends what is under way. PID 1 ends the programs at the same time, and this process if it
// takes too long.
func (p *agentProcess) close() {
	select {
	case <-p.started:
	default:
		return
	}
	p.agent.Leave()
	p.server.Shutdown(context.Background())
	if p.announced != nil {
		p.announced.Close()
	}
	p.agent.Close()
}
