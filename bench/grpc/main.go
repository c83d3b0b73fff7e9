// Command grpc is the peer that the message layer is measured beside: grpc-go with
// the same message over the same kind of socket. It is a module of its own, so that the product's
// own has no part of it. It answers each line of its standard input, "trips N" or
// "fanout SUBSCRIBERS N", with a line of JSON.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
)

// A result is what the bench reads.
type result struct {
	P50    float64 `json:"p50"` // microseconds
	P99    float64 `json:"p99"`
	Allocs float64 `json:"allocs"` // of both ends, for each round trip
	Event  float64 `json:"event"`  // microseconds from an event to its last subscriber
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "grpc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &server{watchers: map[chan health.HealthCheckResponse_ServingStatus]struct{}{}}
	s.changed = sync.NewCond(&s.mu)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		return err
	}
	g := grpc.NewServer()
	health.RegisterHealthServer(g, s)
	go g.Serve(l)
	defer g.Stop()
	target := "unix:" + filepath.Join(dir, "s")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var n, events int
		var r result
		if _, err = fmt.Sscanf(lines.Text(), "trips %d", &n); err == nil {
			r, err = trips(target, n)
		} else if _, err = fmt.Sscanf(lines.Text(), "fanout %d %d", &n, &events); err == nil {
			r, err = s.fanOut(target, n, events)
		}
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// A server answers Check, and tells every Watch what notify gives it.
type server struct {
	health.UnimplementedHealthServer

	mu       sync.Mutex // guards what follows
	changed  *sync.Cond
	watchers map[chan health.HealthCheckResponse_ServingStatus]struct{}
}

func (s *server) Check(context.Context, *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	return &health.HealthCheckResponse{Status: health.HealthCheckResponse_SERVING}, nil
}

func (s *server) Watch(_ *health.HealthCheckRequest, w health.Health_WatchServer) error {
	ch := make(chan health.HealthCheckResponse_ServingStatus, 1)
	s.mu.Lock()
	s.watchers[ch] = struct{}{}
	s.changed.Broadcast()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.watchers, ch)
		s.changed.Broadcast()
		s.mu.Unlock()
	}()
	for {
		select {
		case status := <-ch:
			if err := w.Send(&health.HealthCheckResponse{Status: status}); err != nil {
				return err
			}
		case <-w.Context().Done():
			return nil
		}
	}
}

func (s *server) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ch := range s.watchers {
		ch <- health.HealthCheckResponse_SERVING
	}
}

// await returns when there are n watchers.
func (s *server) await(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.watchers) != n {
		s.changed.Wait()
	}
}

func dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// trips times n round trips, one after another.
func trips(target string, n int) (result, error) {
	conn, err := dial(target)
	if err != nil {
		return result{}, err
	}
	defer conn.Close()
	client := health.NewHealthClient(conn)
	took := make([]float64, n)
	var before, after runtime.MemStats
	for i := -100; i < n; i++ {
		if i == 0 {
			runtime.ReadMemStats(&before)
		}
		begin := time.Now()
		if _, err := client.Check(context.Background(), &health.HealthCheckRequest{Service: "dockerd"}); err != nil {
			return result{}, err
		}
		if i >= 0 {
			took[i] = float64(time.Since(begin).Nanoseconds()) / 1e3
		}
	}
	runtime.ReadMemStats(&after)
	slices.Sort(took)
	return result{P50: took[n/2], P99: took[n*99/100], Allocs: float64(after.Mallocs-before.Mallocs) / float64(n)}, nil
}

// fanOut sends events to subscribers, each with a connection of its own, one event after the
// other has reached all, and gives the median.
func (s *server) fanOut(target string, subscribers, events int) (result, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer s.await(0)
	defer cancel()
	var got sync.WaitGroup // subscribers that have not had the event
	for range subscribers {
		conn, err := dial(target)
		if err != nil {
			return result{}, err
		}
		defer conn.Close()
		w, err := health.NewHealthClient(conn).Watch(ctx, &health.HealthCheckRequest{Service: "dockerd"})
		if err != nil {
			return result{}, err
		}
		go func() {
			for {
				if _, err := w.Recv(); err != nil {
					return
				}
				got.Done()
			}
		}()
	}
	s.await(subscribers)
	took := make([]float64, events)
	for i := range took {
		got.Add(subscribers)
		begin := time.Now()
		s.notify()
		got.Wait()
		took[i] = float64(time.Since(begin).Nanoseconds()) / 1e3
	}
	slices.Sort(took)
	return result{Event: took[events/2]}, nil
}
