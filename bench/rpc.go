package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

const (
	rpcTrips       = 5000
	rpcWarm        = 100
	rpcSubscribers = 256
	rpcEvents      = 100
	// rpcBytes is how long a frame of ours is: what the raw echo sends.
	rpcBytes = 75
)

// rpcSuites compare a call of ipc with one of grpc-go, with the same message over the same
// kind of socket, and with an echo of as many bytes. Both ends are in one process each.
func rpcSuites() []*suite {
	trips := &rpcRound{}
	return []*suite{{
		names: []string{"rpc.p50", "rpc.p99"}, rounds: 11, peer: "grpc-go", floor: "echo on a Unix socket", unit: "us",
		round: trips.round, end: trips.close,
	}, {
		names: []string{"rpc.allocs"}, rounds: 3, peer: "grpc-go", unit: "allocations/call",
		round: trips.round, end: trips.close,
	}, {
		names: []string{"rpc.fanout256"}, rounds: 5, peer: "grpc-go", floor: "writes to as many Unix sockets", unit: "us/event",
		round: trips.fanOut, end: trips.close,
	}}
}

// An rpcResult is what one contender measured, as bench/grpc prints it.
type rpcResult struct {
	P50    float64 `json:"p50"` // microseconds
	P99    float64 `json:"p99"`
	Allocs float64 `json:"allocs"` // of both ends, for each round trip
	Event  float64 `json:"event"`  // microseconds from an event to its last subscriber
}

// An rpcRound measures the contenders in turn. The peer is started by the first round.
type rpcRound struct{ peer *rpcPeer }

func (r *rpcRound) close() {
	if r.peer != nil {
		r.peer.close()
		r.peer = nil
	}
}

func (r *rpcRound) ask(format string, args ...any) (rpcResult, error) {
	if r.peer == nil {
		p, err := startRPCPeer()
		if err != nil {
			return rpcResult{}, err
		}
		r.peer = p
	}
	return r.peer.ask(fmt.Sprintf(format, args...))
}

func (r *rpcRound) round(s *samples) error {
	ours, err := rpcOurs(rpcTrips)
	if err != nil {
		return err
	}
	peer, err := r.ask("trips %d", rpcTrips)
	if err != nil {
		return err
	}
	floor, err := rpcEcho(rpcTrips)
	if err != nil {
		return err
	}
	s.add("rpc.p50", ours.P50, peer.P50)
	s.add("rpc.p99", ours.P99, peer.P99)
	s.add("rpc.allocs", ours.Allocs, peer.Allocs)
	s.floor["rpc.p50"] = append(s.floor["rpc.p50"], floor.P50)
	s.floor["rpc.p99"] = append(s.floor["rpc.p99"], floor.P99)
	return nil
}

func (r *rpcRound) fanOut(s *samples) error {
	ours, err := rpcFanOut(rpcSubscribers, rpcEvents)
	if err != nil {
		return err
	}
	peer, err := r.ask("fanout %d %d", rpcSubscribers, rpcEvents)
	if err != nil {
		return err
	}
	floor, err := rpcWrites(rpcSubscribers, rpcEvents)
	if err != nil {
		return err
	}
	s.add("rpc.fanout256", ours.Event, peer.Event)
	s.floor["rpc.fanout256"] = append(s.floor["rpc.fanout256"], floor.Event)
	return nil
}

// An rpcPeer is the process bench/grpc.
type rpcPeer struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
	dir   string
}

func startRPCPeer() (*rpcPeer, error) {
	dir, err := os.MkdirTemp("", "arcbox-bench-")
	if err != nil {
		return nil, err
	}
	p := &rpcPeer{dir: dir}
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/arcboxlabs/arcbox-go/bench").Output()
	if err == nil {
		program := filepath.Join(dir, "grpc")
		build := exec.Command("go", "build", "-C", filepath.Join(string(source[:len(source)-1]), "grpc"), "-o", program, ".")
		build.Stderr = os.Stderr
		err = build.Run()
		p.cmd = exec.Command(program)
	}
	if err == nil {
		p.cmd.Stderr = os.Stderr
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		var out io.Reader
		out, err = p.cmd.StdoutPipe()
		p.lines = bufio.NewScanner(out)
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("cannot start grpc-go: %w", err)
	}
	return p, nil
}

func (p *rpcPeer) ask(line string) (r rpcResult, err error) {
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		return r, err
	}
	if !p.lines.Scan() {
		return r, errors.New("grpc-go has ended")
	}
	return r, json.Unmarshal(p.lines.Bytes(), &r)
}

func (p *rpcPeer) close() {
	p.in.Close()
	p.cmd.Wait()
	os.RemoveAll(p.dir)
}

// The message of grpc's health service.
type (
	checkReq struct {
		Service string `json:"service"`
	}
	checkResp struct {
		Status int `json:"status"`
	}
)

var (
	rpcCheck = ipc.Method[checkReq, checkResp]{Name: "health.check"}
	rpcWatch = ipc.Feed[checkReq, checkResp]{Name: "health.watch"}
)

// rpcServer serves a mux on a Unix socket until the function that it gives is called.
func rpcServer(mux *ipc.Mux) (path string, closed func(), err error) {
	dir, err := os.MkdirTemp("", "arcbox-bench-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "s")
	l, err := unixsock.Listen(path)
	if err != nil {
		os.RemoveAll(dir)
		return "", nil, err
	}
	s := &ipc.Server{Mux: mux, Max: 2 * rpcSubscribers, MaxEach: 2 * rpcSubscribers}
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	return path, func() {
		s.Close()
		<-served
		os.RemoveAll(dir)
	}, nil
}

// rpcTime times n round trips, one after another.
func rpcTime(n int, trip func() error) (rpcResult, error) {
	took := make([]float64, n)
	var before, after runtime.MemStats
	for i := -rpcWarm; i < n; i++ {
		if i == 0 {
			runtime.ReadMemStats(&before)
		}
		begin := time.Now()
		if err := trip(); err != nil {
			return rpcResult{}, err
		}
		if i >= 0 {
			took[i] = float64(time.Since(begin).Nanoseconds()) / 1e3
		}
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	return rpcResult{P50: took[n/2], P99: took[n*99/100], Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}, nil
}

func rpcOurs(n int) (rpcResult, error) {
	mux := ipc.NewMux()
	ipc.Handle(mux, rpcCheck, func(context.Context, *checkReq) (*checkResp, error) { return &checkResp{1}, nil })
	path, closed, err := rpcServer(mux)
	if err != nil {
		return rpcResult{}, err
	}
	defer closed()
	ctx := context.Background()
	conn, err := unixsock.Dial(ctx, path, nil)
	if err != nil {
		return rpcResult{}, err
	}
	defer conn.Close()
	return rpcTime(n, func() error {
		_, err := ipc.Call(ctx, conn, rpcCheck, &checkReq{"dockerd"})
		return err
	})
}

// rawSockets makes n connections to one listener, each with both ends.
func rawSockets(n int) (near, far []net.Conn, err error) {
	dir, err := os.MkdirTemp("", "arcbox-bench-")
	if err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	for range n {
		c, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			return near, far, err
		}
		near = append(near, c)
		s, err := l.Accept()
		if err != nil {
			return near, far, err
		}
		far = append(far, s)
	}
	return near, far, nil
}

// rpcEcho is the floor of a round trip.
func rpcEcho(n int) (rpcResult, error) {
	near, far, err := rawSockets(1)
	if err != nil {
		return rpcResult{}, err
	}
	var echo sync.WaitGroup
	defer echo.Wait()
	defer near[0].Close()
	echo.Go(func() {
		defer far[0].Close()
		for p := make([]byte, rpcBytes); ; {
			if _, err := io.ReadFull(far[0], p); err != nil {
				return
			}
			far[0].Write(p)
		}
	})
	p := make([]byte, rpcBytes)
	return rpcTime(n, func() error {
		if _, err := near[0].Write(p); err != nil {
			return err
		}
		_, err := io.ReadFull(near[0], p)
		return err
	})
}

// rpcTimeEvents times events to subscribers, each of whom calls Done of what send gets, one event
// after the other has reached all, and gives the median.
func rpcTimeEvents(subscribers, events int, got *sync.WaitGroup, send func() error) (rpcResult, error) {
	took := make([]float64, events)
	for i := range took {
		got.Add(subscribers)
		begin := time.Now()
		if err := send(); err != nil {
			return rpcResult{}, err
		}
		got.Wait()
		took[i] = float64(time.Since(begin).Nanoseconds()) / 1e3
	}
	slices.Sort(took)
	return rpcResult{Event: took[events/2]}, nil
}

// rpcFanOut has each subscriber's handler wait for events as the agent's do, and send them.
func rpcFanOut(subscribers, events int) (rpcResult, error) {
	var mu sync.Mutex
	var hub []chan ipc.Encoded[checkResp]
	var there, got sync.WaitGroup
	there.Add(subscribers)
	mux := ipc.NewMux()
	ipc.HandleFeed(mux, rpcWatch, func(ctx context.Context, _ *checkReq, out *ipc.Sink[checkResp]) error {
		ch := make(chan ipc.Encoded[checkResp], 1)
		mu.Lock()
		hub = append(hub, ch)
		mu.Unlock()
		there.Done()
		for {
			select {
			case item := <-ch:
				if err := out.SendEncoded(item); err != nil {
					return err
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
	path, closed, err := rpcServer(mux)
	if err != nil {
		return rpcResult{}, err
	}
	defer closed()
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	defer clients.Wait()
	defer cancel()
	for range subscribers {
		conn, err := unixsock.Dial(ctx, path, nil)
		if err != nil {
			return rpcResult{}, err
		}
		clients.Go(func() {
			defer conn.Close()
			for _, err := range ipc.Subscribe(ctx, conn, rpcWatch, &checkReq{"dockerd"}) {
				if err == nil {
					got.Done()
				}
			}
		})
	}
	there.Wait()
	return rpcTimeEvents(subscribers, events, &got, func() error {
		item, err := ipc.Encode(&checkResp{1})
		for _, ch := range hub {
			ch <- item
		}
		return err
	})
}

// rpcWrites is the floor of a fan-out: a goroutine for each socket reads what one writes.
func rpcWrites(subscribers, events int) (rpcResult, error) {
	near, far, err := rawSockets(subscribers)
	var readers, got sync.WaitGroup
	defer readers.Wait()
	for _, c := range slices.Concat(near, far) {
		defer c.Close()
	}
	if err != nil {
		return rpcResult{}, err
	}
	p := make([]byte, rpcBytes)
	for _, c := range near {
		readers.Go(func() {
			for p := make([]byte, rpcBytes); ; {
				if _, err := io.ReadFull(c, p); err != nil {
					return
				}
				got.Done()
			}
		})
	}
	return rpcTimeEvents(subscribers, events, &got, func() error {
		for _, c := range far {
			if _, err := c.Write(p); err != nil {
				return err
			}
		}
		return nil
	})
}
