// Package splice joins two streams, of which each direction can end by itself: sockets of either kind.
package splice

import (
	"io"
	"sync"
)

// A Half is such a stream. Close ends both directions, and whoever waits in the other methods.
type Half interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// Both moves bytes both ways until both have ended. The end of one direction is passed on and leaves the other open: who has
// nothing more to ask waits for answers. Where reading or writing fails both streams are closed.
func Both(a, b Half) {
	var both sync.WaitGroup
	both.Go(func() { one(b, a) })
	both.Go(func() { one(a, b) })
	both.Wait()
}

func one(to, from Half) {
	if err := move(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	to.CloseWrite()
}

// Sizes of what is read at once, in bytes. Most streams say little and wait for long, by the thousand; those that have much to move
// get much room while they do. Neither io.Copy nor the splice(2) behind it makes that difference: the one keeps 32 KiB for a stream that
// waits, the other a pipe.
const (
	waiting = 2 << 10
	moving  = 64 << 10
)

// room is for streams that have much to move.
var room = sync.Pool{New: func() any { return new([moving]byte) }}

// move is io.Copy for a stream that may wait for long.
func move(to io.Writer, from io.Reader) error {
	b := make([]byte, waiting)
	for {
		n, err := pass(to, from, b)
		if err == nil && n == len(b) {
			err = moveMuch(to, from)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// moveMuch moves until little comes at once.
func moveMuch(to io.Writer, from io.Reader) error {
	b := room.Get().(*[moving]byte)
	defer room.Put(b)
	for {
		n, err := pass(to, from, b[:])
		if err != nil || n < waiting {
			return err
		}
	}
}

// pass moves what one read gives.
func pass(to io.Writer, from io.Reader, b []byte) (n int, err error) {
	n, err = from.Read(b)
	if n > 0 {
		if _, werr := to.Write(b[:n]); werr != nil {
			return n, werr
		}
	}
	return n, err
}
