package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// Sizes of a frame in bytes: an Ethernet header at least, the largest IP packet behind a header with a VLAN tag at most.
const (
	minFrame = 14
	maxFrame = 18 + 65535
)

// prefixSize is how many bytes say how long a frame of a stream is.
const prefixSize = 4

// frameSize is what the prefix of a frame says, which whoever sends it may have made up.
func frameSize(prefix []byte) (int, error) {
	n := binary.BigEndian.Uint32(prefix)
	if n < minFrame || n > maxFrame {
		return 0, fmt.Errorf("cannot take a frame of %d bytes", n)
	}
	return int(n), nil
}

// A checked stream ends at the first frame whose length makes no sense: the library behind it believes what it reads, and
// the other end may be a guest that broke out of its machine. It also counts, which the library does for whoever may race with
// it, and gives the bypass what is the bypass's. One goroutine reads; any may write, a frame behind its length at a time.
type checked struct {
	net.Conn
	sent, received *atomic.Uint64
	bypass         *atomic.Pointer[bypass]
	head           [prefixSize + minFrame]byte
	held           []byte // of a frame, still to be given
	left           int    // bytes of the frame under way that were not read yet

	writing sync.Mutex
}

// Read gives a prefix or a piece of a frame.
func (c *checked) Read(p []byte) (int, error) {
	for len(c.held) == 0 && c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	if len(c.held) > 0 {
		n := copy(p, c.held)
		c.held = c.held[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	c.received.Add(uint64(n))
	return n, err
}

// next reads the beginning of a frame, and all of one that the bypass may want.
func (c *checked) next() error {
	got, err := io.ReadAtLeast(c.Conn, c.head[:], prefixSize)
	if err != nil {
		return err
	}
	size, err := frameSize(c.head[:])
	if err == nil {
		_, err = io.ReadFull(c.Conn, c.head[got:])
	}
	if err != nil {
		return err
	}
	c.received.Add(minFrame)
	c.held, c.left = c.head[:], size-minFrame
	b := c.bypass.Load()
	if b == nil || !b.mayWant(c.head[prefixSize:]) {
		return nil
	}
	whole := append(make([]byte, 0, prefixSize+size), c.head[:]...)[:prefixSize+size]
	n, err := io.ReadFull(c.Conn, whole[len(c.head):])
	c.received.Add(uint64(n))
	if err != nil {
		return err
	}
	c.held, c.left = whole, 0
	if b.fromMachine(whole[prefixSize:]) {
		c.held = nil
	}
	return nil
}

func (c *checked) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.Conn.Write(p)
	c.sent.Add(uint64(n))
	return n, err
}

// writeFrame sends one frame.
func (c *checked) writeFrame(frame []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, prefixSize+len(frame)), uint32(len(frame))), frame...))
	return err
}
