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

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/ipc/splice"
)

// A Machine has a dockerd.
type Machine interface {
	// Docker gives a stream to dockerd, and brings up what that takes. quiet does not count as use of what is up already.
	Docker(ctx context.Context, quiet bool) (*net.UnixConn, error)
	// Use keeps the machine awake until release is called.
	Use() (release func())
}

// A Relay passes connections on. It ends with Close.
type Relay struct {
	machine func(context.Context) (Machine, error)
	log     zerolog.Logger
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	busy    sync.WaitGroup // Serve, and every connection
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

// chunk is how much is read of a client at once.
const chunk = 64 << 10

// serve passes one connection on. Its first byte is what brings the machine up.
func (r *Relay) serve(client *net.UnixConn) {
	defer client.Close()
	defer context.AfterFunc(r.ctx, func() { client.Close() })()
	first := make([]byte, chunk)
	n, err := client.Read(first)
	if err != nil {
		return
	}
	m, err := r.machine(r.ctx)
	var server *net.UnixConn
	a := &activity{}
	if err == nil {
		a.use = m.Use
		defer a.end()
		a.saw(first[:n])
		server, err = m.Docker(r.ctx, a.quiet())
	}
	if err != nil {
		if r.ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("a Docker client cannot be served")
		}
		refuse(client, err)
		return
	}
	defer server.Close()
	defer context.AfterFunc(r.ctx, func() { server.Close() })()
	if _, err := server.Write(first[:n]); err != nil {
		refuse(client, errors.New("dockerd has gone away; see arcbox logs --component dockerd"))
		return
	}
	splice.Both(watched{client, a}, server)
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
func refuse(client net.Conn, why error) {
	body, err := json.Marshal(map[string]string{"message": "arcbox: " + why.Error()})
	if err != nil {
		return
	}
	body = append(body, '\n')
	fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusServiceUnavailable, http.StatusText(http.StatusServiceUnavailable), len(body), body)
}
