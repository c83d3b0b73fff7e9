package main

import (
	"context"
	"log"
	"net"
	"os"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
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

// A session is one connection. The owner's may ask for everything, any other may adopt.
type session struct {
	vm   *vm
	conn *ipc.Conn
}

// open makes a connection of what dial gives, with the methods that it serves.
func (v *vm) open(owner bool, dial func(*ipc.Mux) (*ipc.Conn, error)) error {
	s := &session{vm: v}
	mux := v.routes(s)
	v.mu.Lock() // handlers wait until the session is known
	defer v.mu.Unlock()
	if v.closing || len(v.sessions) >= maxSessions {
		return ipc.Errorf(ipc.Busy, "cannot take more connections than %d, or one at the end", maxSessions)
	}
	conn, err := dial(mux)
	if err != nil {
		return err
	}
	s.conn = conn
	v.sessions[s] = struct{}{}
	if owner {
		v.owner = s
	}
	v.busy.Go(func() {
		<-conn.Done()
		conn.Close()
		v.left(s)
	})
	return nil
}

// owns says why a session may not ask, nil for the owner.
func (s *session) owns() error {
	s.vm.mu.Lock()
	defer s.vm.mu.Unlock()
	if s.vm.owner != s {
		return ipc.Errorf(ipc.WrongState, "cannot do this on a connection that does not own the machine; call vm.adopt first")
	}
	return nil
}

// left is called when a connection has ended.
func (v *vm) left(s *session) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.sessions, s)
	if v.owner != s {
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

// meet begins to let others adopt the machine, at the listening socket f.
func (v *vm) meet(f *os.File) error {
	defer f.Close() // FileListener has a copy of its own
	l, err := net.FileListener(f)
	if err != nil {
		return ipc.Errorf(ipc.BadRequest, "cannot meet the next owner: %v", err)
	}
	sock, ok := l.(*net.UnixListener)
	if !ok {
		l.Close()
		return ipc.Errorf(ipc.BadRequest, "cannot meet the next owner at a %s socket: it must be a Unix socket", l.Addr().Network())
	}
	sock.SetUnlinkOnClose(false) // the path is the agent's
	v.meeting = sock
	v.busy.Go(func() { v.receive(sock) })
	return nil
}

// receive lets connections in until the listener is closed.
func (v *vm) receive(l *net.UnixListener) {
	for {
		sock, err := l.AcceptUnix()
		if err != nil {
			if v.ctx.Err() != nil {
				return
			}
			log.Printf("cannot accept an owner: %v", err) // out of descriptors, say
			select {
			case <-time.After(time.Second):
				continue
			case <-v.ctx.Done():
				return
			}
		}
		if err := v.admit(sock); err != nil {
			log.Printf("turned a connection away: %v", err)
			sock.Close()
		}
	}
}

// admit opens a session for a connection of the same user.
func (v *vm) admit(sock *net.UnixConn) error {
	if err := sameUser(sock); err != nil {
		return err
	}
	var conn *ipc.Conn
	err := v.open(false, func(mux *ipc.Mux) (*ipc.Conn, error) {
		conn = ipc.NewConn(sock, mux)
		return conn, nil
	})
	if err != nil {
		return err
	}
	v.busy.Go(func() { v.hurry(conn) })
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
	owner := v.owner != nil && v.owner.conn == conn
	v.mu.Unlock()
	if !owner {
		conn.Close()
	}
}

// adopt serves vmapi.Adopt.
func (v *vm) adopt(s *session) (*vmapi.AdoptResp, error) {
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
	v.owner = s
	if before != nil && before != s {
		v.busy.Go(func() { before.conn.Close() })
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
	m, owner, meeting := v.machine, v.owner, v.meeting
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
		case <-owner.conn.Done():
		case <-time.After(goodbye):
		}
	}
	v.mu.Lock()
	var left []*ipc.Conn
	for s := range v.sessions {
		left = append(left, s.conn)
	}
	v.mu.Unlock()
	for _, conn := range left {
		conn.Close()
	}
	v.busy.Wait()
	if m != nil {
		m.release()
	}
}
