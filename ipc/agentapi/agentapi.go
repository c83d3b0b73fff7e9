// Package agentapi is what arcboxd answers: the methods between the agent and whoever
// manages machines through it, which are the CLI and the menu bar app. docs/gui.md tells how
// an app uses them.
//
// # Machines
//
// A machine is named; "" means DefaultMachine. Most methods need no preparation: what needs the guest makes, starts
// or wakes the machine first (EnsureReady), and waits.
//
// # Activity
//
// A machine that nobody uses goes idle. Calls that use the guest count as use; those that look
// (List, Inspect, Events, Stats, Logs, ...) never do.
//
// # Following
//
// What goes on is a feed (ipc.Feed): items come until the caller wants no more. Slow
// readers lose nothing silently: an item says that some were dropped, and the caller asks anew. An agent that
// ends gracefully ends its feeds with the code ending, which is an interruption: ipc.Follow goes on with the next agent.
//
// # The guest itself
//
// Guest gives the caller a stream on which the guest's agent answers ipc/guestapi: exec, shell and
// copies go that way and survive the end of arcboxd.
package agentapi

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// DefaultMachine is the machine that "" names.
const DefaultMachine = "default"

// Socket is the name of the control socket in the run directory.
const Socket = "arcboxd.sock"

// DockerSocket is the name of the socket for Docker's clients in the run directory.
const DockerSocket = "docker.sock"

// MetricsSocket is the name of the socket for Prometheus in the run directory.
const MetricsSocket = "metrics.sock"

// ServiceSocket and ServiceDocker are what launchd and systemd call the control socket, and that of Docker's clients, which
// they open.
const (
	ServiceSocket = "agent"
	ServiceDocker = "docker"
)

// The methods about the agent itself.
var (
	// Version tells which agent this is; any peer may ask.
	Version = ipc.Method[VersionReq, VersionResp]{Name: "agent.version", Need: ipc.Observe}
	// Setup tells how far the agent's start has got; FollowSetup goes on to tell at every change.
	Setup       = ipc.Method[SetupReq, SetupStatus]{Name: "agent.setup", Need: ipc.Observe}
	FollowSetup = ipc.Feed[SetupReq, SetupStatus]{Name: "agent.follow-setup", Need: ipc.Observe}
	// Events follows everything that happens.
	Events = ipc.Feed[EventsReq, Event]{Name: "agent.events", Need: ipc.Observe}
	// Diagnostics is the agent's own state, for doctor and bug reports; it has no secrets.
	Diagnostics = ipc.Method[DiagnosticsReq, DiagnosticsResp]{Name: "agent.diagnostics", Need: ipc.Observe}
	// Reload has the settings files read now, instead of a moment after they were changed: what is started next has what they
	// say. Without an agent there is nothing to do.
	Reload = ipc.Method[ReloadReq, ReloadResp]{Name: "agent.reload"}
	// Shutdown ends the agent. Machines go on, to be adopted by the next one, unless StopMachines.
	Shutdown = ipc.Method[ShutdownReq, ShutdownResp]{Name: "agent.shutdown", Need: ipc.Admin}
)

// The methods about boot assets. Each may answer not-found, RemoveAsset wrong-state.
var (
	// Assets lists those that can be booted.
	Assets = ipc.Method[AssetsReq, AssetsResp]{Name: "assets.list", Need: ipc.Observe}
	// FetchAsset makes the newest, which is the default then; FollowSetup tells how far that is. It takes minutes where nothing of
	// it is there yet.
	FetchAsset = ipc.Method[FetchAssetReq, AssetResp]{Name: "assets.fetch"}
	// VerifyAsset reads every file of one, and answers with what is wrong in Asset.Damage.
	VerifyAsset = ipc.Method[AssetReq, AssetResp]{Name: "assets.verify"}
	// UseAsset makes one the default, once every file of it has been read; an empty ID lets the best one win again.
	UseAsset = ipc.Method[AssetReq, AssetResp]{Name: "assets.use"}
	// RemoveAsset deletes one that no machine runs from and that is not selected.
	RemoveAsset = ipc.Method[AssetReq, RemoveAssetResp]{Name: "assets.remove"}
)

// The methods about machines. Each may answer not-found, Remove, Start and those that need the guest
// also wrong-state, failed (it could not be brought up; the message has the cause) and timeout.
var (
	// Create makes a machine's record and disk and does not start it. Errors: exists, bad-request.
	Create = ipc.Method[CreateReq, CreateResp]{Name: "machine.create"}
	// List has all machines, by name.
	List = ipc.Method[ListReq, ListResp]{Name: "machine.list", Need: ipc.Observe}
	// Inspect has everything about one.
	Inspect = ipc.Method[InspectReq, InspectResp]{Name: "machine.inspect", Need: ipc.Observe}
	// EnsureReady makes, starts or wakes a machine and returns when its guest agent has answered.
	// It is use, and what start means.
	EnsureReady = ipc.Method[EnsureReadyReq, EnsureReadyResp]{Name: "machine.ensure-ready"}
	// Stop ends a machine gracefully, and by force when its grace is over; with Force at once. It
	// returns when the machine has ended. One that does not run is no error.
	Stop = ipc.Method[StopReq, StopResp]{Name: "machine.stop"}
	// Restart is Stop and EnsureReady.
	Restart = ipc.Method[RestartReq, RestartResp]{Name: "machine.restart"}
	// Remove forgets a machine and deletes its disk. Errors: wrong-state while it runs, unless Force.
	Remove = ipc.Method[RemoveReq, RemoveResp]{Name: "machine.remove"}

	// Guest gives a stream to the guest's agent (package guestapi), Connect one to any vsock port of the guest.
	// Both bring the machine up, and are use for as long as the guest says that something runs there.
	Guest   = ipc.Method[GuestReq, GuestResp]{Name: "machine.guest"}
	Connect = ipc.Method[ConnectReq, ConnectResp]{Name: "machine.connect"}
	// Console gives a stream of a console, which the caller may hold for as long as the machine runs.
	Console = ipc.Method[ConsoleReq, ConsoleResp]{Name: "machine.console"}
	// ResizeConsole tells the guest how large the console's terminal is.
	ResizeConsole = ipc.Method[ResizeConsoleReq, ResizeConsoleResp]{Name: "machine.resize-console"}

	// Logs has the lines of a component's log, and follows them.
	Logs = ipc.Method[LogsReq, LogsResp]{Name: "machine.logs", Need: ipc.Observe}
	// Stats follows a machine's figures; passive.
	Stats = ipc.Feed[StatsReq, MachineStats]{Name: "machine.stats", Need: ipc.Observe}

	// Resources tells what a machine has and what it will have at its next start; SetResources changes it.
	Resources    = ipc.Method[ResourcesReq, ResourcesResp]{Name: "machine.resources", Need: ipc.Observe}
	SetResources = ipc.Method[SetResourcesReq, ResourcesResp]{Name: "machine.set-resources"}

	// Hold keeps a machine from going idle until Release, whoever calls it; holds of one name are
	// counted. Holds survive neither Release nor the agent's end.
	Hold    = ipc.Method[HoldReq, HoldResp]{Name: "machine.hold"}
	Release = ipc.Method[ReleaseReq, HoldResp]{Name: "machine.release"}

	// DiskUsage, CompactDisk and CheckDisk are about a machine's data image.
	DiskUsage   = ipc.Method[DiskUsageReq, DiskUsageResp]{Name: "disk.usage", Need: ipc.Observe}
	CompactDisk = ipc.Method[CompactDiskReq, CompactDiskResp]{Name: "disk.compact"}
	CheckDisk   = ipc.Method[CheckDiskReq, CheckDiskResp]{Name: "disk.check"}
)

// Codes beside those of the message layer.
const (
	NotFound ipc.Code = "not-found"
	Exists   ipc.Code = "exists"
	Failed   ipc.Code = "failed"
	Ending            = ipc.Ending // this agent is about to end; ask the next one
)

// VersionReq asks for nothing in particular.
type VersionReq struct{}

// VersionResp says which build it is.
type VersionResp struct {
	Version string `json:"version"`
	Build   string `json:"build"` // digest of the program file, the same for the same build
	PID     int    `json:"pid"`
	Program string `json:"program"` // path
	Started int64  `json:"started"` // Unix time in ms
}

// Phase is how far the agent's start has got.
type Phase string

// The phases, in the order in which they come; the last two are ends.
const (
	Initializing      Phase = "INITIALIZING"
	DownloadingAssets Phase = "DOWNLOADING_ASSETS"
	AssetsReady       Phase = "ASSETS_READY"
	CleaningUp        Phase = "CLEANING_UP"
	VMStarting        Phase = "VM_STARTING"
	VMReady           Phase = "VM_READY"
	NetworkReady      Phase = "NETWORK_READY"
	Ready             Phase = "READY"
	Degraded          Phase = "DEGRADED" // at work, but something is missing; Error says what
	SetupFailed       Phase = "FAILED"
)

// SetupReq asks for nothing in particular.
type SetupReq struct{}

// SetupStatus is where the agent's start is.
type SetupStatus struct {
	Phase    Phase     `json:"phase"`
	Since    time.Time `json:"since"`
	Message  string    `json:"message,omitempty"` // what is being done
	Error    string    `json:"error,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
	// LastEvent is the number of the newest event at this moment: Events after it are news.
	LastEvent uint64 `json:"last_event"`
}

// Progress is of work that takes long.
type Progress struct {
	What  string `json:"what"`
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0 when it is not known
	Unit  string `json:"unit,omitempty"`  // "bytes" or nothing in particular
}

// EventKind is what an event is about.
type EventKind string

// The kinds.
const (
	MachineCreated   EventKind = "created"
	MachineStarting  EventKind = "starting"
	MachineStarted   EventKind = "started" // the guest's kernel runs
	MachineReady     EventKind = "ready"
	MachineIdle      EventKind = "idle"
	MachineActive    EventKind = "active"
	MachineStopping  EventKind = "stopping"
	MachineStopped   EventKind = "stopped"
	MachineFailed    EventKind = "failed"
	MachineRecovered EventKind = "recovered" // ready again by itself after a failure
	MachineRemoved   EventKind = "removed"
	MachineDrift     EventKind = "drift"          // it differs from what is configured; Changes
	DiskEvent        EventKind = "disk"           // the host is full, has space again, a request failed
	MemoryEvent      EventKind = "memory"         // memory was asked back or given back
	NetworkUp        EventKind = "network-up"     // the machine has a network
	NetworkLost      EventKind = "network-lost"   // it has none until the next network-up; Cause
	PortPublished    EventKind = "port-published" // Message is "127.0.0.1:8080/tcp"
	PortWithdrawn    EventKind = "port-withdrawn"
	PortConflict     EventKind = "port-conflict" // a container's port that the host has no room for; Cause
	// Message of these is the network of containers, "172.17.0.0/16"; Cause says why.
	RouteInstalled EventKind = "container-route-installed" // the host reaches containers there by their own addresses
	RouteRemoved   EventKind = "container-route-removed"
	RouteFailed    EventKind = "container-route-failed" // without Message it is the way to all of them
	RecordSetAside EventKind = "record"                 // a record could not be read; Message has where it is now
	HostEvent      EventKind = "host"                   // the host sleeps, wakes, is short of memory, hot or on low power
	SetupChanged   EventKind = "setup"
	// Resync says that Missed events were dropped before the next one: ask for the state anew.
	Resync EventKind = "resync"
)

// Event is something that happened. Numbers begin behind BeforeEvents for each agent and have no gaps.
type Event struct {
	Seq     uint64       `json:"seq"`
	Time    time.Time    `json:"time"`
	Kind    EventKind    `json:"kind"`
	Machine string       `json:"machine,omitempty"`
	Message string       `json:"message,omitempty"` // one sentence
	Cause   string       `json:"cause,omitempty"`   // of failed: why
	Setup   *SetupStatus `json:"setup,omitempty"`
	Changes []Change     `json:"changes,omitempty"`
	Missed  uint64       `json:"missed,omitempty"`
}

// Change is one difference between what a machine is and what it should be.
type Change struct {
	Field string `json:"field"` // "cpus", "memory", ...
	From  string `json:"from"`
	To    string `json:"to"`
}

// BeforeEvents is the number before an agent's first event.
const BeforeEvents = 1

// EventsReq asks for the events after number After that are kept, then for what comes. After 0 means from now on, and after
// BeforeEvents with all that are kept.
type EventsReq struct {
	After uint64 `json:"after,omitempty"`
}

// DiagnosticsReq asks for everything.
type DiagnosticsReq struct{}

// DiagnosticsResp is free text by name: what a person debugging the agent looks at.
type DiagnosticsResp struct {
	Files map[string]string `json:"files"`
}

// ShutdownReq says what becomes of machines.
type ShutdownReq struct {
	StopMachines bool `json:"stop_machines,omitempty"`
}

// An Asset is one set of files that a machine boots from.
type Asset struct {
	ID            string    `json:"id"`
	Flavour       string    `json:"flavour,omitempty"`        // "debian" or "arcbox"
	KernelVersion string    `json:"kernel_version,omitempty"` // as uname -r shows it
	Default       bool      `json:"default"`                  // machines boot it if nobody says otherwise
	Installed     time.Time `json:"installed,omitzero"`
	Dir           string    `json:"dir"`              // absolute
	Size          int64     `json:"size"`             // bytes of all its files
	Damage        string    `json:"damage,omitempty"` // why it cannot be booted
}

// AssetsReq and FetchAssetReq are empty.
type (
	AssetsReq     struct{}
	FetchAssetReq struct{}
)

// AssetsResp has the assets in the order of their installation, each store's own.
type AssetsResp struct {
	Assets []Asset `json:"assets"`
}

// AssetReq names an asset: its ID, the beginning of one, or a flavour for its newest.
type AssetReq struct {
	ID string `json:"id,omitempty"`
}

// AssetResp is one asset as it is now.
type AssetResp struct {
	Asset Asset `json:"asset"`
}

// RemoveAssetResp is empty.
type RemoveAssetResp struct{}

// ReloadReq is empty.
type ReloadReq struct{}

// ReloadResp says what is wrong with the settings, "" for nothing; then what was good last counts.
type ReloadResp struct {
	Mistake string `json:"mistake,omitempty"`
}

// ShutdownResp is empty; it comes before the agent has ended.
type ShutdownResp struct{}

// Spec is what a machine shall be. Zero values mean what is configured.
type Spec struct {
	Name    string   `json:"name"`
	CPUs    int      `json:"cpus,omitempty"`
	Memory  uint64   `json:"memory,omitempty"`  // bytes
	Disk    int64    `json:"disk,omitempty"`    // nominal bytes of data, for people; the image is sparse
	Kernel  string   `json:"kernel,omitempty"`  // path of a kernel instead of the boot asset's
	Cmdline string   `json:"cmdline,omitempty"` // added to the asset's
	Disks   []string `json:"disks,omitempty"`   // further images, "PATH" or "PATH,ro"
	Backend string   `json:"backend,omitempty"` // engine: "hvf", "soft"
	// Role is "native", or "rosetta" for the machine that also runs x86-64 programs.
	Role string `json:"role,omitempty"`
}

// CreateReq is a new machine.
type CreateReq struct {
	Spec Spec `json:"spec"`
}

// CreateResp has it.
type CreateResp struct {
	Machine Machine `json:"machine"`
}

// Machine is one machine at a glance.
type Machine struct {
	Name   string    `json:"name"`
	State  string    `json:"state"` // of lifecycle.State: "running", ...
	Since  time.Time `json:"since"`
	CPUs   int       `json:"cpus"`
	Memory uint64    `json:"memory"` // bytes
	Disk   int64     `json:"disk"`   // nominal bytes
	Role   string    `json:"role"`
	CID    uint32    `json:"cid"`
	VMPID  int       `json:"vm_pid,omitempty"`  // of arcbox-vm, while there is one
	NetPID int       `json:"net_pid,omitempty"` // of arcbox-net, while there is one
	BootID string    `json:"boot_id,omitempty"` // of the guest's kernel, while it runs
	Uptime int64     `json:"uptime,omitempty"`  // ms since the guest's kernel started
	Cause  string    `json:"cause,omitempty"`   // why it failed
	Waits  string    `json:"waits,omitempty"`   // what its guest stands still for: space on the host's disk
	Holds  []Held    `json:"holds,omitempty"`
}

// ListReq asks for all.
type ListReq struct{}

// ListResp has them.
type ListResp struct {
	Machines []Machine `json:"machines"`
	// Problems are records that could not be read, and where they were set aside.
	Problems []string `json:"problems,omitempty"`
}

// InspectReq names a machine.
type InspectReq struct {
	Name string `json:"name,omitempty"`
}

// InspectResp is everything about it. Record is the record as it is kept, Boot what it boots or would boot.
type InspectResp struct {
	Machine
	Created    time.Time      `json:"created"`
	Generation uint64         `json:"generation"` // how often its configuration has changed
	Record     map[string]any `json:"record"`
	Boot       Boot           `json:"boot"`
	Drift      []Change       `json:"drift,omitempty"` // takes effect at the next start
	Failures   int            `json:"failures,omitempty"`
	Reports    []string       `json:"crash_reports,omitempty"` // paths, newest first
	Vsock      map[string]any `json:"vsock,omitempty"`
}

// Boot is a resolved boot.
type Boot struct {
	Asset   string   `json:"asset,omitempty"` // ID
	Kernel  string   `json:"kernel"`          // path
	Initrd  string   `json:"initrd,omitempty"`
	Cmdline string   `json:"cmdline"`
	Disks   []string `json:"disks"` // vda first
	Engine  string   `json:"engine,omitempty"`
}

// EnsureReadyReq names a machine. Wait bounds how long the caller waits, beside the call's own deadline.
type EnsureReadyReq struct {
	Name string `json:"name,omitempty"`
}

// EnsureReadyResp has it, running.
type EnsureReadyResp struct {
	Machine Machine `json:"machine"`
	// Started says that it did not run before; Took is how long all that was needed took, in ms.
	Started bool  `json:"started,omitempty"`
	TookMS  int64 `json:"took_ms"`
}

// StopReq names a machine.
type StopReq struct {
	Name  string `json:"name,omitempty"`
	Force bool   `json:"force,omitempty"`
}

// StopResp has it.
type StopResp struct {
	Machine Machine `json:"machine"`
}

// RestartReq names a machine.
type RestartReq struct {
	Name  string `json:"name,omitempty"`
	Force bool   `json:"force,omitempty"`
}

// RestartResp has it, running.
type RestartResp struct {
	Machine Machine `json:"machine"`
}

// RemoveReq names a machine: never "".
type RemoveReq struct {
	Name     string `json:"name"`
	Force    bool   `json:"force,omitempty"`     // stop it first
	KeepDisk bool   `json:"keep_disk,omitempty"` // leave the data image where it is
}

// RemoveResp is empty.
type RemoveResp struct{}

// GuestReq names a machine.
type GuestReq struct {
	Name string `json:"name,omitempty"`
}

// GuestResp has the stream: one end of a Unix socket pair.
type GuestResp struct {
	ipc.Files
	Stream  ipc.FD  `json:"stream"`
	Machine Machine `json:"machine"`
}

// ConnectReq names a machine and a vsock port of its guest.
type ConnectReq struct {
	Name string `json:"name,omitempty"`
	Port uint32 `json:"port"`
}

// ConnectResp has the stream.
type ConnectResp struct {
	ipc.Files
	Stream ipc.FD `json:"stream"`
}

// ConsoleReq names a machine and its console. It never starts the machine.
type ConsoleReq struct {
	Name    string `json:"name,omitempty"`
	Console string `json:"console,omitempty"` // "hvc0" (""), "hvc1"
	History bool   `json:"history,omitempty"` // first what is kept, up to 1 MiB
}

// ConsoleResp has the stream: what the guest prints comes out, what is written is typed.
type ConsoleResp struct {
	ipc.Files
	Stream ipc.FD `json:"stream"`
}

// ResizeConsoleReq is a size in characters.
type ResizeConsoleReq struct {
	Name string `json:"name,omitempty"`
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// ResizeConsoleResp is empty.
type ResizeConsoleResp struct{}

// LogsReq asks for a log's bytes on Data.
type LogsReq struct {
	ipc.Streams
	Name string `json:"name,omitempty"`
	// Component is "console" (hvc0, ""), "guest" (the guest's agent), "vm" (arcbox-vm), "agent" (arcboxd itself), or
	// a service in the guest.
	Component string        `json:"component,omitempty"`
	Follow    bool          `json:"follow,omitempty"`
	Tail      int           `json:"tail,omitempty"` // last lines to begin with; 0 means all that is kept, -1 none
	Data      ipc.StreamRef `json:"data"`
}

// LogsResp comes at the end.
type LogsResp struct{}

// StatsReq asks for a machine's figures every EveryMS; once when that is 0.
type StatsReq struct {
	Name    string `json:"name,omitempty"`
	EveryMS int64  `json:"every_ms,omitempty"` // at least 100
}

// MachineStats are a machine's figures at one moment. Counters grow from the machine's start.
type MachineStats struct {
	Time       time.Time         `json:"time"`
	Machine    Machine           `json:"machine"`
	CPUSeconds float64           `json:"cpu_seconds"` // of arcbox-vm
	Exits      map[string]uint64 `json:"exits"`
	Resident   uint64            `json:"resident"` // of arcbox-vm on the host, bytes
	Returned   uint64            `json:"returned"` // memory given back so far, bytes
	Balloon    uint64            `json:"balloon"`  // bytes in the balloon
	DiskRead   uint64            `json:"disk_read"`
	DiskWrite  uint64            `json:"disk_write"`
	Flushes    uint64            `json:"flushes"`
	NetSent    uint64            `json:"net_sent"` // to the guest, over vsock
	NetRecv    uint64            `json:"net_recv"`
	Conns      int               `json:"connections"`
	// Guest is what the guest last said of itself; absent while there is none.
	Guest *GuestStats `json:"guest,omitempty"`
}

// GuestStats are the guest's own figures, sizes in bytes.
type GuestStats struct {
	Load       float64 `json:"load"`
	MemTotal   uint64  `json:"mem_total"`
	MemAvail   uint64  `json:"mem_available"`
	Pressure   float64 `json:"pressure"` // percent of time that some task waited for memory
	Execs      int     `json:"execs"`
	Containers int     `json:"containers"`
}

// ResourcesReq names a machine.
type ResourcesReq struct {
	Name string `json:"name,omitempty"`
}

// SetResourcesReq changes what is not nil.
type SetResourcesReq struct {
	Name    string  `json:"name,omitempty"`
	CPUs    *int    `json:"cpus,omitempty"`
	Memory  *uint64 `json:"memory,omitempty"`
	Disk    *int64  `json:"disk,omitempty"` // nominal
	Cmdline *string `json:"cmdline,omitempty"`
	Kernel  *string `json:"kernel,omitempty"`
}

// ResourcesResp says what is and what will be.
type ResourcesResp struct {
	Now  Values `json:"now"`
	Next Values `json:"next"`
	// AtNextStart are the fields that differ and wait for the next start.
	AtNextStart []Change `json:"at_next_start,omitempty"`
}

// Values are a machine's resources.
type Values struct {
	CPUs    int    `json:"cpus"`
	Memory  uint64 `json:"memory"`
	Disk    int64  `json:"disk"`
	Cmdline string `json:"cmdline,omitempty"`
	Kernel  string `json:"kernel,omitempty"`
}

// HoldReq names a machine and a hold: "kubernetes", or anything else up to 64 bytes.
type HoldReq struct {
	Name   string `json:"name,omitempty"`
	Hold   string `json:"hold"`
	Reason string `json:"reason,omitempty"`
}

// ReleaseReq takes one back; All of that name if wanted.
type ReleaseReq struct {
	Name string `json:"name,omitempty"`
	Hold string `json:"hold"`
	All  bool   `json:"all,omitempty"`
}

// HoldResp has the holds that there are.
type HoldResp struct {
	Holds []Held `json:"holds"`
}

// Held is a hold.
type Held struct {
	Hold   string    `json:"hold"`
	Count  int       `json:"count"`
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"`
}

// DiskUsageReq names a machine.
type DiskUsageReq struct {
	Name string `json:"name,omitempty"`
}

// DiskUsageResp is storage.Usage; sizes in bytes.
type DiskUsageResp struct {
	Path        string `json:"path"`
	Virtual     int64  `json:"virtual"`
	Allocated   int64  `json:"allocated"`
	Reclaimable int64  `json:"reclaimable"` // -1 when nobody can say while it runs
	HostFree    int64  `json:"host_free"`
}

// CompactDiskReq names a machine. A machine that runs trims; one that does not has its image searched for zeroes.
type CompactDiskReq struct {
	Name string `json:"name,omitempty"`
}

// CompactDiskResp says what came back.
type CompactDiskResp struct {
	Freed int64 `json:"freed"`
}

// CheckDiskReq names a machine.
type CheckDiskReq struct {
	Name string `json:"name,omitempty"`
	Deep bool   `json:"deep,omitempty"` // read all data
}

// CheckDiskResp is storage.Report.
type CheckDiskResp struct {
	Problems []string `json:"problems"`
	Notes    []string `json:"notes"`
}
