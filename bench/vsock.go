package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio/vsock"
)

const (
	unixPeer = "Unix stream socket pair"
	// vsockTotal is how many bytes a throughput is of, vsockPiece those of one call.
	vsockTotal = 512 << 20
	vsockPiece = 64 << 10
	// vsockTrips is how many round trips of one byte are timed.
	vsockTrips = 20_000
	// vsockPatience is how long a connection may take.
	vsockPatience = 10 * time.Second
)

// vsockSuites compare a connection to the guest with a socket pair in the host. With fd it is the
// descriptor that other processes get.
func vsockSuites() (suites []*suite) {
	for _, fd := range []string{"", ".fd"} {
		ours := func(r role, do func(net.Conn) error) (float64, error) { return withGuest(r, fd != "", do) }
		tput, rtt := "vsock.throughput"+fd, "vsock.rtt"+fd
		suites = append(suites, &suite{
			names: []string{tput, tput + ".in", tput + ".out"}, rounds: 7, peer: unixPeer, unit: "MiB/s", more: true,
			round: func(s *samples) error { return throughput(s, tput, ours, withPair) },
		}, &suite{
			names: []string{rtt}, rounds: 7, peer: unixPeer, unit: "us",
			round: func(s *samples) error { return roundTrip(s, rtt, ours, withPair) },
		})
	}
	return suites
}

// A stage has one end of a stream play a role, and times what is done at the other, in seconds.
type stage func(role, func(net.Conn) error) (float64, error)

// throughput measures into the other end and out of it; the figure without a direction is both,
// one after the other.
func throughput(s *samples, name string, ours, peer stage) error {
	var in, out [2]float64 // ours, the peer
	for i, m := range []stage{ours, peer} {
		var err error
		if in[i], err = m(sinks, write); err != nil {
			return err
		}
		if out[i], err = m(pours, read); err != nil {
			return err
		}
	}
	const mib = vsockTotal >> 20
	s.add(name+".in", mib/in[0], mib/in[1])
	s.add(name+".out", mib/out[0], mib/out[1])
	s.add(name, 2*mib/(in[0]+out[0]), 2*mib/(in[1]+out[1]))
	return nil
}

func roundTrip(s *samples, name string, ours, peer stage) error {
	took, err := ours(echoes, pingPong)
	if err != nil {
		return err
	}
	theirs, err := peer(echoes, pingPong)
	if err != nil {
		return err
	}
	s.add(name, took/vsockTrips*1e6, theirs/vsockTrips*1e6)
	return nil
}

func write(c net.Conn) error {
	p := make([]byte, vsockPiece)
	for range vsockTotal / vsockPiece {
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func read(c net.Conn) error {
	p := make([]byte, vsockPiece)
	for left := vsockTotal; left > 0; {
		n, err := c.Read(p)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

func pingPong(c net.Conn) error {
	one := make([]byte, 1)
	for range vsockTrips {
		if _, err := c.Write(one); err != nil {
			return err
		}
		if _, err := io.ReadFull(c, one); err != nil {
			return err
		}
	}
	return nil
}

// timed is how many seconds do takes.
func timed(c net.Conn, do func(net.Conn) error) (float64, error) {
	start := time.Now()
	err := do(c)
	return time.Since(start).Seconds(), err
}

// withGuest times do on a connection to a guest with that role, or on its descriptor.
func withGuest(r role, fd bool, do func(net.Conn) error) (float64, error) {
	g, err := newVsockGuest(r)
	if err != nil {
		return 0, err
	}
	defer g.close()
	c, err := g.connect()
	if err != nil {
		return 0, fmt.Errorf("cannot connect to the guest: %w", err)
	}
	if !fd {
		defer c.Close()
		return timed(c, do)
	}
	f, err := c.File()
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sock, err := net.FileConn(f)
	if err != nil {
		return 0, err
	}
	defer sock.Close()
	return timed(sock, do)
}

// connect waits for the device to have seen the driver.
func (v *vsockGuest) connect() (*vsock.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), vsockPatience)
	defer cancel()
	for {
		c, err := v.dev.Connect(ctx, 1)
		if !errors.Is(err, vsock.ErrNoDriver) || ctx.Err() != nil {
			return c, err
		}
		runtime.Gosched()
	}
}

// withPair times do on a socket pair, whose other end has the role.
func withPair(r role, do func(net.Conn) error) (float64, error) {
	here, there, err := socketPair()
	if err != nil {
		return 0, err
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		defer there.Close()
		play(r, there)
	})
	sec, err := timed(here, do)
	_ = here.Close()
	ended.Wait()
	return sec, err
}

// play has one end of a pair do what the guest's program does, until the other is closed.
func play(r role, c net.Conn) {
	p := make([]byte, vsockPiece)
	for {
		n, err := len(p), error(nil)
		if r != pours {
			n, err = c.Read(p)
		}
		if err == nil && r != sinks {
			_, err = c.Write(p[:n])
		}
		if err != nil {
			return
		}
	}
}

func socketPair() (x, y net.Conn, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, err
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		ends[i], err = net.FileConn(f)
		_ = f.Close()
		if err != nil {
			return nil, nil, err
		}
	}
	return ends[0], ends[1], nil
}
