package board

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// A fakeEngine's vCPUs do what a script says instead of executing code.
type fakeEngine struct {
	gic     bool
	ipaBits int
	scripts [][]step // by vCPU; beyond the end a vCPU spins until kicked
	failNew int      // NewVCPU fails for this vCPU, unless 0

	mu sync.Mutex // guards vm
	vm *fakeVM
}

// A step is one Run: it fills in an exit, or fails as an engine would.
type step func(v *fakeVCPU, e *hv.Exit) error

func (f *fakeEngine) Name() string { return "fake" }

func (f *fakeEngine) Caps() hv.Caps {
	return hv.Caps{MaxVCPUs: 8, IPABits: max(f.ipaBits, 36), Granule: 16 << 10, GIC: f.gic}
}

func (f *fakeEngine) FeatureReg(hv.SysReg) (uint64, error) { return 0, hv.ErrUnsupported }

func (f *fakeEngine) NewVM(hv.Config) (hv.VM, error) {
	vm := &fakeVM{engine: f, began: time.Now(), spi: map[uint32]bool{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.vm = vm
	return vm, nil
}

type fakeVM struct {
	engine *fakeEngine
	began  time.Time

	mu     sync.Mutex // guards what follows
	open   int        // vCPUs not closed
	closed bool
	spi    map[uint32]bool // of the in-kernel GIC
}

func (m *fakeVM) Map(uint64, []byte, hv.Prot) error     { return nil }
func (m *fakeVM) Unmap(uint64, uint64) error            { return nil }
func (m *fakeVM) Protect(uint64, uint64, hv.Prot) error { return nil }
func (m *fakeVM) Invalidate(uint64, uint64)             {}
func (m *fakeVM) CounterFreq() uint64                   { return 24_000_000 }
func (m *fakeVM) Counter() uint64                       { return 1000 + uint64(time.Since(m.began)/125*3) }
func (m *fakeVM) SetSPI(n uint32, level bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spi[n] = level
	return nil
}
func (m *fakeVM) Reset() error           { return nil }
func (m *fakeVM) State() ([]byte, error) { return nil, hv.ErrUnsupported }
func (m *fakeVM) SetState([]byte) error  { return hv.ErrUnsupported }

func (m *fakeVM) NewGIC(hv.GICConfig) (hv.GIC, error) {
	if !m.engine.gic {
		return nil, hv.ErrUnsupported
	}
	return m, nil
}

func (m *fakeVM) NewVCPU(index int) (hv.VCPU, error) {
	if index != 0 && index == m.engine.failNew {
		return nil, hv.ErrUnsupported
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open++
	v := &fakeVCPU{vm: m, index: index, kicks: make(chan struct{}, 1), sys: map[hv.SysReg]uint64{}}
	if index < len(m.engine.scripts) {
		v.script = m.engine.scripts[index]
	}
	return v, nil
}

// Close fails a test by its error when a vCPU is left.
func (m *fakeVM) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.open != 0 {
		return hv.ErrBusy
	}
	return nil
}

type fakeVCPU struct {
	vm     *fakeVM
	index  int
	script []step
	kicks  chan struct{}
	regs   [35]uint64
	sys    map[hv.SysReg]uint64
	irq    bool
	masked bool
	offset uint64
}

// Run plays the next step. A kick comes first.
func (v *fakeVCPU) Run(e *hv.Exit) error {
	*e = hv.Exit{Kind: hv.Kicked}
	select {
	case <-v.kicks:
		return nil
	default:
	}
	if len(v.script) == 0 {
		<-v.kicks
		return nil
	}
	s := v.script[0]
	v.script = v.script[1:]
	return s(v, e)
}

func (v *fakeVCPU) Kick() {
	select {
	case v.kicks <- struct{}{}:
	default:
	}
}

func (v *fakeVCPU) Reg(r hv.Reg) (uint64, error)          { return v.regs[r], nil }
func (v *fakeVCPU) SetReg(r hv.Reg, x uint64) error       { v.regs[r] = x; return nil }
func (v *fakeVCPU) VReg(int) ([16]byte, error)            { return [16]byte{}, nil }
func (v *fakeVCPU) SetVReg(int, [16]byte) error           { return nil }
func (v *fakeVCPU) SetSysReg(r hv.SysReg, x uint64) error { v.sys[r] = x; return nil }
func (v *fakeVCPU) SetPending(irq, fiq bool) error        { v.irq = irq; return nil }
func (v *fakeVCPU) VTimerMask() (bool, error)             { return v.masked, nil }
func (v *fakeVCPU) SetVTimerMask(masked bool) error       { v.masked = masked; return nil }
func (v *fakeVCPU) VTimerOffset() (uint64, error)         { return v.offset, nil }
func (v *fakeVCPU) SetVTimerOffset(off uint64) error      { v.offset = off; return nil }

func (v *fakeVCPU) SysReg(r hv.SysReg) (uint64, error) {
	x := v.sys[r]
	if r == arm64.CNTV_CTL_EL0 && x&timerEnable != 0 && v.count() >= v.sys[arm64.CNTV_CVAL_EL0] {
		x |= timerStatus
	}
	return x, nil
}

// count is CNTVCT_EL0.
func (v *fakeVCPU) count() uint64 { return v.vm.Counter() - v.offset }

func (v *fakeVCPU) Close() error {
	v.vm.mu.Lock()
	defer v.vm.mu.Unlock()
	v.vm.open--
	return nil
}

// Steps of scripts.

// hvc makes a call with arguments, and want looks at X0 in the next step.
func hvc(fn uint32, args ...uint64) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		v.regs[0] = uint64(fn)
		copy(v.regs[1:4], []uint64{0, 0, 0})
		copy(v.regs[1:4], args)
		*e = hv.Exit{Kind: hv.HVC}
		return nil
	}
}

func store(addr uint64, size uint8, x uint64) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		*e = hv.Exit{Kind: hv.MMIO, Write: true, Size: size, IPA: addr, Value: x}
		return nil
	}
}

// load reads into X5.
func load(addr uint64, size uint8) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		*e = hv.Exit{Kind: hv.MMIO, Size: size, IPA: addr, Reg: 5}
		return nil
	}
}

func msr(reg hv.SysReg, x uint64) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		*e = hv.Exit{Kind: hv.Trap, Write: true, Sys: reg, Value: x}
		return nil
	}
}

// mrs reads into X5.
func mrs(reg hv.SysReg) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		*e = hv.Exit{Kind: hv.Trap, Sys: reg, Reg: 5}
		return nil
	}
}

func exit(k hv.ExitKind) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		*e = hv.Exit{Kind: k}
		return nil
	}
}

// do looks or changes something and comes back as if kicked.
func do(f func(v *fakeVCPU)) step {
	return func(v *fakeVCPU, e *hv.Exit) error {
		f(v)
		return nil
	}
}

// say writes text to the UART.
func say(text string) []step {
	var list []step
	for _, c := range []byte(text) {
		list = append(list, store(UARTBase, 1, uint64(c)))
	}
	return list
}

// gicOn is what a kernel does before it takes interrupts on this vCPU.
func gicOn(cpu uint64) []step {
	sgi := GICRBase + cpu*0x20000 + 0x10000
	return []step{
		store(GICDBase, 4, 3),
		store(GICDBase+0x84, 4, 0xffffffff), store(GICDBase+0x104, 4, 0xffffffff),
		store(sgi+0x80, 4, 0xffffffff), store(sgi+0x100, 4, 0xffffffff),
		msr(arm64.ICC_PMR_EL1, 0xf0), msr(arm64.ICC_IGRPEN1_EL1, 1),
	}
}

func steps(parts ...any) []step {
	var list []step
	for _, p := range parts {
		switch p := p.(type) {
		case step:
			list = append(list, p)
		case []step:
			list = append(list, p...)
		}
	}
	return list
}

// fakeKernel is a header and no more.
func fakeKernel() *image.Kernel {
	return &image.Kernel{TextOffset: 0, ImageSize: 1 << 20, Data: make([]byte, 4096), Compression: image.Raw}
}

// newFake makes a board whose vCPUs follow scripts.
func newFake(t testing.TB, change func(*Config), scripts ...[]step) *Board {
	t.Helper()
	cfg := Config{
		Engine: &fakeEngine{scripts: scripts}, CPUs: max(len(scripts), 1), Memory: MinMemory,
		Kernel: fakeKernel(), Seed: []byte("seed"), Log: t.Logf,
	}
	if change != nil {
		change(&cfg)
	}
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// mustRun runs a board to its end, within a minute of a bubble's time.
func mustRun(t testing.TB, b *Board) *Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := b.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// nullDevice takes buffers and gives them back unused.
type nullDevice struct{}

func (nullDevice) Info() virtio.Info {
	return virtio.Info{ID: virtio.IDEntropy, QueueMax: []uint16{8}}
}

func (nullDevice) Serve(ctx context.Context, qs []*virtio.Queue) error {
	for {
		c, err := qs[0].Next(ctx)
		if err != nil {
			return err
		}
		c.Finish(0)
	}
}
