package virtio

import "sync"

// Config is a device's configuration space (virtio 1.2, section 2.5): bytes that
// the device sets and the driver reads, some of which the driver may write.
// Any goroutine may use it.
type Config struct {
	written chan struct{} // has a token after the driver wrote

	mu       sync.Mutex
	b        []byte
	from, to int    // what the driver may write: b[from:to]
	gen      uint32 // changes when the device changes b
	changed  func() // tells the driver; nil until Watch
}

// NewConfig makes a space holding b, of which the driver may write b[from:to].
func NewConfig(b []byte, from, to int) *Config {
	return &Config{b: append([]byte(nil), b...), from: from, to: to, written: make(chan struct{}, 1)}
}

// Set changes the bytes at off for the device, and tells the driver.
// It panics when they do not fit: the offset is never the guest's.
func (c *Config) Set(off int, v []byte) {
	c.mu.Lock()
	copy(c.b[off:off+len(v)], v)
	c.gen++
	changed := c.changed
	c.mu.Unlock()
	if changed != nil {
		changed()
	}
}

// Bytes is a copy of what the space holds, driver's writes included.
func (c *Config) Bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]byte(nil), c.b...)
}

// Written has a token after the driver wrote; several writes may be one token.
func (c *Config) Written() <-chan struct{} { return c.written }

// Watch makes f what a Set calls, without the lock. It is for the transport.
func (c *Config) Watch(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = f
}

// Generation changes whenever the device changed the space. A nil Config has one too.
func (c *Config) Generation() uint32 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gen
}

// Load is the driver's read of size bytes (1, 2, 4 or 8) at off, little endian. Bytes
// outside the space read as 0. A nil Config is empty.
func (c *Config) Load(off uint64, size int) (v uint64) {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range size {
		if at := off + uint64(i); at < uint64(len(c.b)) {
			v |= uint64(c.b[at]) << (8 * i)
		}
	}
	return v
}

// Store is the driver's write. Bytes that it may not write keep their value.
func (c *Config) Store(off uint64, size int, v uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	hit := false
	for i := range size {
		if at := off + uint64(i); at >= uint64(c.from) && at < uint64(c.to) {
			c.b[at] = byte(v >> (8 * i))
			hit = true
		}
	}
	c.mu.Unlock()
	if hit {
		select {
		case c.written <- struct{}{}:
		default:
		}
	}
}
