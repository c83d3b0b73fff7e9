package ipc

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
)

// memoryBytes is how much a Memory wire holds in each direction, as a socket does.
const memoryBytes = 256 << 10

// Memory makes a connected pair of Wires inside this process, for tests: they carry
// descriptors, and a testing/synctest bubble can tell when they wait.
func Memory() (a, b Wire) {
	there, back := newMemoryQueue(), newMemoryQueue()
	return &memoryWire{in: back, out: there}, &memoryWire{in: there, out: back}
}

type memoryWire struct{ in, out *memoryQueue }

// A memoryQueue is one direction.
type memoryQueue struct {
	mu     sync.Mutex // guards what follows; change is told of every change
	change *sync.Cond
	frames [][]byte
	size   int // of frames in bytes
	files  []*os.File
	over   bool // nothing more goes in
	gone   bool // nobody takes what is in
}

func newMemoryQueue() *memoryQueue {
	q := &memoryQueue{}
	q.change = sync.NewCond(&q.mu)
	return q
}

// Peer is this process.
func (w *memoryWire) Peer() (Peer, error) {
	return Peer{UID: os.Getuid(), PID: os.Getpid(), Source: "memory"}, nil
}

func (w *memoryWire) Send(ctx context.Context, frame []byte, files []*os.File) error {
	q := w.out
	copies, err := duplicate(files)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.change.Broadcast()
	})()
	err = q.put(ctx, frame, copies)
	if err != nil {
		closeAll(copies)
	}
	return err
}

func (q *memoryQueue) put(ctx context.Context, frame []byte, files []*os.File) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > memoryBytes && !q.over && !q.gone && ctx.Err() == nil {
		q.change.Wait()
	}
	switch {
	case q.over:
		return net.ErrClosed
	case q.gone:
		return io.ErrClosedPipe
	case q.size > memoryBytes:
		return context.Cause(ctx)
	}
	q.files = append(q.files, files...)
	q.frames = append(q.frames, slices.Clone(frame))
	q.size += len(frame)
	q.change.Broadcast()
	return nil
}

func (w *memoryWire) Receive() ([]byte, []*os.File, error) {
	q := w.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.frames) == 0 && !q.over && !q.gone {
		q.change.Wait()
	}
	files := q.files
	q.files = nil
	switch {
	case q.gone:
		return nil, files, net.ErrClosed
	case len(q.frames) == 0:
		return nil, files, io.EOF
	}
	frame := q.frames[0]
	q.frames, q.size = q.frames[1:], q.size-len(frame)
	q.change.Broadcast()
	return frame, files, nil
}

func (w *memoryWire) Close() error {
	w.out.end(false)
	w.in.end(true)
	return nil
}

// end is called by the sender's Close, or the receiver's.
func (q *memoryQueue) end(receiver bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if receiver {
		q.gone = true
		q.frames = nil
		closeAll(q.files)
		q.files = nil
	} else {
		q.over = true
	}
	q.change.Broadcast()
}

// A MemoryListener is where Memory wires come in, for tests of servers.
type MemoryListener struct {
	came chan Wire

	once   sync.Once
	closed chan struct{}
}

// NewMemoryListener makes one.
func NewMemoryListener() *MemoryListener {
	return &MemoryListener{came: make(chan Wire), closed: make(chan struct{})}
}

// Dial connects, and returns when the connection was accepted. Error: the listener was closed.
func (l *MemoryListener) Dial() (Wire, error) {
	near, far := Memory()
	select {
	case l.came <- far:
		return near, nil
	case <-l.closed:
		return nil, errors.Join(ErrInterrupted, net.ErrClosed)
	}
}

// Accept is the Listener's.
func (l *MemoryListener) Accept() (Wire, error) {
	select {
	case w := <-l.came:
		return w, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close is the Listener's.
func (l *MemoryListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}
