package agentapi_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
	. "github.com/arcboxlabs/arcbox-go/ipc/agentapi"
)

var update = flag.Bool("update", false, "write the samples of docs/gui.md")

// samples are the bodies that docs/gui.md shows.
type samples struct {
	t *testing.T
	b strings.Builder
}

func (s *samples) json(v any) string {
	s.t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

func method[Req, Resp any](s *samples, m ipc.Method[Req, Resp], req Req, resp Resp) {
	s.t.Helper()
	fmt.Fprintf(&s.b, "`%s`, needs %s\n\n    > %s\n    < %s\n\n", m.Name, m.Need, s.json(&req), s.json(&resp))
}

func feed[Req, Item any](s *samples, f ipc.Feed[Req, Item], req Req, items ...Item) {
	s.t.Helper()
	fmt.Fprintf(&s.b, "`%s`, a feed, needs %s\n\n    > %s\n", f.Name, f.Need, s.json(&req))
	for i := range items {
		fmt.Fprintf(&s.b, "    < %s\n", s.json(&items[i]))
	}
	s.b.WriteString("\n")
}

// write makes all of them.
func (s *samples) write() string {
	at := time.Date(2026, 1, 2, 9, 30, 0, 0, time.UTC)
	machine := Machine{
		Name: DefaultMachine, State: "running", Since: at.Add(2 * time.Second), CPUs: 8, Memory: 8 << 30, Disk: 50e9, Role: "native", CID: 3, VMPID: 4711,
		BootID: "b1ee2095-7ae1-4c69-a5bd-69f03578214c", Uptime: 61000,
	}
	stopped := machine
	stopped.State, stopped.VMPID, stopped.BootID, stopped.Uptime = "stopped", 0, "", 0
	ready := SetupStatus{Phase: Ready, Since: at, LastEvent: 2}
	method(s, Version, VersionReq{}, VersionResp{Version: "v0.6.0", Build: "9f86d081...", PID: 4242, Program: "/Applications/ArcBox.app/Contents/MacOS/arcboxd", Started: at.UnixMilli()})
	feed(s, FollowSetup, SetupReq{},
		SetupStatus{Phase: DownloadingAssets, Since: at, Message: "making the boot asset", LastEvent: 4, Progress: &Progress{What: "download root.erofs", Done: 12 << 20, Total: 64 << 20, Unit: "bytes"}}, ready)
	method(s, List, ListReq{}, ListResp{Machines: []Machine{machine}})
	feed(s, Events, EventsReq{After: 2},
		Event{Seq: 3, Time: at, Kind: MachineStarting, Machine: DefaultMachine}, Event{Seq: 4, Time: at.Add(2 * time.Second), Kind: MachineReady, Machine: DefaultMachine},
		Event{Seq: 5, Time: at.Add(time.Hour), Kind: MachineFailed, Machine: DefaultMachine, Cause: "the guest's kernel panicked"},
		Event{Seq: 1100, Time: at.Add(2 * time.Hour), Kind: Resync, Missed: 76, Message: "events were dropped; ask for the state anew"})
	method(s, EnsureReady, EnsureReadyReq{}, EnsureReadyResp{Machine: machine, Started: true, TookMS: 1480})
	method(s, Stop, StopReq{Name: DefaultMachine}, StopResp{Machine: stopped})
	method(s, Restart, RestartReq{}, RestartResp{Machine: machine})
	feed(s, Stats, StatsReq{EveryMS: 1000}, MachineStats{
		Time: at, Machine: machine, CPUSeconds: 12.5, Exits: map[string]uint64{"mmio": 20331}, Resident: 310 << 20, Returned: 1 << 30, DiskRead: 40 << 20, DiskWrite: 8 << 20,
		Flushes: 12, NetSent: 4096, NetRecv: 9000, Conns: 1, Guest: &GuestStats{Load: 0.1, MemTotal: 8 << 30, MemAvail: 7 << 30},
	})
	gib16 := uint64(16 << 30)
	method(s, SetResources, SetResourcesReq{Memory: &gib16}, ResourcesResp{
		Now: Values{CPUs: 8, Memory: 8 << 30, Disk: 50e9}, Next: Values{CPUs: 8, Memory: 16 << 30, Disk: 50e9},
		AtNextStart: []Change{{Field: "memory", From: "8589934592", To: "17179869184"}},
	})
	method(s, DiskUsage, DiskUsageReq{}, DiskUsageResp{Path: "/Users/me/.arcbox/data/docker.img", Virtual: 8 << 40, Allocated: 9 << 30, Reclaimable: -1, HostFree: 200 << 30})
	method(s, Hold, HoldReq{Hold: "kubernetes", Reason: "a cluster runs"}, HoldResp{Holds: []Held{{Hold: "kubernetes", Count: 1, Since: at, Reason: "a cluster runs"}}})
	method(s, Reload, ReloadReq{}, ReloadResp{})
	method(s, Shutdown, ShutdownReq{StopMachines: true}, ShutdownResp{})
	refused := ipc.Error{Code: Failed, Message: "the machine failed too often (4 times): the guest's kernel panicked", Hint: "arcbox logs shows its console"}
	fmt.Fprintf(&s.b, "An error, in place of a reply\n\n    < %s\n\n", s.json(&refused))
	return s.b.String()
}

const guide = "../../docs/gui.md"

func TestTheGuideShowsWhatIsSent(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- samples -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for samples", guide)
	}
	s := &samples{t: t}
	want := before + begin + "\n" + s.write() + end + after
	if *update {
		if err := os.WriteFile(guide, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != want {
		t.Errorf("%s differs from what is sent; run go test ./ipc/agentapi -update", guide)
	}
}

// Names of methods that the guide mentions exist.
func TestTheGuideNamesWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("agentapi.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`((agent|machine|disk)\\.[a-z-]+)`").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(string(source), `"`+name[1]+`"`) {
			t.Errorf("there is no method %s", name[1])
		}
	}
}
