package agent_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

// keepsConnected is a program that has one connection to u's agent for all it does, as the menu bar app has; it
// connects again when the agent was replaced, and starts none.
func keepsConnected(u *user) *ipc.Redialer {
	return ipc.NewRedialer(func(ctx context.Context) (*ipc.Conn, error) {
		path, err := u.home.Socket(agentapi.Socket)
		if err != nil {
			return nil, err
		}
		return unixsock.Dial(ctx, path, nil)
	})
}

// A call is what a client with a connection asks. Each may be asked twice without harm. must is as in action.
type call struct {
	name string
	odds int
	must bool
	do   func(ctx context.Context, agent *ipc.Redialer, r *rand.Rand, client int) error
}

// within does it, in as long as anything may take.
func (c call) within(ctx context.Context, agent *ipc.Redialer, r *rand.Rand, client int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.do(ctx, agent, r, client)
}

// asks makes what a call does of a method and its request.
func asks[Req, Resp any](m ipc.Method[Req, Resp], request func(r *rand.Rand, client int) *Req) func(context.Context, *ipc.Redialer, *rand.Rand, int) error {
	return func(ctx context.Context, agent *ipc.Redialer, r *rand.Rand, client int) error {
		_, err := ipc.CallAgain(ctx, agent, m, request(r, client))
		return err
	}
}

// same is one request for everybody.
func same[Req any](req Req) func(*rand.Rand, int) *Req {
	return func(*rand.Rand, int) *Req { return &req }
}

var calls = []call{
	{"list", 6, true, asks(agentapi.List, same(agentapi.ListReq{}))},
	{"inspect", 6, true, asks(agentapi.Inspect, same(agentapi.InspectReq{}))},
	{"setup", 4, true, asks(agentapi.Setup, same(agentapi.SetupReq{}))},
	{"resources", 4, true, asks(agentapi.Resources, same(agentapi.ResourcesReq{}))},
	{"diagnostics", 2, true, asks(agentapi.Diagnostics, same(agentapi.DiagnosticsReq{}))},
	{"reload", 2, true, asks(agentapi.Reload, same(agentapi.ReloadReq{}))},
	{"disk usage", 2, false, asks(agentapi.DiskUsage, same(agentapi.DiskUsageReq{}))},
	{"ensure-ready", 4, false, asks(agentapi.EnsureReady, same(agentapi.EnsureReadyReq{}))},
	{"ensure-ready that nobody waits for", 2, false, abandoned},
	{"hold", 4, true, asks(agentapi.Hold, func(_ *rand.Rand, client int) *agentapi.HoldReq {
		return &agentapi.HoldReq{Hold: fmt.Sprintf("client-%d", client)}
	})},
	{"release", 4, false, asks(agentapi.Release, func(_ *rand.Rand, client int) *agentapi.ReleaseReq {
		return &agentapi.ReleaseReq{Hold: fmt.Sprintf("client-%d", client)}
	})},
	{"create", 1, false, asks(agentapi.Create, func(_ *rand.Rand, client int) *agentapi.CreateReq {
		return &agentapi.CreateReq{Spec: agentapi.Spec{Name: fmt.Sprintf("m%d", client%4)}}
	})},
	{"remove", 1, false, asks(agentapi.Remove, func(_ *rand.Rand, client int) *agentapi.RemoveReq {
		return &agentapi.RemoveReq{Name: fmt.Sprintf("m%d", client%4), Force: true}
	})},
	{"stop", 1, false, asks(agentapi.Stop, func(r *rand.Rand, _ int) *agentapi.StopReq {
		return &agentapi.StopReq{Force: r.IntN(2) == 0}
	})},
}

// abandoned begins a call and gives up before the machine can be ready, unless it is already.
func abandoned(ctx context.Context, agent *ipc.Redialer, r *rand.Rand, _ int) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(r.IntN(20))*time.Millisecond)
	defer cancel()
	_, err := ipc.CallAgain(ctx, agent, agentapi.EnsureReady, &agentapi.EnsureReadyReq{})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// complainOfCall reports what no call may end in: an error that is no answer, or an answer that tells of a bug.
func complainOfCall(t *testing.T, c call, err error, quiet bool) {
	var refused *ipc.Error
	switch {
	case err == nil:
	case c.must && quiet:
		t.Errorf("calling %s: %v", c.name, err)
	case !errors.As(err, &refused):
		t.Errorf("calling %s gets no answer: %v", c.name, err)
	case refused.Code == ipc.Internal || refused.Code == ipc.BadRequest || refused.Code == ipc.NoMethod || refused.Message == "":
		t.Errorf("calling %s: %s: %v", c.name, refused.Code, err)
	}
}

// followsAll follows the events until ctx ends, and counts the starts among them. None may be missing without a word.
func followsAll(ctx context.Context, t *testing.T, u *user) (starts int) {
	agent := keepsConnected(u)
	defer agent.Close()
	last := uint64(0) // 0: whatever comes next is the first of this agent's that is asked for
	from := func() *agentapi.EventsReq { return &agentapi.EventsReq{} }
	for ev, err := range ipc.Follow(ctx, agent, agentapi.Events, from) {
		switch {
		case ctx.Err() != nil:
			return starts
		case errors.Is(err, ipc.ErrInterrupted):
			last = 0
		case err != nil:
			t.Errorf("the events end: %v", err)
		case ev.Kind == agentapi.Resync:
			last = 0
		case last != 0 && ev.Seq != last+1:
			t.Errorf("event %d comes after %d", ev.Seq, last)
			last = ev.Seq
		default:
			last = ev.Seq
			if ev.Kind == agentapi.MachineStarted {
				starts++
			}
		}
	}
	return starts
}
