package exec

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/isa"
	"github.com/arcboxlabs/arcbox-go/hv/soft/internal/mmu"
)

func TestCountedTime(t *testing.T) {
	for _, ps := range []uint64{1, 333, 1000, 1001, 50_000, 1 << 40} {
		var k clock
		k.init(ps)
		one := k
		k.add(1000)
		for range 1000 {
			one.add(1)
		}
		if k != one {
			t.Errorf("%d ps: 1000 instructions at once %+v, one by one %+v", ps, k, one)
		}
		for _, in := range []uint64{0, 1, 999, 12345, 1 << 40} {
			deadline := k.ns + in
			n := k.until(deadline)
			if ns, _ := k.after(n); n < 1<<62 && ns < deadline {
				t.Errorf("%d ps: %d ns are not over after %d instructions: %d", ps, in, n, ns-k.ns)
			}
			if ns, _ := k.after(n - 1); n > 1 && ns >= deadline {
				t.Errorf("%d ps: %d ns are over before %d instructions", ps, in, n)
			}
		}
	}
}

// TestAtomicOperators holds combine to the plain meaning of each operator.
func TestAtomicOperators(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 20000 {
		bits := []uint{8, 16, 32, 64}[r.IntN(4)]
		mask := ^uint64(0) >> (64 - bits)
		a, b := r.Uint64()&mask, r.Uint64()&mask
		if r.IntN(4) == 0 {
			b = a
		}
		sa, sb := int64(a<<(64-bits))>>(64-bits), int64(b<<(64-bits))>>(64-bits)
		want := map[uint8]uint64{
			isa.LSEAdd: a + b, isa.LSEClr: a &^ b, isa.LSEEor: a ^ b, isa.LSESet: a | b, isa.LSESwap: b,
			isa.LSESMax: uint64(max(sa, sb)), isa.LSESMin: uint64(min(sa, sb)), isa.LSEUMax: max(a, b), isa.LSEUMin: min(a, b),
		}
		for op, w := range want {
			if got := combine(op, a, b, 64-bits); got&mask != w&mask {
				t.Fatalf("operator %d of %#x and %#x, %d bits: %#x, want %#x", op, a, b, bits, got&mask, w&mask)
			}
		}
	}
}

// soon fails the test if f does not return.
func soon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s does not return", what)
	}
}

func TestRequestsToACoreOutsideRunAreNotWaitedFor(t *testing.T) {
	m := NewMachine(0)
	c := NewCore(m, 0)
	gen := c.gen
	soon(t, "broadcast", func() { m.broadcast(nil, func(r *request) { r.all = true }) })
	if c.gen != gen {
		t.Error("the request was done by another goroutine")
	}
	c.enter()
	if c.gen == gen {
		t.Error("the core runs without having done the request")
	}
	c.pause()
}

// TestCoresThatWaitForEachOther is mistake 17's other half: two cores at a
// barrier, each waiting for what the other must drop.
func TestCoresThatWaitForEachOther(t *testing.T) {
	m := NewMachine(0)
	var cores []*Core
	for k := range 4 {
		cores = append(cores, NewCore(m, k))
	}
	soon(t, "a storm of TLBI and DSB", func() {
		var wg sync.WaitGroup
		for _, c := range cores {
			wg.Go(func() {
				c.enter()
				defer c.pause()
				for k := range uint64(2000) {
					c.ask(func(r *request) { r.dropVA(k << 12) })
					c.dsb()
					c.attend()
				}
			})
		}
		wg.Wait()
	})
}

func TestListsOfARequestAreBounded(t *testing.T) {
	var r request
	for k := range uint64(10 * maxList) {
		r.dropVA(k << 12)
		r.dropCode(k << 12)
		r.remap(span64{k << 14, 1 << 14})
	}
	if !r.all || !r.allCode || len(r.vas) > maxList || len(r.pages) > maxList || len(r.ranges) > maxList {
		t.Errorf("%d addresses, %d pages, %d ranges", len(r.vas), len(r.pages), len(r.ranges))
	}
}

// TestCompareAndSwapSizes: only the bytes of the access change.
func TestCompareAndSwapSizes(t *testing.T) {
	pair := aligned()
	bytes := (*[16]byte)(pointer(pair))
	for _, n := range []uint64{1, 2, 4, 8} {
		*pair = [2]uint64{^uint64(0), ^uint64(0)}
		old := ^uint64(0) >> (64 - 8*n)
		if compareAndSwap(pointer(pair), n, old-1, 0) {
			t.Errorf("%d bytes: swapped although different", n)
		}
		if !compareAndSwap(pointer(pair), n, old, 0) {
			t.Errorf("%d bytes: not swapped although equal", n)
		}
		for k, b := range bytes {
			if (b == 0) != (uint64(k) < n) {
				t.Errorf("%d bytes: byte %d is %#x", n, k, b)
			}
		}
	}
	*pair = [2]uint64{1, 2}
	if cas128(pair, [2]uint64{1, 3}, [2]uint64{}) || !cas128(pair, [2]uint64{1, 2}, [2]uint64{3, 4}) || *pair != [2]uint64{3, 4} {
		t.Errorf("16 bytes: %v", *pair)
	}
}

// TestTranslationsOfABlockGoTogether is mistake 9: an address in a block drops
// every page of it that is cached.
func TestTranslationsOfABlockGoTogether(t *testing.T) {
	c := NewCore(NewMachine(0), 0)
	set := &c.trans.big2M[0]
	set.add(0x1234)
	gen := c.gen
	c.flushVA(0x1234<<21 | 0x5000)
	if c.gen == gen || set.has(0x1234) {
		t.Error("the block's pages stay")
	}
	gen = c.gen
	c.flushVA(0x9999 << 21)
	if c.gen != gen {
		t.Error("an address that is not cached dropped everything")
	}
}

// lookUp finds, and so decodes, all code of n pages from the first on; nothing has been written there but zeroes, which is
// UNDEFINED, or NOP.
func lookUp(t *testing.T, c *Core, n uint64) {
	t.Helper()
	for pc := uint64(0); pc < n*pageSize; pc += 4 * maxBlock {
		if c.PC = pc; c.find() == nil {
			t.Fatalf("there is no code at %#x: %+v", pc, c.pend)
		}
	}
	room := 0
	for _, page := range c.code.pages {
		room += page.room
	}
	if room != c.code.room {
		t.Errorf("pages take %d bytes, and %d are counted", room, c.code.room)
	}
}

// coreWithCode has a MiB of NOPs.
func coreWithCode() *Core {
	m := NewMachine(0)
	code := make([]byte, 1<<20)
	for k := 0; k < len(code); k += 4 {
		binary.LittleEndian.PutUint32(code[k:], 0xd503201f)
	}
	m.SetMemory(0, 1<<20, func(mem *mmu.Memory) *mmu.Memory {
		return mem.With(mmu.Slot{Mem: code, Prot: mmu.Read | mmu.Exec})
	})
	return NewCore(m, 0)
}

func TestCodeThatIsOutOfUseIsDropped(t *testing.T) {
	c := coreWithCode()
	lookUp(t, c, 10)
	kept, dropped := c.code.pages[0], c.code.pages[9*pageSize]
	gone := dropped.block(9*pageSize | c.context())
	for range leastSweeps {
		if len(c.code.pages) != 10 {
			t.Fatalf("%d pages are left of 10 that were in use a short time ago", len(c.code.pages))
		}
		c.sweep()
		lookUp(t, c, 5)
	}
	if len(c.code.pages) != 5 || c.code.pages[0] != kept {
		t.Errorf("%d pages are left of 5 that are in use", len(c.code.pages))
	}
	if !gone.stale || gone.next != [2]*Block{} || gone.other != nil {
		t.Error("a block that was dropped can still be chained")
	}
	if lookUp(t, c, 10); c.code.pages[9*pageSize] == dropped {
		t.Error("what was dropped is found")
	}
	before := c.code.round
	lookUp(t, c, 200) // pages with code of 24 KiB each
	if c.code.round == before {
		t.Error("nothing is dropped by itself")
	}
}

// TestDroppedCodeMakesRoomForOther: what pages take and give back is the same memory.
func TestDroppedCodeMakesRoomForOther(t *testing.T) {
	c := coreWithCode()
	lookUp(t, c, 20)
	c.dropAllCode()
	ops, blocks := len(c.code.ops.free), len(c.code.blocks.free)
	if spare := c.code.spare(); spare < 20*pageSize/4*24 {
		t.Fatalf("%d bytes are left of 20 pages' code", spare)
	}
	for range 10 {
		lookUp(t, c, 20)
		c.dropAllCode()
	}
	if now := len(c.code.ops.free); now != ops {
		t.Errorf("%d pieces of operations at first, %d after ten times as much code", ops, now)
	}
	if now := len(c.code.blocks.free); now != blocks {
		t.Errorf("%d pieces of blocks at first, %d after ten times as much code", blocks, now)
	}
}

// TestCodeThatComesBackIsKeptLonger: a guest that runs much code by turns would else decode all of it each time.
func TestCodeThatComesBackIsKeptLonger(t *testing.T) {
	c := coreWithCode()
	decoded := func() uint64 {
		before := c.stats.Blocks
		for range 10 {
			lookUp(t, c, 150) // 5 MiB
			c.count += 1e6
		}
		return c.stats.Blocks - before
	}
	first := decoded()
	if c.code.strain == 0 {
		t.Fatalf("%d blocks were decoded in ten times all code, and nobody noticed", first)
	}
	for range 20 {
		decoded()
	}
	if last := decoded(); last != 0 {
		t.Errorf("after some time %d blocks are decoded, %d at first", last, first)
	}
	for range mostSweeps * slowness {
		c.count += 1e9
		c.sweep()
	}
	if c.code.strain != 0 || len(c.code.pages) != 0 {
		t.Errorf("a guest that runs other code has %d pages left", len(c.code.pages))
	}
}

func TestRoomThatNobodyUsesGoesBack(t *testing.T) {
	c := coreWithCode()
	c.code.strain = (mostSweeps - leastSweeps) * slowness // nothing is dropped soon
	lookUp(t, c, 200)
	most := c.code.room
	for range mostSweeps + 1 {
		lookUp(t, c, 1)
		c.sweep()
	}
	if most < spareRoom || c.code.spare() > spareRoom {
		t.Errorf("of %d bytes %d are left that nobody uses", most, c.code.spare())
	}
	lookUp(t, c, 10)
}

// TestABlockWhoseRoomIsAnothersIsNotChained: the look-up of a block's successor may drop that block with what is out of
// use, and take its room.
func TestABlockWhoseRoomIsAnothersIsNotChained(t *testing.T) {
	c := coreWithCode()
	lookUp(t, c, 1)
	page := c.code.pages[0]
	last := page.blocks[len(page.blocks)-1]
	b := &last[0]
	c.code.round += leastSweeps
	c.code.fresh = sweepRoom + 1
	clear(c.jumps[:])
	c.PC = 0
	next := c.chain(b, 0)
	if next == nil || next.pc != c.PC || c.code.pages[0] == page {
		t.Fatalf("the successor is %+v, in a page that was not dropped", next)
	}
	if next != b {
		t.Error("the successor has room of its own: this test shows nothing")
	}
	if b.next[0] != nil {
		t.Error("a block was chained that is another now")
	}
}

func TestAGuestAtRestLosesItsCode(t *testing.T) {
	c := coreWithCode()
	// looked lets a guest use so many pages and wait when it has run for some time.
	looked := func(pages, instructions uint64) int {
		lookUp(t, c, pages)
		c.count += instructions
		c.rest.at = time.Now().Add(-restTime)
		c.wait()
		return len(c.code.pages)
	}
	lookUp(t, c, 40) // of 33 KiB each
	if c.wait(); len(c.code.pages) != 40 {
		t.Error("a guest that has just begun loses its code")
	}
	for k, tt := range []struct {
		used, instructions uint64
		left               int
	}{
		{40, restLoad + 1, 40}, // busy
		{1, restLoad, 0},       // at rest: all of it
		{5, restLoad, 5},       // what it needs at rest
		{6, restLoad, 6},
		{40, restLoad, 0}, // much more than that
		{20, restLoad, 20},
		{20, restLoad + 1, 20}, // busy
		{5, restLoad, 20},      // little, it may stay
	} {
		if got := looked(tt.used, tt.instructions); got != tt.left {
			t.Errorf("row %d: %d pages are left after %d instructions, want %d", k, got, tt.instructions, tt.left)
		}
	}
}
