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
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		from.Close()
		return
	}
	to.CloseWrite()
}
