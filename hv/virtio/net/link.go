package net

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// Frames on a stream: 4 bytes of length, big-endian, then so many bytes of Ethernet frame. QEMU's
// stream sockets and gvisor-tap-vsock do the same.
const prefix = 4

// Sizes of a frame in bytes, without its check sequence: an Ethernet header at least; the largest IP packet behind
// a header with a VLAN tag at most.
const (
	minFrame = 14
	maxFrame = 18 + 65535
)

// readAhead is how many bytes of frames are read from the stream at once: four of the largest.
const readAhead = 4 * (prefix + maxFrame)

// A Conn is the stream of a Link, such as a Unix socket.
type Conn interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// A Link is a cable to a network. One goroutine reads while another writes; each may be interrupted and
// go on later where it was: a frame is never torn.
type Link struct {
	conn Conn
	max  int // largest frame that the other end takes
	over atomic.Bool

	in     []byte // what was read and not taken: buf[from:to]
	buf    []byte
	unsent []byte // of a write that was interrupted
}

// NewLink makes a link of a stream. max is the largest frame that its other end takes, without
// prefix; 0 means whatever a guest can make.
func NewLink(conn Conn, max int) *Link {
	if max <= 0 || max > maxFrame {
		max = maxFrame
	}
	return &Link{conn: conn, max: max, buf: make([]byte, readAhead)}
}

// errLink is what breaks a link for good.
var errLink = errors.New("the link broke its rules")

// interrupted says whether err is of a ctx that has ended, and the link still good.
func interrupted(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// within has waits in next and send end when ctx does. release must be called, and after it nothing ends them
// any more; whoever waits anew after the end of a ctx calls resume first.
func (l *Link) within(ctx context.Context) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		past := time.Unix(1, 0)
		l.conn.SetReadDeadline(past)
		l.conn.SetWriteDeadline(past)
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}

// resume undoes what the end of a ctx has left.
func (l *Link) resume() {
	l.conn.SetReadDeadline(time.Time{})
	l.conn.SetWriteDeadline(time.Time{})
}

func (l *Link) close() {
	l.over.Store(true)
	l.conn.Close()
}

// next waits for a frame, which is valid until the call after. Errors: os.ErrDeadlineExceeded
// (see within), io.EOF, errLink, what the stream says.
func (l *Link) next() ([]byte, error) {
	for {
		frame, err := l.whole()
		if frame != nil || err != nil {
			return frame, err
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
}

// whole takes a frame from what was read, or nothing.
func (l *Link) whole() ([]byte, error) {
	if len(l.in) < prefix {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(l.in)
	if n < minFrame || n > maxFrame {
		return nil, fmt.Errorf("%w: a frame of %d bytes", errLink, n)
	}
	if len(l.in) < prefix+int(n) {
		return nil, nil
	}
	frame := l.in[prefix : prefix+n]
	l.in = l.in[prefix+n:]
	return frame, nil
}

// more says whether next would return at once.
func (l *Link) more() bool {
	return len(l.in) >= prefix && uint32(len(l.in)-prefix) >= binary.BigEndian.Uint32(l.in)
}

// fill reads what there is behind what is left.
func (l *Link) fill() error {
	if len(l.in) == 0 || cap(l.in)-len(l.in) < prefix+maxFrame {
		l.in = append(l.buf[:0], l.in...) // to the front: both slices are of buf
	}
	n, err := l.conn.Read(l.in[len(l.in):cap(l.in)])
	l.in = l.in[:len(l.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// send writes frames that are in b with their prefixes. When it is interrupted, the rest is kept and
// goes out before the next.
func (l *Link) send(b []byte) error {
	if len(l.unsent) > 0 {
		n, err := l.conn.Write(l.unsent)
		if l.unsent = l.unsent[n:]; err != nil {
			return err
		}
	}
	n, err := l.conn.Write(b)
	if err != nil && interrupted(err) {
		l.unsent = append([]byte(nil), b[n:]...)
	}
	return err
}
