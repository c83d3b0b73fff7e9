package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/agent"
	"github.com/arcboxlabs/arcbox-go/agent/config"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lease"
	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/agentapi"
	"github.com/arcboxlabs/arcbox-go/ipc/unixsock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is an agent of mock machines in a home of its own.
type rig struct {
	t    *testing.T
	home home.Home
	end  context.CancelFunc
	done chan error
	conn *ipc.Conn
}

// newHome makes an empty home.
func newHome(t *testing.T) home.Home {
	t.Helper()
	t.Setenv(home.Env, filepath.Join(t.TempDir(), "home"))
	h, err := home.Find()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// set writes the settings file of a home.
func set(t *testing.T, h home.Home, text string) {
	t.Helper()
	if err := home.Make(h.Root()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.Root(), "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func options(h home.Home) agent.Options {
	return agent.Options{
		Home: h, Mock: true, Log: zerolog.Nop(),
		Config: config.Sources{User: filepath.Join(h.Root(), "config.toml"), Host: config.Host{CPUs: 2, Memory: 4 << 30}},
	}
}

// start runs an agent until the test ends, or end is called.
func start(t *testing.T, h home.Home) *rig {
	t.Helper()
	return startWith(t, h, func(*agent.Options) {})
}

// startWith is start with other options.
func startWith(t *testing.T, h home.Home, change func(*agent.Options)) *rig {
	t.Helper()
	r := &rig{t: t, home: h, done: make(chan error, 1)}
	o := options(h)
	change(&o)
	listening := make(chan error, 1)
	o.Listening = func(err error) { listening <- err }
	ctx, cancel := context.WithCancel(t.Context())
	r.end = cancel
	go func() { r.done <- agent.Run(ctx, o) }()
	if err := <-listening; err != nil {
		t.Fatal(err)
	}
	r.conn = r.dial()
	t.Cleanup(r.stop)
	return r
}

// stop ends the agent, once.
func (r *rig) stop() {
	r.end()
	if r.done == nil {
		return
	}
	if err := <-r.done; err != nil {
		r.t.Error(err)
	}
	r.done = nil
	r.conn.Close()
}

func (r *rig) dial() *ipc.Conn {
	r.t.Helper()
	path, err := r.home.Socket(agentapi.Socket)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := unixsock.Dial(context.Background(), path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// call asks, and fails the test when that fails.
func call[Req, Resp any](r *rig, m ipc.Method[Req, Resp], req *Req) *Resp {
	r.t.Helper()
	resp, err := ipc.Call(r.t.Context(), r.conn, m, req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// until follows the setup until the phase is one.
func (r *rig) until(phase agentapi.Phase) agentapi.SetupStatus {
	r.t.Helper()
	for s, err := range ipc.Subscribe(r.t.Context(), r.conn, agentapi.FollowSetup, &agentapi.SetupReq{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		if s.Phase == phase {
			return *s
		}
	}
	r.t.Fatalf("the agent ended before it was %s", phase)
	return agentapi.SetupStatus{}
}

func codeOf(err error) ipc.Code {
	var e *ipc.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

func TestAMachineThroughTheFrontDoor(t *testing.T) {
	r := start(t, newHome(t))
	r.until(agentapi.Ready)
	if v := call(r, agentapi.Version, &agentapi.VersionReq{}); v.PID != os.Getpid() || len(v.Build) != 64 {
		t.Errorf("the version is %+v", v)
	}
	if l := call(r, agentapi.List, &agentapi.ListReq{}); len(l.Machines) != 0 {
		t.Errorf("an empty home has %+v", l.Machines)
	}
	up := call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{})
	if !up.Started || up.Machine.Name != agentapi.DefaultMachine || up.Machine.State != "running" {
		t.Errorf("ensure-ready says %+v", up)
	}
	if again := call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{}); again.Started {
		t.Error("a machine that runs was started")
	}
	call(r, agentapi.Create, &agentapi.CreateReq{Spec: agentapi.Spec{Name: "work", CPUs: 3}})
	if _, err := ipc.Call(t.Context(), r.conn, agentapi.Create, &agentapi.CreateReq{Spec: agentapi.Spec{Name: "work"}}); codeOf(err) != agentapi.Exists {
		t.Errorf("a second one of a name got %v", err)
	}
	if l := call(r, agentapi.List, &agentapi.ListReq{}); len(l.Machines) != 2 || l.Machines[1].CPUs != 3 || l.Machines[0].CID == l.Machines[1].CID {
		t.Errorf("the list is %+v", l.Machines)
	}
	if held := call(r, agentapi.Hold, &agentapi.HoldReq{Hold: "test"}); len(held.Holds) != 1 {
		t.Errorf("the holds are %+v", held)
	}
	if down := call(r, agentapi.Stop, &agentapi.StopReq{}); down.Machine.State != "stopped" {
		t.Errorf("after stop it is %+v", down.Machine)
	}
	call(r, agentapi.Remove, &agentapi.RemoveReq{Name: "work"})
	for name, err := range map[string]error{
		"inspect": second(ipc.Call(t.Context(), r.conn, agentapi.Inspect, &agentapi.InspectReq{Name: "work"})),
		"start":   second(ipc.Call(t.Context(), r.conn, agentapi.EnsureReady, &agentapi.EnsureReadyReq{Name: "work"})),
		"remove":  second(ipc.Call(t.Context(), r.conn, agentapi.Remove, &agentapi.RemoveReq{Name: "work"})),
	} {
		if codeOf(err) != agentapi.NotFound {
			t.Errorf("%s of what is gone got %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestEventsAreFollowedFromANumberOn(t *testing.T) {
	r := start(t, newHome(t))
	before := r.until(agentapi.Ready).LastEvent
	call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{})
	call(r, agentapi.Stop, &agentapi.StopReq{})
	var kinds []string
	for e, err := range ipc.Subscribe(t.Context(), r.conn, agentapi.Events, &agentapi.EventsReq{After: before}) {
		if err != nil {
			t.Fatal(err)
		}
		if before++; e.Seq != before {
			t.Fatalf("event %d comes after %d", e.Seq, before-1)
		}
		kinds = append(kinds, string(e.Kind))
		if e.Kind == agentapi.MachineStopped {
			break
		}
	}
	if got := strings.Join(kinds, " "); !strings.Contains(got, "created starting") || !strings.Contains(got, "ready stopping stopped") {
		t.Errorf("the events were %s", got)
	}
}

func TestASecondAgentIsToldWhoIsThere(t *testing.T) {
	r := start(t, newHome(t))
	r.until(agentapi.Ready)
	err := agent.Run(t.Context(), options(r.home))
	var held *lease.HeldError
	if !errors.As(err, &held) || held.Holder.PID != os.Getpid() || !strings.Contains(err.Error(), "--takeover") {
		t.Errorf("a second agent got %v", err)
	}
	if h, ok, err := lease.Held(r.home.Run()); !ok || err != nil || h.PID != os.Getpid() {
		t.Errorf("the holder is %+v, %v, %v", h, ok, err)
	}
	r.stop()
	if _, ok, err := lease.Held(r.home.Run()); ok || err != nil {
		t.Errorf("after its end the lock is held: %v, %v", ok, err)
	}
	start(t, r.home) // and there can be another
}

func TestWhatADeadAgentLeftIsInNobodysWay(t *testing.T) {
	h := newHome(t)
	path, err := h.Socket(agentapi.Socket)
	if err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if err := os.WriteFile(filepath.Join(h.Run(), "arcboxd.lock"), []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, h).until(agentapi.Ready)
}

func TestBrokenSettingsAreToldAndMended(t *testing.T) {
	h := newHome(t)
	set(t, h, "[machine]\ncpus = \"many\"\n")
	r := start(t, h)
	if s := r.until(agentapi.Degraded); !strings.Contains(s.Error, "config.toml:2") {
		t.Errorf("the error is %q", s.Error)
	}
	call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{}) // it works all the same
	set(t, h, "[machine]\ncpus = 1\n[machines.work]\ncpus = 2\n")
	r.until(agentapi.Ready)
	call(r, agentapi.Create, &agentapi.CreateReq{Spec: agentapi.Spec{Name: "later"}})
	call(r, agentapi.Create, &agentapi.CreateReq{Spec: agentapi.Spec{Name: "work"}})
	for name, cpus := range map[string]int{"later": 1, "work": 2} {
		if m := call(r, agentapi.Inspect, &agentapi.InspectReq{Name: name}); m.CPUs != cpus {
			t.Errorf("%s, made after the change, has %d vCPUs, want %d", name, m.CPUs, cpus)
		}
	}
}

// scrape is what Prometheus gets.
func scrape(t *testing.T, path string) map[string]*dto.MetricFamily {
	t.Helper()
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) },
	}}
	resp, err := c.Get("http://agent/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestMetrics(t *testing.T) {
	h := newHome(t)
	set(t, h, "[metrics]\nenable = true\n")
	path, err := h.Socket(agentapi.MetricsSocket)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, h)
	r.until(agentapi.Ready)
	if f := scrape(t, path)["arcbox_machine_state"]; f != nil {
		t.Errorf("an empty home has %v", f)
	}
	call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{})
	families := scrape(t, path)
	for families["arcbox_machine_start_seconds"].GetMetric()[0].GetHistogram().GetSampleCount() == 0 { // events are counted a little later
		families = scrape(t, path)
	}
	state := families["arcbox_machine_state"].GetMetric()
	if len(state) != 1 || state[0].GetLabel()[0].GetValue() != "default" || state[0].GetLabel()[1].GetValue() != "running" {
		t.Errorf("the states are %v", state)
	}
	ready := 0.0
	for _, m := range families["arcbox_machine_events_total"].GetMetric() {
		if m.GetLabel()[0].GetValue() == "ready" {
			ready += m.GetCounter().GetValue()
		}
	}
	if ready != 1 {
		t.Errorf("ready %v times", ready)
	}
	if n := families["arcbox_agent_connections"].GetMetric()[0].GetGauge().GetValue(); n != 1 {
		t.Errorf("%v connections", n)
	}
	r.stop()
	if exists(path) {
		t.Error("the socket is left behind")
	}
}

func TestTheEndIsInOrder(t *testing.T) {
	r := start(t, newHome(t))
	r.until(agentapi.Ready)
	call(r, agentapi.EnsureReady, &agentapi.EnsureReadyReq{})
	var kinds []agentapi.EventKind
	followed := make(chan error, 1)
	last := call(r, agentapi.Setup, &agentapi.SetupReq{}).LastEvent
	watcher := r.dial()
	defer watcher.Close()
	go func() {
		for e, err := range ipc.Subscribe(context.Background(), watcher, agentapi.Events, &agentapi.EventsReq{After: last}) {
			if err != nil {
				followed <- err
				return
			}
			kinds = append(kinds, e.Kind)
		}
		followed <- nil
	}()
	call(r, agentapi.Shutdown, &agentapi.ShutdownReq{StopMachines: true})
	if err := <-followed; !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("who followed was told %v, want that the next agent can be asked", err)
	}
	if len(kinds) < 2 || kinds[len(kinds)-1] != agentapi.MachineStopped {
		t.Errorf("the last events were %v, want a machine that is stopped", kinds)
	}
	if err := <-r.done; err != nil {
		t.Error(err)
	}
	r.done = nil
	r.conn.Close()
	if path, _ := r.home.Socket(agentapi.Socket); exists(path) {
		t.Errorf("%s is left", path)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestALogIsReadAndFollowed(t *testing.T) {
	r := start(t, newHome(t))
	r.until(agentapi.Ready)
	path := filepath.Join(r.home.Log(), agent.LogName)
	if err := os.MkdirAll(r.home.Log(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req := &agentapi.LogsReq{Component: "agent", Tail: 2}
	data, ref := req.Open()
	req.Data = ref
	if _, err := ipc.Call(ctx, r.conn, agentapi.Logs, req); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(data); err != nil || string(text) != "two\nthree\n" {
		t.Errorf("the last two lines are %q, %v", text, err)
	}
	req = &agentapi.LogsReq{Component: "agent", Follow: true, Tail: -1}
	data, ref = req.Open()
	req.Data = ref
	ended := make(chan error, 1)
	go func() {
		_, err := ipc.Call(ctx, r.conn, agentapi.Logs, req)
		ended <- err
	}()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 5)
	// The follower begins at the end as it is when it gets there: write until it has.
	wrote := make(chan struct{})
	go func() {
		defer close(wrote)
		for ctx.Err() == nil {
			f.WriteString("four\n")
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	if _, err := io.ReadFull(data, got); err != nil || string(got) != "four\n" {
		t.Errorf("what came is %q, %v", got, err)
	}
	data.Close() // the reader has had enough
	if err := <-ended; err != nil {
		t.Errorf("the call ended with %v", err)
	}
	req = &agentapi.LogsReq{Component: "agent", Follow: true, Tail: -1}
	data, ref = req.Open()
	req.Data = ref
	go func() {
		_, err := ipc.Call(ctx, r.conn, agentapi.Logs, req)
		ended <- err
	}()
	if _, err := io.ReadFull(data, got); err != nil {
		t.Error(err)
	}
	go io.Copy(io.Discard, data)
	call(r, agentapi.Shutdown, &agentapi.ShutdownReq{})
	if err := <-ended; !errors.Is(err, ipc.ErrInterrupted) {
		t.Errorf("when the agent ends who follows its log is told %v, want that the next agent can be asked", err)
	}
	cancel()
	<-wrote
}
