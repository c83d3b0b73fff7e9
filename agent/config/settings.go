package config

import "time"

// Settings are all settings but those of single machines.
type Settings struct {
	Log     Log
	Docker  Docker
	Metrics Metrics
	Sockets Sockets
	Machine Machine // what every machine has that says nothing else
}

// Machine is how one machine is.
type Machine struct {
	CPUs        int
	Memory      int64 // bytes, like every size
	Disk        int64
	DiskNominal int64
	Preallocate int64
	Flush       Flush
	Kernel      string
	Cmdline     string
	Balloon     bool
	X8664       bool
	Publish     Publish
	Routes      Routes

	IdleTimeout    time.Duration // 0: never
	AutoStop       bool
	AutoStopAfter  time.Duration
	HealthInterval time.Duration
	StartTimeout   time.Duration
	StopGrace      time.Duration
}

// Log is how logs are written.
type Log struct {
	Level    string
	Format   string
	MaxSize  int64
	MaxFiles int
}

// Docker is what the agent does for Docker.
type Docker struct {
	Enable bool
	Expose Expose
}

// Metrics are for Prometheus.
type Metrics struct{ Enable bool }

// Sockets are paths of sockets, "" for the usual one in the home.
type Sockets struct {
	Agent   string
	Docker  string
	Metrics string
}

// Publish is who can connect to the ports that containers publish.
type Publish string

// PublishLoopback is this host alone, PublishAll whoever reaches one of its addresses.
const (
	PublishLoopback Publish = "loopback"
	PublishAll      Publish = "all"
)

// Routes are the host's ways to containers by their own addresses.
type Routes string

const (
	RoutesOff Routes = "off"
	RoutesOn  Routes = "on"
)

// Flush is when a guest's flush is answered.
type Flush string

const (
	FlushHost    Flush = "host"
	FlushBarrier Flush = "barrier"
	FlushFull    Flush = "full"
)

// Expose is how Docker's clients are told of ours.
type Expose string

const (
	ExposeNone    Expose = "none"    // the socket is all
	ExposeContext Expose = "context" // a docker context called arcbox
	ExposeDefault Expose = "default" // the context, and it is selected
)
