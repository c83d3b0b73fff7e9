package machine

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/arcboxlabs/arcbox-go/agent/event"
	"github.com/arcboxlabs/arcbox-go/agent/home"
	"github.com/arcboxlabs/arcbox-go/agent/lifecycle"
	"github.com/arcboxlabs/arcbox-go/agent/route"
	"github.com/arcboxlabs/arcbox-go/boot"
	"github.com/arcboxlabs/arcbox-go/ipc/vmapi"
)

// Options are what a Manager works with.
type Options struct {
	Home    home.Home
	Program string // path of arcbox-vm
	// NetProgram is the path of arcbox-net; "" for machines without a network.
	NetProgram string
	// Routes are the host's, for direct ways to containers; nil where there can be none.
	Routes route.Host
	Events *event.Bus
	Log    zerolog.Logger

	// Settings are what is configured now for the machine called name; they are asked for at each use, and may change between. Nil
	// means the defaults.
	Settings func(name string) Settings
	// Library has the boot assets.
	Library *boot.Library
	// Fetch brings a boot asset into the library when a start finds none there; it has a stall limit of its own. Nil
	// means that nothing can be had from elsewhere.
	Fetch func(ctx context.Context) (*boot.Asset, error)

	// Mock makes machines that have no VM: they go through the states and answer nothing.
	Mock bool
}

// Settings are the part of the configuration that is about machines. Zero values mean the defaults.
type Settings struct {
	CPUs    int    // 1: package config knows the host
	Memory  uint64 // bytes; 512 MiB, likewise
	Disk    int64  // nominal bytes; 50 GB
	Kernel  string // path of a kernel instead of the boot asset's
	Cmdline string // added to the asset's
	Backend string // engine; "" for the host's best
	X8664   bool   // run x86-64 programs too; machines of RoleRosetta do so anyway
	Asset   string // which boot asset: an ID or a flavour; "" for the library's default

	IdleAfter time.Duration // without use; 5 min
	IdleLoad  float64       // a guest whose load is above it is not idle; 0.5
	NoStop    bool          // do not stop a machine that has been idle for StopAfter
	StopAfter time.Duration // 30 min
	NoBalloon bool          // leave it to free page reporting to give memory back
	Reserve   uint64        // bytes that the balloon leaves the guest beyond what it says it needs; 128 MiB

	HealthEvery time.Duration // between the guest's beats; 5 s
	Limits      lifecycle.Limits
	Room        int64         // bytes that the host's disk holds all in all, which no image can exceed; 0 for what it says of itself
	Flush       vmapi.Flush   // what a guest's flush means; "" for host
	DiskReserve int64         // of storage.Spec
	PublishAll  bool          // ports that the guest publishes are the host's on all its addresses, and not only on its loopback
	Routes      bool          // the host reaches containers by their own addresses
	Orphan      time.Duration // how long a VM waits for the next agent; 0 for vmapi's default
}

// withDefaults fills in what nobody said.
func (s Settings) withDefaults() Settings {
	def(&s.CPUs, 1)
	def(&s.Memory, 512<<20)
	def(&s.Disk, 50e9)
	def(&s.IdleAfter, 5*time.Minute)
	def(&s.IdleLoad, 0.5)
	def(&s.StopAfter, 30*time.Minute)
	def(&s.Reserve, 128<<20)
	def(&s.HealthEvery, 5*time.Second)
	def(&s.Flush, vmapi.FlushHost)
	return s
}

// startTime is how long a start may take.
func (s Settings) startTime() time.Duration { return either(s.Limits.Start, lifecycle.DefaultStart) }

// guestGrace is what programs in the guest have to end before they are killed: a stop's grace less what unmounting takes, 25 s of 30.
func (s Settings) guestGrace() time.Duration {
	grace := either(s.Limits.Grace, lifecycle.DefaultGrace)
	return grace - grace/6
}

func def[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}
