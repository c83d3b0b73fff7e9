package board

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/arcboxlabs/arcbox-go/boot/fdt"
	"github.com/arcboxlabs/arcbox-go/boot/image"
	"github.com/arcboxlabs/arcbox-go/hv/virtio"
)

// newTestUART is a UART with FIFOs, its line and what it has written.
func newTestUART(t *testing.T) (u *uart, line *bool, out *bytes.Buffer) {
	t.Helper()
	line, out = new(bool), new(bytes.Buffer)
	o := newOutlet(out, false)
	t.Cleanup(o.close)
	u = newUART(func(level bool) { *line = level }, io.Discard, o)
	u.Write(uartLCRH, 4, lcrFIFO)
	u.Write(uartCR, 4, 0x301)
	return u, line, out
}

func TestUARTReceives(t *testing.T) {
	u, line, _ := newTestUART(t)
	u.Write(uartIMSC, 4, intRX|intTimeout)
	if f := u.Read(uartFR, 4); f&flagRXEmpty == 0 || *line {
		t.Errorf("empty: flags %#x, line %v", f, *line)
	}
	if n := u.input([]byte("hello, this is longer than the FIFO")); n != 35 {
		t.Errorf("took %d bytes", n)
	}
	if f := u.Read(uartFR, 4); f&flagRXFull == 0 || !*line || u.Read(uartRIS, 4) != intRX|intTimeout {
		t.Errorf("full: flags %#x, line %v", f, *line)
	}
	var got []byte
	for u.Read(uartFR, 4)&flagRXEmpty == 0 {
		got = append(got, byte(u.Read(uartDR, 4)))
	}
	if string(got) != "hello, this is longer than the FIFO" || *line {
		t.Errorf("read %q, line %v after it", got, *line)
	}
}

func TestUARTInputIsBounded(t *testing.T) {
	u, _, _ := newTestUART(t)
	if n := u.input(make([]byte, uartBacklog+1)); n != uartBacklog {
		t.Errorf("took %d bytes, want %d", n, uartBacklog)
	}
}

func TestUARTInterruptLevels(t *testing.T) {
	tests := []struct {
		name      string
		lcr, ifls uint64
		bytes     int
		raw       uint64
	}{
		{"half, below", lcrFIFO, 2 << 3, 7, intTimeout},
		{"half, reached", lcrFIFO, 2 << 3, 8, intTimeout | intRX},
		{"an eighth", lcrFIFO, 0, 2, intTimeout | intRX},
		{"seven eighths, below", lcrFIFO, 4 << 3, 13, intTimeout},
		{"without FIFO one character is enough", 0, 4 << 3, 1, intTimeout | intRX},
	}
	for _, tt := range tests {
		u, _, _ := newTestUART(t)
		u.Write(uartLCRH, 4, tt.lcr)
		u.Write(uartIFLS, 4, tt.ifls)
		u.input(make([]byte, tt.bytes))
		if got := u.Read(uartRIS, 4); got != tt.raw {
			t.Errorf("%s: raw status %#x, want %#x", tt.name, got, tt.raw)
		}
	}
}

func TestUARTSends(t *testing.T) {
	u, line, out := newTestUART(t)
	u.Write(uartIMSC, 4, intTX)
	for _, c := range "ok\n" {
		u.Write(uartDR, 1, uint64(c))
	}
	if !*line || u.Read(uartMIS, 4) != intTX {
		t.Error("no interrupt after sending")
	}
	u.Write(uartICR, 4, intTX)
	if *line {
		t.Error("the interrupt is not cleared")
	}
	u.out.close()
	if out.String() != "ok\n" {
		t.Errorf("wrote %q", out)
	}
}

func TestUARTLoopback(t *testing.T) {
	u, _, _ := newTestUART(t)
	u.Write(uartCR, 4, 0x301|crLoopback)
	u.Write(uartDR, 1, 'x')
	if got := u.Read(uartDR, 4); got != 'x' {
		t.Errorf("read %q back", rune(got))
	}
}

func TestIdentification(t *testing.T) {
	u, _, _ := newTestUART(t)
	r := newRTC(func(bool) {}, hostClock{})
	tests := []struct {
		name string
		dev  busDevice
		want uint64 // PeriphID3 to 0, then PCellID3 to 0 are fixed
	}{
		{"PL011", u, 0x00141011},
		{"PL031", r, 0x00141031},
	}
	for _, tt := range tests {
		var id, cell uint64
		for i := range uint64(4) {
			id |= tt.dev.Read(0xfe0+4*i, 4) << (8 * i)
			cell |= tt.dev.Read(0xff0+4*i, 4) << (8 * i)
		}
		if id != tt.want || cell != 0xb105f00d {
			t.Errorf("%s identifies as %#x, %#x", tt.name, id, cell)
		}
	}
}

// TestSlowConsole: a writer that blocks shows as a full FIFO, never as a wait.
func TestSlowConsole(t *testing.T) {
	r, w := io.Pipe()
	o := newOutlet(w, false)
	u := newUART(func(bool) {}, io.Discard, o)
	sent := 0
	for ; u.Read(uartFR, 4)&flagTXFull == 0; sent++ {
		if sent > 4*outletSize {
			t.Fatal("the FIFO never fills")
		}
		u.Write(uartDR, 1, 'x')
	}
	u.Write(uartDR, 1, 'y') // dropped
	go func() { o.close(); w.Close() }()
	got, _ := io.ReadAll(r)
	if len(got) != sent || bytes.ContainsRune(got, 'y') {
		t.Errorf("%d bytes came out, want the %d that fitted", len(got), sent)
	}
}

func TestRTC(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var line atomic.Bool
		r := newRTC(line.Store, hostClock{})
		defer r.close()
		if got := r.Read(rtcDR, 4); got != uint64(time.Now().Unix()) {
			t.Errorf("clock reads %d", got)
		}
		r.Write(rtcLR, 4, 1000)
		time.Sleep(5 * time.Second)
		if got := r.Read(rtcDR, 4); got != 1005 {
			t.Errorf("5 s after it was set to 1000 the clock reads %d", got)
		}
		r.Write(rtcIMSC, 4, 1)
		r.Write(rtcMR, 4, 1010)
		time.Sleep(4900 * time.Millisecond)
		if line.Load() {
			t.Error("the alarm rang early")
		}
		time.Sleep(200 * time.Millisecond)
		if !line.Load() || r.Read(rtcMIS, 4) != 1 {
			t.Error("the alarm did not ring")
		}
		r.Write(rtcICR, 4, 1)
		if line.Load() || r.Read(rtcRIS, 4) != 0 {
			t.Error("the alarm is not cleared")
		}
	})
}

func TestWatchLines(t *testing.T) {
	w := NewWatch()
	a, b := w.Tap("hvc0", nil), w.Tap("ttyAMA0", nil)
	for range watchLines {
		io.WriteString(a, "old\n")
	}
	io.WriteString(a, strings.Repeat("x", 2*watchLineSize)+"\r\nope")
	io.WriteString(b, "one\ntwo\n")
	io.WriteString(a, "n")
	got := w.Lines()
	want := []string{"hvc0: " + strings.Repeat("x", watchLineSize), "ttyAMA0: one", "ttyAMA0: two", "hvc0: open"}
	if n := len(got); n != watchLines+1 || strings.Join(got[n-4:], "|") != strings.Join(want, "|") {
		t.Errorf("%d lines, the last are %q", n, got[max(0, n-4):])
	}
}

func TestPlacement(t *testing.T) {
	const mib = 1 << 20
	kernel := func(offset, size uint64) *image.Kernel {
		return &image.Kernel{TextOffset: offset, ImageSize: size, Data: make([]byte, 4096)}
	}
	tests := []struct {
		name   string
		memory uint64
		kernel *image.Kernel
		initrd int
		want   placement // zero: refused
	}{
		{"kernel alone", 64 * mib, kernel(0, 8*mib), 0, placement{kernel: RAMBase, fdt: RAMBase + 64*mib - 0x3000}},
		{"text offset", 64 * mib, kernel(0x80000, 8*mib), 0, placement{kernel: RAMBase + 0x80000, fdt: RAMBase + 64*mib - 0x3000}},
		{"initrd on the next 2 MiB", 64 * mib, kernel(0x80000, 8*mib), 5, placement{kernel: RAMBase + 0x80000,
			initrd: RAMBase + 10*mib, initrdEnd: RAMBase + 10*mib + 5, fdt: RAMBase + 64*mib - 0x3000}},
		{"kernel too large", 64 * mib, kernel(0, 64*mib), 0, placement{}},
		{"kernel size overflows", 64 * mib, kernel(0x80000, ^uint64(0)), 0, placement{}},
		{"initrd too large", 64 * mib, kernel(0, 8*mib), 56 * mib, placement{}},
		{"initrd alone too large", 64 * mib, kernel(0, 63*mib), 1, placement{}},
		{"no kernel", 64 * mib, nil, 0, placement{}},
	}
	for _, tt := range tests {
		got, err := place(tt.memory, tt.kernel, tt.initrd, 0x2001)
		if got != tt.want || (err != nil) != (tt.want == placement{}) {
			t.Errorf("%s: %#x, %v; want %#x", tt.name, got, err, tt.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no vCPU", func(c *Config) { c.CPUs = 0 }, "ask for 1 to 8"},
		{"more vCPUs than the engine has", func(c *Config) { c.CPUs = 9 }, "ask for 1 to 8"},
		{"too little memory", func(c *Config) { c.Memory = 31 << 20 }, "whole MiB from 32"},
		{"odd memory", func(c *Config) { c.Memory += 4096 }, "whole MiB"},
		{"memory beyond the addresses", func(c *Config) { c.Memory = 1 << 36 }, "36 bits"},
		{"too many devices", func(c *Config) { c.Devices = make([]virtio.Device, MaxDevices+1) }, "64 fit"},
		{"NUL in the command line", func(c *Config) { c.Cmdline = "a\x00b" }, "command line"},
		{"endless command line", func(c *Config) { c.Cmdline = strings.Repeat("x", 2048) }, "command line"},
		{"no kernel", func(c *Config) { c.Kernel = nil }, "no kernel"},
	}
	for _, tt := range tests {
		cfg := Config{Engine: &fakeEngine{}, CPUs: 1, Memory: MinMemory, Kernel: fakeKernel()}
		tt.change(&cfg)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

// TestDevicetree reads our blob with our parser and has dtc check it.
func TestDevicetree(t *testing.T) {
	b := newFake(t, func(c *Config) {
		c.Initrd, c.Cmdline = make([]byte, 100), "console=ttyAMA0"
		c.Devices = []virtio.Device{nullDevice{}, nullDevice{}}
	}, nil, nil, nil)
	tree, err := fdt.Parse(b.FDT())
	if err != nil {
		t.Fatal(err)
	}
	chosen := tree.Find("/chosen")
	if got := chosen.String("bootargs"); got != "console=ttyAMA0" {
		t.Errorf("bootargs are %q", got)
	}
	if tree.Find(chosen.String("stdout-path")) == nil {
		t.Errorf("stdout-path %q leads nowhere", chosen.String("stdout-path"))
	}
	if seed, _ := chosen.Prop("rng-seed"); len(seed) != 64 {
		t.Errorf("rng-seed has %d bytes", len(seed))
	}
	if n := len(tree.Find("/cpus").Children); n != 3 {
		t.Errorf("%d cpus", n)
	}
	irq, _ := tree.Find("/virtio_mmio@c001000").Prop("interrupts")
	if !bytes.Equal(irq, []byte{0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 4}) {
		t.Errorf("the second virtio window has interrupts % x", irq)
	}
	at := b.place.fdt - RAMBase
	if !bytes.Equal(b.ram.Bytes()[at:at+uint64(len(b.FDT()))], b.FDT()) {
		t.Error("the blob is not where the guest is told")
	}
	checkWithDTC(t, b.FDT())
}

// checkWithDTC fails on any warning.
func checkWithDTC(t *testing.T, blob []byte) {
	t.Helper()
	path, err := exec.LookPath("dtc")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("dtc is missing")
		}
		t.Skip("dtc is missing")
	}
	var complaints bytes.Buffer
	c := exec.Command(path, "-I", "dtb", "-O", "dts", "-o", os.DevNull)
	c.Stdin, c.Stderr = bytes.NewReader(blob), &complaints
	if err := c.Run(); err != nil || complaints.Len() > 0 {
		t.Errorf("dtc: %v\n%s", err, &complaints)
	}
}

func TestSeeds(t *testing.T) {
	one, same, other := newSeeds([]byte("a")), newSeeds([]byte("a")), newSeeds([]byte("b"))
	if one != same || one == other || newSeeds(nil) == newSeeds(nil) {
		t.Error("seeds must follow the given seed, and the host's randomness without one")
	}
}

// FuzzBus lets a guest load and store anywhere. Nothing may panic or hang.
func FuzzBus(f *testing.F) {
	f.Add([]byte{0, 0x0b, 0, 0, 0, 4, 'x', 1, 0x0b, 0, 0x10, 0, 4, 1, 0, 0x0c, 0, 0, 0x70, 4, 15})
	f.Fuzz(func(t *testing.T, ops []byte) {
		b := newFake(t, func(c *Config) {
			c.Devices = []virtio.Device{nullDevice{}}
			c.Log = nil
		}, nil)
		for ; len(ops) >= 7; ops = ops[7:] {
			addr := uint64(ops[1])<<24 | uint64(ops[2])<<16 | uint64(ops[3])<<8 | uint64(ops[4])
			size := 1 << (ops[5] % 4)
			if ops[0]&1 == 0 {
				b.bus.write(addr, size, uint64(ops[6])*0x0101_0101_0101_0101)
			} else {
				b.bus.read(addr, size)
			}
		}
	})
}

func TestTypingWaitsForTheGuest(t *testing.T) {
	u, _, _ := newTestUART(t)
	b := &Board{uart: u, stopped: make(chan struct{})}
	typed := make(chan error)
	go func() { typed <- b.UARTInput(make([]byte, uartBacklog+3)) }()
	for range 3 {
		select {
		case err := <-typed:
			t.Fatalf("typing went on before the guest had read: %v", err)
		case <-time.After(time.Millisecond):
		}
		for u.Read(uartFR, 4)&flagRXEmpty != 0 {
			time.Sleep(time.Millisecond)
		}
		u.Read(uartDR, 4)
	}
	if err := <-typed; err != nil {
		t.Error(err)
	}
	go func() { typed <- b.UARTInput(make([]byte, uartBacklog)) }()
	close(b.stopped)
	if err := <-typed; !errors.Is(err, ErrEnded) {
		t.Errorf("typing at a machine that has ended: %v, want ErrEnded", err)
	}
}

// FuzzWatch: whatever a guest writes to its consoles, what is kept stays
// within bounds, and what is passed on is what came.
func FuzzWatch(f *testing.F) {
	f.Add([]byte(panicText+panicTextEnd), []byte("login: "))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		w := NewWatch()
		var out bytes.Buffer
		a, b := w.Tap("hvc0", &out), w.Tap("ttyAMA0", nil)
		a.Write(one)
		b.Write(two)
		lines := w.Lines()
		if len(lines) > watchLines+2 || !bytes.Equal(out.Bytes(), one) {
			t.Fatalf("%d lines kept, %d of %d bytes passed on", len(lines), out.Len(), len(one))
		}
		for _, l := range lines {
			if len(l) > watchLineSize+len("ttyAMA0: ") || strings.Contains(l, "\n") {
				t.Fatalf("kept %q", l)
			}
		}
	})
}
