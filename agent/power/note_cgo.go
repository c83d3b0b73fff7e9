//go:build cgo && (darwin || macshim)

package power

// #include <stdlib.h>
// #include "power.h"
import "C"

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

// Names of notifications whose state is a number, which notify(3) delivers.
const (
	// thermalLevel is kOSThermalNotificationPressureLevelName of <libkern/OSThermalNotification.h>.
	thermalLevel = "com.apple.system.thermalpressurelevel"
	// lowPowerMode is what -[NSProcessInfo isLowPowerModeEnabled] follows; no header has it.
	lowPowerMode = "com.apple.system.lowpowermode"
)

// thermalHeavy is kOSThermalPressureLevelHeavy: from here on the system slows down what runs. 0 is nominal, 1 moderate.
const thermalHeavy = 2

// heat is the event of a thermal level.
func heat(level uint64) Event {
	if level >= thermalHeavy {
		return Hot
	}
	return Cool
}

// lowPower is the event of the low-power mode's state.
func lowPower(state uint64) Event {
	if state != 0 {
		return LowPower
	}
	return FullPower
}

// A note follows one notification. The system writes its token into a descriptor each time.
type note struct {
	w     *watch
	event func(state uint64) Event
	last  Event // what the handler was told, or could have been
	token C.int
	file  *os.File
	done  chan struct{}
}

// openNote begins to follow a notification. One that cannot be had is missed by nobody: then there is none.
func (w *watch) openNote(name string, event func(uint64) Event) []*note {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	n := &note{w: w, event: event, last: event(0), done: make(chan struct{})}
	var theirs C.int
	if C.notify_register_file_descriptor(cname, &theirs, 0, &n.token) != C.NOTIFY_STATUS_OK {
		return nil
	}
	// notify_cancel closes its descriptor: ours must be another one.
	fd, err := syscall.Dup(int(theirs))
	if err == nil {
		syscall.CloseOnExec(fd)
		err = syscall.SetNonblock(fd, true)
	}
	if err != nil {
		C.notify_cancel(n.token)
		return nil
	}
	n.file = os.NewFile(uintptr(fd), name)
	go n.follow()
	return []*note{n}
}

// follow tells the state that there is, and each change. It ends with the descriptor.
func (n *note) follow() {
	defer close(n.done)
	var token [4]byte
	for {
		n.look()
		if _, err := io.ReadFull(n.file, token[:]); err != nil {
			return
		}
	}
}

func (n *note) look() {
	var state C.uint64_t
	if C.notify_get_state(n.token, &state) != C.NOTIFY_STATUS_OK {
		return
	}
	if e := n.event(uint64(state)); e != n.last {
		n.last = e
		n.w.tell(e)
	}
}

func (n *note) close() {
	n.file.Close()
	<-n.done
	C.notify_cancel(n.token)
}
