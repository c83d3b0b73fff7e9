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
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/rs/zerolog"
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
	busy    sync.WaitGroup

	mu       sync.Mutex // guards what follows
	listener net.Listener
	closed   bool
}

// New makes a relay to the machine that is given by machine, which may wait for it.
func New(machine func(context.Context) (Machine, error), log zerolog.Logger) *Relay {
	r := &Relay{machine: machine, log: log}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Serve takes connections until Close, or until l fails, with the reason.
func (r *Relay) Serve(l *net.UnixListener) error {
	r.mu.Lock()
	r.listener = l
	closed := r.closed
	r.mu.Unlock()
	if closed {
		l.Close()
	}
	for {
		c, err := l.AcceptUnix()
		if r.ctx.Err() != nil {
			if c != nil {
				c.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot take a connection of a Docker client: %w", err)
		}
		r.busy.Go(func() { r.serve(c) })
	}
}

// Close ends every connection, and waits for that.
func (r *Relay) Close() {
	r.mu.Lock()
	r.closed = true
	l := r.listener
	r.mu.Unlock()
	r.cancel()
	if l != nil {
		l.Close()
	}
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
	join(client, server, a)
}

// join moves bytes both ways until both have ended. The end of one direction is passed on and leaves the other open: docker run -i
// ends its input, and waits for output.
func join(client, server *net.UnixConn, a *activity) {
	var both sync.WaitGroup
	both.Go(func() {
		if _, err := io.Copy(server, watched{client, a}); err != nil {
			client.Close()
			server.Close()
			return
		}
		server.CloseWrite()
	})
	both.Go(func() {
		if _, err := io.Copy(client, server); err != nil {
			client.Close()
			server.Close()
			return
		}
		client.CloseWrite()
	})
	both.Wait()
}

// watched reads from a client and tells what was read.
type watched struct {
	from *net.UnixConn
	*activity
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
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
