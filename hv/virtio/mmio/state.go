package mmio

import (
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// A Phase is how far a driver has come.
type Phase string

// The phases.
const (
	Off    Phase = "off"     // reset, or never touched
	Setup  Phase = "setup"   // between the first status and DRIVER_OK
	AtWork Phase = "at-work" // DRIVER_OK
	Broken Phase = "broken"  // DEVICE_NEEDS_RESET, or the driver gave up
	Busy   Phase = "busy"    // the registers are held: a reset waits for the device
)

// A State is where driver and device stand.
type State struct {
	Phase  Phase
	Err    error // why the device last asked for a reset
	Queues []virtio.QueueState
}

// stateWait is how long State tries to look between the accesses of vCPUs. Only a reset holds
// the registers for longer.
const stateWait = 2 * time.Millisecond

// State may be asked at any time, and does not wait for a device that is stuck.
func (t *Transport) State() State {
	s := State{Phase: Busy, Err: t.Err()}
	for begin := time.Now(); !t.mu.TryLock(); time.Sleep(stateWait / 20) {
		if time.Since(begin) > stateWait {
			return s
		}
	}
	defer t.mu.Unlock()
	s.Phase = t.phase()
	if r := t.run.Load(); r != nil { // its rings are guest memory as long as mu is held
		for _, q := range r.queues {
			if q.Size() != 0 {
				s.Queues = append(s.Queues, q.State())
			}
		}
	}
	return s
}

// phase is read off the status. The caller holds mu.
func (t *Transport) phase() Phase {
	switch {
	case t.status&stFailed != 0 || t.irq.needsReset() != 0:
		return Broken
	case t.status&stDriverOK != 0:
		return AtWork
	case t.status == reset:
		return Off
	}
	return Setup
}
