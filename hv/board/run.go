package board

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// Run starts the guest and blocks until it ends, or ctx does, and everything
// that Run started has ended. The outcome is never nil when err is.
func (b *Board) Run(ctx context.Context) (*Outcome, error) {
	b.mu.Lock()
	if !b.started.IsZero() || b.closed {
		b.mu.Unlock()
		return nil, ErrRunning
	}
	b.started = time.Now()
	b.mu.Unlock()

	if err := b.makeVM(); err != nil {
		b.closeDevices()
		return nil, fmt.Errorf("cannot run the machine: %w", err)
	}
	defer context.AfterFunc(ctx, func() { b.Stop(context.Cause(ctx).Error()) })()
	run := b.runCPUs
	if b.driver != nil {
		run = b.driver.run
	}
	err := run()
	b.doom.disarm()
	b.closeDevices()
	b.endTrace()
	b.pause.finish()
	out := b.outcome()
	if cerr := b.vm.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run the machine: %w", err)
	}
	return out, nil
}

// makeVM makes the engine's part: address space, memory, interrupt controller.
func (b *Board) makeVM() error {
	caps := b.cfg.Engine.Caps()
	cfg := hv.Config{}
	if b.driver != nil {
		cfg.Counted = &hv.CountedConfig{PSPerInstruction: b.driver.cfg.PSPerInstruction}
	}
	if need := bits.Len64(RAMBase + b.cfg.Memory - 1); need > defaultIPABits {
		cfg.IPABits = need
	}
	vm, err := b.cfg.Engine.NewVM(cfg)
	if err != nil {
		return err
	}
	b.vm = vm
	if caps.GIC {
		if err := b.makeGIC(); err != nil {
			return errors.Join(err, vm.Close())
		}
	}
	if err := vm.Map(RAMBase, b.ram.Bytes(), ramProt); err != nil {
		return errors.Join(err, vm.Close())
	}
	// The host has just written the kernel.
	vm.Invalidate(b.place.kernel, b.kernelSize)
	if b.driver == nil { // counted time stands still by itself
		b.pause.begin(vm.Counter)
	}
	return nil
}

// ramProt is what the guest may do with its RAM.
const ramProt = hv.Read | hv.Write | hv.Exec

// defaultIPABits is what every engine gives without being asked.
const defaultIPABits = 36

func (b *Board) makeGIC() error {
	g, err := b.vm.NewGIC(hv.GICConfig{Distributor: GICDBase, Redistributor: GICRBase})
	if err != nil {
		return err
	}
	b.setSPI = func(intid uint32, level bool) {
		if err := g.SetSPI(intid, level); err != nil {
			b.finish(Fault, "cannot set interrupt %d: %v", intid, err)
		}
	}
	return nil
}

// runCPUs has every vCPU on its thread until the machine ends. The first vCPU
// begins only when all exist.
func (b *Board) runCPUs() error {
	var wg sync.WaitGroup
	errs := make([]error, len(b.cpus))
	ready := make(chan bool, len(b.cpus))
	begin := make(chan struct{})
	for i, c := range b.cpus {
		wg.Go(func() { errs[i] = c.main(ready, begin) })
	}
	ok := true
	for range b.cpus {
		ok = <-ready && ok
	}
	if ok {
		b.power.boot(b.place)
	} else {
		b.finish(Fault, "a vCPU could not be made")
	}
	close(begin)
	wg.Wait()
	return errors.Join(errs...)
}

// finish decides how the machine ends, if that is not decided, and makes every
// vCPU leave. Any goroutine may call it.
func (b *Board) finish(k Kind, format string, args ...any) {
	b.mu.Lock()
	first := b.end == nil
	if first {
		b.end = &Outcome{Kind: k, Message: fmt.Sprintf(format, args...)}
		b.ran = time.Since(b.started)
	}
	b.mu.Unlock()
	if !first {
		return
	}
	b.stopping.Store(true)
	close(b.stopped)
	for _, c := range b.cpus {
		c.wake()
	}
}

// Stop ends the machine with outcome Stopped, unless it has ended. It does not
// wait: Run does.
func (b *Board) Stop(reason string) { b.finish(Stopped, "%s", reason) }

// outcome puts together what is known when all vCPUs have left.
func (b *Board) outcome() *Outcome {
	b.mu.Lock()
	out := *b.end
	b.mu.Unlock()
	for _, c := range b.cpus {
		out.CPUs = append(out.CPUs, c.last)
	}
	out.Console = b.cfg.Watch.Lines()
	out.Stats = b.Stats()
	if b.cfg.DigestMemory {
		sum := sha256.Sum256(b.ram.Bytes())
		out.MemorySHA256 = hex.EncodeToString(sum[:])
	}
	return &out
}

// Stats are the counters now.
func (b *Board) Stats() Stats {
	s := Stats{
		Exits:            map[string]uint64{},
		Devices:          b.bus.stats(),
		UnknownRegisters: b.unknown.count.Load(),
		UnknownMMIO:      b.bus.unknown.Load(),
	}
	for _, c := range b.cpus {
		cs := c.stats(s.Exits)
		s.Instructions += cs.Instructions
		s.CPUs = append(s.CPUs, cs)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.end != nil:
		s.Host = b.ran
	case !b.started.IsZero():
		s.Host = time.Since(b.started)
	}
	s.Guest = s.Host - b.pause.total(s.Host)
	if b.driver != nil {
		s.Guest = b.clock.now().Sub(epoch)
	}
	return s
}
