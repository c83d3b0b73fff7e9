package board

import (
	"sync/atomic"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/virtio/mmio"
)

// Stats are counters of a machine since Run began. They can be read at any
// moment, also while a boot is stuck.
type Stats struct {
	// Instructions that the guest has completed on all vCPUs; 0 where the engine
	// does not count.
	Instructions uint64            `json:"instructions"`
	Exits        map[string]uint64 `json:"exits"` // by name of hv.ExitKind
	Devices      []DeviceStats     `json:"devices"`
	CPUs         []CPUStats        `json:"cpus"`
	// UnknownRegisters is how many accesses to system registers that nobody knows
	// read as zero or were ignored, and UnknownMMIO the same for addresses.
	UnknownRegisters uint64 `json:"unknown_registers"`
	UnknownMMIO      uint64 `json:"unknown_mmio"`
	// Host is how long Run has lasted, Guest what the guest's counter says;
	// pauses and, in deterministic mode, the host's speed make the difference.
	Host  time.Duration `json:"host_ns"`
	Guest time.Duration `json:"guest_ns"`
}

// DeviceStats are one device's counters.
type DeviceStats struct {
	Name     string `json:"name"`
	Base     uint64 `json:"base"` // guest physical address
	Reads    uint64 `json:"reads"`
	Writes   uint64 `json:"writes"`
	Notifies uint64 `json:"notifies,omitempty"` // virtio: queue notifications
	// Virtio is where driver and queues stand; nil for other devices.
	Virtio *mmio.State `json:"virtio,omitempty"`
}

// CPUStats are one vCPU's counters.
type CPUStats struct {
	State        string `json:"state"` // off, starting, running, waiting, paused
	Instructions uint64 `json:"instructions,omitempty"`
	Exits        uint64 `json:"exits"`
	Wakeups      uint64 `json:"wakeups"` // how often a wait in WFI was ended
}

// Instructer is what the vCPU of an engine that counts instructions also is.
// Any goroutine may call Instructions, also during Run, which may lag behind.
type Instructer interface{ Instructions() uint64 }

// counters are one vCPU's; its own goroutine writes, any goroutine reads.
type counters struct {
	exits   [hv.ExitKinds]atomic.Uint64
	wakeups atomic.Uint64
}

func (c *counters) total() uint64 {
	var n uint64
	for i := range c.exits {
		n += c.exits[i].Load()
	}
	return n
}
