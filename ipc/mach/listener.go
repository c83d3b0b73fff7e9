//go:build cgo && (darwin || macshim)

package mach

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"net"
	"runtime/cgo"
	"slices"
	"sync"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/ipc"
)

// backlog is how many clients may wait for Accept, as at a socket: more are turned away. As many may have
// said nothing yet: then the oldest of them makes room.
const backlog = 128

// A Listener is where the clients of a service come in.
type Listener struct {
	handle cgo.Handle
	over   chan struct{} // closed when XPC is done with it
	came   chan *wire    // is sent to by who holds mu, and never waits

	mu     sync.Mutex // guards what follows
	conn   C.svc_peer // nil when there is nothing to call any more
	closed bool
	silent []*wire // connected, and have not sent their first message
}

// Listen offers the service called name, which launchd must know as this program's: it is among the
// Agent.MachServices that package launchd installs. With a requirement, in the language of code signing, only
// programs that meet it are heard. A service can be offered once in a process's life. Errors: no name, no
// requirement; errors.ErrUnsupported (wrapped). A name that is not this program's shows at Accept.
func Listen(name, requirement string) (*Listener, error) {
	if err := check(name, requirement); err != nil {
		return nil, fmt.Errorf("cannot offer the service %q: %w", name, err)
	}
	cname, crequirement := C.CString(name), optional(requirement)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(crequirement))
	l := &Listener{over: make(chan struct{}), came: make(chan *wire, backlog)}
	l.handle = cgo.NewHandle(l)
	l.mu.Lock() // until conn is there
	defer l.mu.Unlock()
	if err := refused(C.svc_listen(cname, crequirement, C.uintptr_t(l.handle), &l.conn)); err != nil {
		l.handle.Delete()
		return nil, fmt.Errorf("cannot offer the service %s: %w", name, err)
	}
	return l, nil
}

// Accept is the ipc.Listener's. It says net.ErrClosed (wrapped) too when launchd does not give us the service.
func (l *Listener) Accept() (ipc.Wire, error) {
	select {
	case w := <-l.came:
		return w, nil
	case <-l.over:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		return nil, fmt.Errorf("launchd does not give this process the service: %w", net.ErrClosed)
	}
	return nil, net.ErrClosed
}

// Close ends the service, and those who wait for Accept. Others go on.
func (l *Listener) Close() error {
	l.mu.Lock()
	l.closed = true
	if l.conn != nil {
		C.svc_cancel(l.conn)
	}
	l.mu.Unlock()
	<-l.over
	l.mu.Lock()
	silent := l.silent
	l.silent = nil
	l.mu.Unlock()
	for _, w := range silent {
		w.Close()
	}
	for {
		select {
		case w := <-l.came:
			w.Close()
		default:
			return nil
		}
	}
}

func listenerOf(h C.uintptr_t) *Listener { return cgo.Handle(h).Value().(*Listener) }

// take lets a client that has sent its first message wait for Accept. It is false when it cannot.
func (l *Listener) take(w *wire) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(w)
	if l.closed {
		return false
	}
	select {
	case l.came <- w:
		return true
	default:
		return false
	}
}

// forget lets go of a client that has gone.
func (l *Listener) forget(w *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(w)
}

// drop takes w out of silent. The caller holds mu.
func (l *Listener) drop(w *wire) {
	if i := slices.Index(l.silent, w); i >= 0 {
		l.silent = slices.Delete(l.silent, i, i+1)
	}
}

// add counts w as silent, and gives the one that makes room for it, or nil.
func (l *Listener) add(w *wire) (oldest *wire) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.silent) >= backlog {
		oldest = l.silent[0]
		l.drop(oldest)
	}
	l.silent = append(l.silent, w)
	return oldest
}

// goSvcAdmit makes the wire of a client, and takes the reference over.
//
//export goSvcAdmit
func goSvcAdmit(h C.uintptr_t, conn C.svc_peer, pid, uid C.int) C.uintptr_t {
	l := listenerOf(h)
	w := newWire(l, 1)
	w.conn = conn
	w.peer = ipc.Peer{UID: int(uid), PID: int(pid), Source: source}
	if oldest := l.add(w); oldest != nil {
		oldest.cancel()
	}
	return C.uintptr_t(w.handle)
}

//export goSvcListenerOver
func goSvcListenerOver(h C.uintptr_t) {
	l := listenerOf(h)
	l.mu.Lock()
	defer l.mu.Unlock()
	C.svc_release(l.conn)
	l.conn = nil
	l.handle.Delete()
	close(l.over)
}
