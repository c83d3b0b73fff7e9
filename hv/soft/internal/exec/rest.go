package exec

import "time"

// A guest is at rest when it runs no more than restLoad instructions in restTime, a few percent of what it could. When
// it has restRoom bytes of decoded code more than it needs for that, it loses all of it.
const (
	restTime = 10 * time.Second
	restLoad = 100e6
	restRoom = 1 << 20
)

// rest says how busy the guest is.
type rest struct {
	at      time.Time // when the guest was last looked at
	count   uint64    // instructions until then
	dropped bool      // its code was dropped then
	needs   int       // bytes of code that it decodes again in restTime, at rest
}

// wait is called when the guest waits for an interrupt. One that has come to rest loses its decoded code. What it does run
// while it rests is decoded again, in a few milliseconds.
func (c *Core) wait() {
	r := &c.rest
	now := time.Now()
	if now.Sub(r.at) < restTime {
		return
	}
	load := c.count - r.count
	r.at, r.count = now, c.count
	switch {
	case load > restLoad:
		r.dropped, r.needs = false, 0
	case r.dropped:
		r.dropped, r.needs = false, c.code.room
	case c.code.room > r.needs+restRoom:
		r.dropped = true
		c.releaseAllCode()
	}
}
