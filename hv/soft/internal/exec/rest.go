package exec

import (
	gc "runtime/debug"
	"time"
)

// A guest is at rest when it runs no more than restLoad instructions in restTime, a few percent of what it could. When
// restRoom bytes of decoded code have come out of use meanwhile, it loses all of it.
const (
	restTime = 10 * time.Second
	restLoad = 100e6
	restRoom = 1 << 20
)

// rest says how busy the guest is.
type rest struct {
	at      time.Time // when the guest was last looked at
	count   uint64    // instructions until then
	dropped int       // bytes of code that came out of use at rest, since all of it was dropped
}

// wait is called when the guest waits for an interrupt. One that has come to rest loses its decoded code, all of
// it, for what Go gives back to the host is whole pages: code that is spread over all of them
// keeps as much. What the guest does run while it rests is decoded again, in a few milliseconds.
func (c *Core) wait() {
	r := &c.rest
	now := time.Now()
	if now.Sub(r.at) < restTime {
		return
	}
	load, before := c.count-r.count, c.code.room
	r.at, r.count = now, c.count
	if load > restLoad {
		return
	}
	c.sweep()
	if r.dropped += before - c.code.room; r.dropped > restRoom {
		r.dropped = 0
		c.dropAllCode()
		gc.FreeOSMemory()
	}
}
