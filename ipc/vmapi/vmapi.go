// Package vmapi is what arcbox-vm answers: the methods between the process that
// holds one VM and whoever started it. Both ends import it and nothing else of
// each other.
//
// The order is Boot once, then any of the others; Wait returns when the guest
// has ended. The VM ends with the connection.
package vmapi

import "github.com/arcboxlabs/arcbox-go/ipc"

// ConnFD is where arcbox-vm finds its connection, a stream socket: the first
// descriptor after the standard three.
const ConnFD = 3

// The methods.
var (
	// Boot makes the machine and starts it. Errors: bad-kernel, bad-initrd and
	// for whatever else the caller can mend bad-request (memory out of range),
	// wrong-state when the process already holds a VM.
	Boot = ipc.Method[BootReq, BootResp]{Name: "vm.boot"}
	// Wait returns when the guest has ended. Any number may wait.
	Wait = ipc.Method[WaitReq, WaitResp]{Name: "vm.wait"}
	// Stop cuts the guest off; Wait then answers Stopped. Stopping twice succeeds.
	Stop = ipc.Method[StopReq, StopResp]{Name: "vm.stop"}
	// Resize tells the guest how large the terminal of its hvc0 is.
	Resize = ipc.Method[ResizeReq, ResizeResp]{Name: "vm.resize"}
	// Stats may be asked at any time, also while the guest is stuck.
	Stats = ipc.Method[StatsReq, StatsResp]{Name: "vm.stats"}
)

// Codes of Boot's errors for files that are not what they should be. The VM sees
// descriptors only, so it is for the caller to say which file it was.
const (
	BadKernel ipc.Code = "bad-kernel"
	BadInitrd ipc.Code = "bad-initrd"
)

// BootReq is a whole machine. Every file comes as a descriptor; the caller has
// opened it with the rights that the VM may use, and holds its lock.
type BootReq struct {
	ipc.Files
	Engine string `json:"engine"`         // "soft" or "hvf"
	CPUs   int    `json:"cpus"`           // vCPUs, 1 to what the engine allows
	Memory uint64 `json:"memory"`         // guest RAM in bytes
	Kernel ipc.FD `json:"kernel"`         // arm64 Image: raw, gzip or EFI zboot
	Initrd ipc.FD `json:"initrd"`         // 0 for none
	Seed   []byte `json:"seed,omitempty"` // rng-seed of /chosen; random when absent

	Cmdline string `json:"cmdline"`
	Disks   []Disk `json:"disks,omitempty"` // vda, vdb, ...

	// Console is the guest's console that Terminal is connected to.
	Console Console `json:"console"`
	// Terminal is a stream socket: what the guest prints comes out of its other
	// end, what is written there is typed. 0 for none.
	Terminal ipc.FD `json:"terminal"`

	// GDB is a listening stream socket: who connects debugs the guest, which is
	// held before its first instruction until then. 0 for none.
	GDB   ipc.FD `json:"gdb,omitempty"`
	Trace *Trace `json:"trace,omitempty"`

	DigestMemory bool `json:"digest_memory,omitempty"` // fill in WaitResp.MemorySHA256

	// Deterministic asks for a run that can be repeated exactly; nil for none.
	Deterministic *Deterministic `json:"deterministic,omitempty"`
}

// Deterministic is what repeats a run, beside an equal BootReq. Only ttyAMA0
// can be typed on then.
type Deterministic struct {
	Seed   uint64 `json:"seed"`             // of the guest's randomness and of the turns of its vCPUs
	Record ipc.FD `json:"record,omitempty"` // an empty file, to log what is typed; 0 for none
	Replay ipc.FD `json:"replay,omitempty"` // such a log, which types instead; 0 for none
}

// Console names one of the guest's consoles, as Linux does.
type Console string

// The consoles a machine has.
const (
	HVC0    Console = "hvc0"    // virtio console
	TTYAMA0 Console = "ttyAMA0" // PL011
)

// Disk is one virtio block device.
type Disk struct {
	Image    ipc.FD `json:"image"`
	ReadOnly bool   `json:"read_only,omitempty"`
}

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

// BootResp comes when the first vCPU is about to run.
type BootResp struct {
	DTB []byte `json:"dtb"` // the flattened device tree that the guest got
}

// WaitReq asks for nothing in particular.
type WaitReq struct{}

// WaitResp says how the guest ended.
type WaitResp struct {
	Outcome   Outcome `json:"outcome"`
	Message   string  `json:"message,omitempty"`   // one sentence
	Registers string  `json:"registers,omitempty"` // a dump of every vCPU, for Panic and Fault
	LastLines string  `json:"last_lines,omitempty"`
	// MemorySHA256 is of guest RAM as the guest left it: 64 hexadecimal digits, or
	// nothing unless BootReq.DigestMemory asked for it.
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
	Stopped  Outcome = "stopped"  // Stop, or the connection's end
)

// StopReq has no choices yet.
type StopReq struct{}

// StopResp is empty.
type StopResp struct{}

// ResizeReq is a size in characters.
type ResizeReq struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// ResizeResp is empty.
type ResizeResp struct{}

// StatsReq asks for everything.
type StatsReq struct{}

// StatsResp is a snapshot.
type StatsResp struct {
	Stats Counters `json:"stats"`
}

// Counters say what a VM has done so far.
type Counters struct {
	Instructions uint64            `json:"instructions,omitempty"` // guest instructions, where the engine counts them
	Exits        map[string]uint64 `json:"exits"`                  // by kind
	Devices      map[string]uint64 `json:"devices,omitempty"`      // accesses, by device
	GuestSeconds float64           `json:"guest_seconds"`          // by the guest's counter
	HostSeconds  float64           `json:"host_seconds"`           // since Boot, wall clock
	CPUSeconds   float64           `json:"cpu_seconds"`            // of the process, all threads
}
