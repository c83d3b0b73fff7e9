package gdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// A fakeCPU keeps registers.
type fakeCPU struct {
	hv.VCPU // nil: only what is below may be called
	regs    map[hv.Reg]uint64
	sys     map[hv.SysReg]uint64
	v       [32][16]byte
}

func (c *fakeCPU) Reg(r hv.Reg) (uint64, error)          { return c.regs[r], nil }
func (c *fakeCPU) SetReg(r hv.Reg, v uint64) error       { c.regs[r] = v; return nil }
func (c *fakeCPU) VReg(n int) ([16]byte, error)          { return c.v[n], nil }
func (c *fakeCPU) SetVReg(n int, v [16]byte) error       { c.v[n] = v; return nil }
func (c *fakeCPU) SetSysReg(r hv.SysReg, v uint64) error { c.sys[r] = v; return nil }
func (c *fakeCPU) SysReg(r hv.SysReg) (uint64, error) {
	if r == arm64.CNTV_CVAL_EL0 {
		return 0, hv.ErrUnsupported
	}
	return c.sys[r], nil
}

// memoryBase is where a fakeTarget has 4 KiB.
const memoryBase = 0xffff_0000_0000_1000

// A fakeTarget logs what it is told to do. It stops for what is put into stops.
type fakeTarget struct {
	cpus   [2]*fakeCPU
	memory [4096]byte
	log    []string
	stops  chan hv.Exit
	went   chan struct{} // has a token for each Resume
	done   chan struct{}
}

func newFake() *fakeTarget {
	f := &fakeTarget{stops: make(chan hv.Exit, 1), went: make(chan struct{}, 64), done: make(chan struct{})}
	for i := range f.cpus {
		f.cpus[i] = &fakeCPU{
			regs: map[hv.Reg]uint64{hv.PC: 0x40000000 + uint64(i), hv.CPSR: arm64.ModeEL1h},
			sys:  map[hv.SysReg]uint64{arm64.SP_EL1: 0x1234, arm64.SP_EL0: 0x5678},
		}
	}
	return f
}

func (f *fakeTarget) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}
func (f *fakeTarget) CPUs() int                                   { return 2 }
func (f *fakeTarget) On(_ context.Context, cpu int) (bool, error) { return cpu == 0, nil }
func (f *fakeTarget) Done() <-chan struct{}                       { return f.done }
func (f *fakeTarget) Kill()                                       { f.note("kill"); close(f.done) }
func (f *fakeTarget) Detach(context.Context) error                { f.note("detach"); return nil }

func (f *fakeTarget) SetStops(breaks []uint64, watches []hv.Watchpoint) {
	text := ""
	for _, w := range watches {
		text += fmt.Sprintf(" %x+%d", w.Addr, w.Size)
		if w.Read {
			text += "r"
		}
		if w.Write {
			text += "w"
		}
	}
	f.note("stops %x%s", breaks, text)
}

func (f *fakeTarget) Do(_ context.Context, cpu int, do func(hv.VCPU) error) error {
	return do(f.cpus[cpu])
}

func (f *fakeTarget) move(va uint64, n int) []byte {
	off := va - memoryBase
	if off >= uint64(len(f.memory)) {
		return nil
	}
	return f.memory[off:min(off+uint64(n), uint64(len(f.memory)))]
}

func (f *fakeTarget) ReadMemory(_ context.Context, _ int, va uint64, p []byte) (int, error) {
	return copy(p, f.move(va, len(p))), nil
}

func (f *fakeTarget) WriteMemory(_ context.Context, _ int, va uint64, p []byte) (int, error) {
	return copy(f.move(va, len(p)), p), nil
}

func (f *fakeTarget) Resume(_ context.Context, run, step uint32) error {
	f.note("resume %b %b", run, step)
	f.went <- struct{}{}
	return nil
}

func (f *fakeTarget) Interrupt() {
	select {
	case f.stops <- hv.Exit{Kind: hv.DebugStop}:
	default:
	}
}

func (f *fakeTarget) Wait(ctx context.Context) (int, hv.Exit, error) {
	select {
	case e := <-f.stops:
		return 0, e, nil
	case <-f.done:
		return 0, hv.Exit{}, io.EOF
	case <-ctx.Done():
		return 0, hv.Exit{}, ctx.Err()
	}
}

// newSession is one that is held at its start.
func newSession(f *fakeTarget) *session {
	s := &session{ctx: context.Background(), t: f, out: io.Discard, breaks: map[uint64]int{}}
	s.stopped(0, hv.Exit{Kind: hv.DebugStop})
	return s
}

func TestAnswers(t *testing.T) {
	const zeros = "0000000000000000"
	tests := []struct {
		name    string
		packets string // separated by spaces; the last is the one whose answer counts
		want    string
		log     string // what the target was told by all of them
	}{
		{"why it stopped", "?", "T02thread:1;", ""},
		{"what we can", "qSupported:multiprocess+", "PacketSize=4000;qXfer:features:read+;vContSupported+;QStartNoAckMode+", ""},
		{"a packet that does not exist", "vMustReplyEmpty", "", ""},
		{"an empty packet", " ", "", ""},
		{"threads", "qfThreadInfo", "m1,2", ""},
		{"the end of threads", "qsThreadInfo", "l", ""},
		{"a thread's description", "qThreadExtraInfo,2", hex.EncodeToString([]byte("CPU 1, off")), ""},
		{"a thread that exists", "T2", "OK", ""},
		{"a thread that does not", "T3", "E01", ""},
		{"thread zero is none", "T0", "E01", ""},
		{"PC", "p20", "0000004000000000", ""},
		{"PC of the other thread", "Hg2 p20", "0100004000000000", ""},
		{"a thread to select that is not there", "Hg9", "E01", ""},
		{"SP is that of EL1", "p1f", "3412000000000000", ""},
		{"SP is that of EL0 in EL0", "P21=00000000 p1f", "7856000000000000", ""},
		{"a general register that was set", "P3=0807060504030201 p3", "0807060504030201", ""},
		{"a vector register that was set", "P22=" + zeros + "ff00000000000000 p22", zeros + "ff00000000000000", ""},
		{"CPSR has four bytes", "p21", "05000000", ""},
		{"a register that cannot be read", fmt.Sprintf("p%x", numberOf("CNTV_CVAL_EL0")), strings.Repeat("x", 16), ""},
		{"a register that does not exist", "pffff", "E01", ""},
		{"a value of the wrong size", "P3=00", "E01", ""},
		{"memory", "Mffff000000001000,4:01020304 mffff000000001000,4", "01020304", ""},
		{"memory in binary", "Xffff000000001ffe,2:ab mffff000000001ffe,2", "6162", ""},
		{"memory up to its end", "mffff000000001ffe,8", "0000", ""},
		{"memory that is not there", "m1000,4", "E0e", ""},
		{"memory to be written that is not there", "M1000,1:00", "E0e", ""},
		{"memory of a size without sense", "mffff000000001000", "E01", ""},
		{"bytes that are fewer than said", "Mffff000000001000,4:0102", "E01", ""},
		{"a breakpoint", "Z0,40000000,4", "OK", "stops [40000000]"},
		{"a breakpoint of both kinds at one place", "Z0,40,4 Z1,40,4 z0,40,4", "OK", "stops [40]|stops [40]|stops [40]"},
		{"a breakpoint that is removed", "Z1,40,4 z1,40,4", "OK", "stops [40]|stops []"},
		{"a breakpoint between instructions", "Z0,41,4", "E01", ""},
		{"watchpoints", "Z2,40,8 Z3,50,4 Z4,60,1", "OK",
			"stops [] 40+8w|stops [] 40+8w 50+4r|stops [] 40+8w 50+4r 60+1rw"},
		{"more watchpoints than there are", "Z2,40,8 Z2,50,8 Z2,60,8 Z2,70,8 Z2,80,8", "E01",
			"stops [] 40+8w|stops [] 40+8w 50+8w|stops [] 40+8w 50+8w 60+8w|stops [] 40+8w 50+8w 60+8w 70+8w"},
		{"a watchpoint that wraps", "Z2,ffffffffffffffff,8", "E01", ""},
		{"a kind of breakpoint that does not exist", "Z5,40,4", "", ""},
		{"the first part of the description", "qXfer:features:read:target.xml:0,5", "m<?xml", ""},
		{"the description behind its end", "qXfer:features:read:target.xml:ffffff,5", "l", ""},
		{"another file", "qXfer:features:read:other.xml:0,5", "", ""},
		{"an action that does not exist", "vCont;x:1", "E01", ""},
		{"kill", "vKill;1", "OK", "kill"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			s := newSession(f)
			got := ""
			for p := range strings.SplitSeq(strings.TrimPrefix(tt.packets, " "), " ") {
				got = s.answer(p)
			}
			log := strings.Join(f.log, "|")
			if got != tt.want || log != tt.log {
				t.Errorf("answer %q, want %q; log %q, want %q", got, tt.want, log, tt.log)
			}
		})
	}
}

func numberOf(name string) int {
	for i, r := range registers {
		if r.name == name {
			return i
		}
	}
	return -1
}

func TestResumption(t *testing.T) {
	tests := []struct{ packets, log string }{
		{"c", "resume 11 0"},
		{"s", "resume 10 1"},
		{"Hc2 s", "resume 1 10"},
		{"Hc-1 s", "resume 10 1"},
		{"C05", "resume 11 0"},
		{"vCont;c", "resume 11 0"},
		{"vCont;s:1", "resume 0 1"},
		{"vCont;s:2;c", "resume 1 10"},
		{"vCont;c:1;s:1", "resume 1 0"},
		{"vCont;s:-1", "resume 0 11"},
		{"vCont;S05:1;C05", "resume 10 1"},
	}
	for _, tt := range tests {
		f := newFake()
		s := newSession(f)
		for p := range strings.SplitSeq(tt.packets, " ") {
			s.answer(p)
		}
		if got := strings.Join(f.log, "|"); got != tt.log || !s.running {
			t.Errorf("%s: %q, running %v; want %q", tt.packets, got, s.running, tt.log)
		}
	}
}

func TestAllRegistersAtOnceComeBack(t *testing.T) {
	s := newSession(newFake())
	all := s.answer("g")
	if got := s.answer("G" + strings.ReplaceAll(all, "x", "0")); got != "OK" {
		t.Fatal(got)
	}
	if again := s.answer("g"); again != all {
		t.Errorf("registers changed from %s to %s", all, again)
	}
}

func TestStopRepliesSayWhy(t *testing.T) {
	tests := []struct {
		name string
		e    hv.Exit
		want string
	}{
		{"interrupted", hv.Exit{}, "T02thread:2;"},
		{"step", hv.Exit{Reason: hv.DebugStep}, "T05thread:2;"},
		{"breakpoint", hv.Exit{Reason: hv.DebugBreakpoint}, "T05thread:2;"},
		{"store", hv.Exit{Reason: hv.DebugWatchpoint, VA: 0x100, Write: true}, "T05thread:2;watch:100;"},
		{"store that begins before", hv.Exit{Reason: hv.DebugWatchpoint, VA: 0xf8, Write: true}, "T05thread:2;watch:100;"},
		{"load", hv.Exit{Reason: hv.DebugWatchpoint, VA: 0x204}, "T05thread:2;rwatch:204;"},
		{"store to what is watched for both", hv.Exit{Reason: hv.DebugWatchpoint, VA: 0x300, Write: true}, "T05thread:2;awatch:300;"},
	}
	for _, tt := range tests {
		s := newSession(newFake())
		s.watches = []watch{{'2', 0x100, 8}, {'3', 0x200, 8}, {'4', 0x300, 8}}
		if s.stopped(1, tt.e); s.why != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, s.why, tt.want)
		}
	}
}

func TestTheDescriptionIsWellFormedAndHasEveryRegister(t *testing.T) {
	var d struct {
		Features []struct {
			Regs []struct {
				Name string `xml:"name,attr"`
				Bits int    `xml:"bitsize,attr"`
			} `xml:"reg"`
		} `xml:"feature"`
	}
	if err := xml.Unmarshal([]byte(targetXML), &d); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range d.Features {
		for _, r := range f.Regs {
			if r.Name != registers[n].name || r.Bits != registers[n].bytes*8 {
				t.Errorf("register %d is described as %s of %d bits", n, r.Name, r.Bits)
			}
			n++
		}
	}
	if n != len(registers) || numberOf("pc") != 32 || numberOf("v0") != 34 || numberOf("fpcr") != 67 {
		t.Errorf("%d of %d registers are described, pc %d, v0 %d, fpcr %d", n, len(registers), numberOf("pc"), numberOf("v0"), numberOf("fpcr"))
	}
}

func TestMessages(t *testing.T) {
	tests := []struct {
		name, in string
		want     []message
	}{
		{"a packet", "$g#67", []message{{msgPacket, "g"}}},
		{"noise before a packet", "+++\x00x$g#67", []message{{msgPacket, "g"}}},
		{"Ctrl-C", "\x03$?#3f", []message{{kind: msgInterrupt}, {msgPacket, "?"}}},
		{"please again", "-", []message{{kind: msgAgain}}},
		{"a wrong checksum", "$g#68$g#67", []message{{kind: msgBad}, {msgPacket, "g"}}},
		{"a checksum that is none", "$g#zz", []message{{kind: msgBad}}},
		{"an escape", "$}\x03#80", []message{{msgPacket, "#"}}},
		{"an escape of nothing", "$}#7d", []message{{kind: msgBad}}},
		{"a packet cut short by the next", "$abc$g#67", []message{{msgPacket, "g"}}},
		{"a packet that is too long", "$" + strings.Repeat("0", maxPacket+16) + "#00", []message{{kind: msgBad}}},
		{"a packet without an end", "$g", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newReader(strings.NewReader(tt.in))
			for _, want := range tt.want {
				if got, err := r.next(); err != nil || got != want {
					t.Fatalf("message %+v, %v; want %+v", got, err, want)
				}
			}
			if got, err := r.next(); err == nil {
				t.Errorf("%+v comes too", got)
			}
		})
	}
}

// client is gdb's end of a session.
type client struct {
	*testing.T
	conn  net.Conn
	r     *reader
	ended chan error
}

func dial(t *testing.T, f *fakeTarget) *client {
	t.Helper()
	here, there := net.Pipe()
	c := &client{T: t, conn: here, r: newReader(bufio.NewReader(here)), ended: make(chan error, 1)}
	go func() { c.ended <- Serve(context.Background(), there, f) }()
	c.say("QStartNoAckMode", "OK")
	return c
}

func (c *client) send(p string) {
	c.Helper()
	if _, err := c.conn.Write(frame(p)); err != nil {
		c.Fatal(err)
	}
}

func (c *client) want(answer string) {
	c.Helper()
	if m, err := c.r.next(); err != nil || m.data != answer {
		c.Fatalf("answer %q, %v; want %q", m.data, err, answer)
	}
}

func (c *client) say(p, answer string) {
	c.Helper()
	c.send(p)
	c.want(answer)
}

// wantEnd waits for the session to end and checks what it did.
func (c *client) wantEnd(f *fakeTarget, log string) {
	c.Helper()
	if err := <-c.ended; err != nil {
		c.Error(err)
	}
	if got := strings.Join(f.log, "|"); got != log {
		c.Errorf("log %q, want %q", got, log)
	}
	c.conn.Close()
	goleak.VerifyNone(c)
}

func TestSessions(t *testing.T) {
	tests := []struct {
		name string
		do   func(c *client, f *fakeTarget)
		log  string
	}{
		{"to a breakpoint and away", func(c *client, f *fakeTarget) {
			c.send("vCont;c")
			<-f.went
			f.stops <- hv.Exit{Kind: hv.DebugStop, Reason: hv.DebugBreakpoint}
			c.want("T05thread:1;")
			c.say("D", "OK")
		}, "resume 11 0|detach"},
		{"Ctrl-C", func(c *client, f *fakeTarget) {
			c.send("c")
			<-f.went
			c.conn.Write([]byte{3})
			c.want("T02thread:1;")
			c.say("D", "OK")
		}, "resume 11 0|detach"},
		{"the machine ends", func(c *client, f *fakeTarget) {
			c.send("c")
			<-f.went
			close(f.done)
			c.want("W00")
		}, "resume 11 0"},
		{"the machine ends while it is held", func(c *client, f *fakeTarget) { close(f.done) }, ""},
		{"gdb leaves while it is held", func(c *client, f *fakeTarget) { c.conn.Close() }, "detach"},
		{"gdb leaves while it runs", func(c *client, f *fakeTarget) {
			c.send("c")
			<-f.went
			c.conn.Close()
		}, "resume 11 0|detach"},
		{"gdb kills", func(c *client, f *fakeTarget) { c.send("k") }, "kill"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			c := dial(t, f)
			tt.do(c, f)
			c.wantEnd(f, tt.log)
		})
	}
}

func TestUnacknowledgedPacketsAreAskedFor(t *testing.T) {
	var out bytes.Buffer
	s := newSession(newFake())
	s.out, s.ack = &out, true
	for _, m := range []message{{kind: msgBad}, {msgPacket, "T1"}, {kind: msgAgain}} {
		if err := s.take(m); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := out.String(), "-+$OK#9a$OK#9a"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

// FuzzReader holds the parser to what frame makes, and to no panic.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"$g#67", "\x03", "$}\x03#80", "-+$$#00", "$g#6"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newReader(bytes.NewReader(b))
		for {
			if _, err := r.next(); err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
		}
		if len(b) > maxPacket/2 {
			return
		}
		m, err := newReader(bytes.NewReader(frame(string(b)))).next()
		if err != nil || m.kind != msgPacket || m.data != string(b) {
			t.Fatalf("%q came back as %+v, %v", b, m, err)
		}
	})
}

// FuzzAnswer gives a session any packets.
func FuzzAnswer(f *testing.F) {
	for _, p := range []string{"g", "G00", "p1f", "P0=0", "m0,0", "Mffff000000001000,1:00", "X0,0:", "Z2,0,8", "vCont;s:1;c", "Hg-1", "qXfer:features:read:target.xml:0,fff", "T-1", "qThreadExtraInfo,-1", "H"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p string) {
		target := newFake()
		s := newSession(target)
		for range 2 { // the first may kill
			if got := s.answer(p); len(frame(got)) > 2*maxPacket {
				t.Fatalf("%q has an answer of %d bytes", p, len(got))
			}
			if s.ended {
				return
			}
		}
	})
}
