// Package docker is the way from Docker's clients to the guest's dockerd: a Unix socket whose connections are passed on byte for
// byte. What clients and dockerd say to each other is their own affair: HTTP, streams that take a connection over, half closes.
//
// The relay reads along only as far as it must to tell what keeps a machine awake: requests that merely look do not.
package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/ipc/splice"
)

// A Machine has a dockerd.
type Machine interface {
	// Docker gives a stream to dockerd, and brings up what that takes. quiet does not count as use of what is up already.
	Docker(ctx context.Context, quiet bool) (*net.UnixConn, error)
	// Use keeps the machine awake until release is called.
	Use() (release func())
	// Said is what dockerd has said of itself: in this run, or with stopped, when nothing of the machine runs, in an earlier one. It
	// is nil for nothing.
	Said() (said *Said, stopped bool)
	// Remember keeps what dockerd has said in this run.
	Remember(*Said)
}

// A Relay passes connections on. It ends with Close.
type Relay struct {
	machine func(context.Context) (Machine, error)
	log     zerolog.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	busy    sync.WaitGroup // Serve, and every connection
	// learning: somebody asks dockerd what it is, which is done when a client does, and by one at a time.
	learning atomic.Bool
}

// New makes a relay to the machine that is given by machine, which may wait for it.
func New(machine func(context.Context) (Machine, error), log zerolog.Logger) *Relay {
	r := &Relay{machine: machine, log: log}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Serve takes connections of Unix sockets until Close, which closes l, or until l fails, with the reason.
func (r *Relay) Serve(l net.Listener) error {
	r.busy.Add(1)
	defer r.busy.Done()
	defer context.AfterFunc(r.ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if r.ctx.Err() != nil {
			if err == nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot take a connection of a Docker client: %w", err)
		}
		r.busy.Go(func() { r.serve(c.(*net.UnixConn)) })
	}
}

// Close ends every connection, and waits for that.
func (r *Relay) Close() {
	r.cancel()
	r.busy.Wait()
}

// chunk is how much is read of a client before it has a way to dockerd, in bytes: a request that can be answered without fits, and
// thousands of clients wait for little.
const chunk = 4 << 10

// serve passes one connection on. Its first byte is what brings the machine up, unless it can be answered without.
func (r *Relay) serve(client *net.UnixConn) {
	defer client.Close()
	defer context.AfterFunc(r.ctx, func() { client.Close() })()
	buf := make([]byte, chunk)
	var m Machine
	var first []byte
	for reply, last := []byte(nil), false; ; {
		n, err := client.Read(buf)
		if err != nil || last {
			return
		}
		first = buf[:n]
		if m, err = r.machine(r.ctx); err != nil {
			r.refuse(client, err)
			return
		}
		said, stopped := m.Said()
		if !stopped || said == nil {
			break
		}
		if reply, last = said.answer(first); reply == nil {
			break
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
	r.pass(m, client, first)
}

// pass joins a client that has sent first to m's dockerd.
func (r *Relay) pass(m Machine, client *net.UnixConn, first []byte) {
	a := &activity{use: m.Use}
	defer a.end()
	a.saw(first)
	server, err := m.Docker(r.ctx, a.quiet())
	if err != nil {
		r.refuse(client, err)
		return
	}
	defer server.Close()
	defer context.AfterFunc(r.ctx, func() { server.Close() })()
	if _, err := server.Write(first); err != nil {
		r.refuse(client, errors.New("dockerd has gone away; see arcbox logs --component dockerd"))
		return
	}
	if said, _ := m.Said(); said == nil && asksWhatItIs(first) && r.learning.CompareAndSwap(false, true) {
		r.busy.Go(func() {
			defer r.learning.Store(false)
			r.learn(m)
		})
	}
	splice.Both(watched{client, a}, server)
}

// learn asks dockerd what can be told of it later. It matters to nobody now, so what goes wrong is only noted.
func (r *Relay) learn(m Machine) {
	c, err := m.Docker(r.ctx, true)
	if err == nil {
		var said *Said
		if said, err = Ask(r.ctx, c); err == nil {
			m.Remember(said)
			return
		}
	}
	if r.ctx.Err() == nil {
		r.log.Debug().Err(err).Msg("dockerd does not say what it is")
	}
}

// watched is a client, and tells what is read of it.
type watched struct {
	*net.UnixConn
	*activity
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.UnixConn.Read(p)
	w.saw(p[:n])
	return n, err
}

// refuse answers a client's request as dockerd would, so that the client shows why.
func (r *Relay) refuse(client net.Conn, why error) {
	if r.ctx.Err() == nil {
		r.log.Warn().Err(why).Msg("a Docker client cannot be served")
	}
	body, err := json.Marshal(map[string]string{"message": "arcbox: " + why.Error()})
	if err != nil {
		return
	}
	body = append(body, '\n')
	fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
}
