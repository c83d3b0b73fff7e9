package board

import (
	"sync"
	"time"
)

// Registers of a PL031 (DDI 0224, chapter 3).
const (
	rtcDR   = 0x00 // seconds since 1970
	rtcMR   = 0x04 // match
	rtcLR   = 0x08 // load: sets the clock
	rtcCR   = 0x0c
	rtcIMSC = 0x10
	rtcRIS  = 0x14
	rtcMIS  = 0x18
	rtcICR  = 0x1c
)

var rtcIDs = amba{0x31, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1}

// An rtc is a PL031: the host's clock, which the guest may set for itself, with
// an alarm.
type rtc struct {
	line  func(level bool)
	clock clock

	mu     sync.Mutex // guards what follows
	offset uint32     // of the guest's clock from the host's, in seconds
	match  uint32
	load   uint32
	raw    bool // the alarm has rung
	mask   uint32
	stop   func() // ends the alarm; nil when none is set
}

func newRTC(line func(bool), c clock) *rtc { return &rtc{line: line, clock: c} }

// seconds is the guest's clock; it wraps in 2106.
func (r *rtc) seconds() uint32 { return uint32(r.clock.now().Unix()) + r.offset }

func (r *rtc) update() { r.line(r.raw && r.mask&1 != 0) }

// Read is a load at off.
func (r *rtc) Read(off uint64, size int) uint64 {
	if v, ok := rtcIDs.read(off); ok {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var raw uint32
	if r.raw {
		raw = 1
	}
	switch off {
	case rtcDR:
		return uint64(r.seconds())
	case rtcMR:
		return uint64(r.match)
	case rtcLR:
		return uint64(r.load)
	case rtcCR:
		return 1 // always on
	case rtcIMSC:
		return uint64(r.mask)
	case rtcRIS:
		return uint64(raw)
	case rtcMIS:
		return uint64(raw & r.mask)
	}
	return 0
}

// Write is a store at off.
func (r *rtc) Write(off uint64, size int, v uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch off {
	case rtcMR:
		r.match = uint32(v)
		r.arm()
	case rtcLR:
		r.load = uint32(v)
		r.offset += r.load - r.seconds()
		r.arm()
	case rtcIMSC:
		r.mask = uint32(v) & 1
	case rtcICR:
		r.raw = r.raw && v&1 == 0
	}
	r.update()
}

// arm sets the alarm for the next time that the clock equals the match. One
// that is over half of the clock's range away counts as past.
func (r *rtc) arm() {
	r.disarm()
	if d := int32(r.match - r.seconds()); d > 0 {
		r.stop = r.clock.after(time.Duration(d)*time.Second, r.ring)
	}
}

func (r *rtc) disarm() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func (r *rtc) ring() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil && int32(r.match-r.seconds()) <= 0 {
		r.stop, r.raw = nil, true
		r.update()
	}
}

// close stops the alarm.
func (r *rtc) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disarm()
}

// Events of pvpanic (QEMU docs/specs/pvpanic.rst). Its one register is a byte
// that tells which are known when read.
const (
	pvpanicPanicked = 1 << 0
	pvpanicLoaded   = 1 << 1 // a crash kernel takes over
)

// A pvpanic passes the guest's word that it has panicked on.
type pvpanic struct{ event func(bits uint64) }

func (p pvpanic) Read(off uint64, size int) uint64 {
	if off != 0 {
		return 0
	}
	return pvpanicPanicked | pvpanicLoaded
}

func (p pvpanic) Write(off uint64, size int, v uint64) {
	if off == 0 {
		p.event(v)
	}
}
