//go:build (darwin && arm64 && cgo) || macshim

package hvf

// #include "hvf.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// vm implements hv.VM: the one of this process.
type vm struct {
	engine *engine
	slots  *slots
	freq   uint64

	mu   sync.Mutex // guards what follows
	gic  bool       // NewGIC has been called
	used []bool     // by vCPU number
}

func (v *vm) Map(ipa uint64, mem []byte, p hv.Prot) error {
	return v.slots.add(slot{ipa, mem, p}, func() error {
		return check("map guest memory", C.hv_vm_map(unsafe.Pointer(unsafe.SliceData(mem)), C.hv_ipa_t(ipa), C.size_t(len(mem)), C.hv_memory_flags_t(p)))
	})
}

func (v *vm) Unmap(ipa, size uint64) error {
	return v.slots.change("unmap", ipa, size, func(p slot) error {
		return check("unmap guest memory", C.hv_vm_unmap(C.hv_ipa_t(p.base), C.size_t(len(p.mem))))
	}, func(slot) (slot, bool) { return slot{}, false })
}

func (v *vm) Protect(ipa, size uint64, prot hv.Prot) error {
	return v.slots.change("protect", ipa, size, func(p slot) error {
		return check("protect guest memory", C.hv_vm_protect(C.hv_ipa_t(p.base), C.size_t(len(p.mem)), C.hv_memory_flags_t(prot)))
	}, func(p slot) (slot, bool) { return slot{p.base, p.mem, prot}, true })
}

// Invalidate makes the processor fetch again what the host has written; its own
// caches are the only decodings there are.
func (v *vm) Invalidate(ipa, size uint64) {
	if size == 0 || ipa >= v.slots.limit {
		return
	}
	v.slots.mu.Lock()
	defer v.slots.mu.Unlock()
	parts, _ := v.slots.overlapping(ipa, min(size, v.slots.limit-ipa))
	for _, p := range parts {
		C.hvf_invalidate_code(unsafe.Pointer(unsafe.SliceData(p.mem)), C.size_t(len(p.mem)))
	}
}

func (v *vm) CounterFreq() uint64 { return v.freq }
func (v *vm) Counter() uint64     { return uint64(C.hvf_counter()) }

// take reserves a vCPU's number.
func (v *vm) take(index int) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case index < 0 || index >= len(v.used):
		return fmt.Errorf("there are %d at most: %w", len(v.used), hv.ErrUnsupported)
	case v.used[index]:
		return errors.New("it exists")
	}
	v.used[index] = true
	return nil
}

func (v *vm) give(index int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.used[index] = false
}

func (v *vm) Close() error { return check("close the VM", C.hv_vm_destroy()) }
