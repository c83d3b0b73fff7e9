//go:build macshim && !darwin

package standin

// #cgo CFLAGS: -D_GNU_SOURCE -Wall -I${SRCDIR}/../../../darwin/sdk/apple
// #include <stdlib.h>
// #include <IOKit/IOMessage.h>
// #include "front.h"
import "C"

import (
	"time"
	"unsafe"

	_ "github.com/arcboxlabs/arcbox-go/darwin/standin" // queues and sources
)

// Messages of IOKit that a test posts.
const (
	CanSystemSleep     = uint32(C.kIOMessageCanSystemSleep)
	SystemWillSleep    = uint32(C.kIOMessageSystemWillSleep)
	SystemWillNotSleep = uint32(C.kIOMessageSystemWillNotSleep)
	SystemWillPowerOn  = uint32(C.kIOMessageSystemWillPowerOn)
	SystemHasPoweredOn = uint32(C.kIOMessageSystemHasPoweredOn)
	ThermalLevel       = "com.apple.system.thermalpressurelevel"
	LowPowerMode       = "com.apple.system.lowpowermode"
	MemoryNormal       = 1
	MemoryWarn         = 2
	MemoryCritical     = 4
)

// Message posts a message to all who are registered for the system's power, and says whether all have dealt with it in
// time: those that can be held back have been allowed.
func Message(message uint32, within time.Duration) bool {
	heldBack := C.int(0)
	if message == CanSystemSleep || message == SystemWillSleep {
		heldBack = 1
	}
	return C.standin_message(C.uint32_t(message), heldBack, C.int(within.Milliseconds())) == 0
}

// Memory tells a level of memory pressure.
func Memory(level uint) { C.standin_memory(C.uintptr_t(level)) }

// Note sets the state of a notification and posts it.
func Note(name string, state uint64) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	C.standin_note(c, C.uint64_t(state))
}

// RefuseNext makes the next registration with IOKit fail.
func RefuseNext() { C.standin_refuse() }

// Live is how many registrations, sources and queues there are.
func Live() int { return int(C.standin_live()) }
