//go:build macshim && !darwin

package standin

/*
#cgo CFLAGS: -Wall -fblocks -I${SRCDIR}/../../../darwin/sdk/apple
#include <stdlib.h>
#include "xpc.h"
*/
import "C"

import (
	"os"
	"runtime"
	"runtime/cgo"
	"unsafe"

	_ "github.com/arcboxlabs/arcbox-go/darwin/standin" // blocks and queues
)

// with gives f a C string for its time.
func with(s string, f func(*C.char)) {
	c := C.CString(s)
	defer C.free(unsafe.Pointer(c))
	f(c)
}

// Advertise has launchd answer for a name until Withdraw. launch is what it does when somebody
// connects and nobody listens; without it they wait.
func Advertise(name string, launch func()) {
	var h cgo.Handle
	if launch != nil {
		h = cgo.NewHandle(launch)
	}
	with(name, func(c *C.char) { C.xpcsim_advertise(c, C.uintptr_t(h)) })
}

//export goXpcsimLaunch
func goXpcsimLaunch(h C.uintptr_t) { cgo.Handle(h).Value().(func())() }

// Withdraw has launchd forget a name: it is not there for those who connect, or wait.
func Withdraw(name string) { with(name, func(c *C.char) { C.xpcsim_withdraw(c) }) }

// Sever is the end of the process behind a name, as both ends see it, without a word.
func Sever(name string) { with(name, func(c *C.char) { C.xpcsim_sever(c) }) }

// Terminate is launchd's notice to the process behind a name.
func Terminate(name string) { with(name, func(c *C.char) { C.xpcsim_terminate(c) }) }

// Sign says with which identifier this process is signed.
func Sign(identifier string) { with(identifier, func(c *C.char) { C.xpcsim_sign(c) }) }

// SetMacOS says which macOS this is.
func SetMacOS(major int) { C.xpcsim_set_macos(C.int(major)) }

// Fail has the next call of xpc_fd_create or xpc_fd_dup fail.
func Fail(function string) { C.xpcsim_fail(C.CString(function)) } // kept: it is compared later

// Stall has nothing leave any connection, as to a process that is stopped, until it is told otherwise.
func Stall(on bool) { C.xpcsim_stall(C.bool(on)) }

// Live counts the objects that nobody has released.
func Live() int { return int(C.xpcsim_live()) }

// A Raw is a client that sends what package mach does not.
type Raw struct{ peer *C.struct_raw }

// Connect makes one.
func Connect(name string) (r Raw) {
	with(name, func(c *C.char) { r.peer = C.xpcsim_connect(c) })
	return r
}

// Data sends bytes under a key, and descriptors as "files".
func (r Raw) Data(key string, bytes []byte, files ...*os.File) {
	fds := make([]C.int, len(files)+1)
	for i, f := range files {
		fds[i] = C.int(f.Fd())
	}
	with(key, func(c *C.char) {
		C.xpcsim_send_data(r.peer, c, unsafe.Pointer(unsafe.SliceData(bytes)), C.size_t(len(bytes)), &fds[0], C.size_t(len(files)))
	})
	runtime.KeepAlive(files)
}

// Number sends one under a key, and may want a reply.
func (r Raw) Number(key string, n uint64, reply bool) {
	with(key, func(c *C.char) { C.xpcsim_send_uint64(r.peer, c, C.uint64_t(n), C.bool(reply)) })
}

// End sends the message that nothing more comes.
func (r Raw) End() { C.xpcsim_send_end(r.peer) }

// NoFiles sends a frame whose "files" are no array, or hold what is no descriptor.
func (r Raw) NoFiles(array bool) { C.xpcsim_send_files(r.peer, C.bool(array)) }

// Cut says whether the service, or its end, has interrupted the connection.
func (r Raw) Cut() bool { return bool(C.xpcsim_cut(r.peer)) }

// Close ends the connection, after which r must not be used.
func (r Raw) Close() { C.xpcsim_disconnect(r.peer) }
