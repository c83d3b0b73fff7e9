package oracle

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// Environment of a soak run, see docs/soak.md: whether this is one (not empty),
// for how much CPU time (a time.Duration, ours and QEMU's), which seed to start from, which classes (comma
// separated), and where to leave what was found.
const (
	envSoak    = "ARCBOX_SOAK"
	envTime    = "ARCBOX_SOAK_TIME"
	envSeed    = "ARCBOX_SOAK_SEED"
	envClasses = "ARCBOX_SOAK_CLASSES"
	envFound   = "ARCBOX_SOAK_FOUND"
)

// soakTime is how much CPU time to go on for: none outside of a soak run, in one
// an hour if nothing else is said.
func soakTime(t *testing.T) time.Duration {
	t.Helper()
	if os.Getenv(envSoak) == "" {
		return 0
	}
	text := cmp.Or(os.Getenv(envTime), "1h")
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("cannot use %s: %v", envTime, err)
	}
	return d
}

// machine is the software engine with the oracle's memory map, on the test's
// goroutine.
func machine(t testing.TB, faults *hv.Faults) *Machine {
	t.Helper()
	runtime.LockOSThread()
	m, err := NewMachine(soft.New(), faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
	return m
}

// report minimizes a difference and says it as a case that can be kept.
func report(t *testing.T, m *Machine, q *QEMU, d Difference) {
	t.Helper()
	small, err := Minimize(m, q, d)
	if err != nil {
		t.Fatal(err)
	}
	c := Case{Comment: assembly(small.Vector.Words), Vector: *small.Vector, Want: small.Want}
	text := c.Format()
	t.Errorf("%s%s", assembly(small.Vector.Words), small.String())
	if dir := os.Getenv(envFound); dir != "" {
		h := fnv.New32a()
		h.Write([]byte(text))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%08x.txt", h.Sum32())), []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryClassAgreesWithQEMU runs as many vectors of each class.
func TestEveryClassAgreesWithQEMU(t *testing.T) {
	q, m := qemu(t), machine(t, nil)
	each := 150
	if testing.Short() {
		each = 40
	}
	for _, cpu := range []string{BaseCPU, LSECPU, MaxCPU} {
		t.Run(cpu, func(t *testing.T) {
			g := NewGenerator(1, nil)
			var vs []*Vector
			for i := range classes {
				if c := &classes[i]; cmp.Or(c.cpu, BaseCPU) == cpu {
					for range each {
						vs = append(vs, g.vector(len(vs)%MaxBatch, []*class{c}, cpu))
					}
				}
			}
			for batch := range slices.Chunk(vs, MaxBatch) {
				compare(t, m, q, batch)
			}
		})
	}
}

// compare reports the first few differences of a batch.
func compare(t *testing.T, m *Machine, q *QEMU, vs []*Vector) {
	t.Helper()
	diffs, err := Compare(m, q, vs)
	if err != nil {
		t.Fatal(err)
	}
	if len(diffs) > 0 {
		t.Errorf("%d differences of %d vectors, the first cut down:", len(diffs), len(vs))
		report(t, m, q, diffs[0])
	}
}

// batchSize is how many vectors of mixed classes are run at once.
const batchSize = 2000

// TestMixedSequencesAgreeWithQEMU mixes all classes; with ARCBOX_SOAK it goes on
// for so long.
func TestMixedSequencesAgreeWithQEMU(t *testing.T) {
	q, m := qemu(t), machine(t, nil)
	seed, _ := strconv.ParseUint(os.Getenv(envSeed), 0, 64)
	var match func(string) bool
	if names := os.Getenv(envClasses); names != "" {
		match = func(s string) bool { return strings.Contains(","+names+",", ","+s+",") }
	}
	g, start, n := NewGenerator(seed, match), cpuTime(t), 0
	for limit := soakTime(t); n < 2 || cpuTime(t)-start < limit; n++ {
		compare(t, m, q, g.Batch(batchSize))
		if t.Failed() {
			t.Fatalf("seed %d, batch %d", seed, n)
		}
	}
	t.Logf("%d vectors from seed %d in %v of CPU time", n*batchSize, seed, (cpuTime(t) - start).Round(time.Second))
}

// cpuTime is what this process and the QEMUs it has waited for have used, user
// and system: a machine shared with others does not shorten a run by it.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var sum time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum
}

// TestVectorsThatDoNotEndTogetherAreCompared: the first branches into the second's
// loop with a count that takes for ever; each alone ends.
func TestVectorsThatDoNotEndTogetherAreCompared(t *testing.T) {
	q, m := qemu(t), machine(t, nil)
	q.limit = time.Second
	branch := &Vector{CPU: BaseCPU, Words: []uint32{0xd61f0020}} // br x1
	branch.Regs.X[1] = Code + CodeStride + 4
	loop := &Vector{CPU: BaseCPU, Slot: 1, Words: []uint32{
		0xd2800039, // mov x25, #1
		0xf1000739, // subs x25, x25, #1
		0x54ffffe1, // b.ne to the subs
	}}
	if _, err := q.Run([]*Vector{branch, loop}); !errors.Is(err, ErrStuck) {
		t.Errorf("together: %v, want %v", err, ErrStuck)
	}
	compare(t, m, q, []*Vector{branch, loop})
}

// TestWhatIsTheMachinesOwnCannotBeExecuted: without UXN, EL0 may execute what it may
// not read, and QEMU has nothing at these addresses.
func TestWhatIsTheMachinesOwnCannotBeExecuted(t *testing.T) {
	q, m := qemu(t), machine(t, nil)
	var vs []*Vector
	for i, to := range []uint64{vectors, entry, homeBase + homeSize, homeBase + 0x28000} {
		v := &Vector{CPU: BaseCPU, Slot: i, Words: []uint32{0xd61f0020}} // br x1
		v.Regs.X[1] = to
		vs = append(vs, v)
	}
	compare(t, m, q, vs)
}

// TestAllowedFaultsChangeNoResult runs the same vectors with blocks of one
// instruction and with translations dropped at every block.
func TestAllowedFaultsChangeNoResult(t *testing.T) {
	plain := machine(t, nil)
	for name, faults := range map[string]hv.Faults{
		"single steps": {SingleStepBlock: true},
		"flushes":      {FlushTLBEvery: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := machine(t, &faults)
			diffs, err := Compare(m, plain, NewGenerator(11, nil).Batch(1000))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range diffs[:min(3, len(diffs))] {
				t.Errorf("%s%s", assembly(d.Vector.Words), d.String())
			}
		})
	}
}

// TestWhatWasFoundStaysFixed runs the cases of testdata/found.
func TestWhatWasFoundStaysFixed(t *testing.T) {
	m := machine(t, nil)
	files, err := filepath.Glob("testdata/found/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := ParseCase(text)
			if err != nil {
				t.Fatal(err)
			}
			got, err := m.Run([]*Vector{&c.Vector})
			if err != nil {
				t.Fatal(err)
			}
			if d := (Difference{&c.Vector, got[0], c.Want}); got[0] != c.Want {
				t.Errorf("%s%s", c.Comment, d.String())
			}
		})
	}
}
