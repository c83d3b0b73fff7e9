package irq

import (
	"fmt"
	"testing"

	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"pgregory.net/rapid"
)

// A model is a GIC written the slow way from IHI 0069: a struct for each
// interrupt of each CPU, no bit words, nothing kept that can be worked out.
type model struct {
	ctlr uint32
	spi  map[uint32]*modelInt
	cpus []*modelCPU
}

type modelInt struct {
	group                                int
	enabled, latch, level, active, edges bool
	prio                                 uint8
	route                                uint64
}

type modelCPU struct {
	ints      map[uint32]*modelInt // SGIs and PPIs
	pmr       uint8
	bpr       [2]uint8
	enable    [2]bool
	stack     []modelActive // what is being handled, highest priority last
	eoi, cbpr bool
}

type modelActive struct {
	group int
	prio  uint8
}

const modelSPIs = 64

func newModel(cpus int) *model {
	m := &model{spi: map[uint32]*modelInt{}}
	for i := uint32(FirstSPI); i < FirstSPI+modelSPIs; i++ {
		m.spi[i] = &modelInt{}
	}
	for range cpus {
		c := &modelCPU{ints: map[uint32]*modelInt{}, bpr: [2]uint8{2, 3}}
		for i := range uint32(FirstSPI) {
			c.ints[i] = &modelInt{edges: i < FirstPPI}
		}
		m.cpus = append(m.cpus, c)
	}
	return m
}

func (m *model) get(cpu int, intid uint32) *modelInt {
	if intid < FirstSPI {
		return m.cpus[cpu].ints[intid]
	}
	return m.spi[intid]
}

func (x *modelInt) pending() bool { return x.latch || x.level && !x.edges }

func (x *modelInt) line(high bool) {
	if high && !x.level && x.edges {
		x.latch = true
	}
	x.level = high
}

// best is the interrupt that HPPIR shows.
func (m *model) best(cpu int) (intid uint32, x *modelInt) {
	for i := range uint32(FirstSPI + modelSPIs) {
		y := m.get(cpu, i)
		if i >= FirstSPI && y.route != uint64(cpu) || !y.pending() || !y.enabled || y.active {
			continue
		}
		if m.ctlr>>y.group&1 == 0 || !m.cpus[cpu].enable[y.group] {
			continue
		}
		if x == nil || y.prio < x.prio {
			intid, x = i, y
		}
	}
	return intid, x
}

// masked is the priority that counts for preemption.
func (c *modelCPU) masked(prio uint8, group int) uint8 {
	field := c.bpr[0] + 1
	if group == 1 && !c.cbpr {
		field = c.bpr[1]
	}
	return uint8(uint(prio) &^ (1<<field - 1))
}

func (m *model) signalled(cpu int) (uint32, *modelInt) {
	c := m.cpus[cpu]
	intid, x := m.best(cpu)
	if x == nil || x.prio >= c.pmr || int(c.masked(x.prio, x.group)) >= c.running() {
		return 0, nil
	}
	return intid, x
}

func (c *modelCPU) running() int {
	if len(c.stack) == 0 {
		return 0xff
	}
	return int(c.stack[len(c.stack)-1].prio)
}

func (m *model) acknowledge(cpu, group int) uint64 {
	intid, x := m.signalled(cpu)
	if x == nil || x.group != group {
		return spurious
	}
	x.active, x.latch = true, false
	c := m.cpus[cpu]
	c.stack = append(c.stack, modelActive{group, c.masked(x.prio, group)})
	return uint64(intid)
}

func (m *model) end(cpu, group int, intid uint32) {
	c := m.cpus[cpu]
	n := len(c.stack)
	if n == 0 || c.stack[n-1].group != group {
		return
	}
	c.stack = c.stack[:n-1]
	if !c.eoi {
		m.deactivate(cpu, intid)
	}
}

func (m *model) deactivate(cpu int, intid uint32) {
	if x := m.get(cpu, intid); x != nil {
		x.active = false
	}
}

// A pair is a GIC and its model, moved in step.
type pair struct {
	t     *rapid.T
	cpus  int
	gic   *GIC
	model *model
	seen  []([2]bool) // outputs as the callback has told them
}

func newPair(t *rapid.T) *pair {
	p := &pair{t: t, cpus: rapid.IntRange(1, 4).Draw(t, "cpus")}
	p.model = newModel(p.cpus)
	p.seen = make([][2]bool, p.cpus)
	woken := func(cpu int) { p.seen[cpu][0], p.seen[cpu][1] = p.gic.Pending(cpu) }
	g, err := New(p.cpus, modelSPIs, woken)
	if err != nil {
		t.Fatal(err)
	}
	p.gic = g
	for i := range p.cpus { // firmware's and the kernel's usual start
		p.icc(i, arm64.ICC_PMR_EL1, 0xf0)
		p.icc(i, arm64.ICC_IGRPEN1_EL1, 1)
		p.model.cpus[i].pmr, p.model.cpus[i].enable[1] = 0xf0, true
	}
	p.gic.Distributor().Write(regCTLR, 4, 3)
	p.model.ctlr = 3
	return p
}

func (p *pair) icc(cpu int, reg arm64.SysReg, v uint64) {
	if _, ok := p.gic.Access(cpu, reg, true, v); !ok {
		p.t.Fatalf("write of %s refused", arm64.Name(reg))
	}
}

// drawInt picks a CPU and one of few interrupts, so that they meet often.
func (p *pair) drawInt() (cpu int, intid uint32, x *modelInt) {
	cpu = rapid.IntRange(0, p.cpus-1).Draw(p.t, "cpu")
	intid = rapid.SampledFrom([]uint32{0, 3, 15, 16, 27, 30, 31, 32, 33, 63, 64, 95}).Draw(p.t, "intid")
	return cpu, intid, p.model.get(cpu, intid)
}

// reg writes a distributor or redistributor register for an interrupt: bits
// is how many each has, v its value, the others' written as 0.
func (p *pair) reg(cpu int, intid uint32, base uint64, bits uint32, v uint64) {
	off := base + uint64(intid*bits/32*4)
	if intid < FirstSPI {
		p.gic.Redistributors().Write(uint64(cpu)*RedistributorSize+redistSGI+off, 4, v<<(intid*bits%32))
		return
	}
	p.gic.Distributor().Write(off, 4, v<<(intid*bits%32))
}

// prio writes one byte.
func (p *pair) prio(cpu int, intid uint32, v uint8) {
	off := uint64(regPrio + intid)
	if intid < FirstSPI {
		p.gic.Redistributors().Write(uint64(cpu)*RedistributorSize+redistSGI+off, 1, uint64(v))
		return
	}
	p.gic.Distributor().Write(off, 1, uint64(v))
}

// eachOf applies f to the 32 (or fewer) interrupts that share a register of
// the given width with intid, as a whole-word write does.
func (p *pair) eachOf(cpu int, intid, bits uint32, f func(i uint32, x *modelInt)) {
	per := 32 / bits
	for i := intid / per * per; i < intid/per*per+per; i++ {
		f(i, p.model.get(cpu, i))
	}
}

// TestAgainstModel moves a GIC and the model by random steps and compares all
// that a guest and a board can see after each.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(t)
		t.Repeat(map[string]func(*rapid.T){
			"line":     p.stepLine,
			"enable":   p.stepFlag(regEnable, func(x *modelInt, on bool) { x.enabled = on }),
			"pend":     p.stepFlag(regPending, func(x *modelInt, on bool) { x.latch = on }),
			"activate": p.stepFlag(regActive, func(x *modelInt, on bool) { x.active = on }),
			"group":    p.stepGroup,
			"trigger":  p.stepTrigger,
			"priority": p.stepPriority,
			"route":    p.stepRoute,
			"mask":     p.stepMask,
			"control":  p.stepControl,
			"ack":      p.stepAck,
			"end":      p.stepEnd,
			"sgi":      p.stepSGI,
			"":         p.check,
		})
	})
}

func (p *pair) stepLine(t *rapid.T) {
	p.t = t
	cpu, intid, x := p.drawInt()
	high := rapid.Bool().Draw(t, "high")
	if intid < FirstPPI {
		t.Skip("an SGI has no line")
	}
	x.line(high)
	if intid < FirstSPI {
		p.gic.SetPPI(cpu, intid, high)
	} else {
		p.gic.SetSPI(intid, high)
	}
}

// stepFlag sets or clears one bit through a pair of registers.
func (p *pair) stepFlag(base uint64, set func(*modelInt, bool)) func(*rapid.T) {
	return func(t *rapid.T) {
		p.t = t
		cpu, intid, x := p.drawInt()
		on := rapid.Bool().Draw(t, "on")
		set(x, on)
		if !on {
			p.reg(cpu, intid, base+0x80, 1, 1)
			return
		}
		p.reg(cpu, intid, base, 1, 1)
	}
}

func (p *pair) stepGroup(t *rapid.T) {
	p.t = t
	cpu, intid, _ := p.drawInt()
	word := rapid.Uint32().Draw(t, "groups") | rapid.Uint32().Draw(t, "more")
	p.reg(cpu, intid/32*32, regGroup, 1, uint64(word))
	p.eachOf(cpu, intid, 1, func(i uint32, x *modelInt) { x.group = int(word >> (i % 32) & 1) })
}

func (p *pair) stepTrigger(t *rapid.T) {
	p.t = t
	cpu, intid, _ := p.drawInt()
	word := rapid.Uint32().Draw(t, "config")
	p.reg(cpu, intid/16*16, regConfig, 2, uint64(word))
	p.eachOf(cpu, intid, 2, func(i uint32, x *modelInt) {
		x.edges = word>>(i%16*2+1)&1 != 0 || i < FirstPPI
	})
}

func (p *pair) stepPriority(t *rapid.T) {
	p.t = t
	cpu, intid, x := p.drawInt()
	v := rapid.SampledFrom([]uint8{0, 0x07, 0x20, 0x28, 0x40, 0xa0, 0xe8, 0xf0, 0xff}).Draw(t, "prio")
	x.prio = v & 0xf8
	p.prio(cpu, intid, v)
}

func (p *pair) stepRoute(t *rapid.T) {
	p.t = t
	_, intid, x := p.drawInt()
	to := rapid.SampledFrom([]uint64{0, 1, 2, 3, 4, 0x100, 0x1_0000_0000}).Draw(t, "route")
	if intid < FirstSPI {
		t.Skip("only SPIs are routed")
	}
	x.route = to
	p.gic.Distributor().Write(regRouter+8*uint64(intid), 8, to|1<<31)
}

func (p *pair) stepMask(t *rapid.T) {
	p.t = t
	cpu, _, _ := p.drawInt()
	c := p.model.cpus[cpu]
	pmr := rapid.SampledFrom([]uint8{0, 0x20, 0x45, 0xa0, 0xf0, 0xff}).Draw(t, "pmr")
	c.pmr = pmr & 0xf8
	p.icc(cpu, arm64.ICC_PMR_EL1, uint64(pmr))
	p.model.ctlr = uint32(rapid.SampledFrom([]int{0, 1, 2, 3, 3, 3}).Draw(t, "ctlr"))
	p.gic.Distributor().Write(regCTLR, 4, uint64(p.model.ctlr))
}

func (p *pair) stepControl(t *rapid.T) {
	p.t = t
	cpu, _, _ := p.drawInt()
	c := p.model.cpus[cpu]
	if len(c.stack) > 0 {
		t.Skip("changing it while handling an interrupt is unpredictable")
	}
	c.eoi, c.cbpr = rapid.Bool().Draw(t, "eoimode"), rapid.Bool().Draw(t, "cbpr")
	p.icc(cpu, arm64.ICC_CTLR_EL1, bit(c.eoi, 2)|bit(c.cbpr, 1))
	for group, reg := range []arm64.SysReg{arm64.ICC_BPR0_EL1, arm64.ICC_BPR1_EL1} {
		v := rapid.Uint8Range(0, 7).Draw(t, "bpr")
		p.icc(cpu, reg, uint64(v))
		if group == 0 || !c.cbpr {
			c.bpr[group] = max(v, uint8(2+group))
		}
	}
	for group, reg := range []arm64.SysReg{arm64.ICC_IGRPEN0_EL1, arm64.ICC_IGRPEN1_EL1} {
		c.enable[group] = rapid.IntRange(0, 3).Draw(t, "enable") > 0
		p.icc(cpu, reg, bit(c.enable[group], 1))
	}
}

func (p *pair) stepAck(t *rapid.T) {
	p.t = t
	cpu, _, _ := p.drawInt()
	group := rapid.IntRange(0, 1).Draw(t, "group")
	reg := []arm64.SysReg{arm64.ICC_IAR0_EL1, arm64.ICC_IAR1_EL1}[group]
	got, _ := p.gic.Access(cpu, reg, false, 0)
	if want := p.model.acknowledge(cpu, group); got != want {
		t.Fatalf("CPU%d %s is %d, want %d", cpu, arm64.Name(reg), got, want)
	}
}

func (p *pair) stepEnd(t *rapid.T) {
	p.t = t
	cpu, intid, _ := p.drawInt()
	switch rapid.IntRange(0, 2).Draw(t, "what") {
	case 0:
		p.icc(cpu, arm64.ICC_EOIR0_EL1, uint64(intid))
		p.model.end(cpu, 0, intid)
	case 1:
		p.icc(cpu, arm64.ICC_EOIR1_EL1, uint64(intid))
		p.model.end(cpu, 1, intid)
	default:
		p.icc(cpu, arm64.ICC_DIR_EL1, uint64(intid))
		if p.model.cpus[cpu].eoi {
			p.model.deactivate(cpu, intid)
		}
	}
}

func (p *pair) stepSGI(t *rapid.T) {
	p.t = t
	cpu, _, _ := p.drawInt()
	id := rapid.SampledFrom([]uint32{0, 3, 15}).Draw(t, "sgi")
	list := rapid.Uint16().Draw(t, "list")
	others := rapid.Bool().Draw(t, "others")
	group := rapid.IntRange(0, 1).Draw(t, "group")
	reg := []arm64.SysReg{arm64.ICC_SGI0R_EL1, arm64.ICC_SGI1R_EL1}[group]
	p.icc(cpu, reg, uint64(id)<<24|uint64(list)|bit(others, 1<<40))
	for i, c := range p.model.cpus {
		hit := list>>i&1 != 0
		if others {
			hit = i != cpu
		}
		if hit && (group == 1 || c.ints[id].group == 0) {
			c.ints[id].latch = true
		}
	}
}

// check compares what can be seen.
func (p *pair) check(t *rapid.T) {
	for i, c := range p.model.cpus {
		_, x := p.model.signalled(i)
		irq, fiq := p.gic.Pending(i)
		if wantI, wantF := x != nil && x.group == 1, x != nil && x.group == 0; irq != wantI || fiq != wantF {
			t.Fatalf("CPU%d has irq %v fiq %v, want %v %v", i, irq, fiq, wantI, wantF)
		}
		if p.seen[i] != [2]bool{irq, fiq} {
			t.Fatalf("CPU%d was told %v, but has irq %v fiq %v", i, p.seen[i], irq, fiq)
		}
		if v, _ := p.gic.Access(i, arm64.ICC_RPR_EL1, false, 0); int(v) != c.running() {
			t.Fatalf("CPU%d runs at priority %#x, want %#x", i, v, c.running())
		}
		intid, x := p.model.best(i)
		for group, reg := range []arm64.SysReg{arm64.ICC_HPPIR0_EL1, arm64.ICC_HPPIR1_EL1} {
			want := uint64(spurious)
			if x != nil && x.group == group {
				want = uint64(intid)
			}
			if v, _ := p.gic.Access(i, reg, false, 0); v != want {
				t.Fatalf("CPU%d %s is %d, want %d", i, arm64.Name(reg), v, want)
			}
		}
		p.checkFlags(t, i)
	}
}

// checkFlags compares the registers that show each interrupt's state.
func (p *pair) checkFlags(t *rapid.T, cpu int) {
	for base := uint32(0); base < FirstSPI+modelSPIs; base += 32 {
		var enabled, pending, active uint32
		for n := range uint32(32) {
			x := p.model.get(cpu, base+n)
			enabled |= uint32(bit(x.enabled, 1<<n))
			pending |= uint32(bit(x.pending(), 1<<n))
			active |= uint32(bit(x.active, 1<<n))
		}
		for off, want := range map[uint64]uint32{regEnable: enabled, regPending: pending, regActive: active} {
			if got := p.readWord(cpu, base, off); got != want {
				t.Fatalf("CPU%d register %#x of INTID %d is %#x, want %#x", cpu, off, base, got, want)
			}
		}
	}
}

func (p *pair) readWord(cpu int, intid uint32, base uint64) uint32 {
	if intid < FirstSPI {
		return uint32(p.gic.Redistributors().Read(uint64(cpu)*RedistributorSize+redistSGI+base, 4))
	}
	return uint32(p.gic.Distributor().Read(base+uint64(intid/8), 4))
}

func (x *modelInt) String() string { return fmt.Sprintf("%+v", *x) }
