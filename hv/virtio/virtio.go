// Package virtio is what a virtio device and its transport say to each other
// (virtio 1.2, OASIS): a Device has an Info and serves Queues; it knows of no
// transport, no vCPU and no interrupt. hv/virtio/mmio is the transport, the
// packages beside it are devices, hv/virtio/virtiotest drives any of them
// from the guest's side without a kernel.
//
// # Who runs what
//
// A vCPU thread only ever rings: Queue.Notify wakes the device's goroutine. All
// work is done in Device.Serve, which runs from DRIVER_OK until the guest
// resets the device or the machine stops.
//
// # What a hostile guest can do
//
// Everything in guest memory may be wrong and may change while it is read. Each
// descriptor is read once and checked: chains are no longer than their queue, every
// address lies in guest memory, nothing wraps. A ring or chain that breaks
// the specification ends Serve with a *GuestError; the transport then sets
// DEVICE_NEEDS_RESET and nothing more is taken until the guest resets.
package virtio

import (
	"context"
	"fmt"
)

// Device types (virtio 1.2, section 5).
const (
	IDNet     = 1
	IDBlock   = 2
	IDConsole = 3
	IDEntropy = 4
	IDBalloon = 5
	IDVsock   = 19
)

// Feature bits that the queues and the transport deal with (section 6). A device
// does not list them in Info.Features.
const (
	FeatureIndirect uint64 = 1 << 28 // VIRTIO_F_INDIRECT_DESC
	FeatureEventIdx uint64 = 1 << 29 // VIRTIO_F_EVENT_IDX
	FeatureVersion1 uint64 = 1 << 32 // VIRTIO_F_VERSION_1

	// RingFeatures are offered for every device.
	RingFeatures = FeatureIndirect | FeatureEventIdx | FeatureVersion1
)

// MaxQueues is how many queues a device may have, and MaxQueueSize how many
// descriptors a queue: enough for a queue per vCPU, and a bound on what a
// guest can make us hold (section 2.7 allows 32768).
const (
	MaxQueues    = 64
	MaxQueueSize = 1024
)

// A Device does the work behind queues.
type Device interface {
	// Info says what the device is. It does not change.
	Info() Info
	// Serve runs from DRIVER_OK until ctx ends (reset or stop), on a goroutine
	// that the transport starts and waits for. qs has one Queue for each
	// of Info.QueueMax; those that the guest left out never become ready. Serve and
	// the goroutines that it starts alone take from qs, and all of them have ended
	// when it returns. An error while ctx is alive sets DEVICE_NEEDS_RESET.
	// Serve is called again, never twice at once, after each reset.
	Serve(ctx context.Context, qs []*Queue) error
}

// A Settler is a Device that takes input from elsewhere than its queues. Settled says
// that the guest has all of it for which it has asked and made room, so that a
// machine whose runs are to be reproducible may go on.
type Settler interface {
	Settled() bool
}

// Info is what a device is.
type Info struct {
	ID       uint32   // type, one of ID*
	Features uint64   // bits 0 to 23 and from 50 that the device offers (section 2.2)
	QueueMax []uint16 // largest size of each queue, a power of two up to MaxQueueSize
	Config   *Config  // configuration space; nil where there is none
	// Shared are the device's shared memory regions by id (section 2.10), in
	// guest physical addresses; a Length of 0 is a hole in the numbering.
	Shared []SharedRegion
}

// A SharedRegion is memory that device and driver share, placed by the board.
type SharedRegion struct{ Base, Length uint64 }

// Check says what is wrong with i, for a transport that is given a device.
func (i Info) Check() error {
	if len(i.QueueMax) == 0 || len(i.QueueMax) > MaxQueues {
		return fmt.Errorf("cannot use device %d: it has %d queues; give it 1 to %d", i.ID, len(i.QueueMax), MaxQueues)
	}
	for n, m := range i.QueueMax {
		if m == 0 || m > MaxQueueSize || m&(m-1) != 0 {
			return fmt.Errorf("cannot use device %d: queue %d has size %d; make it a power of two up to %d", i.ID, n, m, MaxQueueSize)
		}
	}
	return nil
}

// A GuestError says how the guest broke the specification.
type GuestError struct {
	Queue int    // number of the queue
	What  string // what was wrong
}

func (e *GuestError) Error() string {
	return fmt.Sprintf("cannot use queue %d: the guest gave %s; reset the device", e.Queue, e.What)
}
