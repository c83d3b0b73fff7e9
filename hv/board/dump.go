package board

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// dumped are the system registers of a crash report.
var dumped = []hv.SysReg{
	arm64.SP_EL0, arm64.SP_EL1, arm64.ELR_EL1, arm64.SPSR_EL1,
	arm64.ESR_EL1, arm64.FAR_EL1, arm64.VBAR_EL1, arm64.SCTLR_EL1,
	arm64.TTBR0_EL1, arm64.TTBR1_EL1, arm64.TCR_EL1, arm64.MAIR_EL1,
	arm64.CNTV_CTL_EL0, arm64.CNTV_CVAL_EL0,
}

// registers reads the vCPU, on its own goroutine.
func (c *cpu) registers() Registers {
	r := Registers{CPU: c.index, On: c.on, Waiting: c.state.Load() == stateWaiting}
	if !c.on {
		return r
	}
	if err := c.readInto(&r); err != nil {
		r.Err = err.Error()
	}
	return r
}

func (c *cpu) readInto(r *Registers) (err error) {
	for i := range r.X {
		if r.X[i], err = c.vc.Reg(hv.Reg(i)); err != nil {
			return err
		}
	}
	if r.PC, err = c.vc.Reg(hv.PC); err != nil {
		return err
	}
	if r.CPSR, err = c.vc.Reg(hv.CPSR); err != nil {
		return err
	}
	for _, enc := range dumped {
		v, err := c.vc.SysReg(enc)
		if err != nil {
			return err
		}
		r.Sys = append(r.Sys, SysValue{arm64.Name(enc), enc, v})
	}
	return nil
}

// Registers asks every vCPU for its registers, interrupting it for an instant.
// A machine that does not run has none. Errors: ctx's.
func (b *Board) Registers(ctx context.Context) ([]Registers, error) {
	list := make([]Registers, 0, len(b.cpus))
	for _, c := range b.cpus {
		r, err := c.ask(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// ask has the vCPU answer for its registers.
func (c *cpu) ask(ctx context.Context) (Registers, error) {
	r := Registers{CPU: c.index}
	err := c.do(ctx, func() { r = c.registers() })
	if errors.Is(err, ErrEnded) {
		err = nil
	}
	return r, err
}

// do has f run on the vCPU's goroutine, outside the engine, and waits for it.
// With an error f has not run: ErrEnded, or ctx's.
func (c *cpu) do(ctx context.Context, f func()) error {
	var claimed atomic.Bool // by f, or by who gives up
	done := make(chan struct{})
	ask := func() {
		if claimed.CompareAndSwap(false, true) {
			f()
			close(done)
		}
	}
	give := func(err error) error {
		if claimed.CompareAndSwap(false, true) {
			return err
		}
		<-done
		return nil
	}
	select {
	case c.asks <- ask:
	case <-c.b.stopped:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	c.wake()
	select {
	case <-done:
		return nil
	case <-c.b.stopped:
		return give(ErrEnded)
	case <-ctx.Done():
		return give(ctx.Err())
	}
}

// unknownRegs counts accesses to system registers that nobody knows.
type unknownRegs struct {
	count atomic.Uint64

	mu   sync.Mutex // guards seen
	seen [1 << 16 / 64]uint64
}

// see counts one and logs the first of each register.
func (u *unknownRegs) see(e *hv.Exit, log func(string, ...any)) {
	u.count.Add(1)
	u.mu.Lock()
	word, bit := e.Sys/64, uint64(1)<<(e.Sys%64)
	first := u.seen[word]&bit == 0
	u.seen[word] |= bit
	u.mu.Unlock()
	if !first {
		return
	}
	if e.Write {
		log("guest writes %#x to unknown register %s: ignored", e.Value, arm64.Name(e.Sys))
		return
	}
	log("guest reads unknown register %s: zero", arm64.Name(e.Sys))
}
