package vsock

import (
	"context"
	"io"
	"syscall"
)

const (
	// packetWindow is window for connections of messages, and so the longest message: less,
	// since it has to fit into a Unix socket's buffer as well (File).
	packetWindow = 128 << 10
	// maxMessages is how many messages of one connection may wait for their reader. Credit is
	// in bytes and does not bound them; a guest that sends more small ones loses the connection.
	maxMessages = 16 << 10
)

// ConnectPackets is Connect for messages (SOCK_SEQPACKET): what one Write is given, up to
// 128 KiB, one Read of the guest's gets, and the other way round. A Read with too little room gets
// the beginning of the message and io.ErrShortBuffer; the rest is gone. Writing nothing sends
// nothing. Errors: those of Connect, ErrNoPackets; of Write syscall.EMSGSIZE for a
// message that cannot be carried, here or by the guest.
func (d *Device) ConnectPackets(ctx context.Context, port uint32) (*Conn, error) {
	return d.connect(ctx, typePacket, port)
}

// ListenPackets is Listen for connections of messages. A port is for one kind.
func (d *Device) ListenPackets(port uint32) (*Listener, error) { return d.listenTo(typePacket, port) }

// knows says whether the driver has connections of that kind. The caller holds mu.
func (d *Device) knows(kind uint16) bool {
	return kind == typeStream || (kind == typePacket && d.rx != nil && d.rx.Has(featPacket))
}

// window is how many bytes the guest may have on their way to the reader.
func (c *Conn) window() int {
	if c.kind == typePacket {
		return packetWindow
	}
	return window
}

// admitEnd says whether the end of a message, if there is one in h, can be remembered, and whether
// the message can come to an end at all. The caller holds mu; whoever calls it calls receive.
func (c *Conn) admitEnd(h header) bool {
	if c.kind == typeStream {
		return true
	}
	c.ends = h.flags&endOfMessage != 0 && h.size > 0 // messages without data are no messages
	if c.ends {
		return len(c.inEnds) < maxMessages
	}
	return len(c.inEnds) > 0 || c.in.len()+int(h.size) < packetWindow // else nobody could ever read
}

// endAt takes note that what was received last ends at a position, and says whether that ends a
// message. The caller holds mu.
func (c *Conn) endAt(at uint64) bool {
	if c.ends {
		c.inEnds = append(c.inEnds, at)
	}
	return c.ends
}

// cut is how many of n bytes of out go into the next packet, and its flags: none goes beyond the
// end of a message. The caller holds mu.
func (c *Conn) cut(n int) (int, uint32) {
	if c.kind == typeStream {
		return n, 0
	}
	left := int(c.outEnds[0] - c.out.head)
	if n >= left {
		return left, endOfMessage
	}
	return n, 0
}

// readMessage takes the message of n bytes at position at. The caller holds reading.
func (c *Conn) readMessage(p []byte, n int, at uint64) (int, error) {
	k := min(n, len(p))
	c.takeOut(p[:k], at)
	var waste [4096]byte
	for rest := n - k; rest > 0; rest -= len(waste) {
		c.takeOut(waste[:min(rest, len(waste))], at+uint64(n-rest))
	}
	c.consumed(n)
	if k < n {
		return k, io.ErrShortBuffer
	}
	return n, nil
}

// writeMessage writes all of p or nothing. The caller holds writing.
func (c *Conn) writeMessage(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.d.mu.Lock()
	most := min(packetWindow, int64(c.guestRoom))
	c.d.mu.Unlock()
	if int64(len(p)) > most {
		return 0, c.opError("write", syscall.EMSGSIZE)
	}
	_, at, err := c.awaitSpace(len(p))
	if err != nil {
		return 0, err
	}
	c.putIn(p, at)
	c.filled(len(p))
	return len(p), nil
}

// copyMessages is io.Copy by whole messages.
func copyMessages(w io.Writer, r io.Reader) (total int64, err error) {
	buf := make([]byte, packetWindow+1) // a longer message is seen to be longer
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return total, err
			}
			total += int64(n)
		}
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
