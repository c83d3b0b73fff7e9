// Package guestapi is what the agent inside a guest answers: the methods between
// arcbox-guest and whoever holds a stream to it, which is the agent on the host,
// the CLI (the agent hands it the stream) or, for a last word, arcbox-vm.
//
// # Meeting
//
// The guest's agent listens on vsock port Port. When it does, it says so: it
// connects to AnnouncePort of the host and keeps that connection, on which nothing
// is sent. So the host learns without polling when a guest has become ready, and by the
// end of that connection when its agent has died. Then the host connects to
// Port and begins with Hello. Any number of connections may be open at once, and
// either end may be restarted at any time without the other.
//
// # Reports
//
// A guest says by itself what the host must know to let it be idle, to take its memory
// back and to see that it lives: Watch asks for it, and Beat and Report are notes on that
// connection. So a host that watches a healthy guest wakes up for its beats and nothing else.
//
// # Trust
//
// A guest is hostile. Whoever reads an answer of it bounds and checks it; the message
// layer bounds the sizes. In the guest everybody who reaches the port is the host, which is root there.
package guestapi

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// Ports of vsock, and the version of this package that Hello tells.
const (
	Port         = 1024 // in the guest
	AnnouncePort = 1024 // of the host, CID 2
	DockerPort   = 2375 // in the guest: dockerd, while DockerService is ready
	Version      = 1
)

// DockerService is the service behind DockerPort.
const DockerService = "docker"

// Words of the kernel command line. An asset's own has none of them: whoever starts a machine
// for more than its console adds the first.
const (
	AgentParam   = "arcbox.agent=1"        // run the guest's agent
	EmulateParam = "arcbox.emulate=x86-64" // run x86-64 programs
	RoomParam    = "arcbox.room="          // how many bytes the host can keep of the data disk
	NetParam     = "arcbox.net="           // the machine's address with its bits, and the gateway's, "192.168.127.2/24,192.168.127.1"
	Net6Param    = "arcbox.net6="          // the same in IPv6, and where frames for the gateway go, "fd00::2/64,fd00::1,5a:94:ef:e4:0c:dd"
)

// The methods.
var (
	// Hello is the first call on a connection. A guest of another version answers with its own and
	// serves what it knows; the host decides.
	Hello = ipc.Method[HelloReq, HelloResp]{Name: "guest.hello"}
	// Ping is answered at once by a guest that lives, and sets its clock on the way.
	Ping = ipc.Method[PingReq, PingResp]{Name: "guest.ping"}
	// Info describes the system.
	Info = ipc.Method[InfoReq, InfoResp]{Name: "guest.info"}
	// Watch has Beats and Reports sent on this connection from now on, or no more.
	Watch = ipc.Method[WatchReq, WatchResp]{Name: "guest.watch"}

	// Exec runs a program and answers when it has ended and its output has been written to the
	// streams. When the connection ends first the program gets SIGHUP, and SIGKILL
	// after KillAfter. Errors: not-found and not-executable (what a shell's 127 and 126 are),
	// bad-request (no such user or directory).
	Exec = ipc.Method[ExecReq, ExecResp]{Name: "guest.exec"}
	// Resize changes the terminal of an Exec on the same connection, Signal sends a signal to its
	// foreground process group. Errors: not-found when it has ended.
	Resize = ipc.Method[ResizeReq, ResizeResp]{Name: "guest.resize"}
	Signal = ipc.Method[SignalReq, SignalResp]{Name: "guest.signal"}

	// CopyIn unpacks a tar stream into a directory, CopyOut packs a path into one. What is unpacked never
	// leaves the directory, whatever names and links the stream has. Errors: not-found, no-space.
	CopyIn  = ipc.Method[CopyInReq, CopyInResp]{Name: "guest.copy-in"}
	CopyOut = ipc.Method[CopyOutReq, CopyOutResp]{Name: "guest.copy-out"}

	// Admit lets the host through to containers by their own addresses, in those networks and no others. Errors: bad-request, and
	// failed while there is no Docker.
	Admit = ipc.Method[AdmitReq, AdmitResp]{Name: "guest.admit"}

	// Shutdown begins to end the guest and answers before it has ended: programs get SIGTERM, and
	// SIGKILL when the grace is over; then the data disk is unmounted.
	Shutdown = ipc.Method[ShutdownReq, ShutdownResp]{Name: "guest.shutdown"}
	// Trim has file systems discard what they do not use.
	Trim = ipc.Method[TrimReq, TrimResp]{Name: "guest.trim"}

	// Services lists what the guest's agent supervises. StartService and StopService return when the
	// service is ready or has ended. Errors: not-found, and failed with the service's last lines.
	Services     = ipc.Method[ServicesReq, ServicesResp]{Name: "guest.services"}
	StartService = ipc.Method[StartServiceReq, StartServiceResp]{Name: "guest.start-service"}
	StopService  = ipc.Method[StopServiceReq, StopServiceResp]{Name: "guest.stop-service"}
	// Logs follows a service's output.
	Logs = ipc.Method[LogsReq, LogsResp]{Name: "guest.logs"}
)

// The notes of a guest that is watched.
var (
	// Beat says that the guest's agent lives; it comes every WatchReq.BeatMS.
	Beat = ipc.Note[BeatNote]{Name: "guest.beat"}
	// Report comes when something in it has crossed a threshold of WatchReq, and once at the beginning.
	Report = ipc.Note[ReportNote]{Name: "guest.report"}
	// Ports has all that containers publish, and their names; it comes when that changes, and once at the beginning.
	Ports = ipc.Note[PortsNote]{Name: "guest.ports"}
)

// Codes beside those of the message layer.
const (
	NotFound      ipc.Code = "not-found"
	NotExecutable ipc.Code = "not-executable"
	NoSpace       ipc.Code = "no-space"
	Failed        ipc.Code = "failed"
)

// Bounds of what a request may hold.
const (
	MaxArgs    = 4096      // arguments, and variables of the environment
	MaxArgSize = 512 << 10 // bytes of them all
	MaxExecs   = 256       // under way at once, copies and all connections together
)

const (
	// ClockStep is the smallest difference to the host's clock that is corrected.
	ClockStep = 100 * time.Millisecond
	// KillAfter is how long a program may ignore that its caller has gone.
	KillAfter = 5 * time.Second
)

// HelloReq says who asks.
type HelloReq struct {
	Version int    `json:"version"`
	Build   string `json:"build,omitempty"` // for the guest's log
}

// HelloResp says who answers.
type HelloResp struct {
	Version int    `json:"version"`
	Build   string `json:"build,omitempty"`
	BootID  string `json:"boot_id"` // of this boot of the kernel, from /proc/sys/kernel/random/boot_id
	PID     int    `json:"pid"`     // of the guest's agent; another one after it was restarted
	// Ready is how long after the kernel's start the guest's agent listened, and Init when PID 1 began; in ms.
	ReadyMS int64 `json:"ready_ms"`
	InitMS  int64 `json:"init_ms"`
}

// PingReq has the host's time.
type PingReq struct {
	Time int64 `json:"time,omitempty"` // Unix time in ns; 0 leaves the clock alone
}

// PingResp says what became of the clock.
type PingResp struct {
	Time    int64 `json:"time"`              // the guest's, after a step; Unix time in ns
	Offset  int64 `json:"offset,omitempty"`  // the guest's clock less the host's, before; ns
	Stepped bool  `json:"stepped,omitempty"` // the difference was ClockStep or more
	Uptime  int64 `json:"uptime"`            // ms since the kernel's start
}

// InfoReq asks for everything.
type InfoReq struct{}

// InfoResp describes the guest.
type InfoResp struct {
	Hostname  string   `json:"hostname"`
	Kernel    string   `json:"kernel"` // uname -r
	OS        string   `json:"os"`     // PRETTY_NAME of os-release
	CPUs      int      `json:"cpus"`
	Memory    uint64   `json:"memory"` // MemTotal in bytes
	Uptime    int64    `json:"uptime"` // ms
	Addresses []string `json:"addresses,omitempty"`
	Data      *Mount   `json:"data,omitempty"`     // the data disk, if it is mounted
	Emulates  []string `json:"emulates,omitempty"` // foreign architectures whose programs run: "x86-64"
	// Problems are what went wrong on the way up and did not keep the guest from it.
	Problems []string `json:"problems,omitempty"`
}

// Mount is a mounted file system; sizes in bytes.
type Mount struct {
	Device string `json:"device"`
	Path   string `json:"path"`
	Type   string `json:"type"`
	Size   uint64 `json:"size"`
	Free   uint64 `json:"free"`
}

// WatchReq says what the host wants to hear. Zeroes mean: not.
type WatchReq struct {
	BeatMS int64 `json:"beat_ms,omitempty"`
	// A Report is sent when the load (below), the available memory or its pressure moves across one of
	// these, and whenever the number of execs or of containers becomes 0 or ceases to be. Load and available
	// memory are looked at with each beat, or every 30 s without beats; programs and pressure at once.
	Load      float64 `json:"load,omitempty"`      // average number of runnable tasks over a minute
	Available uint64  `json:"available,omitempty"` // bytes of MemAvailable
	Pressure  float64 `json:"pressure,omitempty"`  // PSI memory "some", avg10, in percent
}

// WatchResp is empty.
type WatchResp struct{}

// BeatNote says when.
type BeatNote struct {
	Uptime int64 `json:"uptime"` // ms
}

// ReportNote is the guest at one moment.
type ReportNote struct {
	Uptime     int64   `json:"uptime"`     // ms
	Execs      int     `json:"execs"`      // programs and copies that callers have under way
	Containers int     `json:"containers"` // running containers and pods
	Load       float64 `json:"load"`
	Memory     Memory  `json:"memory"`
}

// Bounds of PortsNote.
const (
	MaxPublished = 1024
	MaxNamed     = 1024
	MaxNameBytes = 200 // which leaves room for the domain in the 253 of a whole name
)

// PortsNote lists ports of the guest that the host is to reach, each once, and the running containers with their names.
type PortsNote struct {
	Ports []Published `json:"ports"`
	Names []Named     `json:"names,omitempty"`
	// Subnets are the networks of containers that lead to the outside, IPv4, as "172.17.0.0/16".
	Subnets []string `json:"subnets,omitempty"`
}

// Named is a name of one or more containers: its own, or what compose calls a service ("web.shop").
type Named struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"` // IPv4 and IPv6, in all its networks
}

// Published is one of them.
type Published struct {
	Protocol string `json:"protocol"` // "tcp" or "udp"
	Port     uint16 `json:"port"`
}

// Memory is the guest's, sizes in bytes.
type Memory struct {
	Total     uint64 `json:"total"`
	Available uint64 `json:"available"`
	Free      uint64 `json:"free"`
	// Needed is what the guest cannot do without: what is in use, with a reserve.
	Needed uint64 `json:"needed"`
	// Pressure is PSI "some" avg10 in percent; in a report that pressure has caused, at least WatchReq.Pressure: the last 2 s had it.
	Pressure float64 `json:"pressure"`
}

// ExecReq is a program. Streams: Stdin is read to its end; Stdout and Stderr are written. With a
// Terminal, Stdin and Stdout are its two directions and there is no Stderr.
type ExecReq struct {
	ipc.Streams
	ID       string            `json:"id"`   // the caller's, unique on the connection; up to 64 bytes
	Argv     []string          `json:"argv"` // empty for the user's login shell
	Env      map[string]string `json:"env,omitempty"`
	Dir      string            `json:"dir,omitempty"`  // "" means the user's home
	User     string            `json:"user,omitempty"` // name or uid, with ":group" or ":gid" if wanted; "" means root
	Stdin    ipc.StreamRef     `json:"stdin,omitempty"`
	Stdout   ipc.StreamRef     `json:"stdout,omitempty"`
	Stderr   ipc.StreamRef     `json:"stderr,omitempty"`
	Terminal *Terminal         `json:"terminal,omitempty"`
}

// Terminal is a terminal's size in characters, and its kind ($TERM).
type Terminal struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
	Term string `json:"term,omitempty"`
}

// ExecResp says how the program ended.
type ExecResp struct {
	Status int    `json:"status"`           // its exit status; 128 + the signal if one ended it
	Signal string `json:"signal,omitempty"` // "SIGKILL", if one ended it
}

// ResizeReq names an Exec and its terminal's new size.
type ResizeReq struct {
	ID   string `json:"id"`
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// SignalReq names an Exec and a signal as kill(1) does, "SIGINT" or "INT".
type SignalReq struct {
	ID     string `json:"id"`
	Signal string `json:"signal"`
}

// ResizeResp and SignalResp are empty.
type (
	ResizeResp struct{}
	SignalResp struct{}
)

// CopyInReq has a tar stream. Path is where its one top-level entry goes, with cp's rules: into Path if that is a
// directory, under the name of Path else.
type CopyInReq struct {
	ipc.Streams
	Path string        `json:"path"`
	Data ipc.StreamRef `json:"data"`
}

// CopyOutReq asks for a tar stream of Path, whose top-level entry has Path's last name.
type CopyOutReq struct {
	ipc.Streams
	Path string        `json:"path"`
	Data ipc.StreamRef `json:"data"`
	// Follow copies what a link names instead of the link, for Path itself.
	Follow bool `json:"follow,omitempty"`
}

// CopyInResp and CopyOutResp count what was copied.
type (
	CopyInResp  struct{ Copied }
	CopyOutResp struct{ Copied }
)

// Copied is how much.
type Copied struct {
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
	Skipped int64 `json:"skipped,omitempty"` // sockets, pipes and devices, which mean nothing elsewhere
}

// MaxSubnets bounds AdmitReq, and PortsNote.
const MaxSubnets = 64

// AdmitReq has the host's address, and the networks that it may reach; none for no way at all.
type AdmitReq struct {
	Host    string   `json:"host"`
	Subnets []string `json:"subnets,omitempty"`
}

// AdmitResp is empty.
type AdmitResp struct{}

// ShutdownReq says how.
type ShutdownReq struct {
	GraceMS int64 `json:"grace_ms,omitempty"` // what programs have after SIGTERM; 0 means 3 s
	Restart bool  `json:"restart,omitempty"`
}

// ShutdownResp is empty.
type ShutdownResp struct{}

// TrimReq names a mount point; "" means the data disk.
type TrimReq struct {
	Path string `json:"path,omitempty"`
}

// TrimResp has what was discarded, as the file system counts it; bytes.
type TrimResp struct {
	Bytes uint64 `json:"bytes"`
}

// ServicesReq asks for all.
type ServicesReq struct{}

// ServicesResp has them by name.
type ServicesResp struct {
	Services []Service `json:"services"`
}

// Service is a program that the guest's agent keeps running while it is wanted. It is defined in the guest, by
// /etc/arcbox/services/NAME.json of the root or /run/arcbox/services/NAME.json; docs/guest.md says how.
type Service struct {
	Name     string `json:"name"`
	State    string `json:"state"` // stopped, starting, ready, stopping, failed
	PID      int    `json:"pid,omitempty"`
	Since    int64  `json:"since"` // when the state began, ms since the kernel's start
	Restarts int    `json:"restarts,omitempty"`
	Message  string `json:"message,omitempty"` // why it failed
}

// StartServiceReq and StopServiceReq name one.
type (
	StartServiceReq struct {
		Name string `json:"name"`
	}
	StopServiceReq struct {
		Name string `json:"name"`
	}
)

// StartServiceResp and StopServiceResp have what became of it.
type (
	StartServiceResp struct {
		Service Service `json:"service"`
	}
	StopServiceResp struct {
		Service Service `json:"service"`
	}
)

// LogsReq asks for a service's output: what is kept, and with Follow what comes, as bytes on Data.
type LogsReq struct {
	ipc.Streams
	Name   string        `json:"name"` // "" means the guest agent's own
	Follow bool          `json:"follow,omitempty"`
	Data   ipc.StreamRef `json:"data"`
}

// LogsResp is empty.
type LogsResp struct{}
