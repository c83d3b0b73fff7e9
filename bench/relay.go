package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/docker"
)

const relayPeer = "a Unix socket without the relay"

// relaySuites measure what the way through docker.sock adds: a client talks to a server that plays a role, over the relay and without.
func relaySuites() []*suite {
	const tput, rtt = "relay.throughput", "relay.latency"
	return []*suite{{
		names: []string{tput, tput + ".in", tput + ".out"}, rounds: 7, peer: relayPeer, unit: "MiB/s", more: true,
		round: func(s *samples) error { return throughput(s, tput, withRelay, withSocket) },
	}, {
		names: []string{rtt}, rounds: 7, peer: relayPeer, unit: "us",
		round: func(s *samples) error { return roundTrip(s, rtt, withRelay, withSocket) },
	}}
}

// A dockerd listens on a Unix socket and plays a role with its one client.
type dockerd struct {
	dir      string
	role     role
	listener net.Listener
	ended    sync.WaitGroup
}

func newDockerd(r role) (*dockerd, error) {
	dir, err := os.MkdirTemp("", "arcbox-bench-")
	if err != nil {
		return nil, err
	}
	d := &dockerd{dir: dir, role: r}
	if d.listener, err = net.Listen("unix", d.path()); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	d.ended.Go(func() {
		c, err := d.listener.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		first := make([]byte, 1) // see talk
		if _, err := c.Read(first); err == nil {
			play(r, c)
		}
	})
	return d, nil
}

func (d *dockerd) path() string { return filepath.Join(d.dir, "dockerd.sock") }

func (d *dockerd) close() {
	d.listener.Close()
	d.ended.Wait()
	os.RemoveAll(d.dir)
}

// talk sends a first byte, which is what has the relay look for its machine, and times what follows.
func talk(path string, do func(net.Conn) error) (float64, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write([]byte{0}); err != nil {
		return 0, err
	}
	return timed(c, do)
}

func withSocket(r role, do func(net.Conn) error) (float64, error) {
	d, err := newDockerd(r)
	if err != nil {
		return 0, err
	}
	defer d.close()
	return talk(d.path(), do)
}

func withRelay(r role, do func(net.Conn) error) (float64, error) {
	d, err := newDockerd(r)
	if err != nil {
		return 0, err
	}
	defer d.close()
	front := filepath.Join(d.dir, "docker.sock")
	l, err := net.Listen("unix", front)
	if err != nil {
		return 0, err
	}
	relay := docker.New(func(context.Context) (docker.Machine, error) { return d, nil }, zerolog.Nop())
	d.ended.Go(func() { _ = relay.Serve(l) })
	defer relay.Close()
	return talk(front, do)
}

// A dockerd is a machine that is always there.

func (d *dockerd) Docker(context.Context, bool) (*net.UnixConn, error) {
	c, err := net.Dial("unix", d.path())
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

func (d *dockerd) Use() func()                { return func() {} }
func (d *dockerd) Said() (*docker.Said, bool) { return nil, false }
func (d *dockerd) Remember(*docker.Said)      {}
