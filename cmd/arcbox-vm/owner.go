package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

const (
	// maxSessions is how many connections there may be at once: the owner, one that takes
	// over, and some that come to nothing.
	maxSessions = 8
	// adoptTime is how long a connection may take to its Adopt.
	adoptTime = 5 * time.Second
	// goodbye is how long the process waits for an owner or a debugger to take the last
	// answer.
	goodbye = 2 * time.Second
)

// own makes the first owner's connection of what dial gives.
func (v *vm) own(dial func(*ipc.Mux) (*ipc.Conn, error)) error {
	v.mu.Lock() // handlers wait until the owner is known
	defer v.mu.Unlock()
	conn, err := dial(v.routes())
	if err != nil {
		return err
	}
	v.owner = conn
	v.busy.Go(func() {
		<-conn.Done()
		conn.Close()
		v.left(conn)
	})
	return nil
}

// owns says why whoever asks in ctx may not, nil for the owner.
func (v *vm) owns(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owner != ipc.ConnOf(ctx) {
		return ipc.Errorf(ipc.WrongState, "cannot do this on a connection that does not own the machine; call vm.adopt first")
	}
	return nil
}

// left is called when a connection has ended.
func (v *vm) left(conn *ipc.Conn) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owner != conn {
		return
	}
	v.owner = nil
	if v.closing {
		return
	}
	if v.meeting == nil {
		v.finish()
		return
	}
	v.events.add(vmapi.Event{Kind: vmapi.Orphaned})
	ctx, cancel := context.WithCancel(v.ctx)
	v.orphaned, v.rescue = time.Now(), cancel
	v.busy.Go(func() {
		defer cancel()
		v.orphan(ctx)
	})
}

// orphan waits for an adoption, which ends ctx, and when none comes in time ends the guest
// and then the process.
func (v *vm) orphan(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(v.patience.orphan):
	}
	log.Printf("nobody adopted this VM in %v: ending its guest", v.patience.orphan)
	v.events.add(vmapi.Event{Kind: vmapi.OrphanEnds})
	if m, err := v.running(); err == nil {
		m.shutDown(ctx, v.patience.grace)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.owner == nil { // else it was adopted in the last moment, and the owner ends it
		v.finish()
	}
}

// meet begins to let others adopt the machine, at the listening socket f. The caller holds mu.
func (v *vm) meet(f *os.File) error {
	l, err := unixsock.Inherited(f)
	if err != nil {
		return ipc.Errorf(ipc.BadRequest, "cannot meet the next owner: %v", err)
	}
	v.meeting = l
	v.server = &ipc.Server{
		Mux: v.routes(), Max: maxSessions, MaxEach: maxSessions, Ended: v.left,
		Opened:     func(conn *ipc.Conn) { v.busy.Go(func() { v.hurry(conn) }) },
		TurnedAway: func(_ ipc.Peer, err error) { log.Printf("turned a connection away: %v", err) },
	}
	v.busy.Go(func() {
		err := v.server.Serve(l)
		if v.ctx.Err() == nil {
			log.Printf("the machine cannot be adopted any more: %v", err)
		}
	})
	return nil
}

// hurry ends a connection that does not become the owner's in time.
func (v *vm) hurry(conn *ipc.Conn) {
	select {
	case <-conn.Done():
		return
	case <-time.After(adoptTime):
	}
	v.mu.Lock()
	owner := v.owner == conn
	v.mu.Unlock()
	if !owner {
		conn.Close()
	}
}

// adopt serves vmapi.Adopt.
func (v *vm) adopt(ctx context.Context, _ *vmapi.AdoptReq) (*vmapi.AdoptResp, error) {
	conn := ipc.ConnOf(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closing {
		return nil, ipc.Errorf(ipc.WrongState, "cannot adopt this machine: its process is ending")
	}
	if v.rescue != nil {
		v.rescue()
		v.rescue = nil
	}
	before := v.owner
	v.owner = conn
	if before != nil && before != conn {
		v.busy.Go(func() { before.Close() })
	}
	resp := &vmapi.AdoptResp{PID: os.Getpid(), State: v.state(), Event: v.events.number()}
	if !v.orphaned.IsZero() {
		resp.Orphan = time.Since(v.orphaned).Milliseconds()
		v.orphaned = time.Time{}
	}
	if !v.started.IsZero() {
		resp.Started = v.started.UnixMilli()
	}
	if m := v.machine; m != nil {
		resp.Label, resp.CID, resp.Listen = m.label, m.cid, m.ports.list()
	}
	v.events.add(vmapi.Event{Kind: vmapi.Adopted})
	return resp, nil
}

// close ends the guest, tells the owner, and ends every connection.
func (v *vm) close() {
	v.mu.Lock()
	v.closing = true
	m, owner, meeting, server := v.machine, v.owner, v.meeting, v.server
	if m != nil && v.started.IsZero() { // there is one way to end for all
		v.started = time.Now()
		go m.run(v.ctx)
	}
	v.mu.Unlock()
	v.cancel()
	if meeting != nil {
		meeting.Close()
	}
	if m != nil {
		<-m.done
	}
	if owner != nil { // it has answers to take, and closes then
		select {
		case <-owner.Done():
		case <-time.After(goodbye):
		}
	}
	if owner != nil {
		owner.Close()
	}
	if server != nil {
		server.Close()
	}
	v.busy.Wait()
	if m != nil {
		m.release()
	}
}
