package board_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
	"github.com/arcboxlabs/arcbox-go/hv/board"
	"github.com/arcboxlabs/arcbox-go/hv/hvtest/asm"
	"github.com/arcboxlabs/arcbox-go/hv/soft"
)

// Tests in this file run machine code on the software engine.

// Where test programs keep what they count, and how much they do.
const (
	counterAt = board.RAMBase + 4<<20
	rounds    = 500
)

// A guest is a program under way. Registers of all: X19 is the vCPU's number,
// X20 its redistributor's second frame, X21 what is left to do.
type guest struct{ *asm.Program }

func newGuest() guest { return guest{asm.New(board.RAMBase)} }

// store32 puts v at a fixed address.
func (g guest) store32(addr, v uint64) {
	g.Mov64(1, addr).Mov64(2, v).Op(asm.StrW(2, 1, 0))
}

// call makes a PSCI call with up to three arguments.
func (g guest) call(fn uint64, args ...uint64) {
	g.Mov64(0, fn)
	for i, a := range args {
		g.Mov64(i+1, a)
	}
	g.Op(asm.Hvc(0))
}

// gicOn lets this vCPU take SGIs and PPIs.
func (g guest) gicOn() {
	g.store32(board.GICDBase, 3)
	g.Mov64(2, 0xffffffff).Op(asm.StrW(2, 20, 0x80), asm.StrW(2, 20, 0x100))
	g.MsrImm(arm64.ICC_PMR_EL1, 0xf0, 2).MsrImm(arm64.ICC_IGRPEN1_EL1, 1, 2)
}

// await waits in WFI, with interrupts masked, for any interrupt and ends it.
func (g guest) await(label string) {
	g.Label(label)
	g.Op(asm.Wfi(), asm.Mrs(3, arm64.ICC_IAR1_EL1), asm.SubImm(4, 3, 1023)).Cbz(4, label)
	g.Op(asm.Msr(arm64.ICC_EOIR1_EL1, 3))
}

// say writes text to the UART.
func (g guest) say(text string) {
	g.Mov64(1, board.UARTBase)
	for _, c := range []byte(text) {
		g.Op(asm.MovZ(2, uint16(c), 0), asm.StrW(2, 1, 0))
	}
}

// powerOff ends the machine.
func (g guest) powerOff() { g.call(arm64.PSCISystemOff) }

// run boots the program on the software engine.
func (g guest) run(t *testing.T, cpus int, change func(*board.Config)) *board.Outcome {
	t.Helper()
	cfg := board.Config{
		Engine: soft.New(), CPUs: cpus, Memory: board.MinMemory, Seed: []byte("seed"), Log: t.Logf,
		Kernel: &image.Kernel{Data: g.Bytes(), ImageSize: 8 << 20, Compression: image.Raw},
	}
	if change != nil {
		change(&cfg)
	}
	b, err := board.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := b.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// pingPong has CPU 0 start all others; a token then goes round by SGIs, each
// vCPU waiting for it in WFI. A wake-up that is lost is a time-out.
func pingPong(cpus int) guest {
	g := newGuest()
	g.Op(asm.MovZ(19, 0, 0))
	g.Mov64(20, board.GICRBase+0x10000)
	for i := 1; i < cpus; i++ {
		g.call(arm64.PSCICPUOn64, uint64(i), entryOf(i), uint64(i))
	}
	g.gicOn()
	g.Mov64(21, rounds).Mov64(22, counterAt)
	g.Label("all ready") // the others count themselves in
	g.Op(asm.Ldar(5, 22), asm.SubImm(5, 5, cpus-1)).Cbnz(5, "all ready")
	g.Label("round")
	g.MsrImm(arm64.ICC_SGI1R_EL1, 3<<24|1<<1, 2)
	g.await("wait 0")
	g.Op(asm.SubImm(21, 21, 1)).Cbnz(21, "round")
	g.say(fmt.Sprintf("%d rounds\n", rounds))
	g.powerOff()
	for i := 1; i < cpus; i++ {
		g.Org(entryOf(i))
		g.Op(asm.Mov(19, 0))
		g.Mov64(20, uint64(board.GICRBase+0x10000+0x20000*i))
		g.gicOn()
		g.Mov64(22, counterAt).Op(asm.MovZ(5, 1, 0), asm.LdaddAL(5, asm.ZR, 22))
		g.await(fmt.Sprint("wait ", i))
		g.MsrImm(arm64.ICC_SGI1R_EL1, 3<<24|1<<((i+1)%cpus), 2)
		g.B(fmt.Sprint("wait ", i))
	}
	return g
}

// entryOf is where vCPU i begins.
func entryOf(i int) uint64 { return board.RAMBase + uint64(i)*0x1000 }

func TestNoSGIIsLost(t *testing.T) {
	for _, cpus := range []int{2, 4} {
		t.Run(fmt.Sprint(cpus, " vCPUs"), func(t *testing.T) {
			out := pingPong(cpus).run(t, cpus, nil)
			if out.Kind != board.PowerOff || !strings.Contains(strings.Join(out.Console, ""), "500 rounds") {
				t.Errorf("%s", out.Report())
			}
		})
	}
}

// TestDeterministic: the same seed gives the same run, whatever the host does,
// and another one another.
func TestDeterministic(t *testing.T) {
	run := func(seed uint64, f board.Faults) (*board.Outcome, string) {
		var console bytes.Buffer
		out := pingPong(3).run(t, 3, func(c *board.Config) {
			c.UART, c.DigestMemory = &console, true
			c.Deterministic = &board.Deterministic{Seed: seed, Quantum: 777, Faults: f}
		})
		if out.Kind != board.PowerOff || console.String() != "500 rounds\n" {
			t.Errorf("seed %d: console %q\n%s", seed, &console, out.Report())
		}
		return out, fmt.Sprint(out.Stats.Instructions, out.Stats.Guest, out.MemorySHA256, out.Stats.Exits)
	}
	_, one := run(1, board.Faults{})
	_, same := run(1, board.Faults{})
	_, other := run(2, board.Faults{})
	if one != same {
		t.Errorf("twice with seed 1:\n%s\n%s", one, same)
	}
	if one == other {
		t.Errorf("seed 2 is like seed 1: %s", one)
	}
	_, delayed := run(1, board.Faults{DelayIRQ: 3, SpuriousIRQ: 5})
	_, again := run(1, board.Faults{DelayIRQ: 3, SpuriousIRQ: 5})
	if delayed == one || delayed != again {
		t.Errorf("with faults, twice:\n%s\n%s", delayed, again)
	}
}

// echo reads bytes from the UART, by polling, and writes them until a dot.
func echo() guest {
	g := newGuest()
	g.Mov64(1, board.UARTBase)
	g.Op(asm.MovZ(2, 0x301, 0), asm.StrW(2, 1, 0x30))
	g.Label("poll")
	g.Op(asm.LdrW(3, 1, 0x18), asm.MovZ(4, 0x10, 0), asm.Sub(3, 3, 4))
	// FR is TXFE (0x80), and RXFE (0x10) while there is nothing.
	g.Op(asm.SubImm(3, 3, 0x80)).Cbz(3, "poll")
	g.Op(asm.LdrW(5, 1, 0), asm.StrW(5, 1, 0), asm.SubImm(6, 5, '.')).Cbnz(6, "poll")
	g.powerOff()
	return g
}

// TestRecordAndReplay types into a deterministic machine and plays it back.
func TestRecordAndReplay(t *testing.T) {
	var log, typed, replayed bytes.Buffer
	end := make(chan *board.Outcome)
	cfg := board.Config{
		Engine: soft.New(), CPUs: 1, Memory: board.MinMemory, UART: &typed, DigestMemory: true,
		Kernel:        &image.Kernel{Data: echo().Bytes(), ImageSize: 8 << 20},
		Deterministic: &board.Deterministic{Seed: 9, Record: &log},
	}
	b, err := board.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go func() {
		out, err := b.Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		end <- out
	}()
	for _, s := range []string{"hello, ", "world", "."} {
		time.Sleep(5 * time.Millisecond)
		b.UARTInput([]byte(s))
	}
	first := <-end
	second := echo().run(t, 1, func(c *board.Config) {
		c.UART, c.DigestMemory, c.Seed = &replayed, true, nil
		c.Deterministic = &board.Deterministic{Seed: 9, Replay: &log}
	})
	if typed.String() != "hello, world." || replayed.String() != typed.String() {
		t.Errorf("the guest wrote %q, in the replay %q", &typed, &replayed)
	}
	if a, b := first, second; a.Stats.Instructions != b.Stats.Instructions || a.MemorySHA256 != b.MemorySHA256 {
		t.Errorf("%d instructions, memory %s; in the replay %d, %s",
			a.Stats.Instructions, a.MemorySHA256, b.Stats.Instructions, b.MemorySHA256)
	}
}

// TestBootProtocol: X0 holds the devicetree, the other arguments are zero, and
// the MMU is off.
func TestBootProtocol(t *testing.T) {
	g := newGuest()
	g.Mov64(9, counterAt)
	g.Op(asm.Str(0, 9, 0), asm.Str(1, 9, 8), asm.Str(2, 9, 16), asm.Str(3, 9, 24))
	g.Op(asm.Mrs(4, arm64.SCTLR_EL1), asm.Str(4, 9, 32), asm.LdrW(4, 0, 0), asm.Str(4, 9, 40))
	// The dump shows what was stored.
	g.Op(asm.Ldr(10, 9, 0), asm.Ldr(11, 9, 8), asm.Ldr(12, 9, 16), asm.Ldr(13, 9, 24), asm.Ldr(14, 9, 32), asm.Ldr(15, 9, 40))
	g.powerOff()
	out := g.run(t, 1, nil)
	x := out.CPUs[0].X
	magic := binary.BigEndian.Uint32(binary.LittleEndian.AppendUint32(nil, uint32(x[15])))
	if x[10]%4096 != 0 || x[11]|x[12]|x[13] != 0 || x[14]&1 != 0 || magic != 0xd00dfeed {
		t.Errorf("X0 to X3 are %#x, SCTLR_EL1 %#x, X0 points at %#x", x[10:14], x[14], magic)
	}
}

// TestAnHourOfSleep: in deterministic mode time skips over a wait, and the
// timer still fires at its nanosecond.
func TestAnHourOfSleep(t *testing.T) {
	g := newGuest()
	g.Mov64(20, board.GICRBase+0x10000)
	g.gicOn()
	g.Op(asm.Mrs(5, arm64.CNTFRQ_EL0)).Mov64(6, 3600)
	g.Op(asm.Mrs(7, arm64.CNTVCT_EL0), asm.Madd(7, 5, 6, 7), asm.Msr(arm64.CNTV_CVAL_EL0, 7))
	g.MsrImm(arm64.CNTV_CTL_EL0, 1, 8)
	g.await("sleep")
	g.powerOff()
	out := g.run(t, 2, func(c *board.Config) { c.Deterministic = &board.Deterministic{Seed: 1} })
	if d := out.Stats.Guest - time.Hour; out.Kind != board.PowerOff || d < 0 || d > 10*time.Microsecond {
		t.Errorf("ends with %s after %s of the guest's time, want a power-off after an hour", out.Kind, out.Stats.Guest)
	}
	if out.Stats.Instructions > 1000 {
		t.Errorf("the guest ran %d instructions", out.Stats.Instructions)
	}
}

// TestNeverIsNotNow: the timer compares unsigned, so the largest value is the
// farthest.
func TestNeverIsNotNow(t *testing.T) {
	g := newGuest()
	g.Mov64(20, board.GICRBase+0x10000)
	g.gicOn()
	g.MsrImm(arm64.CNTV_CVAL_EL0, ^uint64(0), 8).MsrImm(arm64.CNTV_CTL_EL0, 1, 8)
	g.Op(asm.Mrs(10, arm64.CNTV_CTL_EL0), asm.Mrs(11, arm64.ICC_IAR1_EL1))
	g.powerOff()
	for _, d := range []*board.Deterministic{nil, {Seed: 1}} {
		out := g.run(t, 1, func(c *board.Config) { c.Deterministic = d })
		if x := out.CPUs[0].X; x[10] != 1 || x[11] != 1023 {
			t.Errorf("CNTV_CTL_EL0 is %#x and interrupt %d is pending, want 1 and none", x[10], x[11])
		}
	}
}

// TestPauseStopsAGuestThatSpins: bounded, with every vCPU in a loop.
func TestPauseStopsAGuestThatSpins(t *testing.T) {
	t.Run("a thread a vCPU", func(t *testing.T) { pauseSpinner(t, nil) })
	t.Run("deterministic", func(t *testing.T) { pauseSpinner(t, &board.Deterministic{}) })
}

func pauseSpinner(t *testing.T, d *board.Deterministic) {
	g := newGuest()
	g.call(arm64.PSCICPUOn64, 1, entryOf(1), 0)
	g.B("spin")
	g.Org(entryOf(1))
	g.Label("spin")
	g.Op(asm.AddImm(5, 5, 1)).B("spin")
	b, err := board.New(board.Config{
		Engine: soft.New(), CPUs: 2, Memory: board.MinMemory, Deterministic: d,
		Kernel: &image.Kernel{Data: g.Bytes(), ImageSize: 8 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if out, err := b.Run(t.Context()); err != nil || out.Kind != board.Stopped {
			t.Errorf("ends with %+v, %v", out, err)
		}
	}()
	time.Sleep(20 * time.Millisecond)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := b.Pause(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		before := b.Stats().Instructions
		time.Sleep(5 * time.Millisecond)
		if after := b.Stats().Instructions; after != before {
			t.Errorf("%d instructions while paused", after-before)
		}
		b.Resume()
		regs, err := b.Registers(t.Context())
		if err != nil || len(regs) != 2 || !regs[0].On || regs[0].PC < board.RAMBase {
			t.Errorf("registers are %v, %v", regs, err)
		}
	}
	b.Stop("enough")
	<-done
}

// FuzzGuest runs bytes as a kernel on two vCPUs. Whatever they do, the machine
// ends when told, with an outcome and without an error of the host.
func FuzzGuest(f *testing.F) {
	f.Add(pingPong(2).Bytes())
	f.Add(echo().Bytes())
	f.Add(bytes.Repeat([]byte{0x02, 0, 0, 0xd4}, 16)) // HVC #0
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) == 0 || len(code) > 1<<20 {
			return
		}
		b, err := board.New(board.Config{
			Engine: soft.New(), CPUs: 2, Memory: board.MinMemory,
			Kernel: &image.Kernel{Data: code, ImageSize: 8 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
		defer cancel()
		if out, err := b.Run(ctx); err != nil || out == nil || out.Kind == 0 {
			t.Errorf("ends with %+v, %v", out, err)
		}
	})
}
