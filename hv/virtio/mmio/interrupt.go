package mmio

import "sync"

// interrupt is the level line and the two things that a device may say on its
// own: InterruptStatus and DEVICE_NEEDS_RESET. Its lock comes after
// Transport.mu; the device's goroutines take it alone.
type interrupt struct {
	line func(level bool)

	mu      sync.Mutex
	pending uint32 // InterruptStatus
	enabled bool   // between DRIVER_OK and reset
	broken  bool   // DEVICE_NEEDS_RESET
}

// raise adds bits to InterruptStatus, unless the driver is not ready for it.
func (i *interrupt) raise(bits uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.enabled {
		i.set(i.pending | bits)
	}
}

// fail tells the driver that the device needs a reset (section 2.1.1).
func (i *interrupt) fail() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.enabled {
		i.broken = true
		i.set(i.pending | intConfig)
	}
}

// set moves the line when InterruptStatus becomes or ceases to be 0.
func (i *interrupt) set(pending uint32) {
	was := i.pending != 0
	i.pending = pending
	if is := pending != 0; is != was {
		i.line(is)
	}
}

func (i *interrupt) ack(bits uint32) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.set(i.pending &^ bits)
}

func (i *interrupt) enable() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.enabled = true
}

func (i *interrupt) reset() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.enabled, i.broken = false, false
	i.set(0)
}

func (i *interrupt) status() uint32 {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.pending
}

func (i *interrupt) needsReset() uint32 {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken {
		return stNeedsReset
	}
	return 0
}
