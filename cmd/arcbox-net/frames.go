package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// Sizes of a frame in bytes: an Ethernet header at least, the largest IP packet behind a header with a VLAN tag at most.
const (
	minFrame = 14
	maxFrame = 18 + 65535
)

// A checked stream ends at the first frame whose length makes no sense: the library behind it believes what it reads, and
// the other end may be a guest that broke out of its machine. It also counts, which the library does for whoever may race with
// it. One goroutine reads.
type checked struct {
	net.Conn
	sent, received *atomic.Uint64
	head           [4]byte
	held           int // bytes of head that are still to be given
	left           int // bytes of the frame under way
}

// Read gives a prefix or a piece of a frame.
func (c *checked) Read(p []byte) (int, error) {
	if c.held == 0 && c.left == 0 {
		if _, err := io.ReadFull(c.Conn, c.head[:]); err != nil {
			return 0, err
		}
		n := binary.BigEndian.Uint32(c.head[:])
		if n < minFrame || n > maxFrame {
			return 0, fmt.Errorf("cannot take a frame of %d bytes", n)
		}
		c.held, c.left = len(c.head), int(n)
	}
	if c.held > 0 {
		n := copy(p, c.head[len(c.head)-c.held:])
		c.held -= n
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	c.received.Add(uint64(n))
	return n, err
}

func (c *checked) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(uint64(n))
	return n, err
}
