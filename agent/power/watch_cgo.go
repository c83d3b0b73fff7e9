//go:build cgo && (darwin || macshim)

package power

// #include "power.h"
import "C"

import (
	"context"
	"errors"
	"sync"
)

// A watch is one call of Watch. C knows it by a number, so that what comes late finds nobody.
type watch struct {
	handle Handler
	c      *C.struct_power
	notes  []*note

	calls sync.Mutex // held while the handler is called
}

var watches = struct {
	mu   sync.Mutex // guards what follows
	last C.uintptr_t
	all  map[C.uintptr_t]*watch
}{all: map[C.uintptr_t]*watch{}}

// Watch implements Source.
func (system) Watch(handle Handler) (func(), error) {
	w := &watch{handle: handle}
	watches.mu.Lock()
	watches.last++
	id := watches.last
	watches.all[id] = w
	watches.mu.Unlock()
	forget := func() {
		watches.mu.Lock()
		defer watches.mu.Unlock()
		delete(watches.all, id)
	}
	if w.c = C.power_watch(id); w.c == nil {
		forget()
		return nil, errors.New("cannot watch the host's power: IOKit refuses to tell of sleep")
	}
	w.notes = append(w.openNote(thermalLevel, heat), w.openNote(lowPowerMode, lowPower)...)
	return func() {
		C.power_end(w.c)
		for _, n := range w.notes {
			n.close()
		}
		forget()
	}, nil
}

// tell calls the handler.
func (w *watch) tell(e Event) {
	w.calls.Lock()
	defer w.calls.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), SleepTime)
	defer cancel()
	w.handle(ctx, e)
}

func watchOf(id C.uintptr_t) *watch {
	watches.mu.Lock()
	defer watches.mu.Unlock()
	return watches.all[id]
}

// powerMessage is told what IOKit says, on the queue's thread. It returns when the change is to be allowed.
//
//export powerMessage
func powerMessage(id C.uintptr_t, message C.uint32_t) {
	w := watchOf(id)
	if w == nil {
		return
	}
	switch message {
	case C.POWER_WILL_SLEEP:
		w.tell(WillSleep)
	case C.POWER_HAS_POWERED_ON, C.POWER_WILL_NOT_SLEEP:
		w.tell(DidWake)
	}
}

// powerMemory is told the host's memory pressure, on the queue's thread. Several levels may come as one: the worst counts.
//
//export powerMemory
func powerMemory(id C.uintptr_t, level C.ulong) {
	w := watchOf(id)
	switch {
	case w == nil:
	case level&C.POWER_MEMORY_CRITICAL != 0:
		w.tell(MemoryCritical)
	case level&C.POWER_MEMORY_WARN != 0:
		w.tell(MemoryTight)
	case level&C.POWER_MEMORY_NORMAL != 0:
		w.tell(MemoryEased)
	}
}
