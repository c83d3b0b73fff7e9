// Package metrics tells Prometheus how the agent and its machines are, over HTTP on a Unix socket. A scrape is looking: it keeps
// no machine awake and wakes none, and between scrapes only events are counted.
package metrics

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

// An Agent is what is measured. Its methods are called by several goroutines.
type Agent interface {
	// Machines are the figures of every machine; of one that does not answer, as far as they are known.
	Machines(ctx context.Context) []agentapi.MachineStats
	// Events are those behind a number, as of event.Bus: it waits for one, and ends with the bus or ctx.
	Events(ctx context.Context, after uint64) ([]agentapi.Event, error)
	// Connections is how many the control socket has.
	Connections() int
}

const (
	// askTime is how long a scrape waits for the processes of machines.
	askTime = 5 * time.Second
	// maxScrapes is how many are answered at once.
	maxScrapes = 4
	// idleTime is how long a connection may say nothing.
	idleTime = time.Minute
)

// A Server answers scrapes. Make one with Start, and end it with Close.
type Server struct {
	http   *http.Server
	cancel context.CancelFunc
	busy   sync.WaitGroup
	err    error // of the listener; read after busy
}

// Start serves the metrics of a at every path of l, which it takes over. version is the agent's.
func Start(l net.Listener, a Agent, version string) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	r := prometheus.NewRegistry()
	e := newEvents(r)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "arcbox_agent_info", Help: "Always 1, for the agent's version.", ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&machines{a}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "arcbox_agent_connections", Help: "Connections of clients to the control socket.",
		}, func() float64 { return float64(a.Connections()) }))
	handler := promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
	s := &Server{http: &http.Server{Handler: handler, ReadTimeout: idleTime, IdleTimeout: idleTime, MaxHeaderBytes: 16 << 10}, cancel: cancel}
	s.busy.Go(func() { e.follow(ctx, a) })
	s.busy.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	})
	return s
}

// Close ends every scrape, and waits for that. Its error is what ended the listener before.
func (s *Server) Close() error {
	s.cancel()
	s.http.Close()
	s.busy.Wait()
	return s.err
}

// events are what has happened since the agent's start.
type events struct {
	total *prometheus.CounterVec
	start prometheus.Histogram
}

func newEvents(r *prometheus.Registry) *events {
	e := &events{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "arcbox_machine_events_total", Help: "Events of machines, by kind: ready, failed, recovered and the others of arcbox events.",
		}, []string{"machine", "kind"}),
		start: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "arcbox_machine_start_seconds", Help: "From the beginning of a machine's start to its guest agent's answer.",
			Buckets: []float64{0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128},
		}),
	}
	r.MustRegister(e.total, e.start)
	return e
}

// follow counts until ctx or the bus ends.
func (e *events) follow(ctx context.Context, a Agent) {
	begun := map[string]time.Time{} // by machine, while it starts
	for after := uint64(0); ; {
		news, err := a.Events(ctx, after)
		if err != nil {
			return
		}
		for _, ev := range news {
			after = ev.Seq
			e.count(begun, ev)
		}
	}
}

func (e *events) count(begun map[string]time.Time, ev agentapi.Event) {
	if ev.Machine == "" || ev.Kind == agentapi.Resync {
		return
	}
	e.total.WithLabelValues(ev.Machine, string(ev.Kind)).Inc()
	switch ev.Kind {
	case agentapi.MachineStarting:
		begun[ev.Machine] = ev.Time
	case agentapi.MachineReady:
		if t, ok := begun[ev.Machine]; ok {
			e.start.Observe(ev.Time.Sub(t).Seconds())
		}
		delete(begun, ev.Machine)
	case agentapi.MachineFailed, agentapi.MachineStopped:
		delete(begun, ev.Machine)
	case agentapi.MachineRemoved:
		delete(begun, ev.Machine)
		e.total.DeletePartialMatch(prometheus.Labels{"machine": ev.Machine})
	}
}

// machines asks for the figures of machines at each scrape.
type machines struct{ agent Agent }

// A figure is one metric of a machine.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(*agentapi.MachineStats) float64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("arcbox_"+name, help, append([]string{"machine"}, labels...), nil)
}

func gauge(name, help string, of func(*agentapi.MachineStats) float64) figure {
	return figure{desc(name, help), prometheus.GaugeValue, of}
}

func counter(name, help string, of func(*agentapi.MachineStats) float64) figure {
	return figure{desc(name, help), prometheus.CounterValue, of}
}

var (
	state = desc("machine_state", "1 for the state that the machine is in.", "state")
	exits = desc("vm_exits_total", "How often the guest was left since the VM's start, by kind.", "kind")
	// always are those of every machine.
	always = []figure{
		gauge("machine_cpus", "vCPUs.", func(s *agentapi.MachineStats) float64 { return float64(s.Machine.CPUs) }),
		gauge("machine_memory_bytes", "The guest's RAM.", func(s *agentapi.MachineStats) float64 { return float64(s.Machine.Memory) }),
		gauge("machine_holds", "Holds that keep the machine awake.", func(s *agentapi.MachineStats) float64 { return float64(len(s.Machine.Holds)) }),
	}
	// running are those of a machine with a VM.
	running = []figure{
		counter("vm_cpu_seconds_total", "CPU time of arcbox-vm.", func(s *agentapi.MachineStats) float64 { return s.CPUSeconds }),
		gauge("vm_resident_bytes", "Memory of arcbox-vm, the guest's in use included.", func(s *agentapi.MachineStats) float64 { return float64(s.Resident) }),
		counter("vm_returned_bytes_total", "Memory that the guest gave back to the host.", func(s *agentapi.MachineStats) float64 { return float64(s.Returned) }),
		gauge("vm_balloon_bytes", "Memory in the balloon.", func(s *agentapi.MachineStats) float64 { return float64(s.Balloon) }),
		counter("disk_read_bytes_total", "Read from the disks.", func(s *agentapi.MachineStats) float64 { return float64(s.DiskRead) }),
		counter("disk_written_bytes_total", "Written to the disks.", func(s *agentapi.MachineStats) float64 { return float64(s.DiskWrite) }),
		counter("disk_flushes_total", "Flushes of the guest.", func(s *agentapi.MachineStats) float64 { return float64(s.Flushes) }),
		counter("vsock_sent_bytes_total", "To the guest through vsock.", func(s *agentapi.MachineStats) float64 { return float64(s.NetSent) }),
		counter("vsock_received_bytes_total", "From the guest through vsock.", func(s *agentapi.MachineStats) float64 { return float64(s.NetRecv) }),
		gauge("vsock_connections", "Open vsock connections.", func(s *agentapi.MachineStats) float64 { return float64(s.Conns) }),
	}
	// told are those that the guest's agent tells of itself.
	told = []figure{
		gauge("guest_load", "Load average over a minute.", func(s *agentapi.MachineStats) float64 { return s.Guest.Load }),
		gauge("guest_memory_bytes", "Memory that the guest's kernel has.", func(s *agentapi.MachineStats) float64 { return float64(s.Guest.MemTotal) }),
		gauge("guest_memory_available_bytes", "Memory that the guest could still use.", func(s *agentapi.MachineStats) float64 { return float64(s.Guest.MemAvail) }),
		gauge("guest_memory_pressure_ratio", "Share of time that some task waited for memory.", func(s *agentapi.MachineStats) float64 { return s.Guest.Pressure / 100 }),
		gauge("guest_execs", "Programs that clients run in the guest.", func(s *agentapi.MachineStats) float64 { return float64(s.Guest.Execs) }),
		gauge("guest_containers", "Containers that run.", func(s *agentapi.MachineStats) float64 { return float64(s.Guest.Containers) }),
	}
)

// Describe implements prometheus.Collector.
func (c *machines) Describe(ch chan<- *prometheus.Desc) {
	ch <- state
	ch <- exits
	for _, f := range slices.Concat(always, running, told) {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *machines) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	for _, s := range c.agent.Machines(ctx) {
		ch <- prometheus.MustNewConstMetric(state, prometheus.GaugeValue, 1, s.Machine.Name, s.Machine.State)
		collect(ch, &s, always)
		if s.Exits != nil {
			collect(ch, &s, running)
		}
		for kind, n := range s.Exits {
			ch <- prometheus.MustNewConstMetric(exits, prometheus.CounterValue, float64(n), s.Machine.Name, kind)
		}
		if s.Guest != nil {
			collect(ch, &s, told)
		}
	}
}

func collect(ch chan<- prometheus.Metric, s *agentapi.MachineStats, figures []figure) {
	for _, f := range figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.of(s), s.Machine.Name)
	}
}
