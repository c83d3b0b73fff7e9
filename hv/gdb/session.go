package gdb

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/arcboxlabs/arcbox-go/hv"
)

// Answers. gdb looks at errors no closer than that they are errors.
const (
	replyOK    = "OK"
	replyError = "E01"
	replyFault = "E0e" // EFAULT: memory that is not there
)

// A session is one debugger at work.
type session struct {
	ctx context.Context
	t   Target
	out io.Writer
	ack bool   // packets are acknowledged
	was []byte // the last packet sent, for those who ask again

	cpu     int // whose registers and memory packets mean (Hg)
	runCPU  int // whom s and c mean (Hc), -1 for all
	why     string
	running bool
	over    bool
	ended   bool // there is no machine to let run on

	breaks  map[uint64]int // by kind of packet: a software and a hardware one may share an address
	watches []watch
}

// A watch is one Z2, Z3 or Z4.
type watch struct {
	kind       byte
	addr, size uint64
}

func (s *session) send(payload string) error {
	s.was = frame(payload)
	_, err := s.out.Write(s.was)
	return err
}

// take answers one message.
func (s *session) take(m message) error {
	var err error
	switch {
	case m.kind == msgAgain:
		_, err = s.out.Write(s.was)
	case m.kind == msgBad && s.ack:
		_, err = io.WriteString(s.out, "-")
	case m.kind == msgPacket:
		err = s.packet(m.data)
	}
	return err
}

func (s *session) packet(p string) error {
	if s.ack {
		if _, err := io.WriteString(s.out, "+"); err != nil {
			return err
		}
	}
	answer := s.answer(p)
	if s.running || s.ended && p == "k" {
		return nil // answered when the machine stops; k is not at all
	}
	err := s.send(answer)
	if p == "QStartNoAckMode" {
		s.ack = false
	}
	return err
}

// answer does what a packet wants. "" means that there is no such packet.
func (s *session) answer(p string) string {
	if p == "" {
		return ""
	}
	rest := p[1:]
	switch p[0] {
	case '?':
		return s.why
	case 'g':
		return s.registers(registers)
	case 'G':
		return s.setRegisters(rest)
	case 'p':
		return s.oneRegister(rest)
	case 'P':
		return s.setOneRegister(rest)
	case 'm':
		return s.readMemory(rest)
	case 'M', 'X':
		return s.writeMemory(rest, p[0] == 'X')
	case 'Z', 'z':
		return s.stopPoint(rest, p[0] == 'Z')
	case 'H':
		return s.selectThread(rest)
	case 'T':
		return s.alive(rest)
	case 'c', 'C', 's', 'S':
		return s.resumeOne(p[0])
	case 'D':
		s.over = true
		return replyOK
	case 'k':
		return s.kill()
	}
	return s.named(p)
}

// named answers packets that have a name.
func (s *session) named(p string) string {
	name, rest := p, ""
	if i := strings.IndexAny(p, ":;,"); i >= 0 {
		name, rest = p[:i], p[i+1:]
	}
	switch name {
	case "qSupported":
		return fmt.Sprintf("PacketSize=%x;qXfer:features:read+;vContSupported+;QStartNoAckMode+", maxPacket)
	case "QStartNoAckMode":
		return replyOK
	case "qXfer":
		return transfer(rest)
	case "qAttached":
		return "1"
	case "qC":
		return fmt.Sprintf("QC%x", s.cpu+1)
	case "qfThreadInfo":
		return s.threads()
	case "qsThreadInfo":
		return "l"
	case "qThreadExtraInfo":
		return s.describeThread(rest)
	case "vCont?":
		return "vCont;c;C;s;S"
	case "vCont":
		return s.resume(rest)
	case "vKill":
		return s.kill()
	}
	return ""
}

// transfer answers qXfer:features:read:target.xml:OFFSET,LENGTH.
func transfer(p string) string {
	args, ok := strings.CutPrefix(p, "features:read:target.xml:")
	off, size, good := twoNumbers(args)
	if !ok || !good {
		return ""
	}
	rest := targetXML[min(off, uint64(len(targetXML))):]
	if uint64(len(rest)) <= size {
		return "l" + rest
	}
	return "m" + rest[:size]
}

// twoNumbers reads "HEX,HEX".
func twoNumbers(s string) (a, b uint64, ok bool) {
	x, y, found := strings.Cut(s, ",")
	a, errA := strconv.ParseUint(x, 16, 64)
	b, errB := strconv.ParseUint(y, 16, 64)
	return a, b, found && errA == nil && errB == nil
}

// stopped keeps why the machine stopped, as gdb is told it.
func (s *session) stopped(cpu int, e hv.Exit) {
	s.cpu, s.runCPU = cpu, cpu
	signal := 5 // SIGTRAP
	if e.Reason == 0 {
		signal = 2 // SIGINT
	}
	s.why = fmt.Sprintf("T%02xthread:%x;", signal, cpu+1)
	if e.Reason == hv.DebugWatchpoint {
		s.why += fmt.Sprintf("%s:%x;", s.watchName(e), s.watchAddr(e))
	}
}

// hit is the watchpoint that an exit is of: the access may begin before it.
func (s *session) hit(e hv.Exit) (watch, bool) {
	const widest = 64 // bytes that one access has, at most: DC ZVA
	for _, w := range s.watches {
		if e.VA < w.addr+w.size && w.addr < e.VA+widest && (e.Write && w.kind != '3' || !e.Write && w.kind != '2') {
			return w, true
		}
	}
	return watch{}, false
}

func (s *session) watchAddr(e hv.Exit) uint64 {
	if w, ok := s.hit(e); ok {
		return max(e.VA, w.addr)
	}
	return e.VA
}

func (s *session) watchName(e hv.Exit) string {
	w, _ := s.hit(e)
	switch w.kind {
	case '3':
		return "rwatch"
	case '4':
		return "awatch"
	}
	return "watch"
}

func (s *session) kill() string {
	s.t.Kill()
	s.over, s.ended = true, true
	return replyOK
}

// stopPoint adds or removes "KIND,ADDRESS,SIZE".
func (s *session) stopPoint(p string, add bool) string {
	if len(p) < 2 || p[1] != ',' || p[0] < '0' || p[0] > '4' {
		return ""
	}
	p, _, conditions := strings.Cut(p, ";")
	addr, size, ok := twoNumbers(p[2:])
	if !ok || conditions {
		return replyError
	}
	if p[0] <= '1' {
		return s.breakpoint(addr, 1<<(p[0]-'0'), add)
	}
	return s.watchpoint(watch{p[0], addr, size}, add)
}

// maxStops bounds the breakpoints of a session.
const maxStops = 4096

func (s *session) breakpoint(addr uint64, kind int, add bool) string {
	if addr%4 != 0 || add && len(s.breaks) >= maxStops {
		return replyError
	}
	if add {
		s.breaks[addr] |= kind
	} else if s.breaks[addr] &^= kind; s.breaks[addr] == 0 {
		delete(s.breaks, addr)
	}
	return s.setStops()
}

// maxWatches is what every engine can watch at a time.
const maxWatches = 4

func (s *session) watchpoint(w watch, add bool) string {
	at := slices.Index(s.watches, w)
	switch {
	case w.size == 0 || w.addr+w.size < w.addr || add && at < 0 && len(s.watches) == maxWatches:
		return replyError
	case add && at < 0:
		s.watches = append(s.watches, w)
	case !add && at >= 0:
		s.watches = slices.Delete(s.watches, at, at+1)
	}
	return s.setStops()
}

func (s *session) setStops() string {
	var watches []hv.Watchpoint
	for _, w := range s.watches {
		watches = append(watches, hv.Watchpoint{Addr: w.addr, Size: w.size, Read: w.kind != '2', Write: w.kind != '3'})
	}
	s.t.SetStops(slices.Sorted(maps.Keys(s.breaks)), watches)
	return replyOK
}

// do has f use the current vCPU and answers an error with an error.
func (s *session) do(f func(hv.VCPU) error) string {
	if s.t.Do(s.ctx, s.cpu, f) != nil {
		return replyError
	}
	return replyOK
}

func (s *session) registers(list []register) (text string) {
	if got := s.do(func(vc hv.VCPU) error { text = hexRegisters(vc, list); return nil }); got != replyOK {
		return got
	}
	return text
}

// setRegisters is G: as many of the registers as there are bytes.
func (s *session) setRegisters(p string) string {
	b, err := hex.DecodeString(p)
	if err != nil {
		return replyError
	}
	return s.do(func(vc hv.VCPU) error {
		for _, r := range registers {
			if len(b) < r.bytes {
				return nil
			}
			r.set(vc, b[:r.bytes]) // read-only ones stay
			b = b[r.bytes:]
		}
		return nil
	})
}

func findRegister(number string) (register, bool) {
	n, err := strconv.ParseUint(number, 16, 16)
	if err != nil || n >= uint64(len(registers)) {
		return register{}, false
	}
	return registers[n], true
}

func (s *session) oneRegister(p string) string {
	r, ok := findRegister(p)
	if !ok {
		return replyError
	}
	return s.registers([]register{r})
}

func (s *session) setOneRegister(p string) string {
	number, value, _ := strings.Cut(p, "=")
	r, ok := findRegister(number)
	b, err := hex.DecodeString(value)
	if !ok || err != nil || len(b) != r.bytes {
		return replyError
	}
	return s.do(func(vc hv.VCPU) error { return r.set(vc, b) })
}

func (s *session) readMemory(p string) string {
	addr, size, ok := twoNumbers(p)
	if !ok {
		return replyError
	}
	b := make([]byte, min(size, maxPacket/2))
	n, _ := s.t.ReadMemory(s.ctx, s.cpu, addr, b)
	if n == 0 && size != 0 {
		return replyFault
	}
	return hex.EncodeToString(b[:n])
}

// writeMemory is M, in hexadecimal, or X, in binary: "ADDRESS,SIZE:BYTES".
func (s *session) writeMemory(p string, binary bool) string {
	where, bytes, found := strings.Cut(p, ":")
	addr, size, ok := twoNumbers(where)
	b := []byte(bytes)
	if !binary {
		var err error
		b, err = hex.DecodeString(bytes)
		ok = ok && err == nil
	}
	if !found || !ok || uint64(len(b)) != size {
		return replyError
	}
	if n, _ := s.t.WriteMemory(s.ctx, s.cpu, addr, b); n != len(b) {
		return replyFault
	}
	return replyOK
}
