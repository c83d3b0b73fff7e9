package irq

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// newTest makes a controller as a kernel has it after its start: everything in
// group 1 at priority 0xa0, groups on, nothing masked.
func newTest(t testing.TB, cpus int) *GIC {
	t.Helper()
	g, err := New(cpus, 64, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range cpus {
		g.cpus[i].private.prepare()
		g.Access(i, arm64.ICC_PMR_EL1, true, 0xf0)
		g.Access(i, arm64.ICC_IGRPEN1_EL1, true, 1)
	}
	for i := range g.spis {
		g.spis[i].prepare()
	}
	g.Distributor().Write(regCTLR, 4, 3)
	return g
}

func (b *bank) prepare() {
	b.group, b.enabled = 0xffffffff, 0xffffffff
	for i := range b.prio {
		b.prio[i] = 0xa0
	}
}

func read(t *testing.T, g *GIC, cpu int, reg arm64.SysReg) uint64 {
	t.Helper()
	v, ok := g.Access(cpu, reg, false, 0)
	if !ok {
		t.Fatalf("%s cannot be read", arm64.Name(reg))
	}
	return v
}

func TestNewBounds(t *testing.T) {
	for _, tt := range []struct{ cpus, spis int }{{0, 32}, {33, 32}, {1, 0}, {1, 961}} {
		if _, err := New(tt.cpus, tt.spis, nil); err == nil {
			t.Errorf("made a GIC for %d vCPUs and %d SPIs", tt.cpus, tt.spis)
		}
	}
}

func TestRegisters(t *testing.T) {
	g := newTest(t, 3)
	tests := []struct {
		name  string
		frame *Frame
		off   uint64
		size  int
		want  uint64
	}{
		{"CTLR says affinity routing and one security state", g.Distributor(), 0, 4, 0x53},
		{"TYPER says 96 INTIDs of 10 bits, RSS", g.Distributor(), 4, 4, 1<<26 | 1<<25 | 9<<19 | 2},
		{"distributor PIDR2 says version 3", g.Distributor(), 0xffe8, 4, 0x3b},
		{"redistributor PIDR2 says version 3", g.Redistributors(), 0xffe8, 4, 0x3b},
		{"component id", g.Distributor(), 0xfffc, 4, 0xb1},
		{"first redistributor is not the last", g.Redistributors(), 8, 8, 0},
		{"last redistributor, affinity 2", g.Redistributors(), 2*RedistributorSize + 8, 8, 2<<32 | 2<<8 | 1<<4},
		{"high word of TYPER alone", g.Redistributors(), 2*RedistributorSize + 12, 4, 2},
		{"beyond the last redistributor", g.Redistributors(), 3*RedistributorSize + 8, 8, 0},
		{"asleep after reset", g.Redistributors(), 0x14, 4, 6},
		{"SGIs are edge triggered", g.Redistributors(), redistSGI + regConfig, 4, 0xaaaaaaaa},
		{"PPIs are not", g.Redistributors(), redistSGI + regConfig + 4, 4, 0},
		{"priority by byte", g.Distributor(), regPrio + 33, 1, 0xa0},
		{"priority by word", g.Distributor(), regPrio + 32, 4, 0xa0a0a0a0},
		{"private priorities are not in the distributor", g.Distributor(), regPrio, 4, 0},
		{"half words do not exist", g.Distributor(), 0, 2, 0},
		{"unaligned words do not exist", g.Distributor(), 2, 4, 0},
		{"double words but for routes do not exist", g.Distributor(), 0, 8, 0},
	}
	for _, tt := range tests {
		if got := tt.frame.Read(tt.off, tt.size); got != tt.want {
			t.Errorf("%s: read %#x, want %#x", tt.name, got, tt.want)
		}
	}
}

func TestWakerIsNoted(t *testing.T) {
	g := newTest(t, 1)
	r := g.Redistributors()
	for _, tt := range []struct{ write, want uint64 }{{0, 0}, {2, 6}, {4, 0}} {
		r.Write(redistWAKER, 4, tt.write)
		if got := r.Read(redistWAKER, 4); got != tt.want {
			t.Errorf("WAKER after writing %d is %d, want %d", tt.write, got, tt.want)
		}
	}
}

func TestCPUInterface(t *testing.T) {
	tests := []struct {
		name  string
		setup arm64.SysReg
		value uint64
		reg   arm64.SysReg
		want  uint64
	}{
		{"SRE is fixed", arm64.ICC_SRE_EL1, 0, arm64.ICC_SRE_EL1, 7},
		{"CTLR says 5 priority bits and RSS", arm64.ICC_CTLR_EL1, 0, arm64.ICC_CTLR_EL1, 1<<18 | 4<<8},
		{"CTLR keeps EOImode and CBPR", arm64.ICC_CTLR_EL1, 3, arm64.ICC_CTLR_EL1, 1<<18 | 4<<8 | 3},
		{"PMR keeps 5 bits", arm64.ICC_PMR_EL1, 0xff, arm64.ICC_PMR_EL1, 0xf8},
		{"BPR0 is at least 2", arm64.ICC_BPR0_EL1, 0, arm64.ICC_BPR0_EL1, 2},
		{"BPR1 is at least 3", arm64.ICC_BPR1_EL1, 0, arm64.ICC_BPR1_EL1, 3},
		{"BPR1 is BPR0 and one while common", arm64.ICC_CTLR_EL1, 1, arm64.ICC_BPR1_EL1, 3},
		{"nothing is handled", arm64.ICC_PMR_EL1, 0xf0, arm64.ICC_RPR_EL1, 0xff},
		{"active priorities can be restored", arm64.ICC_AP1R0_EL1, 1 << 4, arm64.ICC_RPR_EL1, 0x20},
		{"AP0R too", arm64.ICC_AP0R0_EL1, 1 << 3, arm64.ICC_AP0R0_EL1, 1 << 3},
		{"nothing to acknowledge", arm64.ICC_PMR_EL1, 0xf0, arm64.ICC_IAR1_EL1, spurious},
	}
	for _, tt := range tests {
		g := newTest(t, 1)
		if _, ok := g.Access(0, tt.setup, true, tt.value); !ok {
			t.Errorf("%s: write refused", tt.name)
		}
		if got := read(t, g, 0, tt.reg); got != tt.want {
			t.Errorf("%s: %s reads %#x, want %#x", tt.name, arm64.Name(tt.reg), got, tt.want)
		}
	}
}

func TestAccessRefuses(t *testing.T) {
	tests := []struct {
		name  string
		cpu   int
		reg   arm64.SysReg
		write bool
	}{
		{"writing IAR1", 0, arm64.ICC_IAR1_EL1, true},
		{"writing RPR", 0, arm64.ICC_RPR_EL1, true},
		{"reading EOIR1", 0, arm64.ICC_EOIR1_EL1, false},
		{"reading SGI1R", 0, arm64.ICC_SGI1R_EL1, false},
		{"AP1R1, which needs 6 bits of priority", 0, arm64.ICC_AP1R1_EL1, false},
		{"no GIC register", 0, arm64.SCTLR_EL1, false},
		{"no such CPU", 1, arm64.ICC_IAR1_EL1, false},
		{"negative CPU", -1, arm64.ICC_IAR1_EL1, false},
	}
	g := newTest(t, 1)
	for _, tt := range tests {
		if v, ok := g.Access(tt.cpu, tt.reg, tt.write, 0); ok || v != 0 {
			t.Errorf("%s: answered %#x, %v", tt.name, v, ok)
		}
	}
}

// TestLevelComesBack is the life of a device interrupt: a line that stays high
// is signalled again after the end of the first.
func TestLevelComesBack(t *testing.T) {
	g := newTest(t, 1)
	line := g.SPI(40)
	line(true)
	if got := read(t, g, 0, arm64.ICC_IAR1_EL1); got != 40 {
		t.Fatalf("acknowledged %d, want 40", got)
	}
	if irq, _ := g.Pending(0); irq {
		t.Error("signalled while active")
	}
	g.Access(0, arm64.ICC_EOIR1_EL1, true, 40)
	if irq, _ := g.Pending(0); !irq {
		t.Error("not signalled again though the line is high")
	}
	line(false)
	if irq, _ := g.Pending(0); irq {
		t.Error("still signalled though the line is low")
	}
}

func TestPreemption(t *testing.T) {
	g := newTest(t, 1)
	g.Distributor().Write(regPrio+41, 1, 0x40)
	g.SetSPI(40, true)
	if got := read(t, g, 0, arm64.ICC_IAR1_EL1); got != 40 {
		t.Fatalf("acknowledged %d, want 40", got)
	}
	g.SetSPI(42, true)
	if got := read(t, g, 0, arm64.ICC_IAR1_EL1); got != spurious {
		t.Errorf("the same priority preempted: %d", got)
	}
	g.SetSPI(41, true)
	if got := read(t, g, 0, arm64.ICC_IAR1_EL1); got != 41 {
		t.Errorf("acknowledged %d, want 41", got)
	}
	if got := read(t, g, 0, arm64.ICC_RPR_EL1); got != 0x40 {
		t.Errorf("running priority %#x, want 0x40", got)
	}
}

// TestSGIReachesEveryRange sends to each of 32 CPUs by list and range.
func TestSGIReachesEveryRange(t *testing.T) {
	g := newTest(t, 32)
	for to := range uint64(32) {
		g.Access(5, arm64.ICC_SGI1R_EL1, true, 7<<24|to/16<<44|1<<(to%16))
		for i := range 32 {
			want := uint64(spurious)
			if i == int(to) {
				want = 7
			}
			if got := read(t, g, i, arm64.ICC_IAR1_EL1); got != want {
				t.Errorf("SGI to CPU%d: CPU%d acknowledges %d, want %d", to, i, got, want)
			}
			g.Access(i, arm64.ICC_EOIR1_EL1, true, 7)
		}
	}
}

func TestSGIToNobody(t *testing.T) {
	for name, v := range map[string]uint64{
		"other Aff1": 1<<16 | 1, "other Aff2": 1<<32 | 1, "other Aff3": 1<<48 | 1, "range 2": 2<<44 | 1, "range 15": 15<<44 | 1,
	} {
		g := newTest(t, 32)
		g.Access(0, arm64.ICC_SGI1R_EL1, true, v)
		for i := range 32 {
			if irq, _ := g.Pending(i); irq {
				t.Errorf("%s: reached CPU%d", name, i)
			}
		}
	}
}

func TestResetCPU(t *testing.T) {
	g := newTest(t, 1)
	g.SetSPI(40, true)
	g.ResetCPU(0)
	if irq, _ := g.Pending(0); irq {
		t.Error("signalled after the reset, with its group off")
	}
	if got := read(t, g, 0, arm64.ICC_PMR_EL1); got != 0 {
		t.Errorf("PMR is %#x after the reset", got)
	}
}

// TestTogether has devices and CPUs at it at once: the callback and the last
// state agree, which -race watches too.
func TestTogether(t *testing.T) {
	const cpus, rounds = 4, 2000
	var told [cpus]atomic.Uint64
	g, err := New(cpus, 64, func(cpu int) { told[cpu].Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	for i := range cpus {
		g.cpus[i].private.prepare()
	}
	var wg sync.WaitGroup
	for i := range cpus {
		wg.Go(func() {
			g.Access(i, arm64.ICC_PMR_EL1, true, 0xf0)
			g.Access(i, arm64.ICC_IGRPEN1_EL1, true, 1)
			for range rounds {
				g.Access(i, arm64.ICC_SGI1R_EL1, true, 1<<40|2<<24)
				if n, _ := g.Access(i, arm64.ICC_IAR1_EL1, false, 0); n != spurious {
					g.Access(i, arm64.ICC_EOIR1_EL1, true, n)
				}
			}
		})
	}
	g.Distributor().Write(regCTLR, 4, 2)
	wg.Wait()
	for i := range cpus {
		if n := read(t, g, i, arm64.ICC_IAR1_EL1); n != spurious {
			g.Access(i, arm64.ICC_EOIR1_EL1, true, n)
		}
		if irq, _ := g.Pending(i); irq {
			t.Errorf("CPU%d still has an interrupt", i)
		}
		if n := told[i].Load(); n == 0 || n%2 != 0 {
			t.Errorf("CPU%d was told of %d changes, want an even number above 0", i, n)
		}
	}
}

// FuzzAccess lets a guest do anything anywhere. Nothing may panic, and no
// access may leave an output that an idle controller would not have.
func FuzzAccess(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 4, 3, 1, 0x80, 0, 0, 4, 0xff, 2, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, ops []byte) {
		g := newTest(t, 2)
		frames := []*Frame{g.Distributor(), g.Redistributors()}
		for ; len(ops) >= 6; ops = ops[6:] {
			off := uint64(ops[1])<<12 | uint64(ops[2])<<4 | uint64(ops[3]&15)
			v := uint64(ops[5]) * 0x0101_0101_0101_0101
			switch ops[0] % 4 {
			case 0, 1:
				frames[ops[0]%2].Write(off-uint64(ops[4]>>7), int(ops[4]%17), v)
			case 2:
				frames[ops[4]>>6&1].Read(off-uint64(ops[4]>>7), int(ops[4]%17))
			default:
				g.Access(int(int8(ops[4]))%3, arm64.Encode(3, 0, ops[1]%16, ops[2], ops[3]), ops[4]&1 != 0, v)
			}
		}
		for i := range g.cpus {
			before, _ := g.Pending(i)
			g.change(g.all)
			if after, _ := g.Pending(i); before != after {
				t.Fatalf("CPU%d has an output of %v, which should be %v", i, before, after)
			}
		}
	})
}
