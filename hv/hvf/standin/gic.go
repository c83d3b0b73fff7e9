//go:build macshim && !darwin

package standin

// #include "front.h"
import "C"

import (
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/irq"
)

// A gic is hv_gic: a GICv3 whose registers, WFI and virtual timer never leave
// the framework.
type gic struct {
	distributor, redistributor uint64
	irq                        atomic.Pointer[irq.GIC] // another one after hv_gic_reset
}

const (
	spis      = irq.MaxSPIs
	ppiVTimer = 27
)

//export standin_gic_create
func standin_gic_create(distributor, redistributor C.hv_ipa_t) C.hv_return_t {
	m := current.Load()
	switch {
	case m == nil:
		return C.HV_NO_DEVICE
	case m.gic.Load() != nil:
		return C.HV_BUSY
	}
	g := &gic{distributor: uint64(distributor), redistributor: uint64(redistributor)}
	if err := g.renew(); err != nil {
		return status(err)
	}
	m.gic.Store(g)
	return C.HV_SUCCESS
}

// renew puts in a GIC as after power-on, for as many vCPUs as there may be.
func (g *gic) renew() error {
	fresh, err := irq.New(C.STANDIN_VCPUS, spis, func(cpu int) {
		if v := byAffinity[cpu].Load(); v != nil {
			v.interrupt()
		}
	})
	if err == nil {
		g.irq.Store(fresh)
	}
	return err
}

// controller is the VM's GIC.
func controller() (*gic, C.hv_return_t) {
	m := current.Load()
	if m == nil || m.gic.Load() == nil {
		return nil, C.HV_NO_DEVICE
	}
	return m.gic.Load(), C.HV_SUCCESS
}

//export standin_gic_set_spi
func standin_gic_set_spi(intid C.uint32_t, level C.bool) C.hv_return_t {
	g, err := controller()
	if err == C.HV_SUCCESS && (intid < irq.FirstSPI || intid >= irq.FirstSPI+spis) {
		err = C.HV_BAD_ARGUMENT
	}
	if err == C.HV_SUCCESS {
		g.irq.Load().SetSPI(uint32(intid), bool(level))
	}
	return err
}

//export standin_gic_reset
func standin_gic_reset() C.hv_return_t {
	g, err := controller()
	if err == C.HV_SUCCESS {
		err = status(g.renew())
	}
	return err
}

// A parker is where a vCPU waits in WFI. Wakes before a wait are not lost.
type parker struct{ token chan struct{} }

func newParker() parker { return parker{make(chan struct{}, 1)} }

func (p parker) wake() {
	select {
	case p.token <- struct{}{}:
	default:
	}
}

// wait waits for a wake, or for at most d when d is not negative.
func (p parker) wait(d time.Duration) {
	if d < 0 {
		<-p.token
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.token:
	case <-t.C:
	}
}

// runWithGIC is run with the framework's GIC: lines come from it, and what the
// guest does with it is no exit.
func (v *vcpu) runWithGIC() error {
	for {
		g := v.m.gic.Load().irq.Load()
		irq, fiq := g.Pending(v.affinity)
		if err := v.soft.SetPending(irq, fiq); err != nil {
			return err
		}
		if err := v.soft.Run(&v.e); err != nil {
			return err
		}
		if err := v.sampleTimer(g); err != nil {
			return err
		}
		done, err := v.serve(g)
		if err != nil {
			return err
		}
		if done || v.canceled.Load() {
			v.leave()
			return nil
		}
	}
}

// leave reports the exit, or the cancel when the exit has been dealt with.
func (v *vcpu) leave() {
	switch v.e.Kind {
	case hv.Kicked, hv.WFI, hv.VTimer, hv.WFE:
		v.canceled.Store(false)
		v.e = hv.Exit{Kind: hv.Kicked}
	}
	v.report()
}

// serve deals with an exit. It answers true for one that is the caller's.
func (v *vcpu) serve(g *irq.GIC) (done bool, err error) {
	switch v.e.Kind {
	case hv.Kicked:
		return false, nil
	case hv.VTimer:
		g.SetPPI(v.affinity, ppiVTimer, true)
		return false, nil
	case hv.WFE:
		runtime.Gosched()
		return false, nil
	case hv.WFI:
		return false, v.waitForInterrupt(g)
	case hv.Trap:
		return v.access(g)
	case hv.MMIO:
		return v.mmio(g)
	}
	return true, nil
}

// answered completes a read of the GIC's, which is no exit.
func (v *vcpu) answered(x uint64) (bool, error) {
	var err error
	if !v.e.Write {
		err = v.e.Complete(v.soft, x)
	}
	v.e = hv.Exit{Kind: hv.Kicked}
	return false, err
}

func (v *vcpu) access(g *irq.GIC) (done bool, err error) {
	x, ok := g.Access(v.affinity, v.e.Sys, v.e.Write, v.e.Value)
	if !ok {
		return true, nil
	}
	return v.answered(x)
}

func (v *vcpu) mmio(g *irq.GIC) (done bool, err error) {
	frame, off := g.Distributor(), v.e.IPA-v.m.gic.Load().distributor
	if off >= irq.DistributorSize {
		frame, off = g.Redistributors(), v.e.IPA-v.m.gic.Load().redistributor
		if off >= C.STANDIN_VCPUS*irq.RedistributorSize {
			return true, nil
		}
	}
	if v.e.Write {
		frame.Write(off, int(v.e.Size), v.e.Value)
		return v.answered(0)
	}
	return v.answered(frame.Read(off, int(v.e.Size)))
}

// Fields of CNTV_CTL_EL0.
const (
	timerEnable = 1
	timerMask   = 2
	timerStatus = 4
)

// sampleTimer keeps the virtual timer's line at what its condition is.
func (v *vcpu) sampleTimer(g *irq.GIC) error {
	masked, err := v.soft.VTimerMask()
	if err != nil || !masked {
		return err
	}
	ctl, err := v.soft.SysReg(arm64.CNTV_CTL_EL0)
	if err != nil || ctl&(timerEnable|timerMask|timerStatus) == timerEnable|timerStatus {
		return err
	}
	g.SetPPI(v.affinity, ppiVTimer, false)
	return v.soft.SetVTimerMask(false)
}

// waitForInterrupt waits as WFI does.
func (v *vcpu) waitForInterrupt(g *irq.GIC) error {
	for !v.canceled.Load() {
		if irq, fiq := g.Pending(v.affinity); irq || fiq {
			return nil
		}
		d, err := v.untilTimer()
		if err != nil || d == 0 {
			return err // the next run finds it due
		}
		v.park.wait(d)
	}
	return nil
}

// untilTimer is how long the virtual timer has left, negative for always.
func (v *vcpu) untilTimer() (time.Duration, error) {
	ctl, err := v.soft.SysReg(arm64.CNTV_CTL_EL0)
	if err != nil || ctl&(timerEnable|timerMask) != timerEnable {
		return -1, err
	}
	masked, err := v.soft.VTimerMask()
	if err != nil || masked {
		return -1, err // its line is up already
	}
	cval, err := v.soft.SysReg(arm64.CNTV_CVAL_EL0)
	if err != nil {
		return 0, err
	}
	off, err := v.soft.VTimerOffset()
	if err != nil {
		return 0, err
	}
	now := v.m.vm.Counter() - off
	if cval <= now {
		return 0, nil
	}
	return time.Duration(min(cval-now, 1<<38) * tickNS), nil
}

// stateMu keeps two savers apart; a saved GIC is that of a stopped machine.
var stateMu sync.Mutex

// stateRegs are the words that a GIC's state has, in the order in which they are
// restored: of the distributor, then of every redistributor.
func (g *gic) stateRegs(visit func(f *irq.Frame, off uint64)) {
	c := g.irq.Load()
	for _, r := range distributorState {
		for off := r.from; off < r.to; off += 4 {
			visit(c.Distributor(), off)
		}
	}
	for cpu := range uint64(C.STANDIN_VCPUS) {
		for _, off := range redistributorState {
			visit(c.Redistributors(), cpu*irq.RedistributorSize+off)
		}
	}
}

// A span is registers of the distributor, by offset (IHI 0069, 12.8).
type span struct{ from, to uint64 }

var distributorState = []span{
	{0x0000, 0x0004}, {0x0084, 0x0100}, {0x0420, 0x07e0}, {0x0c08, 0x0d00}, // CTLR, IGROUPR, IPRIORITYR, ICFGR
	{0x6100, 0x7f00}, {0x0104, 0x0180}, {0x0204, 0x0280}, {0x0304, 0x0380}, // IROUTER, ISENABLER, ISPENDR, ISACTIVER
}

var redistributorState = []uint64{
	0x0014, 0x1_0080, 0x1_0c04, 0x1_0400, 0x1_0404, 0x1_0408, 0x1_040c, 0x1_0410, 0x1_0414, 0x1_0418, 0x1_041c,
	0x1_0100, 0x1_0200, 0x1_0300,
}

// standin_gic_state writes at most n bytes of state and gives its size.
//
//export standin_gic_state
func standin_gic_state(data unsafe.Pointer, n C.size_t) C.size_t {
	stateMu.Lock()
	defer stateMu.Unlock()
	g, err := controller()
	if err != C.HV_SUCCESS {
		return 0
	}
	var b []byte
	g.stateRegs(func(f *irq.Frame, off uint64) { b = binary.LittleEndian.AppendUint32(b, uint32(f.Read(off, 4))) })
	if data != nil {
		copy(unsafe.Slice((*byte)(data), int(n)), b)
	}
	return C.size_t(len(b))
}

//export standin_gic_set_state
func standin_gic_set_state(data unsafe.Pointer, n C.size_t) C.hv_return_t {
	stateMu.Lock()
	defer stateMu.Unlock()
	g, err := controller()
	if err != C.HV_SUCCESS {
		return err
	}
	words := 0
	g.stateRegs(func(*irq.Frame, uint64) { words++ })
	if data == nil || int(n) != 4*words {
		return C.HV_BAD_ARGUMENT
	}
	if err := g.renew(); err != nil {
		return status(err)
	}
	b := unsafe.Slice((*byte)(data), int(n))
	g.stateRegs(func(f *irq.Frame, off uint64) {
		f.Write(off, 4, uint64(binary.LittleEndian.Uint32(b)))
		b = b[4:]
	})
	return C.HV_SUCCESS
}
