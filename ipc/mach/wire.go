//go:build cgo && (darwin || macshim)

package mach

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/cgo"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

const (
	// window is how much an end may have sent that the other has not received: what a socket holds.
	window = 256 << 10
	// fileCost is what a descriptor counts for: a window has room for those of one message.
	fileCost = window / ipc.MaxFiles
	// maxFrame is the longest frame with its header in bytes, minFrame the shortest.
	maxFrame = ipc.MaxFrame + 4
	minFrame = 5
	// linger is how long a Close waits for XPC to send what was given to it. A peer that takes nothing loses it.
	linger = 2 * time.Second
)

// C's bounds are these.
var (
	_ [ipc.MaxFiles]struct{} = [C.SVC_FILES]struct{}{}
	_ [version]struct{}      = [C.SVC_VERSION]struct{}{}
)

// A parcel is a frame with its descriptors.
type parcel struct {
	frame []byte
	files []*os.File
}

// cost is what the parcel takes of a window.
func (p parcel) cost() int { return len(p.frame) + fileCost*len(p.files) }

func (p parcel) drop() {
	for _, f := range p.files {
		f.Close()
	}
}

// A wire is one connection. XPC calls it by its handle until uses is zero. Whoever holds mu waits for nothing:
// XPC's functions do not wait, and never call us back from within.
type wire struct {
	handle   cgo.Handle
	listener *Listener     // nil at the client's end
	over     chan struct{} // closed when XPC is done with it

	mu     sync.Mutex // guards what follows; change is told of every change
	change *sync.Cond
	peer   ipc.Peer
	conn   C.svc_peer // nil when there is nothing to call any more
	uses   int        // the last event, and a client's first answer, are to come
	asked  bool       // a client's first answer has come, or will not
	opened bool       // the first message and its answer have gone well
	in     []parcel   // came and was not received
	held   int        // what the peer has used of its credit
	owed   int        // the part of held that was received
	credit int        // how much we may send; one frame may go beyond
	ended  error      // why nothing more comes or goes; nil while it lives
	closed bool
}

func newWire(l *Listener, uses int) *wire {
	w := &wire{listener: l, uses: uses, over: make(chan struct{}), credit: window}
	w.change = sync.NewCond(&w.mu)
	w.handle = cgo.NewHandle(w)
	return w
}

func wireOf(h C.uintptr_t) *wire { return cgo.Handle(h).Value().(*wire) }

// dial connects, and waits for the first answer.
func dial(ctx context.Context, name, requirement string) (ipc.Wire, error) {
	if err := check(name, requirement); err != nil {
		return nil, err
	}
	cname, crequirement := C.CString(name), optional(requirement)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(crequirement))
	w := newWire(nil, 2)
	w.mu.Lock() // until conn is there
	if err := refused(C.svc_dial(cname, crequirement, C.uintptr_t(w.handle), &w.conn)); err != nil {
		w.mu.Unlock()
		w.handle.Delete()
		return nil, err
	}
	w.mu.Unlock()
	if err := w.await(ctx); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// optional is s for C, where none is NULL.
func optional(s string) *C.char {
	if s == "" {
		return nil
	}
	return C.CString(s)
}

// refused is what C says about a requirement.
func refused(err C.int) error {
	switch err {
	case 0:
		return nil
	case C.EINVAL:
		return errors.New("its requirement is none that code signing knows")
	}
	return fmt.Errorf("this macOS cannot hold a peer to a requirement: %w", errors.ErrUnsupported)
}

// await waits for the service's first answer.
func (w *wire) await(ctx context.Context) error {
	defer w.wake(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.asked && ctx.Err() == nil {
		w.change.Wait()
	}
	switch {
	case w.opened: // what may have come since is for Receive
		return nil
	case w.asked:
		return w.ended
	}
	return context.Cause(ctx)
}

// wake has ctx's end be a change, until stop.
func (w *wire) wake(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.change.Broadcast()
	})
}

// Peer is who was at the other end when the connection was made.
func (w *wire) Peer() (ipc.Peer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peer, nil
}

// Send is the ipc.Wire's.
func (w *wire) Send(ctx context.Context, frame []byte, files []*os.File) error {
	defer w.wake(ctx)()
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.credit <= 0 && !w.closed && w.ended == nil && ctx.Err() == nil {
		w.change.Wait()
	}
	switch {
	case w.closed:
		return net.ErrClosed
	case w.ended != nil:
		return fmt.Errorf("cannot send any more: %w", w.ended)
	case w.credit <= 0:
		return context.Cause(ctx)
	}
	fds := make([]C.int, len(files), len(files)+1)
	for i, f := range files {
		fds[i] = C.int(f.Fd())
	}
	if C.svc_send(w.conn, unsafe.Pointer(unsafe.SliceData(frame)), C.size_t(len(frame)), unsafe.SliceData(fds), C.size_t(len(fds))) != 0 {
		return errors.New("cannot send a descriptor: the system refuses it")
	}
	runtime.KeepAlive(files)
	w.credit -= parcel{frame, files}.cost()
	return nil
}

// Receive is the ipc.Wire's.
func (w *wire) Receive() ([]byte, []*os.File, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.in) == 0 && !w.closed && w.ended == nil {
		w.change.Wait()
	}
	switch {
	case w.closed:
		return nil, nil, net.ErrClosed
	case len(w.in) == 0:
		return nil, nil, w.ended
	}
	p := w.in[0]
	w.in = w.in[1:]
	w.owed += p.cost()
	if w.owed >= window/2 && w.ended == nil {
		C.svc_credit(w.conn, C.uint64_t(w.owed))
		w.held -= w.owed
		w.owed = 0
	}
	return p.frame, p.files, nil
}

// Close is the ipc.Wire's. What was sent arrives, unless the peer takes it for linger.
func (w *wire) Close() error {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	for _, p := range w.in {
		p.drop()
	}
	w.in = nil
	switch {
	case !first || w.conn == nil:
	case w.ended == nil && w.opened:
		C.svc_finish(w.conn)
	default:
		C.svc_cancel(w.conn)
	}
	w.change.Broadcast()
	w.mu.Unlock()
	late := time.NewTimer(linger)
	defer late.Stop()
	select {
	case <-w.over:
	case <-late.C:
		w.cancel()
		<-w.over
	}
	return nil
}

// cancel has XPC be done with the wire soon.
func (w *wire) cancel() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn != nil {
		C.svc_cancel(w.conn)
	}
}

// end says once why nothing more comes. The caller holds mu.
func (w *wire) end(why error) {
	if w.ended == nil {
		w.ended = why
	}
	w.change.Broadcast()
}

// release counts one thing less that XPC will call. The caller holds mu.
func (w *wire) release() {
	w.uses--
	if w.uses > 0 {
		return
	}
	C.svc_release(w.conn)
	w.conn = nil
	w.handle.Delete()
	close(w.over)
}

// meaning is what an end of XPC's is in ipc's words.
func (w *wire) meaning(why C.enum_svc_end) error {
	switch why {
	case C.SVC_UNTRUSTED:
		return fmt.Errorf("%w: the other end is not signed as it must be", ipc.ErrInvalid)
	case C.SVC_TERMINATING:
		return fmt.Errorf("%w: this process is about to be ended", ipc.ErrInterrupted)
	case C.SVC_INVALID:
		if w.listener == nil {
			return ErrNobody
		}
		return fmt.Errorf("%w: the client has gone", ipc.ErrInterrupted)
	}
	return fmt.Errorf("%w: the service's process has ended, or closed the connection", ipc.ErrInterrupted)
}

// may says whether a frame of n bytes may come: it has a frame's size, is on credit, and not a client's first
// message. The caller holds mu.
func (w *wire) may(n C.size_t) bool {
	return (w.opened || w.listener == nil) && n >= minFrame && n <= maxFrame && w.held < window
}

//export goSvcFrame
func goSvcFrame(h C.uintptr_t, frame unsafe.Pointer, n C.size_t, fds *C.int, count C.int) C.bool {
	p := parcel{}
	for _, fd := range unsafe.Slice(fds, int(count)) {
		syscall.CloseOnExec(int(fd))
		p.files = append(p.files, os.NewFile(uintptr(fd), "received"))
	}
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.ended != nil || !w.may(n) {
		p.drop()
		return C.bool(w.closed || w.ended != nil)
	}
	p.frame = C.GoBytes(frame, C.int(n))
	w.in = append(w.in, p)
	w.held += p.cost()
	w.change.Broadcast()
	return true
}

//export goSvcCredit
func goSvcCredit(h C.uintptr_t, bytes C.uint64_t) C.bool {
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	if uint64(bytes) > uint64(window-w.credit) {
		return false
	}
	w.credit += int(bytes)
	w.change.Broadcast()
	return true
}

//export goSvcEnd
func goSvcEnd(h C.uintptr_t) {
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(io.EOF)
}

// goSvcOpened is a client's first message.
//
//export goSvcOpened
func goSvcOpened(h C.uintptr_t, spoken C.uint64_t) C.bool {
	w := wireOf(h)
	w.mu.Lock()
	ok := w.listener != nil && !w.opened && spoken == version
	w.opened = w.opened || ok
	w.mu.Unlock()
	return C.bool(ok && w.listener.take(w))
}

// goSvcAnswered is the answer to our first message, or that there will be none.
//
//export goSvcAnswered
func goSvcAnswered(h C.uintptr_t, why C.enum_svc_end, spoken C.uint64_t, pid, uid C.int) {
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = true
	switch {
	case why != 0:
		w.end(w.meaning(why))
	case spoken != version:
		w.end(fmt.Errorf("%w: the service speaks version %d of what is around frames, and this program %d", ipc.ErrInvalid, uint64(spoken), version))
	default:
		w.peer = ipc.Peer{UID: int(uid), PID: int(pid), Source: source}
		w.opened = true
	}
	w.change.Broadcast()
	w.release()
}

// source is who says who a peer is.
const source = "XPC"

//export goSvcLost
func goSvcLost(h C.uintptr_t, why C.enum_svc_end) {
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(w.meaning(why))
}

//export goSvcBroken
func goSvcBroken(h C.uintptr_t) {
	w := wireOf(h)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(fmt.Errorf("%w: the peer sent what is no message of ours, or more than it may", ipc.ErrInvalid))
}

//export goSvcOver
func goSvcOver(h C.uintptr_t) {
	w := wireOf(h)
	if w.listener != nil {
		w.listener.forget(w)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end(w.meaning(C.SVC_INVALID))
	w.release()
}
