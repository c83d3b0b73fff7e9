package agent

import (
	"context"
	"io"
	"path/filepath"
	"slices"

	"github.com/arcboxlabs/arcbox-go/agent/logfile"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// LogName is the agent's own log in the log directory.
const LogName = "arcboxd.log"

// kept are the components whose logs are files of the host.
var kept = []string{"", "console", "guest", "vm", "net"}

func (a *agent) logs(ctx context.Context, req *agentapi.LogsReq) (*agentapi.LogsResp, error) {
	if req.Component == "agent" {
		return a.copyLog(ctx, req, filepath.Join(a.options.Home.Log(), LogName))
	}
	m, err := a.machine(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(kept, req.Component) {
		component := req.Component
		if component == "" {
			component = "console"
		}
		return a.copyLog(ctx, req, m.LogPath(component))
	}
	if !up(m.Info()) {
		return nil, ipc.Errorf(ipc.WrongState, "cannot read the log of %q: it is kept in the guest, which does not run", req.Component)
	}
	f, err := m.Guest(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := ipc.FromFile(f, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return a.relayLog(ctx, conn, req)
}

// copyLog sends what a log's file has, and what is added when the caller follows.
func (a *agent) copyLog(ctx context.Context, req *agentapi.LogsReq, path string) (*agentapi.LogsResp, error) {
	f, err := a.openFlow(ctx, &req.Streams, req.Data)
	if err != nil {
		return nil, err
	}
	defer f.end()
	opt := logfile.ReadOptions{Lines: req.Tail, Follow: req.Follow}
	switch {
	case req.Tail == 0:
		opt.Lines = -1
	case req.Tail < 0:
		opt.Lines = 0
	}
	r, err := logfile.NewReader(f.ctx, path, opt)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	_, err = io.Copy(f, r)
	return &agentapi.LogsResp{}, f.over(err)
}

// relayLog passes on what the guest has of a service's output.
func (a *agent) relayLog(ctx context.Context, conn *ipc.Conn, req *agentapi.LogsReq) (*agentapi.LogsResp, error) {
	f, err := a.openFlow(ctx, &req.Streams, req.Data)
	if err != nil {
		return nil, err
	}
	defer f.end()
	ask := &guestapi.LogsReq{Name: req.Component, Follow: req.Follow}
	from, ref := ask.Open()
	ask.Data = ref
	defer context.AfterFunc(f.ctx, func() { conn.Close() })()
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(f, from)
	}()
	_, err = ipc.Call(f.ctx, conn, guestapi.Logs, ask)
	if err != nil {
		from.Close()
	}
	<-copied
	return &agentapi.LogsResp{}, f.over(err)
}
