// Package board makes one machine from parts: guest memory, an engine's vCPUs,
// a GICv3, UART, clock and virtio-mmio windows at the addresses of Layout,
// described to the guest by a devicetree and booted as the arm64 boot protocol
// of Linux wants it.
//
// A Board is made by New, run once by Run and released by Close. Everything the
// guest does is an event that the board handles, or an Outcome that ends Run;
// an error from Run is the host's failure.
//
// # Goroutines
//
// Run starts one goroutine for each vCPU, locked to its thread, and one for the
// UART's output; it has ended them all when it returns. Stop, Pause, Resume,
// UARTInput and Stats may be called from any goroutine at any time.
//
// # Ordered stop
//
// vCPUs are told and kicked until each has left the engine and closed its vCPU;
// then the devices are closed, then the VM, and in Close guest memory.
package board

import (
	"context"
	"errors"
	"io"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// Config is what a machine is made of.
type Config struct {
	Engine hv.Engine
	CPUs   int    // 1 to MaxCPUs, at most the engine's
	Memory uint64 // bytes of RAM, a multiple of 1 MiB, at least MinMemory
	Kernel *image.Kernel
	Initrd []byte // nil for none
	// Cmdline is the kernel's command line.
	Cmdline string
	// Seed makes /chosen/rng-seed and kaslr-seed; nil takes it from the host.
	Seed []byte
	// Devices sit behind virtio-mmio windows in this order, which is the order
	// that the guest sees them in. At most MaxDevices.
	Devices []virtio.Device
	// UART takes what the guest writes to its PL011; nil discards it. A writer
	// that blocks slows the guest's console and nothing else.
	UART io.Writer
	// Watch sees the guest's consoles; tap a virtio console with Watch.Tap. The
	// UART is tapped by the board. nil makes one for the UART alone.
	Watch *Watch
	// Log takes a line for the host's log now and then; nil discards it.
	Log func(format string, args ...any)
	// DigestMemory asks for Outcome.MemorySHA256.
	DigestMemory bool
}

// ErrRunning: Run may be called once.
var ErrRunning = errors.New("the board has been run already")

// A Board is one machine.
type Board struct {
	cfg Config
}

// New makes a machine with its memory filled, ready to run. It needs Close.
// Errors say what does not fit: sizes, counts, a kernel that overlaps what
// comes after it.
func New(cfg Config) (*Board, error) {
	return &Board{cfg: cfg}, nil
}

// FDT is the devicetree blob that the guest gets.
func (b *Board) FDT() []byte { return nil }

// Run starts the guest and blocks until it ends, or ctx does, and everything
// that Run started has ended. The outcome is never nil when err is.
func (b *Board) Run(ctx context.Context) (*Outcome, error) {
	return nil, errors.New("cannot run: the board has no vCPU loop yet")
}

// Close releases guest memory and devices. It must come after Run has returned.
func (b *Board) Close() error { return nil }

// UARTInput is what somebody types on the PL011. It never blocks and says how
// many bytes were taken: the rest does not fit until the guest has read.
func (b *Board) UARTInput(p []byte) int { return 0 }

// Pause returns when no vCPU runs guest code; the guest's counter stands still
// until Resume. Pausing a paused machine is fine.
func (b *Board) Pause(ctx context.Context) error { return nil }

// Resume ends a pause.
func (b *Board) Resume() error { return nil }

// Stop ends the machine with outcome Stopped, unless it has ended. It does not
// wait: Run does.
func (b *Board) Stop(reason string) {}

// Stats are the counters now.
func (b *Board) Stats() Stats { return Stats{} }

// Registers asks every vCPU for its registers, interrupting it for an instant.
func (b *Board) Registers(ctx context.Context) ([]Registers, error) { return nil, nil }
