//go:build linux

package agent

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/arcboxlabs/arcbox-go/ipc"
	"github.com/arcboxlabs/arcbox-go/ipc/guestapi"
)

// listening is a mux that collects an agent's notes.
func listening() (mux *ipc.Mux, beats chan *guestapi.BeatNote, reports chan *guestapi.ReportNote) {
	mux, beats, reports = ipc.NewMux(), make(chan *guestapi.BeatNote, 1000), make(chan *guestapi.ReportNote, 1000)
	ipc.OnNote(mux, guestapi.Beat, func(_ context.Context, n *guestapi.BeatNote) { beats <- n })
	ipc.OnNote(mux, guestapi.Report, func(_ context.Context, n *guestapi.ReportNote) { reports <- n })
	return mux, beats, reports
}

func TestWatch(t *testing.T) {
	mux, beats, reports := listening()
	h := serve(t, mux)
	must(t, h, guestapi.Watch, &guestapi.WatchReq{BeatMS: 100, Available: 1})
	first := <-reports
	if m := first.Memory; first.Execs != 0 || m.Total == 0 || m.Available == 0 || m.Available > m.Total || m.Needed == 0 || m.Needed > m.Total {
		t.Errorf("the first report is %+v", first)
	}
	a, b := <-beats, <-beats
	if b.Uptime < a.Uptime+50 {
		t.Errorf("beats at %d and %d ms", a.Uptime, b.Uptime)
	}
	t.Run("programs count at once", func(t *testing.T) {
		req := &guestapi.ExecReq{Argv: []string{"cat"}}
		in, ref := req.Open()
		req.Stdin = ref
		done := make(chan error, 1)
		go func() {
			_, err := ipc.Call(h.ctx, h.Conn, guestapi.Exec, req)
			done <- err
		}()
		if r := <-reports; r.Execs != 1 {
			t.Errorf("with a program the report is %+v", r)
		}
		in.CloseWrite()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if r := <-reports; r.Execs != 0 {
			t.Errorf("after it the report is %+v", r)
		}
	})
	t.Run("and so do copies", func(t *testing.T) {
		req := &guestapi.CopyInReq{Path: t.TempDir() + "/x"}
		in, ref := req.Open()
		req.Data = ref
		done := make(chan error, 1)
		go func() {
			_, err := ipc.Call(h.ctx, h.Conn, guestapi.CopyIn, req)
			done <- err
		}()
		if r := <-reports; r.Execs != 1 {
			t.Errorf("with a copy the report is %+v", r)
		}
		in.CloseWrite() // an archive of nothing
		<-done
		if r := <-reports; r.Execs != 0 {
			t.Errorf("after it the report is %+v", r)
		}
	})
	t.Run("a threshold that is crossed already is in the first report only", func(t *testing.T) {
		must(t, h, guestapi.Watch, &guestapi.WatchReq{BeatMS: 100, Available: math.MaxUint64})
		<-reports
		<-beats
		<-beats
		if len(reports) > 0 {
			t.Errorf("nothing has changed, and there is a report: %+v", <-reports)
		}
	})
	t.Run("no more when nothing is wanted, nor after the connection's end", func(t *testing.T) {
		must(t, h, guestapi.Watch, &guestapi.WatchReq{})
		until(t, "nobody watches", func() bool { return h.agent.watchers.count() == 0 })
		other := &host{Conn: h.connect(), ctx: h.ctx}
		must(t, other, guestapi.Watch, &guestapi.WatchReq{Load: 1})
		if h.agent.watchers.count() != 1 {
			t.Error("a second connection does not watch")
		}
		other.Close()
		until(t, "nobody watches", func() bool { return h.agent.watchers.count() == 0 })
	})
	for _, req := range []guestapi.WatchReq{{BeatMS: 1}, {BeatMS: -5}, {Load: -1}, {Pressure: 101}} {
		refuses(t, h, ipc.BadRequest, guestapi.Watch, &req)
	}
}

func (s *watchers) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

func TestPing(t *testing.T) {
	h := serve(t, nil)
	if resp := must(t, h, guestapi.Ping, &guestapi.PingReq{}); resp.Stepped || resp.Offset != 0 || resp.Uptime == 0 || resp.Time == 0 {
		t.Errorf("a ping without a time: %+v", resp)
	}
	now := must(t, h, guestapi.Ping, &guestapi.PingReq{}).Time
	if resp := must(t, h, guestapi.Ping, &guestapi.PingReq{Time: now}); resp.Offset < 0 {
		t.Errorf("a ping with the right time: %+v", resp)
	}
	if _, err := ipc.Call(h.ctx, h.Conn, guestapi.Ping, &guestapi.PingReq{Time: 1}); err == nil || !strings.Contains(err.Error(), "somebody's clock") {
		t.Errorf("a clock that cannot be set: %v", err)
	}
}

func TestInfo(t *testing.T) {
	h := serve(t, nil)
	info := must(t, h, guestapi.Info, &guestapi.InfoReq{})
	if info.Kernel != h.sh(t, "uname -r") || info.Hostname != h.sh(t, "uname -n") || info.CPUs == 0 || info.Memory == 0 || info.OS == "" {
		t.Errorf("the system is %+v", info)
	}
	if info.Data == nil || info.Data.Path != "/" || info.Data.Size == 0 || info.Data.Free > info.Data.Size {
		t.Errorf("the file system at / is %+v", info.Data)
	}
	hello := must(t, h, guestapi.Hello, &guestapi.HelloReq{Version: 99})
	if hello.Version != guestapi.Version || hello.BootID != h.sh(t, "cat /proc/sys/kernel/random/boot_id") || hello.PID == 0 || hello.ReadyMS == 0 {
		t.Errorf("hello: %+v", hello)
	}
	refuses(t, h, guestapi.NotFound, guestapi.Trim, &guestapi.TrimReq{Path: "/nowhere"})
	refuses(t, h, ipc.BadRequest, guestapi.Shutdown, &guestapi.ShutdownReq{GraceMS: -1})
}

func TestMemoryOf(t *testing.T) {
	const meminfo = "MemTotal:        1024000 kB\nMemFree:          100000 kB\nMemAvailable:     624000 kB\n"
	tests := []struct {
		name     string
		meminfo  string
		pressure string
		balloon  uint64
		want     guestapi.Memory
	}{
		{"plain", meminfo, "some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=0.00\n", 0,
			guestapi.Memory{Total: 1024000 << 10, Available: 624000 << 10, Free: 100000 << 10, Needed: 500000<<10 + memoryReserve, Pressure: 12.5}},
		{"what is in the balloon is not needed", meminfo, "", 200000 << 10,
			guestapi.Memory{Total: 1024000 << 10, Available: 624000 << 10, Free: 100000 << 10, Needed: 250000<<10 + memoryReserve}},
		{"never more than there is", "MemTotal: 100000 kB\n", "some avg10=bad", 0, guestapi.Memory{Total: 100000 << 10, Needed: 100000 << 10}},
		{"nothing said", "", "", 1 << 40, guestapi.Memory{}},
	}
	for _, tt := range tests {
		if got := memoryOf(tt.meminfo, tt.pressure, tt.balloon); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestPrettyName(t *testing.T) {
	for text, want := range map[string]string{
		"ID=x\nPRETTY_NAME=\"Arc \\\"Box\\\"\"\n": `Arc "Box"`, "PRETTY_NAME=Plain\n": "Plain", "": "", "PRETTY_NAME='a b'\n": "'a b'",
	} {
		if got := prettyName(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestWatchingPressureEnds(t *testing.T) {
	for _, percent := range []float64{0, 0.0001, 50, 100} {
		_, stop := watchPressure(percent)
		stop()
	}
}
