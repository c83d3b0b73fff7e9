// Package vmapi is what arcbox-vm answers: the methods between the process that
// holds one VM and the agent (or arcbox boot). Both ends import it and nothing
// else of each other.
//
// # A life
//
// Configure once, with every file that the machine needs as a descriptor; Start
// once; then anything, in any order and at once, until the guest has ended, which
// Wait and Events tell. Quit ends the process.
//
// # Owners
//
// The first owner is the connection that the process was started with. A machine
// that was configured without a Rendezvous ends with it. One with a Rendezvous
// outlives its owners: when the connection is lost the machine is an orphan, whose guest
// notices nothing, and waits for the next one, who connects to the socket, is
// checked by the kernel's word to be the same user, and calls Adopt before anything
// else. The newest adopter is the owner; the connection of the one before is closed.
// An orphan that nobody adopts in time asks its guest to shut down, cuts it off
// if that takes too long, and ends.
//
// What the guest and the disks did meanwhile is kept for the next owner: events by
// number, the last MiB of each console, connections that the guest made.
//
// # Who asks
//
// Only the owner asks. What the machine has to say is the answer of a call that waits
// (Wait, Events, Accept), so that nothing is lost between two owners, and nobody polls.
package vmapi

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// The methods. Each may answer wrong-state when the machine is not where it would have
// to be: not configured, not started, ended.
var (
	// Configure makes the machine. Errors: bad-kernel, bad-initrd, and for whatever
	// else the caller can mend bad-request (memory out of range); wrong-state when the
	// process already holds a VM. After it the process opens no file any more.
	Configure = ipc.Method[ConfigureReq, ConfigureResp]{Name: "vm.configure"}
	// Adopt makes the connection the owner's. It is the first call on a connection to
	// the rendezvous socket.
	Adopt = ipc.Method[AdoptReq, AdoptResp]{Name: "vm.adopt"}
	// Start lets the guest run. Starting twice is wrong-state.
	Start = ipc.Method[StartReq, StartResp]{Name: "vm.start"}
	// Pause returns when no vCPU runs; the guest's clock stands still. Pausing twice
	// succeeds.
	Pause = ipc.Method[PauseReq, PauseResp]{Name: "vm.pause"}
	// Resume ends a pause, also one that a full host disk made: what waited for
	// space is tried again. Without a pause it does nothing.
	Resume = ipc.Method[ResumeReq, ResumeResp]{Name: "vm.resume"}
	// Stop asks the guest to shut down and returns when the guest has been asked; Wait
	// tells when it has. Errors: not-ready when nobody in the guest listens.
	Stop = ipc.Method[StopReq, StopResp]{Name: "vm.stop"}
	// ForceStop cuts the guest off; Wait then answers Stopped. Twice succeeds.
	ForceStop = ipc.Method[ForceStopReq, ForceStopResp]{Name: "vm.force-stop"}
	// Wait returns when the guest has ended, and its disks are on the medium and
	// closed. Any number may wait.
	Wait = ipc.Method[WaitReq, WaitResp]{Name: "vm.wait"}
	// Quit ends the process, and the guest with it if that still runs. The answer comes
	// when the disks are on the medium and closed; the caller then closes the connection
	// and waits for the process.
	Quit = ipc.Method[QuitReq, QuitResp]{Name: "vm.quit"}

	// Events returns when something has happened after the event that is named, at once
	// if it has already.
	Events = ipc.Method[EventsReq, EventsResp]{Name: "vm.events"}
	// Stats may be asked at any time, also while a boot is stuck, and never waits for
	// the guest or a device.
	Stats = ipc.Method[StatsReq, StatsResp]{Name: "vm.stats"}

	// Connect opens a stream to a vsock port of the guest. Errors: refused when
	// nobody listens there, not-ready when the guest has no vsock driver at work (yet).
	Connect = ipc.Method[ConnectReq, ConnectResp]{Name: "vm.connect"}
	// Listen opens a vsock port of the host to the guest. Connections wait there for
	// Accept, also while there is no owner, up to 128; the guest is refused then.
	// Listening twice succeeds.
	Listen = ipc.Method[ListenReq, ListenResp]{Name: "vm.listen"}
	// Accept waits for a connection to a port that is listened on and gives it away.
	Accept = ipc.Method[AcceptReq, AcceptResp]{Name: "vm.accept"}

	// Attach gives a stream of a console: what the guest has printed, then what it
	// prints; what is written there is typed. Closing it detaches.
	Attach = ipc.Method[AttachReq, AttachResp]{Name: "vm.attach"}
	// Resize tells the guest how large a console's terminal is.
	Resize = ipc.Method[ResizeReq, ResizeResp]{Name: "vm.resize"}

	// Balloon asks the guest for memory, and for figures about it.
	Balloon = ipc.Method[BalloonReq, BalloonResp]{Name: "vm.balloon"}
	// SetFlush changes what a guest's flush means from now on, and can flush at once.
	SetFlush = ipc.Method[SetFlushReq, SetFlushResp]{Name: "vm.set-flush"}
	// SetLink plugs the network card into another network, or into none.
	SetLink = ipc.Method[SetLinkReq, SetLinkResp]{Name: "vm.set-link"}
	// ResizeDisk grows a disk's image and tells the guest. Errors: bad-request for a
	// smaller size: images never shrink.
	ResizeDisk = ipc.Method[ResizeDiskReq, ResizeDiskResp]{Name: "vm.resize-disk"}
)

// Codes beside those of the message layer. The VM sees descriptors only, so it is for the
// caller of Configure to say which file it was.
const (
	BadKernel ipc.Code = "bad-kernel"
	BadInitrd ipc.Code = "bad-initrd"
	Refused   ipc.Code = "refused"   // nobody listens on that port
	NotReady  ipc.Code = "not-ready" // the guest has not come so far; it may later
)

// Bounds of what a request may hold.
const (
	MaxDisks    = 26       // vda to vdz
	MaxLabel    = 64 << 10 // bytes
	MaxAttached = 16       // readers of one console at once
	MaxPorts    = 64       // vsock ports listened on
)

// ConfigureReq is a whole machine. Every file comes as a descriptor; the caller has
// opened it with the rights that the VM may use, and holds its lock.
type ConfigureReq struct {
	ipc.Files
	// Label is the owner's own, up to MaxLabel bytes, given back to whoever adopts: which
	// machine this is, and from what record it was made.
	Label string `json:"label,omitempty"`

	Engine string `json:"engine"`         // "soft" or "hvf"; "" for the host's best
	CPUs   int    `json:"cpus"`           // vCPUs, 1 to what the engine allows
	Memory uint64 `json:"memory"`         // guest RAM in bytes
	Kernel ipc.FD `json:"kernel"`         // arm64 Image: raw, gzip or EFI zboot
	Initrd ipc.FD `json:"initrd"`         // 0 for none
	Seed   []byte `json:"seed,omitempty"` // rng-seed of /chosen; random when absent

	Cmdline string `json:"cmdline"`
	Disks   []Disk `json:"disks,omitempty"` // vda, vdb, ...; up to MaxDisks

	// CID is the guest's vsock context id, 3 to 2^32-2; 0 for a machine without vsock.
	CID uint64 `json:"cid,omitempty"`
	// Listen are ports that are open to the guest from its first instruction on.
	Listen []uint32 `json:"listen,omitempty"`
	// Balloon gives the machine a balloon, by which memory comes back to the host.
	Balloon bool `json:"balloon,omitempty"`

	// Net gives the machine a network card, whose cable is pulled until SetLink; nil for none.
	Net *Net `json:"net,omitempty"`

	// Rendezvous is a listening Unix stream socket where the next owner will connect; 0
	// for a machine that ends with its first owner.
	Rendezvous ipc.FD `json:"rendezvous,omitempty"`
	// Hold is a file that this process keeps open and does nothing with, and with it a lock that its owner has on it; 0 for
	// none. What the machine runs from is in use until the machine ends, whatever becomes of its owner.
	Hold ipc.FD `json:"hold,omitempty"`
	// OrphanMS is how many milliseconds an orphan waits to be adopted before it shuts its
	// guest down, and GraceMS how many the guest has for that; 0 means DefaultOrphan and
	// DefaultGrace.
	OrphanMS int64 `json:"orphan_ms,omitempty"`
	GraceMS  int64 `json:"grace_ms,omitempty"`

	// Terminal is a stream socket joined to Console from the first byte to the last: what
	// the guest prints there comes out of its other end, which the guest waits for, and
	// what is written there is typed. 0 for none.
	Terminal ipc.FD  `json:"terminal,omitempty"`
	Console  Console `json:"console,omitempty"`

	// GDB is a listening stream socket: who connects debugs the guest, which is
	// held before its first instruction until then. 0 for none.
	GDB   ipc.FD `json:"gdb,omitempty"`
	Trace *Trace `json:"trace,omitempty"`

	DigestMemory bool `json:"digest_memory,omitempty"` // fill in WaitResp.MemorySHA256

	// Deterministic asks for a run that can be repeated exactly; nil for none.
	Deterministic *Deterministic `json:"deterministic,omitempty"`
}

// What an orphan waits for when nobody said.
const (
	DefaultOrphan = 10 * time.Minute
	DefaultGrace  = 25 * time.Second
)

// Deterministic is what repeats a run, beside an equal ConfigureReq. What is typed on
// any console, and the size of a virtio console's terminal, are given to the guest at counted instructions,
// and logged. There is no vsock then, and neither balloon nor disks change their size.
type Deterministic struct {
	Seed   uint64  `json:"seed"`             // of the guest's randomness and of the turns of its vCPUs
	Record ipc.FD  `json:"record,omitempty"` // an empty file, to log what comes from outside; 0 for none
	Replay ipc.FD  `json:"replay,omitempty"` // such a log, which is given instead; 0 for none
	Faults *Faults `json:"faults,omitempty"` // nil for none
}

// Net is a network card.
type Net struct {
	MAC string `json:"mac"` // "02:00:00:00:00:01"
	MTU int    `json:"mtu"` // bytes of IP packet, 1280 to 65520
}

// Console names one of the guest's consoles, as Linux does.
type Console string

// The consoles a machine has.
const (
	HVC0    Console = "hvc0"    // virtio console: the system's
	HVC1    Console = "hvc1"    // virtio console: the guest agent's log
	TTYAMA0 Console = "ttyAMA0" // PL011; for Terminal only
)

// Disk is one virtio block device. It has a queue for each vCPU.
type Disk struct {
	Image    ipc.FD `json:"image"`
	ReadOnly bool   `json:"read_only,omitempty"`
	// Flush is what a guest's flush means while the machine runs; "" means FlushHost.
	Flush Flush `json:"flush,omitempty"`
}

// Flush is how far a guest's flush goes before it is answered. At the machine's end
// everything is flushed with FlushFull.
type Flush string

// The policies, from the quickest. On Linux all of them reach the medium.
const (
	FlushHost    Flush = "host"    // fsync: survives a crash of ours and of the host
	FlushBarrier Flush = "barrier" // F_BARRIERFSYNC: also keeps the order on the medium
	FlushFull    Flush = "full"    // F_FULLFSYNC: on the medium
)

// Trace asks for a line of text for each event.
type Trace struct {
	Out    ipc.FD `json:"out"`    // where the lines go
	Events string `json:"events"` // from exec, mmu, exceptions, mmio and irq, separated by commas
	// Low and High bound the addresses, High excluded; 0 means no bound.
	Low  uint64 `json:"low,omitempty"`
	High uint64 `json:"high,omitempty"`
	EL   int    `json:"el"` // exception level, -1 for all
	// First and Last bound the window in instructions of each vCPU; a Last of 0
	// means no end.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
}

// ConfigureResp describes the machine that was made.
type ConfigureResp struct {
	DTB []byte `json:"dtb"` // the flattened device tree that the guest gets
	// Sandbox says what the host's kernel keeps the process from: "landlock 6" and
	// the like, or "none: " and why.
	Sandbox string `json:"sandbox"`
}

// AdoptReq asks for nothing in particular.
type AdoptReq struct{}

// AdoptResp is what the new owner must know.
type AdoptResp struct {
	Label   string   `json:"label"`
	PID     int      `json:"pid"`
	State   State    `json:"state"`
	CID     uint64   `json:"cid"`
	Listen  []uint32 `json:"listen"`   // ports that are listened on, sorted
	Event   uint64   `json:"event"`    // number of the last event, 0 for none
	Started int64    `json:"started"`  // when Start was called, Unix time in ms; 0 before
	Orphan  int64    `json:"orphaned"` // for how many ms there was no owner
}

// State is where a machine is.
type State string

// The states.
const (
	Empty      State = "empty"      // not configured
	Configured State = "configured" // not started
	Running    State = "running"
	Paused     State = "paused"
	Ended      State = "ended" // Wait answers at once
)

// StartReq and StartResp are empty.
type (
	StartReq  struct{}
	StartResp struct{}
)

// PauseReq says what a pause is for.
type PauseReq struct {
	// Flush puts every disk on the medium (FlushFull) before the answer, for a host
	// that is about to sleep.
	Flush bool `json:"flush,omitempty"`
}

// StopReq says how long programs have after SIGTERM; 0 is for the guest to say.
type StopReq struct {
	GraceMS int64 `json:"grace_ms,omitempty"`
}

// PauseResp, ResumeReq, ResumeResp, StopResp, ForceStopReq, ForceStopResp,
// QuitReq and QuitResp are empty.
type (
	PauseResp     struct{}
	ResumeReq     struct{}
	ResumeResp    struct{}
	StopResp      struct{}
	ForceStopReq  struct{}
	ForceStopResp struct{}
	QuitReq       struct{}
	QuitResp      struct{}
)

// WaitReq asks for nothing in particular.
type WaitReq struct{}

// WaitResp says how the guest ended.
type WaitResp struct {
	Outcome   Outcome `json:"outcome"`
	Message   string  `json:"message,omitempty"`   // one sentence
	Registers string  `json:"registers,omitempty"` // a dump of every vCPU, for Panic, Fault and Stopped
	LastLines string  `json:"last_lines,omitempty"`
	// MemorySHA256 is of guest RAM as the guest left it: 64 hexadecimal digits, or
	// nothing unless ConfigureReq.DigestMemory asked for it.
	MemorySHA256 string   `json:"memory_sha256,omitempty"`
	Stats        Counters `json:"stats"`
}

// Outcome is how a guest ended.
type Outcome string

// The outcomes.
const (
	PowerOff Outcome = "poweroff" // the guest asked for it
	Reset    Outcome = "reset"    // the guest asked for that
	Panic    Outcome = "panic"    // its kernel gave up
	Fault    Outcome = "fault"    // it did what no machine can go on from
	Stopped  Outcome = "stopped"  // ForceStop, Quit, or nobody owned it any more
)

// ConnectReq names a port of the guest.
type ConnectReq struct {
	Port uint32 `json:"port"`
}

// ConnectResp has the stream: one end of a Unix socket pair. Half closes go through
// both ways.
type ConnectResp struct {
	ipc.Files
	Stream ipc.FD `json:"stream"`
}

// ListenReq names a port of the host.
type ListenReq struct {
	Port uint32 `json:"port"`
}

// ListenResp is empty.
type ListenResp struct{}

// AcceptReq names a port that is listened on.
type AcceptReq struct {
	Port uint32 `json:"port"`
}

// AcceptResp has the stream, as ConnectResp does.
type AcceptResp struct {
	ipc.Files
	Stream    ipc.FD `json:"stream"`
	GuestPort uint32 `json:"guest_port"`
}

// AttachReq says which console, and from where on.
type AttachReq struct {
	Console Console `json:"console"` // HVC0 or HVC1
	// History begins with what is kept, up to the last MiB, instead of what comes next.
	History bool `json:"history,omitempty"`
	// From, with History, begins at that position if it is still kept: what an owner has
	// seen before it need not see again.
	From uint64 `json:"from,omitempty"`
	// Wait has the guest wait for this reader when it falls a MiB behind, instead of
	// its losing the oldest bytes.
	Wait bool `json:"wait,omitempty"`
}

// AttachResp has the stream.
type AttachResp struct {
	ipc.Files
	Stream ipc.FD `json:"stream"`
	// Position is how many bytes the guest had printed before the first that comes.
	Position uint64 `json:"position"`
}

// ResizeReq is a size in characters.
type ResizeReq struct {
	Console Console `json:"console,omitempty"` // "" means HVC0
	Cols    uint16  `json:"cols"`
	Rows    uint16  `json:"rows"`
}

// ResizeResp is empty.
type ResizeResp struct{}

// BalloonReq asks for memory and figures.
type BalloonReq struct {
	// Target is how many bytes are to be in the balloon, taken from the guest; nil
	// leaves it as it is.
	Target *uint64 `json:"target,omitempty"`
	// Ask has the guest give fresh figures, which takes it a moment. A guest that is
	// stuck does not answer: use a deadline.
	Ask bool `json:"ask,omitempty"`
}

// BalloonResp says how it stands.
type BalloonResp struct {
	Memory Memory       `json:"memory"`
	Guest  *GuestMemory `json:"guest,omitempty"` // with BalloonReq.Ask
}

// Memory is what a machine's memory does to the host. Sizes are in bytes.
type Memory struct {
	Size     uint64 `json:"size"`     // guest RAM
	Target   uint64 `json:"target"`   // asked of the balloon
	Actual   uint64 `json:"actual"`   // in the balloon, as the guest says
	Returned uint64 `json:"returned"` // given back to the host so far; pages that come and go count each time
	Reports  uint64 `json:"reports"`  // of those, by free page reporting
	Failures uint64 `json:"failures"` // ranges that the host did not take
	Resident uint64 `json:"resident"` // of this process on the host, all of it; 0 where the host does not say
}

// GuestMemory is what the guest says of its memory, in bytes. A figure that it does not
// give is 0.
type GuestMemory struct {
	Free        uint64 `json:"free"`
	Available   uint64 `json:"available"` // could be had without swapping
	Total       uint64 `json:"total"`
	Caches      uint64 `json:"caches"`
	SwapIn      uint64 `json:"swap_in"`
	SwapOut     uint64 `json:"swap_out"`
	MajorFaults uint64 `json:"major_faults"`
	MinorFaults uint64 `json:"minor_faults"`
}

// SetFlushReq names a policy.
type SetFlushReq struct {
	Disk  string `json:"disk,omitempty"`  // "vdb"; "" means every disk
	Flush Flush  `json:"flush,omitempty"` // "" leaves the policy as it is
	Now   bool   `json:"now,omitempty"`   // flush with FlushFull before the answer
}

// SetFlushResp is empty.
type SetFlushResp struct{}

// ResizeDiskReq is a disk's new size.
type ResizeDiskReq struct {
	Disk string `json:"disk"` // "vdb"
	Size int64  `json:"size"` // bytes, whole sectors of 512
}

// ResizeDiskResp is empty.
type ResizeDiskResp struct{}

// SetLinkReq has the stream to whoever plays the network: Ethernet frames, each behind 4 bytes of its length,
// big-endian, whose checksums are vouched for. 0 pulls the cable.
type SetLinkReq struct {
	ipc.Files
	Link ipc.FD `json:"link,omitempty"`
}

// SetLinkResp is empty.
type SetLinkResp struct{}

// EventsReq names the last event that the caller knows.
type EventsReq struct {
	After uint64 `json:"after"` // 0: from the first one
}

// EventsResp has at least one event, in order.
type EventsResp struct {
	Events []Event `json:"events"`
	// Missed is how many events after EventsReq.After are not kept any more.
	Missed uint64 `json:"missed,omitempty"`
}

// Event is something that happened. Numbers begin at 1 and have no gaps.
type Event struct {
	Seq     uint64    `json:"seq"`
	Time    time.Time `json:"time"`
	Kind    EventKind `json:"kind"`
	Device  string    `json:"device,omitempty"`  // "vda", "hvc0", ...
	Outcome Outcome   `json:"outcome,omitempty"` // of GuestEnded
	Message string    `json:"message,omitempty"` // one sentence
}

// EventKind is what an event is about.
type EventKind string

// The kinds.
const (
	GuestStarted EventKind = "started"
	GuestPaused  EventKind = "paused" // by Pause, or after DiskFull
	GuestResumed EventKind = "resumed"
	GuestEnded   EventKind = "ended"       // Outcome says how; Wait has the rest
	DiskFull     EventKind = "disk-full"   // the host has no space; the guest is paused and waits
	DiskSpace    EventKind = "disk-space"  // there is some again, and the guest goes on
	DiskError    EventKind = "disk-error"  // the guest was told that a request failed
	DeviceBroken EventKind = "device-fail" // the guest broke a device's rules; it must reset it
	LinkDown     EventKind = "link-down"   // the network has gone away; SetLink gives another
	Orphaned     EventKind = "orphaned"    // the owner's connection is lost
	Adopted      EventKind = "adopted"
	OrphanEnds   EventKind = "orphan-ends" // nobody adopted: the guest is asked to shut down
)

// StatsReq asks for everything.
type StatsReq struct{}

// StatsResp is a snapshot.
type StatsResp struct {
	State   State         `json:"state"`
	Stats   Counters      `json:"stats"`
	CPUs    []CPUStats    `json:"cpus,omitempty"`
	Devices []DeviceStats `json:"devices,omitempty"` // in the order of their addresses
	Disks   []DiskStats   `json:"disks,omitempty"`
	Vsock   *VsockStats   `json:"vsock,omitempty"`
	Net     *NetStats     `json:"net,omitempty"`
	Memory  Memory        `json:"memory"`
}

// Counters say what a VM has done so far.
type Counters struct {
	Instructions uint64            `json:"instructions,omitempty"` // guest instructions, where the engine counts them
	Exits        map[string]uint64 `json:"exits"`                  // by kind
	Devices      map[string]uint64 `json:"devices,omitempty"`      // accesses, by device
	GuestSeconds float64           `json:"guest_seconds"`          // by the guest's counter
	HostSeconds  float64           `json:"host_seconds"`           // since Configure, wall clock
	CPUSeconds   float64           `json:"cpu_seconds"`            // of the process, all threads
}

// CPUStats are one vCPU's counters.
type CPUStats struct {
	State        string `json:"state"` // off, starting, running, waiting, paused
	Instructions uint64 `json:"instructions,omitempty"`
	Exits        uint64 `json:"exits"`
	Wakeups      uint64 `json:"wakeups"` // how often a wait was ended
}

// DeviceStats are one device's counters and, for virtio, where its driver is.
type DeviceStats struct {
	Name     string       `json:"name"`
	Base     uint64       `json:"base"` // guest physical address
	Reads    uint64       `json:"reads"`
	Writes   uint64       `json:"writes"`
	Notifies uint64       `json:"notifies,omitempty"`
	Driver   string       `json:"driver,omitempty"` // virtio: off, setup, at-work, broken, resetting
	Error    string       `json:"error,omitempty"`  // why it is or was broken
	Queues   []QueueStats `json:"queues,omitempty"` // virtio: those that the driver set up
}

// QueueStats is where a queue stands.
type QueueStats struct {
	Index     int    `json:"index"`
	Size      uint16 `json:"size"`
	Avail     uint16 `json:"avail"`     // the driver's index
	Used      uint16 `json:"used"`      // the device's index
	Taken     int64  `json:"taken"`     // chains under way
	Unserved  bool   `json:"unserved"`  // notified and not looked at yet
	Notified  uint64 `json:"notified"`  // notifications so far
	Signalled uint64 `json:"signalled"` // interrupts asked for so far
}

// DiskStats are one disk's counters since Configure.
type DiskStats struct {
	Name       string `json:"name"` // "vda"
	Size       int64  `json:"size"`
	ReadOnly   bool   `json:"read_only,omitempty"`
	Flush      Flush  `json:"flush"`
	Queues     int    `json:"queues"`
	Reads      uint64 `json:"reads"`
	Writes     uint64 `json:"writes"`
	Flushes    uint64 `json:"flushes"`
	Discards   uint64 `json:"discards"`
	Zeroes     uint64 `json:"zeroes"`
	ReadBytes  uint64 `json:"read_bytes"`
	WriteBytes uint64 `json:"write_bytes"`
	Syncs      uint64 `json:"syncs"` // flushes of the host
	Errors     uint64 `json:"errors"`
	Full       bool   `json:"full,omitempty"` // waits for space on the host
}

// VsockStats are about the guest's connections.
type VsockStats struct {
	Sent        uint64 `json:"sent"`     // bytes to the guest
	Received    uint64 `json:"received"` // bytes from it
	Connections int    `json:"connections"`
}

// NetStats are about the network card. Dropped are frames for which there was no link or no room.
type NetStats struct {
	Linked        bool   `json:"linked"`
	Sent          uint64 `json:"sent"`     // frames from the guest
	Received      uint64 `json:"received"` // and to it
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	Dropped       uint64 `json:"dropped"`
}
