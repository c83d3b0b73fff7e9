// Package trace writes down what a machine does, one line an event, for people:
//
//	12345 cpu0 el1 exec ffff800080010000 d503201f nop
//	12346 cpu0 el0 exception esr 56000000 (SVC), at 0000aaaae1b0, to ffff800080010c00
//
// The number in front counts the vCPU's instructions.
package trace

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"

	"golang.org/x/arch/arm64/arm64asm"

	"github.com/arcboxlabs/arcbox-go/hv"
	"github.com/arcboxlabs/arcbox-go/hv/arm64"
)

// Filter says what is written.
type Filter struct {
	Events hv.TraceEvents
	// Low and High bound the addresses: of instructions, of what exceptions
	// leave or enter, of translated pages and of devices. High is the first address
	// beyond; 0 means no bound.
	Low, High uint64
	// EL is the exception level that events must come from, 0 or 1; AnyEL for
	// both.
	EL int
	// First and Last bound the window, in instructions of each vCPU. A Last of 0
	// means no end.
	First, Last uint64
}

// AnyEL is for Filter.EL.
const AnyEL = -1

var eventNames = []struct {
	name string
	kind hv.TraceEvents
}{
	{"exec", hv.TraceExec}, {"mmu", hv.TraceMMU}, {"exceptions", hv.TraceExceptions},
	{"mmio", hv.TraceMMIO}, {"irq", hv.TraceIRQ},
}

// ParseEvents reads a list such as "exec,mmu,exceptions,mmio,irq".
func ParseEvents(list string) (hv.TraceEvents, error) {
	var set hv.TraceEvents
	for name := range strings.SplitSeq(list, ",") {
		kind := kindOf(name)
		if kind == 0 {
			return 0, fmt.Errorf("cannot trace %q: choose from exec, mmu, exceptions, mmio and irq", name)
		}
		set |= kind
	}
	return set, nil
}

func kindOf(name string) hv.TraceEvents {
	for _, e := range eventNames {
		if e.name == name {
			return e.kind
		}
	}
	return 0
}

// A Tracer writes events of all vCPUs to one place. Any goroutine may use it.
type Tracer struct {
	filter Filter

	mu  sync.Mutex // guards what follows
	out *bufio.Writer
	err error // the first of the writer; nothing is written after it
}

// bufferSize is what a trace may lose when its process dies.
const bufferSize = 64 << 10

// New makes a tracer that writes to w; Flush must follow.
func New(w io.Writer, f Filter) *Tracer {
	return &Tracer{filter: f, out: bufio.NewWriterSize(w, bufferSize)}
}

// Flush writes what is buffered, and gives the first error of the writer.
func (t *Tracer) Flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.out.Flush(); t.err == nil {
		t.err = err
	}
	return t.err
}

// Sink is what a vCPU is to be given (hv.Traceable); nil when the engine has
// nothing to tell.
func (t *Tracer) Sink(cpu int) *hv.Trace {
	events := t.filter.Events &^ hv.TraceMMIO
	if events == 0 {
		return nil
	}
	return &hv.Trace{
		Events: events, First: t.filter.First, Last: t.filter.Last,
		Tell: func(e *hv.TraceEvent) { t.tell(cpu, e) },
	}
}

// tell writes an engine's event.
func (t *Tracer) tell(cpu int, e *hv.TraceEvent) {
	if t.filter.EL != AnyEL && int(e.EL) != t.filter.EL {
		return
	}
	if !t.inRange(e.PC) && !t.inRange(e.To) && !(e.Kind == hv.TraceMMU && t.inRange(e.VA)) {
		return
	}
	t.line("%d cpu%d el%d %s", e.Count, cpu, e.EL, text(e))
}

// inRange is for addresses; 0 stands for none.
func (t *Tracer) inRange(addr uint64) bool {
	if t.filter.Low == 0 && t.filter.High == 0 {
		return true
	}
	return addr != 0 && addr >= t.filter.Low && (t.filter.High == 0 || addr < t.filter.High)
}

// Access writes an access to a device, or to an address where none is, whose name
// is then empty. count is the vCPU's instructions.
func (t *Tracer) Access(cpu int, count uint64, e *hv.Exit, device string, value uint64) {
	if t.filter.Events&hv.TraceMMIO == 0 || !t.inWindow(count) || !t.inRange(e.IPA) {
		return
	}
	if device == "" {
		device = "nothing"
	}
	what := "load"
	if e.Write {
		what = "store"
	}
	t.line("%d cpu%d mmio %s %x of %d bytes, %s: %#x", count, cpu, what, e.IPA, e.Size, device, value)
}

// Acknowledged writes that a vCPU has asked its interrupt controller for an
// interrupt and got intid.
func (t *Tracer) Acknowledged(cpu int, count uint64, intid uint64) {
	if t.filter.Events&hv.TraceIRQ != 0 && t.inWindow(count) {
		t.line("%d cpu%d irq acknowledges %d", count, cpu, intid)
	}
}

func (t *Tracer) inWindow(count uint64) bool {
	return count >= t.filter.First && (t.filter.Last == 0 || count <= t.filter.Last)
}

// line writes one line, unless an earlier one could not be written.
func (t *Tracer) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format+"\n", args...)
	}
}

// text is an engine's event without what all events have.
func text(e *hv.TraceEvent) string {
	switch e.Kind {
	case hv.TraceExec:
		return fmt.Sprintf("exec %016x %08x %s", e.PC, e.Word, Disassemble(e.PC, e.Word))
	case hv.TraceMMU:
		return fmt.Sprintf("mmu %016x is %x, %s", e.VA, e.PA, pageText(e))
	case hv.TraceIRQ:
		what := "IRQ"
		if e.FIQ {
			what = "FIQ"
		}
		return fmt.Sprintf("irq %s at %016x, to %016x", what, e.PC, e.To)
	}
	if e.Return {
		return fmt.Sprintf("exception return to %016x", e.To)
	}
	far := ""
	if e.FAR != 0 {
		far = fmt.Sprintf(", far %016x", e.FAR)
	}
	return fmt.Sprintf("exception esr %08x (%s), at %016x%s, to %016x", e.ESR, className(arm64.EC(e.ESR)), e.PC, far, e.To)
}

// pageText says how a page is mapped.
func pageText(e *hv.TraceEvent) string {
	use := "read"
	switch {
	case e.Exec:
		use = "execute"
	case e.Write:
		use = "read and write"
	}
	kind := ""
	if e.Device {
		kind = ", Device"
	}
	return fmt.Sprintf("%d KiB, %s%s", uint64(1)<<e.Shift>>10, use, kind)
}

var classes = map[uint64]string{
	arm64.ECUnknown: "undefined", arm64.ECFP: "FP trap", arm64.ECIllegal: "illegal state",
	arm64.ECSVC: "SVC", arm64.ECSysReg: "system register trap",
	arm64.ECInstrAbortEL0: "instruction abort from EL0", arm64.ECInstrAbort: "instruction abort",
	arm64.ECDataAbortEL0: "data abort from EL0", arm64.ECDataAbort: "data abort",
	arm64.ECPCAlign: "PC alignment", arm64.ECSPAlign: "SP alignment", arm64.ECBRK: "BRK",
}

func className(ec uint64) string {
	if name := classes[ec]; name != "" {
		return name
	}
	return fmt.Sprintf("class %#x", ec)
}

// Disassemble is an instruction word at an address in GNU syntax, branches with
// their destination; what the disassembler does not know is ".word".
func Disassemble(pc uint64, word uint32) string {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], word)
	inst, err := arm64asm.Decode(b[:])
	if err != nil {
		return fmt.Sprintf(".word 0x%08x", word)
	}
	s := strings.TrimSpace(arm64asm.GNUSyntax(inst))
	for _, arg := range inst.Args {
		at := strings.LastIndex(s, ".+0x") // how the text shows it, as its last operand
		if rel, ok := arg.(arm64asm.PCRel); ok && at >= 0 {
			if inst.Op == arm64asm.ADRP {
				pc &^= 0xfff
			}
			return fmt.Sprintf("%s%x", s[:at], pc+uint64(rel))
		}
	}
	return s
}
